//! A kernel with a store of its own: one that counts what is committed, in front of the store in memory.

#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use kernel::programs::Script;
use kernel::{Kernel, KernelBuilder, Until};
use kernel_storage::{Commit, CommitOutcome, Journal, MemoryStore, StoreError, Version, delegate_store};
use kernel_types::{AgentRow, Call, Epoch, Pid, Record};

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
    async fn as_of(&self, pid: Pid, records: u64) -> Result<Option<Version>, StoreError> {
        self.store.as_of(pid, records).await
    }
}

delegate_store!(CountingStore, store);

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
