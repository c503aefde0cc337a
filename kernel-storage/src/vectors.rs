//! The `Vectors` contract: what agents remember beyond their windows, found again by words, by meaning, or by both.

mod check;
mod distance;
mod filter;
mod item;
mod query;
mod rank;
mod reference;
mod words;

#[cfg(feature = "sqlite")]
pub(crate) mod index;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) mod json;

use std::sync::Arc;

use async_trait::async_trait;

use crate::StoreError;

pub use filter::Filter;
pub use item::{MemoryItem, Metadata, Scalar, Vector};
pub use query::{MemoryHit, MemorySearch, SearchMode};

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) use check::{Dimensions, items as check_items, known_dimension, search as check_search};
#[cfg(feature = "postgres")]
pub(crate) use distance::{cosine, direction};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) use rank::Fused;
#[cfg(feature = "postgres")]
pub(crate) use rank::{Scored, best, depth, fuse};
pub(crate) use reference::Memories;
#[cfg(feature = "postgres")]
pub(crate) use words::{B, K1, length, words};

/// Long-term memory.
///
/// # Contract
/// - `remember` MUST be durable when it answers, as [`Journal::commit`](crate::Journal::commit) is, and MUST take all
///   of its items or none. A search that starts after it answered finds them.
/// - An id names one item of a namespace. To remember it again replaces the whole item, so that repeating a call that
///   may have landed changes nothing. Of items of one call with the same id the last one stays.
/// - Items MUST come back from `items` exactly as they were given, every bit of a vector included (but `-0.0` in metadata may
///   come back as `0.0`).
/// - Namespaces MUST NOT mix: neither items nor, where words are counted, their counts.
/// - Vectors of different models MUST NOT be compared. The first vector of a model fixes its dimension in this store,
///   also when that vector is forgotten.
/// - A search finds only what fits its [`Filter`], as [`Filter::fits`] says. By words it finds exactly the items that
///   have a word of the text (words as in Unicode Standard Annex 29, in lower case); which of them come first is the
///   store's to say, as long as the same contents give the same order. By vector and exactly it finds the `k` nearest.
///   Approximately it finds most of those, but `k` of them if there are as many that fit.
/// - With a text and a vector, the two lists are joined by reciprocal rank fusion with the constant 60; each list is
///   `max(100, 4k)` long. Equal scores are ordered by id, everywhere.
/// - A text without any word finds nothing by words; `k` of 0 finds nothing.
///
/// # Cancellation
/// Dropping the future of `remember` or `forget` leaves unknown whether it landed; repeating it is safe. Two callers
/// that write the same id at the same time decide by that who is last, also by repeating: give the id of a call to
/// what it remembers, and nobody else does.
///
/// # Errors
/// [`StoreErrorKind::Invalid`](crate::StoreErrorKind::Invalid), and nothing was changed: a vector that has no numbers,
/// none but zeros, one that is not finite, or another count than its model; a search with neither a vector nor a
/// text that is more than white space; a name, text, batch or filter beyond the limits that [`MemoryItem`], [`Vector`]
/// and [`Filter`] state. A namespace, id or model that nobody used is no error: nothing is found.
///
/// # Implementing
/// Expand `vectors_conformance!` on a fixture. The limits and [`Filter::fits`] are given; indexes are a store's own
/// affair, and so is when they are built: until one is ready, compare with everything.
#[async_trait]
pub trait Vectors: Send + Sync {
    /// Remembers items, replacing those of the same namespace and id.
    async fn remember(&self, items: Vec<MemoryItem>) -> Result<(), StoreError>;

    /// Forgets the items of a namespace with these ids; says how many there were.
    async fn forget(&self, namespace: &str, ids: &[String]) -> Result<u64, StoreError>;

    /// The best `k` items, the best first.
    async fn search(&self, search: MemorySearch) -> Result<Vec<MemoryHit>, StoreError>;

    /// Items of a namespace in the order of their ids, after `after`, at most `limit`.
    async fn items(
        &self,
        namespace: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<MemoryItem>, StoreError>;

    /// Namespaces that have an item, in order, after `after`, at most `limit`.
    async fn namespaces(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError>;

    /// How many items a namespace has.
    async fn count(&self, namespace: &str) -> Result<u64, StoreError>;
}

#[async_trait]
impl<T: Vectors + ?Sized> Vectors for Arc<T> {
    async fn remember(&self, items: Vec<MemoryItem>) -> Result<(), StoreError> {
        (**self).remember(items).await
    }
    async fn forget(&self, namespace: &str, ids: &[String]) -> Result<u64, StoreError> {
        (**self).forget(namespace, ids).await
    }
    async fn search(&self, search: MemorySearch) -> Result<Vec<MemoryHit>, StoreError> {
        (**self).search(search).await
    }
    async fn items(
        &self,
        namespace: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<MemoryItem>, StoreError> {
        (**self).items(namespace, after, limit).await
    }
    async fn namespaces(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        (**self).namespaces(after, limit).await
    }
    async fn count(&self, namespace: &str) -> Result<u64, StoreError> {
        (**self).count(namespace).await
    }
}
