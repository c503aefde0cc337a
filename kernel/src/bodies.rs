//! Page bodies in memory: a bounded cache in front of the store, shared by all processes of a kernel.

use std::collections::HashMap;
use std::sync::Arc;

use kernel_context::Swap;
use kernel_types::BlobHash;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

#[derive(Clone)]
struct ByLength;

impl Weighter<BlobHash, Arc<str>> for ByLength {
    fn weight(&self, _: &BlobHash, body: &Arc<str>) -> u64 {
        body.len() as u64 + 64
    }
}

/// The cache. Replacement is quick_cache's S3-FIFO variant: a scan over a whole folder does not flush what is hot.
pub(crate) struct Bodies {
    cache: Cache<BlobHash, Arc<str>, ByLength>,
}

impl Bodies {
    pub(crate) fn new(capacity_bytes: u64) -> Self {
        let items = usize::try_from(capacity_bytes / 1024).unwrap_or(usize::MAX).max(16);
        Self { cache: Cache::with_weighter(items, capacity_bytes, ByLength) }
    }

    pub(crate) fn insert(&self, hash: BlobHash, body: Arc<str>) {
        self.cache.insert(hash, body);
    }
}

/// What one process sees: its own bodies that are not durable yet, and those loaded for the call at hand, before the cache.
pub(crate) struct View<'a> {
    pub(crate) staged: &'a HashMap<BlobHash, Arc<str>>,
    pub(crate) bodies: &'a Bodies,
}

impl Swap for View<'_> {
    fn body(&self, hash: &BlobHash) -> Option<Arc<str>> {
        self.staged.get(hash).cloned().or_else(|| self.bodies.cache.get(hash))
    }
}
