//! What can go wrong with a sandbox.

use kernel_types::Retry;
use thiserror::Error;

/// What kind of failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SandboxErrorKind {
    /// Policy runs nothing.
    Denied,
    /// The isolation cannot be set up.
    Setup,
    /// The request is malformed (an empty program, a NUL byte).
    Invalid,
    /// The program is not there.
    NotFound,
    /// The sandbox was lost while the program ran: what it did is not known.
    Lost,
}

/// An error of a [`crate::Sandbox`]. The command never ran, unless the kind is `Lost`.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("sandbox: {message}")]
pub struct SandboxError {
    kind: SandboxErrorKind,
    message: String,
}

impl SandboxError {
    /// An error of `kind`.
    #[must_use]
    pub fn new(kind: SandboxErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What kind of failure.
    #[must_use]
    pub const fn kind(&self) -> SandboxErrorKind {
        self.kind
    }

    /// Whether to try again: only after something was mended.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        Retry::Never
    }
}
