//! What can go wrong with a tool.

use kernel_types::{Blame, Retry};
use thiserror::Error;

/// What kind of failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ToolErrorKind {
    /// No tool of that name.
    Unknown,
    /// The arguments do not fit the schema; the message names the first place.
    InvalidArguments,
    /// The process may not touch this.
    Denied,
    /// A name is registered twice or a spec is malformed.
    InvalidSpec,
    /// What the tool works on is not there.
    NotFound,
    /// A size limit is exceeded.
    TooLarge,
    /// The thing behind the tool cannot be reached.
    Unavailable,
    /// An I/O error.
    Io,
}

/// An error of a [`crate::Driver`] or a [`crate::Registry`].
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{tool}: {message}")]
pub struct ToolError {
    kind: ToolErrorKind,
    tool: String,
    message: String,
}

impl ToolError {
    /// An error of `kind` in `tool`.
    #[must_use]
    pub fn new(kind: ToolErrorKind, tool: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, tool: tool.into(), message: message.into() }
    }

    /// What kind of failure.
    #[must_use]
    pub const fn kind(&self) -> ToolErrorKind {
        self.kind
    }

    /// Whether to try again.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self.kind {
            ToolErrorKind::Unavailable => Retry::Now,
            _ => Retry::Never,
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self.kind {
            ToolErrorKind::InvalidSpec | ToolErrorKind::Unavailable | ToolErrorKind::Io => Blame::Plugin,
            _ => Blame::Caller,
        }
    }
}
