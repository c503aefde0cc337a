//! The hash chain of a process: each record's hash covers the record before, so that no record can be changed, removed,
//! moved or inserted without breaking what follows.
//!
//! Everything is hashed in the canonical form of [`kernel_types::Frame`]. The body is covered through `body_hash`, the
//! hash of salt and body: a body can be erased and the chain still verifies, and without the salt an erased body cannot
//! be guessed. Nothing here reads a clock or draws randomness: time and salt are arguments.

use std::sync::Arc;

use kernel_types::{AgentRow, BlobHash, Frame, Hash, Pid, Record, Seq, StepNo, Timestamp};

/// The body of a record to be sealed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordBody {
    /// Kept in the record itself.
    Inline(String),
    /// Kept in a blob; the caller stores the bytes under the address.
    Blob {
        /// The address of `bytes`.
        hash: BlobHash,
        /// The body.
        bytes: Arc<[u8]>,
    },
}

impl RecordBody {
    /// The body as bytes, wherever it is kept.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline(text) => text.as_bytes(),
            Self::Blob { bytes, .. } => bytes,
        }
    }
}

/// A record before it is sealed: all that its process says of it. See [`Record`] for the fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordDraft {
    /// The process.
    pub pid: Pid,
    /// The place in the chain, from 1, without gaps.
    pub number: u64,
    /// The step it belongs to.
    pub step: StepNo,
    /// The call it belongs to, if any.
    pub call: Option<Seq>,
    /// The number of a [`kernel_types::EventKind`].
    pub kind: u8,
    /// When it is written.
    pub at: Timestamp,
    /// The event as JSON.
    pub body: RecordBody,
}

/// Makes the record that follows the one with hash `prev` ([`Hash::ZERO`] before the first). `salt` is 16 random bytes.
#[must_use]
pub fn seal_record(prev: &Hash, draft: RecordDraft, salt: [u8; 16]) -> Record {
    let body_hash = body_hash(&salt, draft.body.as_bytes());
    let (body, blob) = match draft.body {
        RecordBody::Inline(text) => (Some(text), None),
        RecordBody::Blob { hash, .. } => (None, Some(hash)),
    };
    let mut record = Record {
        pid: draft.pid,
        number: draft.number,
        step: draft.step,
        call: draft.call,
        kind: draft.kind,
        at: draft.at,
        salt,
        body,
        blob,
        body_hash,
        hash: Hash::ZERO,
    };
    record.hash = link(prev, &record);
    record
}

/// The hash that `record` must have after a record with hash `prev`. Its own `hash` is not looked at, its body only
/// through `body_hash`.
#[must_use]
pub fn link(prev: &Hash, record: &Record) -> Hash {
    let call = record.call.map(|Seq(seq)| seq.to_be_bytes());
    Frame::new("record")
        .bytes(&prev.0)
        .bytes(&record.pid.to_bytes())
        .number(record.number)
        .number(record.step.0)
        .optional(call.as_ref().map(|bytes| &bytes[..]))
        .number(u64::from(record.kind))
        .number(record.at.0)
        .bytes(&record.salt)
        .optional(record.blob.as_ref().map(|address| &address.0[..]))
        .bytes(&record.body_hash.0)
        .finish()
}

/// The hash of salt and body that a record carries.
#[must_use]
pub fn body_hash(salt: &[u8; 16], body: &[u8]) -> Hash {
    Frame::new("body").bytes(salt).bytes(body).finish()
}

/// The seal of an agent row: the hash of all its other columns.
#[must_use]
pub fn seal_row(row: &AgentRow) -> Hash {
    Frame::new("row")
        .bytes(&row.pid.to_bytes())
        .bytes(&row.parent.to_bytes())
        .number(row.epoch.0)
        .number(row.revision)
        .number(row.records)
        .bytes(&row.head.0)
        .number(u64::from(row.exited))
        .bytes(&row.image)
        .finish()
}
