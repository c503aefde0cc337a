//! What a caller asks of the part of a store that writes, and where the answer goes.

use kernel_types::Mail;
use tokio::sync::oneshot;

use crate::check::malformed;
use crate::pack::{Packed, pack};
use crate::version;
use crate::{Commit, CommitOutcome, StoreError};

/// Where an answer goes. Whoever asked may have gone.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// A commit, what is wrong with it whatever is stored, and what of it is stored packed.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) commit: Commit,
    pub(crate) malformed: Option<String>,
    /// Its bodies, in their order.
    pub(crate) packed: Vec<Packed>,
    /// Its row, for the last of its records.
    pub(crate) state: Vec<u8>,
}

impl Checked {
    /// Looks at a commit by itself: its hashes, its numbers, and that no value has more than `largest` bytes.
    pub(crate) fn new(commit: Commit, largest: usize) -> Self {
        let malformed = too_large(&commit, largest).or_else(|| malformed(&commit));
        // Here, on the thread of who asks, and not on the one that writes.
        let (packed, state) = match malformed {
            None => (pack(&commit.blobs), version::pack(&commit.row)),
            Some(_) => (Vec::new(), Vec::new()),
        };
        Self { commit, malformed, packed, state }
    }
}

/// A batch of commits, or mail from outside, to be written together.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) operation: &'static str,
    pub(crate) batch: Vec<Checked>,
    pub(crate) post: Vec<Mail>,
    pub(crate) answer: Answer<Vec<CommitOutcome>>,
}

fn too_large(commit: &Commit, limit: usize) -> Option<String> {
    let bodies = commit.records.iter().filter_map(|record| record.body.as_ref()).map(String::len);
    let values =
        commit.values.iter().map(|(name, value)| name.len().max(value.as_ref().map_or(0, String::len)));
    let blobs = commit.blobs.iter().map(|blob| blob.bytes.len());
    let largest = bodies.chain(values).chain(blobs).chain([commit.row.image.len()]).max().unwrap_or(0);
    (largest > limit).then(|| format!("a value of {largest} bytes exceeds the limit of {limit}"))
}
