//! The audit: reads a whole store through a small port and names every row that was tampered with.
//!
//! It finds single changed columns, removed, moved, doubled and truncated records, changed and missing bodies. It cannot
//! find a chain that was forged whole, with seal and head: that takes heads published outside the database. A store that
//! a kernel is writing to may be verified: what comes later than the row first read is looked at again before it is
//! reported.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use kernel_types::{AgentRow, BlobHash, Hash, Pid, Record, hash_bytes};
use thiserror::Error;

use crate::chain::seal_row;
use crate::report::{Fault, Finding, Report};
use crate::walk::{Body, ChainWalk};

/// Rows and addresses read at a time.
const PAGE: usize = 256;

/// Bodies read at a time: each may be large.
const BODIES: usize = 64;

/// The store could not be read: the audit has no result.
#[derive(Debug, Error)]
#[error("audit: {message}")]
pub struct AuditError {
    message: String,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl AuditError {
    /// An error with these words.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// The same error with what caused it.
    #[must_use]
    pub fn because(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }
}

/// The store, as an audit reads it.
///
/// # Contract
/// Answers are what is stored, unchecked. A page is short or empty only at the end. A row and its records are read as one
/// commit left them: once a record is seen, a later read of its row is not older.
#[async_trait]
pub trait AuditSource: Send + Sync {
    /// Agent rows in the order of their pids, after `after`, at most `limit`.
    async fn agents(&self, after: Option<Pid>, limit: usize) -> Result<Vec<AgentRow>, AuditError>;

    /// Records of one process in the order of their numbers, from number `from`, at most `limit`.
    async fn records(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Record>, AuditError>;

    /// Addresses of bodies in order, after `after`, at most `limit`.
    async fn addresses(&self, after: Option<BlobHash>, limit: usize) -> Result<Vec<BlobHash>, AuditError>;

    /// The bodies at these addresses, in this order; `None` for what is not there.
    async fn bodies(&self, addresses: &[BlobHash]) -> Result<Vec<Option<Arc<[u8]>>>, AuditError>;

    /// The row as the last commit left it whose records end at number `number` or before, if one is kept; in words, why it
    /// cannot be read.
    async fn version(&self, pid: Pid, number: u64) -> Result<Option<Result<AgentRow, String>>, AuditError>;
}

/// Checks everything in `source`: bodies against their addresses, seals, chains, heads, bodies against the chain, images
/// and epochs against the last step, and that what records name is there. `progress` is told the counts from time to time.
///
/// # Errors
/// The source could not be read. What is wrong in it is no error but a [`Finding`].
pub async fn verify(
    source: &dyn AuditSource,
    progress: &(dyn Fn(&Report) + Send + Sync),
) -> Result<Report, AuditError> {
    let mut audit = Audit {
        source,
        progress,
        report: Report::default(),
        sound: HashSet::new(),
        faulty: HashSet::new(),
        seen: HashSet::new(),
        named: BTreeMap::new(),
    };
    audit.check_bodies().await?;
    audit.check_agents().await?;
    audit.check_named().await?;
    Ok(audit.report)
}

struct Audit<'a> {
    source: &'a dyn AuditSource,
    progress: &'a (dyn Fn(&Report) + Send + Sync),
    report: Report,
    /// Bodies that are there and match their address.
    sound: HashSet<BlobHash>,
    /// Bodies that were reported.
    faulty: HashSet<BlobHash>,
    /// Processes that have a row.
    seen: HashSet<Pid>,
    /// Processes that must have a row, and who says so.
    named: BTreeMap<Pid, String>,
}

impl Audit<'_> {
    async fn check_bodies(&mut self) -> Result<(), AuditError> {
        let mut after = None;
        loop {
            let addresses = self.source.addresses(after, PAGE).await?;
            let Some(last) = addresses.last() else { return Ok(()) };
            after = Some(*last);
            for some in addresses.chunks(BODIES) {
                let bodies = self.source.bodies(some).await?;
                for (address, body) in some.iter().zip(bodies) {
                    // What a collection of unused bodies took away meanwhile is missed below if anything names it.
                    if let Some(body) = body {
                        self.report.blobs += 1;
                        self.check_content(*address, &body);
                    }
                }
            }
            (self.progress)(&self.report);
        }
    }

    fn check_content(&mut self, address: BlobHash, body: &[u8]) -> bool {
        let found = hash_bytes(body);
        if found == address {
            self.sound.insert(address);
            return true;
        }
        if self.faulty.insert(address) {
            let detail = format!("the bytes do not match the address, they hash to {found}");
            self.report.add(Finding::blob(address, Fault::Content, detail));
        }
        false
    }

    async fn check_agents(&mut self) -> Result<(), AuditError> {
        let mut after = None;
        loop {
            let rows = self.source.agents(after, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.pid);
            for row in rows {
                self.report.agents += 1;
                self.seen.insert(row.pid);
                if row.parent != Pid::INIT {
                    let by = || format!("it is the parent of agent {}", row.pid);
                    self.named.entry(row.parent).or_insert_with(by);
                }
                self.check_chain(&row).await?;
            }
            (self.progress)(&self.report);
        }
    }

    async fn check_chain(&mut self, row: &AgentRow) -> Result<(), AuditError> {
        let mut walk = ChainWalk::new(row);
        let mut beyond = None;
        let mut from = 0;
        loop {
            let records = self.source.records(row.pid, from, PAGE).await?;
            let Some(last) = records.last() else { break };
            let next = last.number.checked_add(1);
            let bodies = self.bodies_of(&records).await?;
            for record in &records {
                self.report.records += 1;
                if record.number > row.records {
                    beyond = beyond.or(Some(record.number));
                    continue;
                }
                let body = match (&record.body, &record.blob) {
                    (Some(_), Some(_)) => Body::Twice,
                    (Some(text), None) => Body::Found(text.as_bytes()),
                    (None, Some(address)) => {
                        bodies.get(address).map_or(Body::Lost, |bytes| Body::Found(bytes))
                    }
                    (None, None) => {
                        self.report.erased += 1;
                        Body::Erased
                    }
                };
                walk.record(record, body);
            }
            (self.progress)(&self.report);
            let Some(next) = next else { break };
            from = next;
        }
        let walked = walk.end();
        self.report.findings.extend(walked.findings);
        for (child, number) in walked.children {
            let by = || format!("record {number} of agent {} spawned it", row.pid);
            self.named.entry(child).or_insert_with(by);
        }
        self.check_there(row.pid, &walked.blobs).await?;
        self.check_versions(row, &walked.steps).await?;
        match beyond {
            Some(number) => self.check_beyond(row.pid, number).await,
            None => Ok(()),
        }
    }

    /// Checks the versions that are kept of a process against the steps that its chain tells of, from the last back.
    async fn check_versions(
        &mut self,
        row: &AgentRow,
        steps: &BTreeMap<u64, Option<(Hash, u64)>>,
    ) -> Result<(), AuditError> {
        let (pid, mut number) = (row.pid, row.records);
        while let Some(version) = self.source.version(pid, number).await? {
            let version = match version {
                Ok(version) => version,
                Err(detail) => {
                    // Where it lies is in the words; what lies before it is not read.
                    self.report.add(Finding::agent(pid, Fault::Version, detail));
                    return Ok(());
                }
            };
            let records = version.records;
            let wrong = match steps.get(&records) {
                _ if seal_row(&version) != version.seal => {
                    Some("the version kept with it does not match its seal")
                }
                None => Some("a version is kept with it, but no step ends with it"),
                // What cannot be read of the step is reported already.
                Some(None) => None,
                Some(Some((image, epoch))) => {
                    let same = hash_bytes(&version.image) == *image && version.epoch.0 == *epoch;
                    (!same).then_some("the version kept with it is not the one of its step")
                }
            };
            if let Some(detail) = wrong {
                self.report.add(Finding::event(pid, records, Fault::Version, detail));
            }
            match records.min(number).checked_sub(1) {
                Some(before) => number = before,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// The sound bodies among those that `records` keep in blobs; the others are reported.
    async fn bodies_of(&mut self, records: &[Record]) -> Result<HashMap<BlobHash, Arc<[u8]>>, AuditError> {
        let mut sound = HashMap::new();
        let kept: Vec<&Record> = records.iter().filter(|record| record.blob.is_some()).collect();
        for some in kept.chunks(BODIES) {
            let addresses: Vec<BlobHash> = some.iter().filter_map(|record| record.blob).collect();
            let bodies = self.source.bodies(&addresses).await?;
            for ((address, body), record) in addresses.into_iter().zip(bodies).zip(some) {
                match body {
                    None => self.report_lost(address, record.pid, record.number),
                    Some(body) => {
                        if self.check_content(address, &body) {
                            sound.insert(address, body);
                        }
                    }
                }
            }
        }
        Ok(sound)
    }

    /// Checks that bodies named inside the records of a process are there.
    async fn check_there(&mut self, pid: Pid, named: &[(BlobHash, u64)]) -> Result<(), AuditError> {
        let unknown: Vec<_> = named
            .iter()
            .filter(|(hash, _)| !self.sound.contains(hash) && !self.faulty.contains(hash))
            .collect();
        for some in unknown.chunks(BODIES) {
            let addresses: Vec<BlobHash> = some.iter().map(|(address, _)| *address).collect();
            let bodies = self.source.bodies(&addresses).await?;
            for ((address, number), body) in some.iter().zip(bodies) {
                match body {
                    None => self.report_lost(*address, pid, *number),
                    Some(body) => {
                        self.check_content(*address, &body);
                    }
                }
            }
        }
        Ok(())
    }

    fn report_lost(&mut self, address: BlobHash, pid: Pid, number: u64) {
        if self.faulty.insert(address) {
            let detail = format!("named by record {number} of agent {pid}, but not there");
            self.report.add(Finding::blob(address, Fault::Removed, detail));
        }
    }

    /// Records beyond the end of the chain are a commit that landed after the row was read, or they are not of this chain.
    async fn check_beyond(&mut self, pid: Pid, number: u64) -> Result<(), AuditError> {
        let records = self.row(pid).await?.map_or(0, |row| row.records);
        if number > records {
            let detail = format!("beyond the end of the chain: the agent row counts {records} records");
            self.report.add(Finding::event(pid, number, Fault::Number, detail));
        }
        Ok(())
    }

    async fn check_named(&mut self) -> Result<(), AuditError> {
        for (pid, by) in std::mem::take(&mut self.named) {
            if self.seen.contains(&pid) || self.row(pid).await?.is_some() {
                continue;
            }
            self.report.add(Finding::agent(pid, Fault::Removed, format!("there is no such row, but {by}")));
            if let Some(first) = self.source.records(pid, 0, 1).await?.first() {
                let detail = "this and later records belong to no agent row";
                self.report.add(Finding::event(pid, first.number, Fault::Orphan, detail));
            }
        }
        Ok(())
    }

    /// The present row of one process.
    async fn row(&self, pid: Pid) -> Result<Option<AgentRow>, AuditError> {
        let before = u128::from_be_bytes(pid.to_bytes()).checked_sub(1);
        let before = before.map(|number| Pid::from_bytes(number.to_be_bytes()));
        Ok(self.source.agents(before, 1).await?.pop().filter(|row| row.pid == pid))
    }
}
