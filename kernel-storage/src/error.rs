//! What can go wrong with a store.

use kernel_types::Retry;
use thiserror::Error;

/// What kind of failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// Another kernel holds this store.
    Locked,
    /// The store cannot be reached for now.
    Unavailable,
    /// The answer to a write was lost: it may have landed.
    CommitUnknown,
    /// No space is left.
    Full,
    /// What is stored is damaged.
    Corrupt,
    /// The schema is newer than this build, or not one of ours.
    Schema,
    /// No right to read or write.
    Permission,
    /// The caller asked for something impossible.
    Invalid,
}

/// An error of a [`crate::Store`].
#[derive(Debug, Error)]
#[error("{operation}: {message}")]
pub struct StoreError {
    kind: StoreErrorKind,
    operation: &'static str,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// An error of `kind` in `operation`.
    #[must_use]
    pub fn new(kind: StoreErrorKind, operation: &'static str, message: impl Into<String>) -> Self {
        Self { kind, operation, message: message.into(), source: None }
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn because(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// What kind of failure.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The write that failed may have landed all the same.
    #[must_use]
    pub const fn commit_unknown(&self) -> bool {
        matches!(self.kind, StoreErrorKind::CommitUnknown)
    }

    /// Whether to try again.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self.kind {
            StoreErrorKind::Unavailable | StoreErrorKind::CommitUnknown => Retry::Now,
            _ => Retry::Never,
        }
    }

    /// The same failure, for another caller whom it hit too.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn repeated(&self, operation: &'static str) -> Self {
        Self::new(self.kind, operation, self.message.clone())
    }

    /// The same error with one more thing that the caller should know.
    #[cfg(feature = "sqlite")]
    pub(crate) fn noting(mut self, note: &str) -> Self {
        self.message = format!("{}; {note}", self.message);
        self
    }

    /// What went wrong, without the operation.
    #[cfg(feature = "postgres")]
    pub(crate) fn words(&self) -> &str {
        &self.message
    }

    /// The same error, naming the file that it is about unless it does so already.
    #[cfg(feature = "sqlite")]
    pub(crate) fn about(mut self, path: &std::path::Path) -> Self {
        let path = path.display().to_string();
        if !self.message.contains(&path) {
            self.message = format!("{path}: {}", self.message);
        }
        self
    }
}
