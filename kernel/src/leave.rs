//! Shutting down: nothing more is sent, and what was not sent is on record as that.
//!
//! A kernel that takes over charges what may have been in flight at the most it can have cost. A call that only waited, for a rate,
//! a resource, another try, costs nothing: its row says so when this kernel had the time to write it.

use kernel_types::{Pid, Reservation, SyscallNo};

use crate::core::Core;
use crate::process::{Process, Running};

impl Core {
    /// Nothing is in flight any more. Says whether that is durable: what was not sent holds nothing in its process's row.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.closed = true;
        for pid in self.processes.keys().copied().collect::<Vec<Pid>>() {
            self.with(pid, |core, process| {
                if process.forget_unsent() {
                    core.queue_commit(process);
                }
            });
        }
        !self.busy()
    }
}

impl Process {
    /// Lets calls that were not sent hold nothing. Says whether there were any.
    fn forget_unsent(&mut self) -> bool {
        let mut any = false;
        for index in 0..self.image.open.len() {
            let open = &mut self.image.open[index];
            let sent = |running: &Running| match open.no {
                SyscallNo::Infer => running.slot.is_some(),
                _ => !running.waits.is_open(),
            };
            if self.running.get(&open.seq).is_some_and(sent) {
                continue;
            }
            let Some(pending) = &mut open.pending else { continue };
            let held = std::mem::take(&mut pending.reserved);
            self.release(&held);
            any |= held != Reservation::default();
        }
        any
    }
}
