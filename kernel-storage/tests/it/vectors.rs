//! The suite of long-term memory, run on every store and on its trait object.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tempfile::TempDir;

use kernel_storage::conformance::vectors::{Fixture, InPlace};
use kernel_storage::{MemoryStore, PostgresStore, SqliteStore, Vectors, vectors_conformance};

use crate::postgres::place::Place;

/// A database in a folder of its own.
struct Sqlite {
    folder: TempDir,
    store: Mutex<Option<SqliteStore>>,
}

impl Sqlite {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), store: Mutex::default() }
    }
}

#[async_trait]
impl Fixture for Sqlite {
    async fn open(&self) -> Arc<dyn Vectors> {
        let store = SqliteStore::open(self.folder.path().join("store.db")).await.unwrap();
        *self.store.lock() = Some(store.clone());
        Arc::new(store)
    }

    async fn reopen(&self, memory: Arc<dyn Vectors>) -> Arc<dyn Vectors> {
        drop(memory);
        let store = self.store.lock().take();
        store.unwrap().close().await.unwrap();
        self.open().await
    }

    async fn settle(&self, _memory: &Arc<dyn Vectors>, namespace: &str) {
        let store = self.store.lock().clone();
        store.unwrap().index_memory(namespace).await.unwrap();
    }
}

/// A schema of the test server.
struct Postgres {
    place: Place,
    store: Mutex<Option<PostgresStore>>,
}

impl Postgres {
    fn new() -> Self {
        Self { place: Place::new(), store: Mutex::default() }
    }
}

#[async_trait]
impl Fixture for Postgres {
    async fn open(&self) -> Arc<dyn Vectors> {
        let store = self.place.open().await;
        *self.store.lock() = Some(store.clone());
        Arc::new(store)
    }

    async fn reopen(&self, memory: Arc<dyn Vectors>) -> Arc<dyn Vectors> {
        drop(memory);
        let store = self.store.lock().take();
        store.unwrap().close().await.unwrap();
        self.open().await
    }

    async fn settle(&self, _memory: &Arc<dyn Vectors>, namespace: &str) {
        let store = self.store.lock().clone();
        store.unwrap().index_memory(namespace).await.unwrap();
    }
}

vectors_conformance!(memory, InPlace::new(MemoryStore::new()));
vectors_conformance!(memory_object, InPlace::new(Arc::new(MemoryStore::new()) as Arc<dyn Vectors>));
vectors_conformance!(sqlite, Sqlite::new());
vectors_conformance!(postgres, Postgres::new());
