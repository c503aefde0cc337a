//! Reads the events of a process from the store as they come.

use kernel::event_of;
use kernel_context::Change;
use kernel_storage::Journal;
use kernel_types::{Event, JsonText, Pid, Record};

use crate::disk::Disk;
use crate::failure::Failure;

/// Records read at a time.
const PAGE: usize = 256;

/// A place in the journal of a process.
pub(crate) struct Follower {
    store: Disk,
    pid: Pid,
    next: u64,
}

impl Follower {
    /// From the first record.
    pub(crate) const fn new(store: Disk, pid: Pid) -> Self {
        Self { store, pid, next: 1 }
    }

    /// From the first record after `number`.
    pub(crate) const fn after(store: Disk, pid: Pid, number: u64) -> Self {
        Self { store, pid, next: number + 1 }
    }

    /// The next events, at most a few hundred; none if there are no more yet. Erased ones are `None`.
    pub(crate) async fn next(&mut self) -> Result<Vec<(Record, Option<Event>)>, Failure> {
        let records = self.store.records(self.pid, self.next, PAGE).await?;
        let mut events = Vec::with_capacity(records.len());
        for record in records {
            self.next = record.number + 1;
            let event = event_of(&self.store, Some(&record)).await?;
            events.push((record, event));
        }
        Ok(events)
    }
}

/// The page changes of an event. What another build wrote and this one does not know is left out.
pub(crate) fn changes(changes: &JsonText) -> Vec<Change> {
    changes.read().unwrap_or_default()
}
