//! The error a program sees as the answer to a call.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Millis;

/// What went wrong, for a program to branch on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// A capability is missing or policy said no; the message names it.
    Denied,
    /// The call exists in the table but not in this kernel.
    Unsupported,
    /// An argument is outside what the call takes.
    InvalidArgument,
    /// No such process, page, tool, value or file.
    NotFound,
    /// A budget would be exceeded; the message names the limit.
    QuotaExceeded,
    /// A bounded queue or mailbox is full.
    Busy,
    /// The deadline passed first.
    Deadline,
    /// A signal or the caller withdrew the call.
    Cancelled,
    /// The kernel stopped while the call was in flight and its effect is not known.
    Interrupted,
    /// The thing behind the call cannot be reached or refuses service for now.
    Unavailable,
    /// The thing behind the call ran and failed.
    Failed,
    /// The code behind the call panicked or broke its contract.
    Faulted,
    /// The argument or result exceeds a size limit.
    TooLarge,
}

/// Whether the same call may succeed if made again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// Not without a change.
    Never,
    /// At once.
    Now,
    /// After this long.
    After(Millis),
}

/// Whose fault an error is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The program that made the call.
    Caller,
    /// The driver, model, store or sandbox behind the call.
    Plugin,
    /// The kernel.
    Kernel,
}

/// The error half of a [`crate::Reply`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SysError {
    /// What went wrong.
    pub kind: ErrorKind,
    /// Whether to try again.
    pub retry: Retry,
    /// Whose fault it is.
    pub blame: Blame,
    /// Lower case, with the value and the limit.
    pub message: String,
}

impl SysError {
    /// An error with the retry status and blame usual for its kind.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let (retry, blame) = match kind {
            ErrorKind::Denied
            | ErrorKind::Unsupported
            | ErrorKind::InvalidArgument
            | ErrorKind::NotFound
            | ErrorKind::QuotaExceeded
            | ErrorKind::TooLarge => (Retry::Never, Blame::Caller),
            ErrorKind::Busy => (Retry::Now, Blame::Kernel),
            ErrorKind::Unavailable => (Retry::Now, Blame::Plugin),
            ErrorKind::Cancelled | ErrorKind::Interrupted => (Retry::Never, Blame::Kernel),
            ErrorKind::Deadline | ErrorKind::Failed | ErrorKind::Faulted => (Retry::Never, Blame::Plugin),
        };
        Self { kind, retry, blame, message: message.into() }
    }

    /// The same error with another retry status.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// The same error with another blame.
    #[must_use]
    pub fn with_blame(self, blame: Blame) -> Self {
        Self { blame, ..self }
    }
}

impl fmt::Display for SysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}

impl std::error::Error for SysError {}
