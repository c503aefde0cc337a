//! What can go wrong with a pager.

use kernel_types::{BlobHash, PageNo, Retry, Tokens};
use thiserror::Error;

/// An error of a [`crate::Pager`]. The state is unchanged.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PagerError {
    /// No such page in this address space.
    #[error("page {0} not found")]
    NotFound(PageNo),
    /// These bodies must be in memory first.
    #[error("{} page bodies are not in memory", .0.len())]
    Fault(Vec<BlobHash>),
    /// One page (or one group of pages) alone exceeds the window.
    #[error("page of {tokens} tokens exceeds the window of {window}")]
    TooLarge {
        /// The page's or group's tokens.
        tokens: Tokens,
        /// The window's.
        window: Tokens,
    },
    /// What is pinned, and what was allocated since the last render, exceeds the window.
    #[error("pinned pages of {pinned} tokens exceed the window of {window}")]
    AllPinned {
        /// Tokens of all pages that must stay.
        pinned: Tokens,
        /// The window's.
        window: Tokens,
    },
    /// The window is over its limit: apply a plan first.
    #[error("the window holds {tokens} tokens of at most {window}")]
    Overfull {
        /// Tokens in the window.
        tokens: Tokens,
        /// The window's.
        window: Tokens,
    },
    /// A pinned page cannot be evicted.
    #[error("page {0} is pinned")]
    Pinned(PageNo),
    /// An argument is outside what is taken.
    #[error("{0}")]
    Invalid(String),
    /// A saved state does not load.
    #[error("saved page table does not load: {0}")]
    Corrupt(String),
}

impl PagerError {
    /// Whether to try again: at once after a fault was served.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Fault(_) => Retry::Now,
            _ => Retry::Never,
        }
    }
}
