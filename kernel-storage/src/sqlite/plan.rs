//! What one transaction shall write: the commits that apply, judged in order against the rows found and folded
//! together, so that each table needs one statement however many commits there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kernel_types::{AgentRow, BlobHash, Mail, MailId, Pid, Record};

use crate::CommitOutcome;
use crate::check::{Tip, judge};
use crate::pack::Packed;
use crate::work::Checked;

/// The rows to write, borrowed from the commits.
#[derive(Default)]
pub(super) struct Plan<'a> {
    pub(super) agents: BTreeMap<Pid, &'a AgentRow>,
    /// Each with the row of its commit, packed, if it is the last of it.
    pub(super) records: Vec<(&'a Record, Option<&'a [u8]>)>,
    pub(super) values: BTreeMap<(Pid, &'a str), Option<&'a str>>,
    /// The same by the number of records of their commits.
    pub(super) past: BTreeMap<(Pid, &'a str, u64), Option<&'a str>>,
    pub(super) blobs: BTreeMap<BlobHash, &'a Packed>,
    pub(super) references: BTreeSet<(BlobHash, Pid)>,
    pub(super) consumed: Vec<(Pid, MailId)>,
    pub(super) sent: Vec<&'a Mail>,
}

impl<'a> Plan<'a> {
    /// Takes a commit in, or says why not. `tips` are the rows as they are after the commits taken in so far.
    pub(super) fn commit(&mut self, tips: &mut HashMap<Pid, Tip>, checked: &'a Checked) -> CommitOutcome {
        let Checked { commit, malformed, .. } = checked;
        if let Some(reason) = malformed {
            return CommitOutcome::Refused { reason: reason.clone() };
        }
        let tip = tips.entry(commit.row.pid).or_default();
        if let Err(answer) = judge(*tip, commit) {
            return answer;
        }
        *tip = Tip::of(&commit.row);
        self.take(checked);
        CommitOutcome::Committed
    }

    /// Takes mail in that comes from outside any step.
    pub(super) fn post(&mut self, mail: &'a [Mail]) {
        self.sent.extend(mail);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.agents.is_empty() && self.sent.is_empty()
    }

    /// Processes that are over: the ids of mail they consumed need not be remembered.
    pub(super) fn exited(&self) -> Vec<Pid> {
        self.agents.values().filter(|row| row.exited).map(|row| row.pid).collect()
    }

    fn take(&mut self, checked: &'a Checked) {
        let commit = &checked.commit;
        let pid = commit.row.pid;
        self.agents.insert(pid, &commit.row);
        let state = |record: &Record| (record.number == commit.row.records).then_some(&*checked.state);
        self.records.extend(commit.records.iter().map(|record| (record, state(record))));
        for (name, value) in &commit.values {
            self.values.insert((pid, name), value.as_deref());
            self.past.insert((pid, name, commit.row.records), value.as_deref());
        }
        for blob in &checked.packed {
            // The first one stays: what comes later may be packed with it.
            self.blobs.entry(blob.hash).or_insert(blob);
            self.references.insert((blob.hash, pid));
        }
        self.consumed.extend(commit.consumed.iter().map(|id| (pid, *id)));
        self.sent.extend(&commit.sent);
    }
}
