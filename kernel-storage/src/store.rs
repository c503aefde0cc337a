//! The `Store` contract: the disk of the kernel.
//!
//! Three small traits behind one handle: [`Journal`] (agent rows, chained records, named values), [`Blobs`]
//! (content-addressed bodies) and [`Mailboxes`]. [`Store`] is all three; whoever implements them has it.

use std::sync::Arc;

use async_trait::async_trait;
use kernel_types::{AgentRow, BlobHash, Epoch, Mail, MailId, Pid, Record};
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// A body and its address.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Blob {
    /// The BLAKE3 hash of `bytes`.
    pub hash: BlobHash,
    /// The body.
    pub bytes: Arc<[u8]>,
}

impl Blob {
    /// A blob of these bytes.
    #[must_use]
    pub fn of(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self { hash: kernel_types::hash_bytes(&bytes), bytes }
    }
}

/// One process's part of a batch: it takes effect whole or not at all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Commit {
    /// The row as it shall be. `row.revision` is the revision found before plus one; 1 creates the process.
    pub row: AgentRow,
    /// Records to append, in order; the first has the number of the row's `records` before plus one.
    pub records: Vec<Record>,
    /// Named values to set, or with `None` to delete.
    pub values: Vec<(String, Option<String>)>,
    /// Mail consumed: removed for good. Mail that is not there any more is no error.
    pub consumed: Vec<MailId>,
    /// Mail sent: posted with the commit. Mail whose id is known already is not posted again.
    pub sent: Vec<Mail>,
    /// Bodies named by this commit or later ones of this process. A body that is there already is shared.
    pub blobs: Vec<Blob>,
}

/// What became of one [`Commit`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CommitOutcome {
    /// Durable.
    Committed,
    /// The row had this revision with this very head already: an earlier try landed. Nothing was changed.
    Already,
    /// The row was written by a kernel of a higher epoch: drop the process now. Nothing was changed.
    Fenced {
        /// That epoch.
        epoch: Epoch,
    },
    /// The row has another revision than expected. Nothing was changed.
    Conflict {
        /// The revision found; 0 if there is no such row.
        revision: u64,
    },
    /// This commit is malformed (a gap in the record numbers, a blob whose hash is not that of its bytes); the others
    /// of the batch are not harmed. Nothing was changed.
    Refused {
        /// What is wrong.
        reason: String,
    },
}

/// A process as one of its commits left it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Version {
    /// The row of the last commit that appended records.
    pub row: AgentRow,
    /// The named values, by name.
    pub values: Vec<(String, String)>,
}

/// The order in which mail arrived in a store, over all processes; rises, never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Arrival(pub u64);

/// Agent rows, records and values.
///
/// # Contract
/// - `commit` MUST be durable when it answers `Committed`: it survives a kill of the process and, where the
///   implementation is a database, a crash of the machine.
/// - A commit MUST apply only if the stored row's epoch is at most `row.epoch` and its revision is `row.revision - 1`
///   (no row counts as revision 0, epoch 0); all of it or none of it. Commits of one batch are independent of each
///   other and apply in list order; two commits of one process may stand in one batch.
/// - The answers have the order of the batch, and each is the first of these that fits: `Refused` if the commit is
///   malformed in itself; `Fenced` if the row has a higher epoch; `Already` if it has the same epoch, revision and
///   head; `Conflict` if its revision is another than `row.revision - 1`; `Refused` if the records do not go on where
///   the row's end; else `Committed`. A commit that does not apply MUST NOT harm the others.
/// - A commit without records has the head of the one before it, so a row that a kernel of a lower epoch wrote MUST
///   NOT answer `Already`, whatever its head: that was another commit.
/// - Records MUST come back exactly as written, every column, in order.
/// - Each commit that appends records is a version of its process, found by the numbers of these records for as long as
///   the process is there: `as_of` answers the row of the last such commit whose records end at the number asked for or
///   before, with the values of the last commit whose row counted at most so many. Commits that did not apply are none.
/// - An implementation MUST NOT look into `image`, `body` or hashes, except that blobs are checked against their hash.
///
/// # Cancellation
/// Dropping the future of `commit` leaves unknown whether the batch landed; committing it again is safe and answers
/// `Already` for what landed (of several commits of one process the last one does, those before it answer
/// `Conflict`). The other futures may be dropped freely.
///
/// # Errors
/// An error of `commit` concerns the whole batch: none or all of it may have landed if
/// [`StoreError::commit_unknown`] says so, else none of it did.
///
/// # Implementing
/// Implement the three traits, expand `store_conformance!` on a fixture, and hand the store to the kernel as
/// `Arc<dyn Store>`. Do not implement a cache here: the kernel has one.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Begins a new incarnation of a kernel on this store: an epoch higher than any before.
    async fn claim(&self) -> Result<Epoch, StoreError>;

    /// Applies a batch.
    async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError>;

    /// The row of one process.
    async fn agent(&self, pid: Pid) -> Result<Option<AgentRow>, StoreError>;

    /// Rows in the order of their pids, after `after`, at most `limit`; with `live`, only processes that did not exit.
    async fn agents(&self, after: Option<Pid>, live: bool, limit: usize)
    -> Result<Vec<AgentRow>, StoreError>;

    /// Records of one process in order, from number `from` (the first is 1), at most `limit`.
    async fn records(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Record>, StoreError>;

    /// The named values of one process, by name.
    async fn values(&self, pid: Pid) -> Result<Vec<(String, String)>, StoreError>;

    /// The process as it was when its records ended at number `records`, or at the last end of a commit before that;
    /// `None` if there was none yet.
    async fn as_of(&self, pid: Pid, records: u64) -> Result<Option<Version>, StoreError>;
}

/// Content-addressed bodies. They are written by [`Journal::commit`].
///
/// # Contract
/// A body is readable as soon as the commit that carried it answered `Committed`, byte for byte, for as long as a
/// process that committed it exists. `sweep` removes only bodies that no process committed.
///
/// # Cancellation
/// The futures may be dropped freely.
///
/// # Errors
/// A missing body is `None`, not an error.
///
/// # Implementing
/// See [`Journal`].
#[async_trait]
pub trait Blobs: Send + Sync {
    /// The bodies at these addresses, in this order. What comes back is not checked against its address here: audit does.
    async fn blobs(&self, hashes: &[BlobHash]) -> Result<Vec<Option<Arc<[u8]>>>, StoreError>;

    /// Addresses in order, after `after`, at most `limit`.
    async fn list_blobs(&self, after: Option<BlobHash>, limit: usize) -> Result<Vec<BlobHash>, StoreError>;

    /// Removes bodies that no process refers to; says how many.
    async fn sweep(&self) -> Result<u64, StoreError>;
}

/// Mail waiting for processes.
///
/// # Contract
/// - Posting the same [`MailId`] again, even after it was consumed by the process that committed its consumption, MUST
///   NOT deliver it again to that process within the retention of its id (at least until the process exits).
/// - An inbox is in order of arrival: the order of the calls, and of the lists within them. So mail of one sender that
///   is posted in the order of its numbers arrives in that order.
/// - Consumption is for good: mail consumed before it came MUST NOT be delivered either. Mail that was not consumed
///   when its process exited stays.
/// - `post` may be called by another operating-system process than the kernel's.
///
/// # Cancellation
/// Dropping the future of `post` leaves unknown whether it landed; posting again is safe.
///
/// # Errors
/// Mail for a pid without a row is accepted: the row may come later.
///
/// # Implementing
/// See [`Journal`].
#[async_trait]
pub trait Mailboxes: Send + Sync {
    /// Posts mail from outside any step.
    async fn post(&self, mail: Vec<Mail>) -> Result<(), StoreError>;

    /// Mail of one process that is not consumed yet, in order of arrival.
    async fn inbox(&self, pid: Pid) -> Result<Vec<Mail>, StoreError>;

    /// Mail of all processes that arrived after `after` and is not consumed yet, in order, at most `limit`.
    async fn arrivals(&self, after: Arrival, limit: usize) -> Result<Vec<(Arrival, Mail)>, StoreError>;
}

/// A whole store. Implemented for whatever is a [`Journal`], [`Blobs`] and [`Mailboxes`].
pub trait Store: Journal + Blobs + Mailboxes {}

impl<T: Journal + Blobs + Mailboxes + ?Sized> Store for T {}

#[async_trait]
impl<T: Journal + ?Sized> Journal for Arc<T> {
    async fn claim(&self) -> Result<Epoch, StoreError> {
        (**self).claim().await
    }
    async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        (**self).commit(batch).await
    }
    async fn agent(&self, pid: Pid) -> Result<Option<AgentRow>, StoreError> {
        (**self).agent(pid).await
    }
    async fn agents(
        &self,
        after: Option<Pid>,
        live: bool,
        limit: usize,
    ) -> Result<Vec<AgentRow>, StoreError> {
        (**self).agents(after, live, limit).await
    }
    async fn records(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        (**self).records(pid, from, limit).await
    }
    async fn values(&self, pid: Pid) -> Result<Vec<(String, String)>, StoreError> {
        (**self).values(pid).await
    }
    async fn as_of(&self, pid: Pid, records: u64) -> Result<Option<Version>, StoreError> {
        (**self).as_of(pid, records).await
    }
}

#[async_trait]
impl<T: Blobs + ?Sized> Blobs for Arc<T> {
    async fn blobs(&self, hashes: &[BlobHash]) -> Result<Vec<Option<Arc<[u8]>>>, StoreError> {
        (**self).blobs(hashes).await
    }
    async fn list_blobs(&self, after: Option<BlobHash>, limit: usize) -> Result<Vec<BlobHash>, StoreError> {
        (**self).list_blobs(after, limit).await
    }
    async fn sweep(&self) -> Result<u64, StoreError> {
        (**self).sweep().await
    }
}

#[async_trait]
impl<T: Mailboxes + ?Sized> Mailboxes for Arc<T> {
    async fn post(&self, mail: Vec<Mail>) -> Result<(), StoreError> {
        (**self).post(mail).await
    }
    async fn inbox(&self, pid: Pid) -> Result<Vec<Mail>, StoreError> {
        (**self).inbox(pid).await
    }
    async fn arrivals(&self, after: Arrival, limit: usize) -> Result<Vec<(Arrival, Mail)>, StoreError> {
        (**self).arrivals(after, limit).await
    }
}
