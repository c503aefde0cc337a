//! What can go wrong with a scheduler.

use kernel_types::{Pid, Retry};
use thiserror::Error;

use crate::Micros;

/// An error of a [`crate::Scheduler`]. The state is unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SchedError {
    /// The process was not admitted.
    #[error("process {0} is not admitted")]
    Unknown(Pid),
    /// The process waits for a slot or holds one.
    #[error("process {0} asked for a slot already")]
    AlreadyAsked(Pid),
    /// The process holds no slot.
    #[error("process {0} holds no slot")]
    NoGrant(Pid),
    /// Time went back.
    #[error("time went back from {before:?} to {now:?}")]
    TimeWentBack {
        /// The latest time seen.
        before: Micros,
        /// The time given.
        now: Micros,
    },
}

impl SchedError {
    /// Whether to try again: never, the caller's bookkeeping is wrong.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        Retry::Never
    }
}
