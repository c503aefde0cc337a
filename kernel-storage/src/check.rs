//! What every store asks of a commit before it applies it: pure functions of the commit and of the row found.
//!
//! Kept apart from the stores, so that all of them give the same answer to the same commit.

use kernel_types::{AgentRow, Epoch, Hash, hash_bytes};

use crate::{Commit, CommitOutcome};

/// As much of a stored row as it takes to judge a commit on it. The default stands for no row.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Tip {
    pub(crate) epoch: Epoch,
    pub(crate) revision: u64,
    pub(crate) records: u64,
    pub(crate) head: Hash,
}

impl Tip {
    pub(crate) const fn of(row: &AgentRow) -> Self {
        Self { epoch: row.epoch, revision: row.revision, records: row.records, head: row.head }
    }
}

/// What is wrong with a commit whatever is stored, if anything. Hashes the blobs: call it before taking a lock.
pub(crate) fn malformed(commit: &Commit) -> Option<String> {
    let row = &commit.row;
    if row.revision == 0 {
        return Some("revision 0: the first commit of a process has revision 1".to_owned());
    }
    if let Some(record) = commit.records.iter().find(|record| record.pid != row.pid) {
        return Some(format!(
            "record {} is of process {}, the row of {}",
            record.number, record.pid, row.pid
        ));
    }
    if let Some(last) = commit.records.last()
        && last.number != row.records
    {
        return Some(format!("the last record is number {}, the row says {}", last.number, row.records));
    }
    let gap = commit.records.windows(2).find(|pair| Some(pair[1].number) != pair[0].number.checked_add(1));
    if let Some([before, after]) = gap {
        return Some(format!("record {} follows record {}", after.number, before.number));
    }
    commit.blobs.iter().find_map(|blob| {
        let actual = hash_bytes(&blob.bytes);
        (actual != blob.hash).then(|| format!("blob {} has bytes with the hash {actual}", blob.hash))
    })
}

/// Whether a well-formed commit applies to the row found; `Err` holds the answer if not.
pub(crate) fn judge(found: Tip, commit: &Commit) -> Result<(), CommitOutcome> {
    let row = &commit.row;
    if found.epoch > row.epoch {
        return Err(CommitOutcome::Fenced { epoch: found.epoch });
    }
    if found.revision == row.revision && found.epoch == row.epoch && found.head == row.head {
        return Err(CommitOutcome::Already);
    }
    if found.revision.checked_add(1) != Some(row.revision) {
        return Err(CommitOutcome::Conflict { revision: found.revision });
    }
    let expected = found.records.checked_add(commit.records.len() as u64);
    if expected != Some(row.records) {
        let reason = format!(
            "{} records after number {} do not end at number {}",
            commit.records.len(),
            found.records,
            row.records
        );
        return Err(CommitOutcome::Refused { reason });
    }
    Ok(())
}
