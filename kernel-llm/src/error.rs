//! What can go wrong with an inference.

use kernel_types::{Millis, Retry};
use thiserror::Error;

/// What kind of failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CpuErrorKind {
    /// The provider cannot be reached.
    Unreachable,
    /// The provider has no capacity (429, 529, 503).
    Overloaded,
    /// The key is missing or refused.
    Auth,
    /// No such model here.
    UnknownModel,
    /// The prompt exceeds the model's window.
    TooLong,
    /// The provider refuses the request.
    InvalidRequest,
    /// The answer is not what the protocol says.
    Protocol,
    /// No answer in time.
    Timeout,
    /// The stream broke after it began.
    Broken,
    /// The local model cannot be set up.
    Setup,
}

/// An error of a [`crate::Cpu`]. Its message never holds a key.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{provider}: {message}")]
pub struct CpuError {
    kind: CpuErrorKind,
    provider: String,
    message: String,
    retry_after: Option<Millis>,
}

impl CpuError {
    /// An error of `kind` at `provider`.
    #[must_use]
    pub fn new(kind: CpuErrorKind, provider: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, provider: provider.into(), message: message.into(), retry_after: None }
    }

    /// The same error with the provider's Retry-After.
    #[must_use]
    pub fn retry_after(self, delay: Option<Millis>) -> Self {
        Self { retry_after: delay, ..self }
    }

    /// What kind of failure.
    #[must_use]
    pub const fn kind(&self) -> CpuErrorKind {
        self.kind
    }

    /// Whether to try again.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match (self.kind, self.retry_after) {
            (CpuErrorKind::Overloaded | CpuErrorKind::Unreachable, Some(delay)) => Retry::After(delay),
            (
                CpuErrorKind::Overloaded
                | CpuErrorKind::Unreachable
                | CpuErrorKind::Timeout
                | CpuErrorKind::Broken,
                _,
            ) => Retry::Now,
            _ => Retry::Never,
        }
    }
}
