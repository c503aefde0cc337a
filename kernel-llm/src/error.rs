//! What can go wrong with an inference.

use kernel_types::{Millis, Retry};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What kind of failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CpuErrorKind {
    /// The provider cannot be reached.
    Unreachable,
    /// The provider has no capacity (429, 529, 503).
    Overloaded,
    /// The provider failed on its side (500, 502, 504).
    Failed,
    /// The key is missing or refused, or its account may not pay for this.
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

    /// Who failed: the provider's name or host.
    #[must_use]
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// What failed, without the provider's name.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether to try again.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match (self.kind, self.retry_after) {
            (CpuErrorKind::Overloaded | CpuErrorKind::Unreachable | CpuErrorKind::Failed, Some(delay)) => {
                Retry::After(delay)
            }
            (
                CpuErrorKind::Overloaded
                | CpuErrorKind::Unreachable
                | CpuErrorKind::Failed
                | CpuErrorKind::Timeout
                | CpuErrorKind::Broken,
                _,
            ) => Retry::Now,
            _ => Retry::Never,
        }
    }
}
