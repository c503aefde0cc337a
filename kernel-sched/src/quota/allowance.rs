//! What an account may spend, and the three things that are counted.

use std::fmt;

use kernel_types::{Budget, LimitName, MicroUsd, Reservation, Tokens};

use crate::Rate;

/// What limits count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Counted {
    /// Device calls.
    Calls,
    /// Input and output tokens.
    Tokens,
    /// Money, in millionths of a US dollar.
    Cost,
}

impl Counted {
    /// All of them, in the order in which refusals name them.
    pub const ALL: [Self; 3] = [Self::Calls, Self::Tokens, Self::Cost];

    /// How much of it.
    #[must_use]
    pub const fn of(self, amounts: &Reservation) -> u64 {
        match self {
            Self::Calls => amounts.calls,
            Self::Tokens => amounts.tokens.0,
            Self::Cost => amounts.cost.0,
        }
    }

    pub(super) const fn limit_name(self) -> LimitName {
        match self {
            Self::Calls => LimitName::Calls,
            Self::Tokens => LimitName::Tokens,
            Self::Cost => LimitName::Cost,
        }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limit_name().fmt(f)
    }
}

/// What may be spent on an account and all below it: so much in its life, and so much in so much time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Allowance {
    /// Device calls in its life; `None` is unlimited.
    pub calls: Option<u64>,
    /// Tokens in its life.
    pub tokens: Option<Tokens>,
    /// Money in its life.
    pub cost: Option<MicroUsd>,
    /// Rates; any number for the same thing (so many a minute, so many a day).
    pub rates: Vec<(Counted, Rate)>,
}

impl Allowance {
    /// Whether it limits nothing.
    #[must_use]
    pub const fn is_unlimited(&self) -> bool {
        self.calls.is_none() && self.tokens.is_none() && self.cost.is_none() && self.rates.is_empty()
    }

    /// The lifetime limit of this.
    pub(super) fn lifetime(&self, counted: Counted) -> Option<u64> {
        match counted {
            Counted::Calls => self.calls,
            Counted::Tokens => self.tokens.map(|tokens| tokens.0),
            Counted::Cost => self.cost.map(|cost| cost.0),
        }
    }

    /// Raises the lifetime limits there are; what is unlimited stays so.
    pub(super) fn raise(&mut self, more: &Budget) {
        let (calls, tokens, cost) =
            (more.calls, more.tokens.unwrap_or_default(), more.cost.unwrap_or_default());
        self.calls = self.calls.map(|limit| limit.saturating_add(calls.unwrap_or_default()));
        self.tokens = self.tokens.map(|limit| limit.saturating_add(tokens));
        self.cost = self.cost.map(|limit| limit.saturating_add(cost));
    }
}

impl From<&Budget> for Allowance {
    /// The same lifetime limits, but for steps, which nobody reserves; no rates.
    fn from(budget: &Budget) -> Self {
        Self { calls: budget.calls, tokens: budget.tokens, cost: budget.cost, rates: Vec::new() }
    }
}
