//! A store in memory: the reference of the contract, and the disk of tests and throw-away kernels.
//!
//! One lock over plain maps. Clones share their contents, so that a kernel that is gone can be followed by a new one
//! on the same store; what is durable here is what outlives the kernel, not the operating-system process.

mod archive;

use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use async_trait::async_trait;
use kernel_types::{AgentRow, BlobHash, Epoch, Mail, MailId, Pid, Record};
use parking_lot::{Mutex, RwLock};

use crate::check::{Tip, judge, malformed};
use crate::vectors::Memories;
use crate::{Arrival, Blobs, Commit, CommitOutcome, Journal, Mailboxes, StoreError, Version};

/// A store in memory. Clones share it.
#[derive(Clone, Default, Debug)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    /// What agents remember, apart: a search looks at all of it.
    pub(crate) memories: Arc<RwLock<Memories>>,
}

#[derive(Default, Debug)]
struct State {
    epoch: Epoch,
    processes: BTreeMap<Pid, Process>,
    blobs: BTreeMap<BlobHash, Arc<[u8]>>,
    /// Which processes committed which bodies.
    references: BTreeSet<(Pid, BlobHash)>,
    last_arrival: Arrival,
    /// Mail that waits, of all processes.
    mail: BTreeMap<Arrival, Mail>,
    mailboxes: HashMap<Pid, Mailbox>,
}

#[derive(Debug)]
struct Process {
    row: AgentRow,
    records: Vec<Record>,
    values: BTreeMap<String, String>,
    /// The rows of all commits that appended records, the present one included if it did.
    versions: Vec<AgentRow>,
    /// What each name had, from which number of records on.
    past: BTreeMap<String, Vec<(u64, Option<String>)>>,
}

#[derive(Default, Debug)]
struct Mailbox {
    waiting: BTreeSet<Arrival>,
    /// Every id that was posted or consumed, so that neither is delivered again.
    known: HashMap<MailId, Arrival>,
}

impl Process {
    fn new(row: AgentRow) -> Self {
        let (records, versions) = (Vec::new(), Vec::new());
        Self { row, records, values: BTreeMap::new(), versions, past: BTreeMap::new() }
    }

    fn as_of(&self, records: u64) -> Option<Version> {
        let before = self.versions.partition_point(|row| row.records <= records);
        let row = self.versions.get(before.checked_sub(1)?)?.clone();
        let then = |changes: &[(u64, Option<String>)]| {
            let before = changes.partition_point(|(number, _)| *number <= records);
            changes.get(before.checked_sub(1)?)?.1.clone()
        };
        let values = self.past.iter().filter_map(|(name, changes)| Some((name.clone(), then(changes)?)));
        Some(Version { row, values: values.collect() })
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl State {
    fn commit(&mut self, commit: Commit, malformed: Option<String>) -> CommitOutcome {
        if let Some(reason) = malformed {
            return CommitOutcome::Refused { reason };
        }
        let Commit { row, records, values, consumed, sent, blobs } = {
            let found = self.processes.get(&commit.row.pid).map(|process| Tip::of(&process.row));
            match judge(found.unwrap_or_default(), &commit) {
                Ok(()) => commit,
                Err(answer) => return answer,
            }
        };
        let (pid, exited) = (row.pid, row.exited);
        self.write(row, records, values);
        for blob in blobs {
            self.references.insert((pid, blob.hash));
            self.blobs.entry(blob.hash).or_insert(blob.bytes);
        }
        for id in consumed {
            self.consume(pid, id);
        }
        for mail in sent {
            self.post(mail);
        }
        if exited {
            self.forget_consumed(pid);
        }
        CommitOutcome::Committed
    }

    fn write(&mut self, row: AgentRow, records: Vec<Record>, values: Vec<(String, Option<String>)>) {
        let process = self.processes.entry(row.pid).or_insert_with(|| Process::new(row.clone()));
        if !records.is_empty() {
            process.versions.push(row.clone());
        }
        let number = row.records;
        process.row = row;
        process.records.extend(records);
        for (name, value) in values {
            process.past.entry(name.clone()).or_default().push((number, value.clone()));
            match value {
                Some(value) => process.values.insert(name, value),
                None => process.values.remove(&name),
            };
        }
    }

    fn consume(&mut self, pid: Pid, id: MailId) {
        let mailbox = self.mailboxes.entry(pid).or_default();
        // A number that nothing arrived with stands for mail consumed before it came.
        let arrival = *mailbox.known.entry(id).or_default();
        if mailbox.waiting.remove(&arrival) {
            self.mail.remove(&arrival);
        }
    }

    fn post(&mut self, mail: Mail) {
        let mailbox = self.mailboxes.entry(mail.to).or_default();
        if let hash_map::Entry::Vacant(entry) = mailbox.known.entry(mail.id) {
            self.last_arrival.0 += 1;
            entry.insert(self.last_arrival);
            mailbox.waiting.insert(self.last_arrival);
            self.mail.insert(self.last_arrival, mail);
        }
    }

    fn forget_consumed(&mut self, pid: Pid) {
        if let Some(mailbox) = self.mailboxes.get_mut(&pid) {
            mailbox.known.retain(|_, arrival| mailbox.waiting.contains(arrival));
        }
    }
}

#[async_trait]
impl Journal for MemoryStore {
    async fn claim(&self) -> Result<Epoch, StoreError> {
        let mut state = self.state.lock();
        state.epoch = state.epoch.next();
        Ok(state.epoch)
    }

    async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        let checked: Vec<_> = batch.into_iter().map(|commit| (malformed(&commit), commit)).collect();
        let mut state = self.state.lock();
        Ok(checked.into_iter().map(|(malformed, commit)| state.commit(commit, malformed)).collect())
    }

    async fn agent(&self, pid: Pid) -> Result<Option<AgentRow>, StoreError> {
        Ok(self.state.lock().processes.get(&pid).map(|process| process.row.clone()))
    }

    async fn agents(
        &self,
        after: Option<Pid>,
        live: bool,
        limit: usize,
    ) -> Result<Vec<AgentRow>, StoreError> {
        let state = self.state.lock();
        let range = state.processes.range((after.map_or(Unbounded, Excluded), Unbounded));
        let rows = range.map(|(_, process)| &process.row).filter(|row| !(live && row.exited));
        Ok(rows.take(limit).cloned().collect())
    }

    async fn records(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        let state = self.state.lock();
        let records = state.processes.get(&pid).map_or(&[][..], |process| &process.records);
        let start = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX).min(records.len());
        let end = start.saturating_add(limit).min(records.len());
        Ok(records[start..end].to_vec())
    }

    async fn values(&self, pid: Pid) -> Result<Vec<(String, String)>, StoreError> {
        let state = self.state.lock();
        let values = state.processes.get(&pid).map(|process| &process.values);
        Ok(values.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    async fn as_of(&self, pid: Pid, records: u64) -> Result<Option<Version>, StoreError> {
        Ok(self.state.lock().processes.get(&pid).and_then(|process| process.as_of(records)))
    }
}

#[async_trait]
impl Blobs for MemoryStore {
    async fn blobs(&self, hashes: &[BlobHash]) -> Result<Vec<Option<Arc<[u8]>>>, StoreError> {
        let state = self.state.lock();
        Ok(hashes.iter().map(|hash| state.blobs.get(hash).cloned()).collect())
    }

    async fn list_blobs(&self, after: Option<BlobHash>, limit: usize) -> Result<Vec<BlobHash>, StoreError> {
        let state = self.state.lock();
        let range = state.blobs.range((after.map_or(Unbounded, Excluded), Unbounded));
        Ok(range.map(|(hash, _)| *hash).take(limit).collect())
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        let mut state = self.state.lock();
        let needed: BTreeSet<BlobHash> = state.references.iter().map(|(_, hash)| *hash).collect();
        let before = state.blobs.len();
        state.blobs.retain(|hash, _| needed.contains(hash));
        Ok((before - state.blobs.len()) as u64)
    }
}

#[async_trait]
impl Mailboxes for MemoryStore {
    async fn post(&self, mail: Vec<Mail>) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        mail.into_iter().for_each(|mail| state.post(mail));
        Ok(())
    }

    async fn inbox(&self, pid: Pid) -> Result<Vec<Mail>, StoreError> {
        let state = self.state.lock();
        let waiting = state.mailboxes.get(&pid).map(|mailbox| &mailbox.waiting);
        Ok(waiting.into_iter().flatten().filter_map(|arrival| state.mail.get(arrival).cloned()).collect())
    }

    async fn arrivals(&self, after: Arrival, limit: usize) -> Result<Vec<(Arrival, Mail)>, StoreError> {
        let state = self.state.lock();
        let range = state.mail.range((Excluded(after), Unbounded));
        Ok(range.take(limit).map(|(arrival, mail)| (*arrival, mail.clone())).collect())
    }
}
