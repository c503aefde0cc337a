//! What can go wrong with a kernel as a whole, seen from outside.

use std::sync::Arc;

use kernel_storage::{StoreError, StoreErrorKind};
use kernel_types::{Pid, Retry, SysError};
use thiserror::Error;

/// An error of the kernel's own interface. Errors of calls are [`SysError`]s inside replies.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The kernel cannot be assembled.
    #[error("{0}")]
    Build(String),
    /// A request was refused.
    #[error("{0}")]
    Refused(SysError),
    /// The store failed; nothing that was acknowledged is lost, and nothing was started that is not recorded.
    #[error("store: {0}")]
    Store(Arc<StoreError>),
    /// No such process.
    #[error("no process {0}")]
    UnknownProcess(Pid),
    /// Too many requests wait.
    #[error("{0} requests wait already, try again")]
    Busy(usize),
    /// The state of a process does not load.
    #[error("process {pid} does not load: {reason}")]
    Damaged {
        /// Which.
        pid: Pid,
        /// Why.
        reason: String,
    },
    /// The kernel has stopped.
    #[error("the kernel has stopped")]
    Stopped,
}

impl KernelError {
    /// Whether to try again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Busy(_) => Retry::Now,
            Self::Store(error) => error.retry(),
            Self::Refused(error) => error.retry,
            _ => Retry::Never,
        }
    }

    /// The store's kind of failure, if the store failed.
    #[must_use]
    pub fn store_kind(&self) -> Option<StoreErrorKind> {
        if let Self::Store(error) = self { Some(error.kind()) } else { None }
    }
}

impl From<StoreError> for KernelError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}
