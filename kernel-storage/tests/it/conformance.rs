//! The suite, run on every store and on its trait object.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;

use kernel_storage::conformance::{Fixture, InPlace};
use kernel_storage::{MemoryStore, SqliteStore, Store, store_conformance};

use crate::postgres::place::Place;

/// A database in a folder of its own.
struct Sqlite {
    folder: TempDir,
    /// Reopened once more after a close, beside the mere drop of the handle.
    close: bool,
}

impl Sqlite {
    fn new(close: bool) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), close }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }
}

#[async_trait]
impl Fixture for Sqlite {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(self.path()).await.unwrap())
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        drop(store);
        let store = SqliteStore::open(self.path()).await.unwrap();
        if !self.close {
            return Arc::new(store);
        }
        store.close().await.unwrap();
        Arc::new(SqliteStore::open(self.path()).await.unwrap())
    }
}

store_conformance!(memory, InPlace::new(MemoryStore::new()));
store_conformance!(memory_object, InPlace::new(Arc::new(MemoryStore::new()) as Arc<dyn Store>));
store_conformance!(sqlite, Sqlite::new(true));
store_conformance!(sqlite_object, {
    struct Object(Sqlite);
    #[async_trait]
    impl Fixture for Object {
        async fn open(&self) -> Arc<dyn Store> {
            Arc::new(self.0.open().await)
        }

        async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
            Arc::new(self.0.reopen(store).await)
        }
    }
    Object(Sqlite::new(false))
});
store_conformance!(postgres, Place::new());
store_conformance!(postgres_object, {
    struct Object(Place);
    #[async_trait]
    impl Fixture for Object {
        async fn open(&self) -> Arc<dyn Store> {
            Arc::new(Fixture::open(&self.0).await)
        }

        async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
            Arc::new(self.0.reopen(store).await)
        }
    }
    Object(Place::new())
});
