//! A store behind a queue is a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use kernel::{MailboxOptions, StoreMailbox};
use kernel_storage::conformance::{Fixture, InPlace};
use kernel_storage::{
    Arrival, Blobs, Commit, CommitOutcome, Journal, Mailboxes, MemoryStore, Store, StoreError,
    StoreErrorKind, Version, store_conformance,
};
use kernel_types::{AgentRow, BlobHash, Epoch, Mail, Pid, Record};
use tokio::sync::Semaphore;

use crate::scratch::{Scratch, behind_a_queue};

store_conformance!(memory_behind_a_queue, InPlace::new(behind_a_queue(MemoryStore::new())));
store_conformance!(sqlite_behind_a_queue, InPlaceOnDisk::open().await);

/// Keeps the folder of the database while the laws run.
struct InPlaceOnDisk {
    store: InPlace,
    _folder: Scratch,
}

impl InPlaceOnDisk {
    async fn open() -> Self {
        let folder = Scratch::new();
        Self { store: InPlace::new(behind_a_queue(folder.sqlite().await)), _folder: folder }
    }
}

#[async_trait]
impl Fixture for InPlaceOnDisk {
    async fn open(&self) -> Arc<dyn Store> {
        self.store.open().await
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        self.store.reopen(store).await
    }
}

/// A store whose `claim` waits for a permit, and which fails in all other ways on demand.
#[derive(Clone)]
struct Stubborn {
    permits: Arc<Semaphore>,
    panics: Arc<AtomicBool>,
    kind: StoreErrorKind,
}

impl Stubborn {
    fn new() -> Self {
        Self::failing(StoreErrorKind::Full)
    }

    fn failing(kind: StoreErrorKind) -> Self {
        Self { permits: Arc::new(Semaphore::new(0)), panics: Arc::default(), kind }
    }
}

/// Lets all other tasks of a runtime with one thread go as far as they can.
async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

#[async_trait]
impl Journal for Stubborn {
    async fn claim(&self) -> Result<Epoch, StoreError> {
        self.permits.acquire().await.unwrap().forget();
        Ok(Epoch(1))
    }
    async fn commit(&self, _: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        assert!(!self.panics.load(Ordering::SeqCst), "as asked");
        Err(StoreError::new(self.kind, "commit", "0 of 4096 bytes: left"))
    }
    async fn agent(&self, _: Pid) -> Result<Option<AgentRow>, StoreError> {
        assert!(!self.panics.load(Ordering::SeqCst), "as asked");
        Err(StoreError::new(StoreErrorKind::Corrupt, "read", "row 3 is damaged"))
    }
    async fn agents(&self, _: Option<Pid>, _: bool, _: usize) -> Result<Vec<AgentRow>, StoreError> {
        Ok(Vec::new())
    }
    async fn records(&self, _: Pid, _: u64, _: usize) -> Result<Vec<Record>, StoreError> {
        Ok(Vec::new())
    }
    async fn values(&self, _: Pid) -> Result<Vec<(String, String)>, StoreError> {
        Ok(Vec::new())
    }
    async fn as_of(&self, _: Pid, _: u64) -> Result<Option<Version>, StoreError> {
        Ok(None)
    }
}

#[async_trait]
impl Blobs for Stubborn {
    async fn blobs(&self, _: &[BlobHash]) -> Result<Vec<Option<Arc<[u8]>>>, StoreError> {
        Ok(Vec::new())
    }
    async fn list_blobs(&self, _: Option<BlobHash>, _: usize) -> Result<Vec<BlobHash>, StoreError> {
        Ok(Vec::new())
    }
    async fn sweep(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

#[async_trait]
impl Mailboxes for Stubborn {
    async fn post(&self, _: Vec<Mail>) -> Result<(), StoreError> {
        Ok(())
    }
    async fn inbox(&self, _: Pid) -> Result<Vec<Mail>, StoreError> {
        Ok(Vec::new())
    }
    async fn arrivals(&self, _: Arrival, _: usize) -> Result<Vec<(Arrival, Mail)>, StoreError> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn a_full_queue_waits_and_loses_nothing() {
    let store = Stubborn::new();
    let (mailbox, service) = MailboxOptions { queue: 2 }.serve(store.clone());
    tokio::spawn(service.run());
    let claims: Vec<_> = (0..8)
        .map(|_| {
            let mailbox = mailbox.clone();
            tokio::spawn(async move { mailbox.claim().await })
        })
        .collect();
    // One is with the store, two are in the queue, the others wait for room; none is refused.
    settle().await;
    assert!(claims.iter().all(|claim| !claim.is_finished()), "a claim ended although the store gave none");
    store.permits.add_permits(8);
    for claim in claims {
        assert_eq!(claim.await.unwrap().unwrap(), Epoch(1));
    }
}

#[tokio::test]
async fn an_error_crosses_with_kind_operation_and_message() {
    let store = Stubborn::new();
    let mailbox = behind_a_queue(store.clone());
    let direct = store.commit(Vec::new()).await.unwrap_err();
    let hopped = mailbox.commit(Vec::new()).await.unwrap_err();
    assert_eq!((hopped.kind(), hopped.to_string()), (direct.kind(), direct.to_string()));
    let other = mailbox.agent(Pid::fresh()).await.unwrap_err();
    assert_eq!(other.kind(), StoreErrorKind::Corrupt);
    assert_eq!(other.to_string(), "agent: read: row 3 is damaged");
}

#[tokio::test]
async fn every_kind_of_error_crosses() {
    use StoreErrorKind::{CommitUnknown, Corrupt, Full, Invalid, Locked, Permission, Schema, Unavailable};
    for kind in [Locked, Unavailable, CommitUnknown, Full, Corrupt, Schema, Permission, Invalid] {
        let mailbox = behind_a_queue(Stubborn::failing(kind));
        assert_eq!(mailbox.commit(Vec::new()).await.unwrap_err().kind(), kind);
    }
}

#[tokio::test]
async fn a_store_that_panics_is_an_error_and_the_service_goes_on() {
    let store = Stubborn::new();
    let mailbox = behind_a_queue(store.clone());
    store.panics.store(true, Ordering::SeqCst);
    let read = mailbox.agent(Pid::fresh()).await.unwrap_err();
    assert_eq!(read.kind(), StoreErrorKind::Unavailable);
    let write = mailbox.commit(Vec::new()).await.unwrap_err();
    assert!(write.commit_unknown(), "what a store that panicked wrote is not known: {write}");
    store.panics.store(false, Ordering::SeqCst);
    assert_eq!(mailbox.agents(None, false, 1).await.unwrap(), Vec::new());
}

#[tokio::test]
async fn a_dead_service_is_unavailable() {
    let (mailbox, service) = MailboxOptions::default().serve(MemoryStore::new());
    drop(service);
    let error = mailbox.claim().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    let error = mailbox.commit(Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "never sent, so nothing landed: {error}");
}

#[tokio::test]
async fn a_service_that_dies_with_a_commit_leaves_it_unknown() {
    let (mailbox, service) = MailboxOptions::default().serve(MemoryStore::new());
    let commit = tokio::spawn({
        let mailbox = mailbox.clone();
        async move { mailbox.commit(Vec::new()).await }
    });
    let read = tokio::spawn(async move { mailbox.agent(Pid::fresh()).await });
    settle().await;
    drop(service);
    assert!(commit.await.unwrap().unwrap_err().commit_unknown());
    assert_eq!(read.await.unwrap().unwrap_err().kind(), StoreErrorKind::Unavailable);
}

#[tokio::test]
async fn the_service_ends_with_its_last_handle() {
    let (mailbox, service) = MailboxOptions::default().serve(MemoryStore::new());
    let service = tokio::spawn(service.run());
    let other: StoreMailbox = mailbox.clone();
    drop(mailbox);
    assert_eq!(other.claim().await.unwrap(), Epoch(1), "one handle is left");
    drop(other);
    service.await.unwrap();
}
