//! Where the laws get their stores from.

use std::sync::Arc;

use async_trait::async_trait;

use crate::Store;

/// A place that holds one store.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Opens the store, which is empty at first. Called once.
    async fn open(&self) -> Arc<dyn Store>;

    /// Closes the store and opens it again, as a new kernel would: what was durable is there. A store whose contents
    /// end with it may give the same one back.
    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store>;
}

/// A fixture of a store that stays open: reopening gives back the same one.
pub struct InPlace(Arc<dyn Store>);

impl InPlace {
    /// A fixture of this store, which must be empty.
    pub fn new(store: impl Store + 'static) -> Self {
        Self(Arc::new(store))
    }
}

#[async_trait]
impl Fixture for InPlace {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0)
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store
    }
}

/// Runs one test on a runtime of its own with two threads.
pub fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a machine that runs tests has room for two threads")
        .block_on(test);
}
