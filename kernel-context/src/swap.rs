//! `MemorySwap`: page bodies in a map.

use std::collections::HashMap;
use std::sync::Arc;

use kernel_types::{BlobHash, hash_bytes};

use crate::Swap;

/// Page bodies in memory, by their hash. What is not here is a fault.
#[derive(Clone, Debug, Default)]
pub struct MemorySwap {
    bodies: HashMap<BlobHash, Arc<str>>,
}

impl MemorySwap {
    /// Keeps a body and gives its address. The same text is kept once.
    pub fn insert(&mut self, text: impl Into<Arc<str>>) -> BlobHash {
        let text = text.into();
        let hash = hash_bytes(text.as_bytes());
        self.bodies.entry(hash).or_insert(text);
        hash
    }

    /// Forgets a body and hands it back: the next use of it is a fault.
    pub fn remove(&mut self, hash: &BlobHash) -> Option<Arc<str>> {
        self.bodies.remove(hash)
    }
}

impl Swap for MemorySwap {
    fn body(&self, hash: &BlobHash) -> Option<Arc<str>> {
        self.bodies.get(hash).cloned()
    }
}
