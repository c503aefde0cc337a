//! Why a quota said no: the caller's bookkeeping is wrong, or there is nothing left.

use std::fmt::Debug;

use kernel_types::{LimitName, Millis, Retry};
use thiserror::Error;

use super::Counted;
use crate::{Micros, Rate};

/// An error of [`super::Quotas`]. The state is unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum QuotaError<K: Debug> {
    /// The account is there already.
    #[error("account {0:?} is open already")]
    Exists(K),
    /// There is no such account.
    #[error("there is no account {0:?}")]
    Unknown(K),
    /// A rate of nothing, of no time or without a burst.
    #[error("rate of {counted} of account {key:?} is unsound: {rate:?}")]
    Unsound {
        /// The account.
        key: K,
        /// What the rate counts.
        counted: Counted,
        /// The rate.
        rate: Rate,
    },
    /// The account cannot be closed yet.
    #[error("account {key:?} is in use: {below} accounts below it, {holds} holds on it")]
    InUse {
        /// The account.
        key: K,
        /// Accounts right below it.
        below: usize,
        /// Holds on itself.
        holds: usize,
    },
}

impl<K: Debug> QuotaError<K> {
    /// Whether to try again: never, the caller's bookkeeping is wrong.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        Retry::Never
    }
}

/// Why nothing was held. The state is unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Refused<K: Debug> {
    /// Too little of a budget is left: of the account's own or, nearest first, of one above it.
    #[error("{needed} {limit} needed, {left} left of the budget of {key:?}")]
    Budget {
        /// Whose budget.
        key: K,
        /// Which budget.
        limit: LimitName,
        /// What is neither spent nor held.
        left: u64,
        /// What was to be held.
        needed: u64,
    },
    /// It comes too early for a rate.
    #[error("rate of {counted} of {key:?}: not before {at:?}")]
    Rate {
        /// Whose rate: the one that takes longest.
        key: K,
        /// What the rate counts.
        counted: Counted,
        /// When all rates on the path let it through, if nobody else takes from them until then.
        at: Micros,
    },
    /// There is no such account.
    #[error("there is no account {0:?}")]
    Unknown(K),
}

impl<K: Debug> Refused<K> {
    /// Whether to try again: once the rate lets it through. A budget has to be raised first, or a hold settled.
    #[must_use]
    pub const fn retry(&self, now: Micros) -> Retry {
        match self {
            Self::Rate { at, .. } => Retry::After(Millis(at.0.saturating_sub(now.0).div_ceil(1_000))),
            Self::Budget { .. } | Self::Unknown(_) => Retry::Never,
        }
    }
}
