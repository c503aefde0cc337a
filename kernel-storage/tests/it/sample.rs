//! Commits and mail for tests that run on a store by themselves.

use kernel_storage::{Blob, Commit};
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
