//! Commits and mail for tests that run on a store by themselves.

use std::sync::Arc;

use kernel_storage::{Arrival, Blob, Commit, Store};
use kernel_types::{
    AgentRow, Epoch, Hash, Mail, MailBody, MailId, Pid, Record, Seq, StepNo, Timestamp, hash_bytes,
};

pub(crate) fn pid(n: u64) -> Pid {
    Pid::from_parts(1_700_000_000_000 + n, u128::from(n))
}

/// Revision `revision` of a process that appends one record a commit.
pub(crate) fn step(pid: Pid, epoch: Epoch, revision: u64) -> Commit {
    let body = format!("{{\"revision\":{revision}}}");
    let record = Record {
        pid,
        number: revision,
        step: StepNo(revision),
        call: Some(Seq(0)),
        kind: 1,
        at: Timestamp(revision),
        salt: [7; 16],
        body_hash: hash_bytes(body.as_bytes()),
        hash: hash_bytes(format!("{pid} {epoch} {revision}").as_bytes()),
        body: Some(body),
        blob: None,
    };
    let row = AgentRow {
        pid,
        parent: Pid::INIT,
        epoch,
        revision,
        records: revision,
        head: record.hash,
        exited: false,
        image: revision.to_be_bytes().to_vec(),
        seal: Hash::ZERO,
    };
    Commit { row, records: vec![record], values: vec![], consumed: vec![], sent: vec![], blobs: vec![] }
}

/// A first commit that carries a body of this size.
pub(crate) fn heavy(pid: Pid, bytes: usize) -> Commit {
    // Not all zeros: the file system might not store those.
    let seed = pid.to_bytes();
    let body: Vec<u8> = (0..bytes).map(|n| seed[n % 16] ^ n.to_le_bytes()[1]).collect();
    Commit { blobs: vec![Blob::of(body)], ..step(pid, Epoch(1), 1) }
}

pub(crate) fn message(sender: Pid, number: u64, to: Pid) -> Mail {
    Mail {
        id: MailId { sender, number },
        to,
        body: MailBody::Message(format!("message {number}")),
        sent_at: Timestamp(number),
    }
}

/// All that a store holds.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Contents {
    pub(crate) rows: Vec<AgentRow>,
    pub(crate) records: Vec<Record>,
    pub(crate) values: Vec<(Pid, String, String)>,
    pub(crate) mail: Vec<(Arrival, Mail)>,
    pub(crate) bodies: Vec<Arc<[u8]>>,
}

pub(crate) async fn contents(store: &dyn Store) -> Contents {
    let rows = store.agents(None, false, usize::MAX).await.unwrap();
    let (mut records, mut values) = (vec![], vec![]);
    for row in &rows {
        records.extend(store.records(row.pid, 1, usize::MAX).await.unwrap());
        let named = store.values(row.pid).await.unwrap();
        values.extend(named.into_iter().map(|(name, value)| (row.pid, name, value)));
    }
    let hashes = store.list_blobs(None, usize::MAX).await.unwrap();
    let bodies: Vec<_> = store.blobs(&hashes).await.unwrap().into_iter().map(Option::unwrap).collect();
    assert!(bodies.iter().zip(&hashes).all(|(body, hash)| hash_bytes(body) == *hash));
    let mail = store.arrivals(Arrival(0), usize::MAX).await.unwrap();
    Contents { rows, records, values, mail, bodies }
}
