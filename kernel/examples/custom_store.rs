//! A kernel with a store of its own: one that counts what is committed, in front of the store in memory.

#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use kernel::programs::Script;
use kernel::{Kernel, KernelBuilder, Until};
use kernel_storage::{Arrival, Blobs, Commit, CommitOutcome, Journal, Mailboxes, MemoryStore, StoreError};
use kernel_types::{AgentRow, BlobHash, Call, Epoch, Mail, Pid, Record};

/// Counts commits and the records in them.
#[derive(Clone, Default)]
pub(crate) struct CountingStore {
    store: MemoryStore,
    commits: Arc<AtomicU64>,
    records: Arc<AtomicU64>,
}

#[async_trait]
impl Journal for CountingStore {
    async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        let records: usize = batch.iter().map(|commit| commit.records.len()).sum();
        self.commits.fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.records.fetch_add(records as u64, Ordering::Relaxed);
        self.store.commit(batch).await
    }

    async fn claim(&self) -> Result<Epoch, StoreError> {
        self.store.claim().await
    }
    async fn agent(&self, pid: Pid) -> Result<Option<AgentRow>, StoreError> {
        self.store.agent(pid).await
    }
    async fn agents(
        &self,
        after: Option<Pid>,
        live: bool,
        limit: usize,
    ) -> Result<Vec<AgentRow>, StoreError> {
        self.store.agents(after, live, limit).await
    }
    async fn records(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.store.records(pid, from, limit).await
    }
    async fn values(&self, pid: Pid) -> Result<Vec<(String, String)>, StoreError> {
        self.store.values(pid).await
    }
}

#[async_trait]
impl Blobs for CountingStore {
    async fn blobs(&self, hashes: &[BlobHash]) -> Result<Vec<Option<Arc<[u8]>>>, StoreError> {
        self.store.blobs(hashes).await
    }
    async fn list_blobs(&self, after: Option<BlobHash>, limit: usize) -> Result<Vec<BlobHash>, StoreError> {
        self.store.list_blobs(after, limit).await
    }
    async fn sweep(&self) -> Result<u64, StoreError> {
        self.store.sweep().await
    }
}

#[async_trait]
impl Mailboxes for CountingStore {
    async fn post(&self, mail: Vec<Mail>) -> Result<(), StoreError> {
        self.store.post(mail).await
    }
    async fn inbox(&self, pid: Pid) -> Result<Vec<Mail>, StoreError> {
        self.store.inbox(pid).await
    }
    async fn arrivals(&self, after: Arrival, limit: usize) -> Result<Vec<(Arrival, Mail)>, StoreError> {
        self.store.arrivals(after, limit).await
    }
}

/// The swap.
pub(crate) fn assemble(builder: KernelBuilder, store: CountingStore) -> KernelBuilder {
    builder.store(store)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = CountingStore::default();
    let kernel = assemble(Kernel::builder(), store.clone()).build().await?;
    kernel.spawn(Script::once(vec![Call::Now, Call::Random, Call::List]).spec("three calls")?).await?;
    let steps = kernel.run_until(Until::Idle).await?;
    let (commits, records) = (store.commits.load(Ordering::Relaxed), store.records.load(Ordering::Relaxed));
    println!("{steps} steps, {commits} commits, {records} records");
    Ok(())
}
