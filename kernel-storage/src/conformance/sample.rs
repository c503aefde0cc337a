//! Rows, records and mail for the laws.

use std::sync::Arc;

use kernel_types::{
    AgentRow, Epoch, Hash, Mail, MailBody, MailId, Pid, Record, Seq, StepNo, Timestamp, hash_bytes,
};

use crate::{Blob, Commit, CommitOutcome, Store, StoreError};

/// Text that stores like to damage: a NUL, quotes, no ASCII, both ends of Unicode, white space at the ends.
pub(super) const HARD_TEXT: &str = " a\0b'\"\\\u{1}\r\n\u{feff}\u{e9}\u{4e2d}\u{1f600}\u{10ffff}{} \0";

/// The `n`th process of a test; they sort by `n`.
pub(super) fn pid(n: u64) -> Pid {
    Pid::from_parts(1_700_000_000_000 + n, u128::from(n))
}

/// A process as a kernel of one epoch knows it.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) row: AgentRow,
}

impl Process {
    /// The `n`th process, not in the store yet.
    pub(super) fn new(n: u64, epoch: Epoch) -> Self {
        let row = AgentRow {
            pid: pid(n),
            parent: Pid::INIT,
            epoch,
            revision: 0,
            records: 0,
            head: Hash::ZERO,
            exited: false,
            image: Vec::new(),
            seal: Hash::ZERO,
        };
        Self { row }
    }

    /// The next commit, with that many records, as if the ones before had landed.
    pub(super) fn step(&mut self, records: u64) -> Commit {
        let first = self.row.records + 1;
        let records: Vec<_> =
            (first..first + records).map(|number| record(&self.row, number, "{\"n\":1}")).collect();
        self.row.revision += 1;
        self.row.records += records.len() as u64;
        self.row.head = records.last().map_or(self.row.head, |record| record.hash);
        self.row.image = format!("image {}", self.row.revision).into_bytes();
        self.row.seal = hash_bytes(&self.row.image);
        Commit { records, ..of(self.row.clone()) }
    }

    /// The same process in the hands of a kernel of another epoch.
    pub(super) fn under(&self, epoch: Epoch) -> Self {
        Self { row: AgentRow { epoch, ..self.row.clone() } }
    }
}

/// A commit of a row and nothing else.
pub(super) fn of(row: AgentRow) -> Commit {
    Commit {
        row,
        records: Vec::new(),
        values: Vec::new(),
        consumed: Vec::new(),
        sent: Vec::new(),
        blobs: Vec::new(),
    }
}

/// A record of a process. Its hash depends on its epoch and revision too, so that no two commits have the same head.
pub(super) fn record(row: &AgentRow, number: u64, body: &str) -> Record {
    let seed = format!("{} {} {} {number} {body}", row.pid, row.epoch, row.revision);
    let hash = hash_bytes(seed.as_bytes());
    let mut salt = [0; 16];
    salt.copy_from_slice(&hash.0[..16]);
    Record {
        pid: row.pid,
        number,
        step: StepNo(row.revision),
        call: Some(Seq(0)),
        kind: 3,
        at: Timestamp(1_700_000_000_000),
        salt,
        body: Some(body.to_owned()),
        blob: None,
        body_hash: hash_bytes(body.as_bytes()),
        hash,
    }
}

/// A message from the `sender`th process.
pub(super) fn message(sender: u64, number: u64, to: Pid) -> Mail {
    Mail {
        id: MailId { sender: pid(sender), number },
        to,
        body: MailBody::Message(format!("{number} of {sender}")),
        sent_at: Timestamp(1_700_000_000_000 + number),
    }
}

pub(super) fn blob(text: &str) -> Blob {
    Blob::of(text.as_bytes())
}

/// Commits one commit and gives its answer.
pub(super) async fn commit(store: &Arc<dyn Store>, commit: Commit) -> CommitOutcome {
    let answers = store.commit(vec![commit]).await;
    let mut answers = answers.expect("the store takes a batch of one");
    assert_eq!(answers.len(), 1, "one answer for one commit");
    answers.remove(0)
}

/// Commits one commit that must land.
pub(super) async fn land(store: &Arc<dyn Store>, landing: Commit) {
    assert_eq!(commit(store, landing).await, CommitOutcome::Committed);
}

pub(super) async fn post(store: &Arc<dyn Store>, mail: &[Mail]) {
    ok(store.post(mail.to_vec()).await);
}

pub(super) async fn claim(store: &Arc<dyn Store>) -> Epoch {
    ok(store.claim().await)
}

/// The answer of a call that has no reason to fail.
pub(super) fn ok<T>(result: Result<T, StoreError>) -> T {
    result.expect("a healthy store answers")
}

/// All that a store holds of some processes, for comparing before and after.
#[derive(PartialEq, Debug)]
pub(super) struct Contents {
    rows: Vec<AgentRow>,
    records: Vec<Vec<Record>>,
    values: Vec<Vec<(String, String)>>,
    inboxes: Vec<Vec<Mail>>,
    mail: Vec<Mail>,
    blobs: Vec<(Hash, Option<Arc<[u8]>>)>,
}

pub(super) async fn contents(store: &Arc<dyn Store>, pids: &[Pid]) -> Contents {
    let hashes = ok(store.list_blobs(None, usize::MAX).await);
    let bodies = ok(store.blobs(&hashes).await);
    let arrivals = ok(store.arrivals(crate::Arrival(0), usize::MAX).await);
    let mut contents = Contents {
        rows: ok(store.agents(None, false, usize::MAX).await),
        records: Vec::new(),
        values: Vec::new(),
        inboxes: Vec::new(),
        mail: arrivals.into_iter().map(|(_, mail)| mail).collect(),
        blobs: hashes.into_iter().zip(bodies).collect(),
    };
    for pid in pids {
        contents.records.push(ok(store.records(*pid, 1, usize::MAX).await));
        contents.values.push(ok(store.values(*pid).await));
        contents.inboxes.push(ok(store.inbox(*pid).await));
    }
    contents
}
