//! Processes on their way between stores, and processes that may go.
//!
//! [`copy_process`] takes a process out of one store and puts it into another; [`vacuum`] removes those that have ended and that
//! nobody needs. Both work on whatever is an [`Archive`].

use async_trait::async_trait;
use kernel_types::{AgentRow, Frame, Hash, Mail, MailId, Pid, Record, hash_bytes};

use crate::{Blob, Store, StoreError, StoreErrorKind};

/// All that a store has of one process, as of one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessCopy {
    /// Its row.
    pub row: AgentRow,
    /// Its records, from number 1 on.
    pub records: Vec<Record>,
    /// Its rows after commits that appended records, in order: what [`Journal::as_of`](crate::Journal::as_of) finds.
    pub versions: Vec<AgentRow>,
    /// Its named values, by name.
    pub values: Vec<(String, String)>,
    /// What each name had from which number of records on, by name and number; nothing: it was deleted.
    pub past: Vec<(String, u64, Option<String>)>,
    /// The bodies that it committed.
    pub blobs: Vec<Blob>,
    /// Mail that waits for it, in order of arrival.
    pub inbox: Vec<Mail>,
    /// Mail it sent that waits for others, in order of arrival.
    pub sent: Vec<Mail>,
    /// Mail it consumed whose ids are still known.
    pub consumed: Vec<MailId>,
}

impl ProcessCopy {
    /// The same with the bodies it refers to, which may go while it is copied.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) async fn with_bodies(
        self,
        store: &impl crate::Blobs,
        refs: &[kernel_types::BlobHash],
    ) -> Result<Self, StoreError> {
        let mut blobs = Vec::with_capacity(refs.len());
        for (hash, bytes) in refs.iter().zip(store.blobs(refs).await?) {
            let bytes = bytes.ok_or_else(|| {
                let pid = self.row.pid;
                let message =
                    format!("table blob, row {hash}: the body went while process {pid} was being copied");
                StoreError::new(StoreErrorKind::Corrupt, "copy", message)
            })?;
            blobs.push(Blob { hash: *hash, bytes });
        }
        Ok(Self { blobs, ..self })
    }

    /// Looks whether it is whole: its numbers are without gaps, its head is its last record's, and each body has the
    /// hash that is its address.
    ///
    /// # Errors
    /// [`StoreErrorKind::Corrupt`], naming what is wrong.
    pub fn check(&self) -> Result<(), StoreError> {
        let pid = self.row.pid;
        let damaged =
            |what: String| StoreError::new(StoreErrorKind::Corrupt, "copy", format!("process {pid}: {what}"));
        for (number, record) in (1..).zip(&self.records) {
            if (record.pid, record.number) != (pid, number) {
                return Err(damaged(format!(
                    "record {}/{} stands at number {number}",
                    record.pid, record.number
                )));
            }
        }
        if self.records.len() as u64 != self.row.records {
            return Err(damaged(format!(
                "{} records, its row says {}",
                self.records.len(),
                self.row.records
            )));
        }
        if self.records.last().is_some_and(|last| last.hash != self.row.head) {
            return Err(damaged("its head is not that of its last record".to_owned()));
        }
        match self.blobs.iter().find(|blob| hash_bytes(&blob.bytes) != blob.hash) {
            Some(blob) => Err(damaged(format!("body {} has another hash", blob.hash))),
            None => Ok(()),
        }
    }

    /// One hash of everything in it, whatever store it comes from.
    #[must_use]
    pub fn digest(&self) -> Hash {
        let mut frame = Frame::new("process copy");
        for row in [&self.row].into_iter().chain(&self.versions) {
            frame.bytes(&row.pid.to_bytes()).bytes(&row.parent.to_bytes()).number(row.epoch.0);
            frame.number(row.revision).number(row.records).bytes(&row.head.0).number(u64::from(row.exited));
            frame.bytes(&row.image).bytes(&row.seal.0);
        }
        for record in &self.records {
            frame
                .number(record.number)
                .number(record.step.0)
                .number(u64::from(record.kind))
                .number(record.at.0);
            frame.number(record.call.map_or(u64::MAX, |call| u64::from(call.0))).bytes(&record.salt);
            frame.optional(record.body.as_ref().map(String::as_bytes));
            frame.optional(record.blob.as_ref().map(|hash| &hash.0[..]));
            frame.bytes(&record.body_hash.0).bytes(&record.hash.0);
        }
        for (name, value) in &self.values {
            frame.text(name).text(value);
        }
        for (name, number, value) in &self.past {
            frame.text(name).number(*number).optional(value.as_ref().map(String::as_bytes));
        }
        let mut blobs: Vec<_> = self.blobs.iter().map(|blob| blob.hash).collect();
        blobs.sort_unstable();
        for hash in blobs {
            frame.bytes(&hash.0);
        }
        for mail in self.inbox.iter().chain(&self.sent) {
            frame.bytes(&mail.id.sender.to_bytes()).number(mail.id.number).bytes(&mail.to.to_bytes());
            frame.number(mail.sent_at.0).text(&format!("{:?}", mail.body));
        }
        let mut consumed = self.consumed.clone();
        consumed.sort_unstable_by_key(|id| (id.sender, id.number));
        for id in consumed {
            frame.bytes(&id.sender.to_bytes()).number(id.number);
        }
        frame.finish()
    }
}

/// A store whose processes can be taken out, put in and removed.
///
/// # Contract
/// - `take_out` MUST give all of a process as of one moment, while others write.
/// - `put_in` MUST take all of it or nothing, durably, and MUST refuse a process that is there already. Mail whose id is
///   known is not posted again. A kernel that claims afterwards MUST get a higher epoch than the row has.
/// - `remove_ended` MUST remove whole processes, with their mail, and only such as have exited; their bodies go with the next
///   [`Blobs::sweep`](crate::Blobs::sweep) unless others committed them too.
///
/// # Errors
/// [`StoreErrorKind::Invalid`] for a process that is there already, with nothing changed.
///
/// # Cancellation
/// Dropping the future of `put_in` or `remove_ended` leaves unknown whether it happened; never by halves.
#[async_trait]
pub trait Archive: Store {
    /// All of a process, if there is one. It stays.
    async fn take_out(&self, pid: Pid) -> Result<Option<ProcessCopy>, StoreError>;

    /// Puts a process in that is not there.
    async fn put_in(&self, copy: ProcessCopy) -> Result<(), StoreError>;

    /// Removes those of these processes that have ended; says how many.
    async fn remove_ended(&self, pids: &[Pid]) -> Result<u64, StoreError>;
}

/// Copies a process into another store, where it must not be; gives the hash of all that was copied.
///
/// What is taken out is checked ([`ProcessCopy::check`]), and so is what is there in the end. The process stays where
/// it was: whoever copies it sees to it that only one of the two is run. What a fork needs of its ancestors is theirs: copy
/// them first.
///
/// # Errors
/// [`StoreErrorKind::Invalid`] if the one store has no such process or the other has; [`StoreErrorKind::Corrupt`] if what
/// was found or what arrived is damaged; those of the stores.
pub async fn copy_process(from: &dyn Archive, to: &dyn Archive, pid: Pid) -> Result<Hash, StoreError> {
    let Some(copy) = from.take_out(pid).await? else {
        let message = format!("there is no process {pid} in the store to copy from");
        return Err(StoreError::new(StoreErrorKind::Invalid, "copy", message));
    };
    copy.check()?;
    let inbox: Vec<MailId> = copy.inbox.iter().map(|mail| mail.id).collect();
    let digest = copy.digest();
    let own = own_digest(copy.clone());
    to.put_in(copy).await?;
    // More mail may wait for it there than came with it.
    let whole = to.take_out(pid).await?.is_some_and(|arrived| {
        let there =
            |id: &MailId| arrived.inbox.iter().any(|mail| mail.id == *id) || arrived.consumed.contains(id);
        inbox.iter().all(there) && own_digest(arrived) == own
    });
    if !whole {
        let message = format!("process {pid} is not in the other store as it was in this one");
        return Err(StoreError::new(StoreErrorKind::Corrupt, "copy", message));
    }
    Ok(digest)
}

/// The hash of what is not mail.
fn own_digest(copy: ProcessCopy) -> Hash {
    let (inbox, sent, consumed) = (Vec::new(), Vec::new(), Vec::new());
    ProcessCopy { inbox, sent, consumed, ..copy }.digest()
}

/// What [`vacuum`] removed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Vacuumed {
    /// Processes.
    pub processes: u64,
    /// Bodies.
    pub bodies: u64,
}

/// So many rows are looked at, and so many processes removed, at a time.
const PAGE: usize = 256;

/// Removes processes that have ended and that `needed` does not want kept, then all bodies that nobody refers to.
///
/// Live processes are never asked about. An ended one that a live fork comes from has to be kept by `needed`: what a
/// fork is of is in images, which stores do not read.
///
/// # Errors
/// Those of the store. What was removed until then is removed.
pub async fn vacuum(
    store: &dyn Archive,
    needed: &(dyn Fn(&AgentRow) -> bool + Sync),
) -> Result<Vacuumed, StoreError> {
    let mut removed = Vacuumed::default();
    let mut after = None;
    loop {
        let rows = store.agents(after, false, PAGE).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.pid);
        let over: Vec<Pid> =
            rows.iter().filter(|row| row.exited && !needed(row)).map(|row| row.pid).collect();
        if !over.is_empty() {
            removed.processes += store.remove_ended(&over).await?;
        }
    }
    removed.bodies = store.sweep().await?;
    Ok(removed)
}

/// The refusal of [`Archive::put_in`].
pub(crate) fn there_already(pid: Pid) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, "copy", format!("there is a process {pid} in the store already"))
}
