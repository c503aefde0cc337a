//! What the child is doing, in a file that outlives it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use kernel_storage::{Commit, CommitOutcome, Journal, SqliteStore, StoreError, Version, delegate_store};
use kernel_types::{AgentRow, Epoch, Pid, Record};

/// A phase of a step, as the kernel's documentation names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Phase {
    Prepare = b'P',
    Commit = b'C',
    Start = b'S',
    Outcome = b'O',
}

impl Phase {
    pub(crate) const ALL: [Self; 4] = [Self::Prepare, Self::Commit, Self::Start, Self::Outcome];
}

/// The file with the phase.
#[derive(Clone)]
pub(crate) struct Marks(Arc<File>);

impl Marks {
    pub(crate) fn open(path: &Path) -> Self {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        Self(Arc::new(file.expect("the marks file opens")))
    }

    pub(crate) fn set(&self, phase: Phase) {
        self.0.write_all_at(&[phase as u8], 0).expect("the marks file takes a byte");
    }

    pub(crate) fn get(&self) -> Option<Phase> {
        let mut byte = [0];
        self.0.read_exact_at(&mut byte, 0).ok()?;
        Phase::ALL.into_iter().find(|phase| *phase as u8 == byte[0])
    }
}

/// A SQLite store that marks commits and writes down which it acknowledged.
pub(crate) struct Watched {
    store: SqliteStore,
    marks: Marks,
    acknowledged: File,
}

impl Watched {
    pub(crate) fn new(store: SqliteStore, marks: Marks, acknowledged: &Path) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(acknowledged);
        Self { store, marks, acknowledged: file.expect("the acknowledgement file opens") }
    }
}

#[async_trait]
impl Journal for Watched {
    async fn claim(&self) -> Result<Epoch, StoreError> {
        self.store.claim().await
    }
    async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        self.marks.set(Phase::Commit);
        let rows: Vec<AgentRow> = batch.iter().map(|commit| commit.row.clone()).collect();
        let outcomes = self.store.commit(batch).await?;
        let mut lines = String::new();
        for (row, outcome) in rows.iter().zip(&outcomes) {
            if matches!(outcome, CommitOutcome::Committed | CommitOutcome::Already) {
                lines.push_str(&format!("{} {} {}\n", row.pid, row.revision, row.head));
            }
        }
        std::io::Write::write_all(&mut &self.acknowledged, lines.as_bytes()).expect("the line is written");
        self.marks.set(Phase::Start);
        Ok(outcomes)
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

delegate_store!(Watched, store);
