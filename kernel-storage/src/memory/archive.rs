//! Processes taken out of a store in memory, put into one, and removed.

use std::collections::BTreeMap;

use async_trait::async_trait;
use kernel_types::{Mail, Pid};

use super::{MemoryStore, Process, State};
use crate::archive::there_already;
use crate::{Archive, Blob, ProcessCopy, StoreError};

impl State {
    fn take_out(&self, pid: Pid) -> Option<ProcessCopy> {
        let process = self.processes.get(&pid)?;
        let past = process.past.iter().flat_map(|(name, changes)| {
            // Of changes at the same number the last one counts.
            let changes: BTreeMap<u64, &Option<String>> =
                changes.iter().map(|(number, value)| (*number, value)).collect();
            changes
                .into_iter()
                .map(|(number, value)| (name.clone(), number, value.clone()))
                .collect::<Vec<_>>()
        });
        let body = |hash| Some(Blob { hash, bytes: self.blobs.get(&hash)?.clone() });
        let from_here = |mail: &&Mail| mail.id.sender == pid && mail.to != pid;
        let mailbox = self.mailboxes.get(&pid);
        let waiting = mailbox.into_iter().flat_map(|mailbox| &mailbox.waiting);
        let known = mailbox.into_iter().flat_map(|mailbox| {
            let gone = mailbox.known.iter().filter(|(_, arrival)| !mailbox.waiting.contains(*arrival));
            gone.map(|(id, _)| *id)
        });
        let mut consumed: Vec<_> = known.collect();
        consumed.sort_unstable_by_key(|id| (id.sender, id.number));
        Some(ProcessCopy {
            row: process.row.clone(),
            records: process.records.clone(),
            versions: process.versions.clone(),
            values: process.values.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            past: past.collect(),
            blobs: self
                .references
                .range((pid, kernel_types::Hash::ZERO)..)
                .take_while(|(of, _)| *of == pid)
                .filter_map(|(_, hash)| body(*hash))
                .collect(),
            inbox: waiting.filter_map(|arrival| self.mail.get(arrival).cloned()).collect(),
            sent: self.mail.values().filter(from_here).cloned().collect(),
            consumed,
        })
    }

    fn put_in(&mut self, copy: ProcessCopy) -> Result<(), StoreError> {
        let pid = copy.row.pid;
        if self.processes.contains_key(&pid) {
            return Err(there_already(pid));
        }
        let mut past: BTreeMap<String, Vec<(u64, Option<String>)>> = BTreeMap::new();
        for (name, number, value) in copy.past {
            past.entry(name).or_default().push((number, value));
        }
        self.epoch = self.epoch.max(copy.row.epoch);
        let process = Process {
            row: copy.row,
            records: copy.records,
            values: copy.values.into_iter().collect(),
            versions: copy.versions,
            past,
        };
        self.processes.insert(pid, process);
        for blob in copy.blobs {
            self.references.insert((pid, blob.hash));
            self.blobs.entry(blob.hash).or_insert(blob.bytes);
        }
        for id in copy.consumed {
            self.consume(pid, id);
        }
        for mail in copy.inbox.into_iter().chain(copy.sent) {
            self.post(mail);
        }
        Ok(())
    }

    fn remove_ended(&mut self, pids: &[Pid]) -> u64 {
        let mut removed = 0;
        for pid in pids {
            if self.processes.get(pid).is_none_or(|process| !process.row.exited) {
                continue;
            }
            self.processes.remove(pid);
            self.references.retain(|(of, _)| of != pid);
            for arrival in self.mailboxes.remove(pid).into_iter().flat_map(|mailbox| mailbox.waiting) {
                self.mail.remove(&arrival);
            }
            removed += 1;
        }
        removed
    }
}

#[async_trait]
impl Archive for MemoryStore {
    async fn take_out(&self, pid: Pid) -> Result<Option<ProcessCopy>, StoreError> {
        Ok(self.state.lock().take_out(pid))
    }

    async fn put_in(&self, copy: ProcessCopy) -> Result<(), StoreError> {
        copy.check()?;
        self.state.lock().put_in(copy)
    }

    async fn remove_ended(&self, pids: &[Pid]) -> Result<u64, StoreError> {
        Ok(self.state.lock().remove_ended(pids))
    }
}
