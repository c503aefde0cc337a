//! What a Cpu takes, what holds a call up, how a call ended: what a governor is told and what it answers.

use kernel_types::Retry;
use thiserror::Error;

use crate::{Micros, Rate};

/// What a Cpu takes, as far as it is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuLimits {
    /// Requests, usually a minute.
    pub requests: Option<Rate>,
    /// Input and output tokens, usually a minute. A call counts for its prompt and the output it may have until it ends.
    pub tokens: Option<Rate>,
}

impl CpuLimits {
    /// Checks that each limit lets something through.
    ///
    /// # Errors
    /// [`GovernorError::Unsound`] names the first that does not.
    pub fn check(&self) -> Result<(), GovernorError> {
        for (limit, rate) in [(HeldBy::Requests, self.requests), (HeldBy::Tokens, self.tokens)] {
            if let Some(rate) = rate.filter(|rate| !rate.is_sound()) {
                return Err(GovernorError::Unsound { limit, rate });
            }
        }
        Ok(())
    }
}

/// An error of a [`super::Governor`]. The state is unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum GovernorError {
    /// A rate of nothing, of no time or without a burst. It is not taken for no limit.
    #[error("{limit} is unsound: {rate:?}")]
    Unsound {
        /// The limit: [`HeldBy::Requests`] or [`HeldBy::Tokens`].
        limit: HeldBy,
        /// The rate.
        rate: Rate,
    },
}

impl GovernorError {
    /// Whether to try again: never, the configuration is wrong.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        Retry::Never
    }
}

/// What holds a call up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeldBy {
    /// The limit of requests.
    Requests,
    /// The limit of tokens.
    Tokens,
    /// The provider asked for a pause.
    RetryAfter,
    /// It failed too often: the circuit breaker is open, or its probe is under way.
    Breaker,
    /// As many calls are in flight as it took without refusing.
    Window,
    /// As many tokens a minute were used as it took without refusing.
    Pace,
}

impl std::fmt::Display for HeldBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Requests => "limit of requests",
            Self::Tokens => "limit of tokens",
            Self::RetryAfter => "pause the provider asked for",
            Self::Breaker => "circuit breaker",
            Self::Window => "calls in flight",
            Self::Pace => "pace the provider bears",
        })
    }
}

/// Whether a call may start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// Now.
    Now,
    /// Not before then.
    At(Micros, HeldBy),
    /// Not before another one ends.
    AfterAnother(HeldBy),
}

/// How a call ended, as far as limits are concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallEnd {
    /// Answered, or refused for what it asked: the Cpu works. So many tokens were used.
    Served {
        /// Input and output.
        tokens: u64,
    },
    /// Refused for want of capacity, used nothing.
    Refused {
        /// The pause that the provider asked for.
        retry_after: Option<Micros>,
    },
    /// Failed on the Cpu's side, or not reached. So many tokens were used.
    Failed {
        /// Input and output.
        tokens: u64,
        /// The pause that the provider asked for.
        retry_after: Option<Micros>,
    },
    /// Taken back: says nothing about the Cpu. So many tokens were used.
    Cancelled {
        /// Input and output.
        tokens: u64,
    },
}

impl CallEnd {
    /// Tokens that it used.
    pub(super) const fn used(self) -> u64 {
        match self {
            Self::Refused { .. } => 0,
            Self::Served { tokens } | Self::Failed { tokens, .. } | Self::Cancelled { tokens } => tokens,
        }
    }
}
