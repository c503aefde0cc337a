//! The rows a store keeps of a process: its chained records and its agent row.

use serde::{Deserialize, Serialize};

use crate::{BlobHash, Epoch, Hash, Pid, Seq, StepNo, Timestamp};

/// One journal record, a link of its process's hash chain.
///
/// `hash` covers every other field but `body`, which it covers through `body_hash`, the hash of salt and body: a body
/// can be erased and the chain still verifies.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The process.
    pub pid: Pid,
    /// The place in the chain, from 1, without gaps.
    pub number: u64,
    /// The step it belongs to.
    pub step: StepNo,
    /// The call it belongs to, if any.
    pub call: Option<Seq>,
    /// The number of an [`crate::EventKind`].
    pub kind: u8,
    /// When it was written.
    pub at: Timestamp,
    /// 16 random bytes, so that an erased body cannot be guessed from its hash.
    pub salt: [u8; 16],
    /// The event as JSON; `None` if it lies in a blob.
    pub body: Option<String>,
    /// Where the body lies, if it is over 1 kB.
    pub blob: Option<BlobHash>,
    /// The hash of salt and body.
    pub body_hash: Hash,
    /// The hash of the record before and of this one.
    pub hash: Hash,
}

/// The row of one process in a store: its present state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AgentRow {
    /// The process.
    pub pid: Pid,
    /// Its parent; [`Pid::INIT`] at the root.
    pub parent: Pid,
    /// The incarnation of the kernel that wrote it last.
    pub epoch: Epoch,
    /// How often it was committed; rises by one each time.
    pub revision: u64,
    /// The number of its last record.
    pub records: u64,
    /// The hash of its last record.
    pub head: Hash,
    /// It ended: nothing but a reaping will change it.
    pub exited: bool,
    /// The process image, opaque to the store.
    pub image: Vec<u8>,
    /// The hash of all other columns.
    pub seal: Hash,
}
