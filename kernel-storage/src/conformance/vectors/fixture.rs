//! Where the laws get their memories from.

use std::sync::Arc;

use async_trait::async_trait;

use crate::Vectors;

/// A place that holds one memory.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Opens the memory, which is empty at first. Called once.
    async fn open(&self) -> Arc<dyn Vectors>;

    /// Closes the memory and opens it again: what was durable is there. One whose contents end with it may be given
    /// back as it is.
    async fn reopen(&self, memory: Arc<dyn Vectors>) -> Arc<dyn Vectors>;

    /// Waits until a namespace has the index that approximate searches are to use, whatever its size. A memory without
    /// one has nothing to wait for.
    async fn settle(&self, memory: &Arc<dyn Vectors>, namespace: &str);
}

/// A fixture of a memory without an index that stays open: reopening gives back the same one.
pub struct InPlace(Arc<dyn Vectors>);

impl InPlace {
    /// A fixture of this memory, which must be empty.
    pub fn new(memory: impl Vectors + 'static) -> Self {
        Self(Arc::new(memory))
    }
}

#[async_trait]
impl Fixture for InPlace {
    async fn open(&self) -> Arc<dyn Vectors> {
        Arc::clone(&self.0)
    }

    async fn reopen(&self, memory: Arc<dyn Vectors>) -> Arc<dyn Vectors> {
        memory
    }

    async fn settle(&self, _memory: &Arc<dyn Vectors>, _namespace: &str) {}
}
