//! Stores for tests: in memory, on a disk that goes away with the test, behind a queue.

use std::sync::atomic::{AtomicU32, Ordering};

use kernel::{MailboxOptions, StoreMailbox};
use kernel_storage::{SqliteStore, Store};
use tempfile::TempDir;

/// A folder for databases, removed at the end.
pub(crate) struct Scratch {
    folder: TempDir,
    opened: AtomicU32,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), opened: AtomicU32::new(0) }
    }

    /// An empty database.
    pub(crate) async fn sqlite(&self) -> SqliteStore {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        SqliteStore::open(self.folder.path().join(format!("{number}.db"))).await.unwrap()
    }
}

/// A store behind a queue, served by a task of this runtime.
pub(crate) fn behind_a_queue(store: impl Store + 'static) -> StoreMailbox {
    let (mailbox, service) = MailboxOptions { queue: 4 }.serve(store);
    tokio::spawn(service.run());
    mailbox
}
