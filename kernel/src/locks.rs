//! Named locks between processes. Who holds one lends its urgency from the most urgent who waits for it; a wait that can never
//! end is refused; a process that ends releases.
//!
//! A lock is given up with the commit that says so, not before: nobody else takes what a crash would give back. It is part of
//! the holder's image, so a kernel that takes processes over knows who holds what.

use std::collections::BTreeMap;

use kernel_sched::{LockError, Taken};
use kernel_types::{Answer, Call, CallResult, ErrorKind, Pid, SysError};

use crate::core::{Core, Spent};
use crate::process::Process;

/// Bytes of a lock's name.
const MAX_NAME: usize = 256;
/// Locks that a process may hold.
const MAX_LOCKS: usize = 64;

impl Core {
    /// `lock`: taken at once, or `None` if it is to be waited for.
    pub(crate) fn try_lock(&mut self, process: &mut Process, name: &str) -> Option<CallResult> {
        if name.is_empty() || name.len() > MAX_NAME {
            let message = format!("lock: a name has 1 to {MAX_NAME} bytes, not {}", name.len());
            return Some(Err(SysError::new(ErrorKind::InvalidArgument, message)));
        }
        if process.image.locks.len() >= MAX_LOCKS {
            let message = format!("lock: the process holds {MAX_LOCKS} locks, its limit");
            return Some(Err(SysError::new(ErrorKind::Busy, message)));
        }
        let given_up = |names: &[String]| names.iter().any(|known| known == name);
        if given_up(&process.unlocked) || given_up(&process.releasing) {
            // It still is the holder until the commit that gives the lock up: it asks again then, behind those who wait.
            return None;
        }
        let whole = of_tenant(&process.image.tenant, name);
        match self.locks.lock(process.pid, &whole, process.image.priority) {
            Ok(Taken::Held) => {
                process.image.locks.push(name.to_owned());
                Some(Ok(Answer::Done))
            }
            Ok(Taken::Waits { holder }) => {
                self.lend(holder);
                None
            }
            Err(error) => Some(Err(lock_error(error))),
        }
    }

    /// `unlock`: given up with this step's commit.
    pub(crate) fn give_up_lock(&mut self, process: &mut Process, name: &str) -> CallResult {
        let held = process.image.locks.iter().position(|held| held == name);
        let Some(at) = held else {
            let message = format!("unlock: the process does not hold {name:?}");
            return Err(SysError::new(ErrorKind::NotFound, message));
        };
        process.image.locks.remove(at);
        process.unlocked.push(name.to_owned());
        if let Some(preparing) = &mut process.preparing {
            preparing.must_commit = true;
        }
        Ok(Answer::Done)
    }

    /// A wait for a lock ends without it.
    pub(crate) fn stop_waiting_for_lock(&mut self, pid: Pid) {
        let holder = self.locks.waits_for(pid).map(|(_, holder)| holder);
        self.locks.cancel(pid);
        if let Some(holder) = holder {
            self.lend(holder);
        }
    }

    /// What a process gave up is durable: the next ones have it. It may want one of them again.
    pub(crate) fn release(&mut self, pid: Pid, names: Vec<String>) {
        let tenant = self.processes.get(&pid).map(|process| process.image.tenant.clone()).unwrap_or_default();
        for name in &names {
            match self.locks.unlock(pid, &of_tenant(&tenant, name)) {
                Ok(Some(next)) => self.hand_over(next, name.clone()),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "a lock is lost"),
            }
        }
        self.with(pid, |core, process| {
            for index in 0..process.image.open.len() {
                let open = &process.image.open[index];
                let pending = open.pending.as_ref().filter(|_| open.outcome.is_none());
                let wanted = pending.is_some_and(|pending| match &pending.call {
                    Call::Lock { name, .. } => names.contains(name),
                    _ => false,
                });
                if wanted && core.locks.waits_for(process.pid).is_none() {
                    core.lock_again(process, index);
                    core.settle(process);
                }
            }
        });
        self.lend(pid);
    }

    /// A process is gone, and with it what it held, waited for and was lent.
    pub(crate) fn release_all(&mut self, pid: Pid) {
        let waited_for = self.locks.waits_for(pid).map(|(_, holder)| holder);
        for (whole, next) in self.locks.leave(pid) {
            self.hand_over(next, plain(&whole).to_owned());
        }
        if let Some(holder) = waited_for {
            self.lend(holder);
        }
        let families = self.lent.iter_mut();
        let family = families.filter_map(|(family, lent)| lent.remove(&pid).map(|_| *family)).next();
        if let Some(family) = family {
            self.forget_unlent(family);
            self.readmit(family);
        }
    }

    fn forget_unlent(&mut self, family: Pid) {
        if self.lent.get(&family).is_some_and(BTreeMap::is_empty) {
            self.lent.remove(&family);
        }
    }

    /// A process that waited for a lock has it.
    fn hand_over(&mut self, to: Pid, name: String) {
        self.with(to, |core, process| {
            let waits = |call: &Call| matches!(call, Call::Lock { name: wanted, .. } if *wanted == name);
            let found = process.image.open.iter().position(|open| {
                open.outcome.is_none() && open.pending.as_ref().is_some_and(|pending| waits(&pending.call))
            });
            let Some(index) = found else { return };
            process.image.locks.push(name.clone());
            let took = core.took(process, index);
            core.finish(process, index, Ok(Answer::Done), Spent { took, ..Spent::default() });
            core.settle(process);
        });
        self.lend(to);
    }

    /// Tells the schedulers how urgent a holder is now, and those it waits for.
    pub(crate) fn lend(&mut self, holder: Pid) {
        let mut next = Some(holder);
        // Chains have no cycles; the bound is for a table that does not keep its word.
        for _ in 0..=self.processes.len() {
            let Some(pid) = next else { return };
            self.with(pid, |core, process| {
                if core.borrow(process) {
                    core.reprioritise(process);
                }
            });
            next = self.locks.waits_for(pid).map(|(_, holder)| holder);
        }
    }

    /// Notes how urgent those are who wait for what a process holds. Says whether that is news.
    pub(crate) fn borrow(&mut self, process: &mut Process) -> bool {
        let urgency = self.locks.urgency(process.pid);
        let lent = urgency.filter(|urgency| *urgency < process.image.priority);
        if process.lent == lent {
            return false;
        }
        process.lent = lent;
        let family = process.image.family;
        match lent {
            Some(lent) => drop(self.lent.entry(family).or_default().insert(process.pid, lent)),
            None => {
                if let Some(members) = self.lent.get_mut(&family) {
                    members.remove(&process.pid);
                }
                self.forget_unlent(family);
            }
        }
        true
    }

    /// A process that was taken over holds what its image says; others may have it by now.
    pub(crate) fn locks_again(&mut self, process: &mut Process) {
        for name in std::mem::take(&mut process.image.locks) {
            let whole = of_tenant(&process.image.tenant, &name);
            match self.locks.lock(process.pid, &whole, process.image.priority) {
                Ok(Taken::Held) => process.image.locks.push(name),
                Ok(Taken::Waits { holder }) => {
                    self.locks.cancel(process.pid);
                    tracing::warn!(pid = %process.pid, %holder, name, "a lock went to another process meanwhile");
                }
                Err(error) => tracing::error!(%error, "a lock is lost"),
            }
        }
    }

    /// An open `lock` of a process that was taken over waits again, or has it now.
    pub(crate) fn lock_again(&mut self, process: &mut Process, index: usize) {
        let Some(pending) = &process.image.open[index].pending else { return };
        let Call::Lock { name, .. } = pending.call.clone() else { return };
        if let Some(result) = self.try_lock(process, &name) {
            self.finish(process, index, result, Spent::default());
        }
    }
}

/// A lock, or a topic, as the table of all knows it: each tenant has names of its own.
pub(crate) fn of_tenant(tenant: &str, name: &str) -> String {
    format!("{}:{tenant}{name}", tenant.len())
}

/// The name of a lock as its tenant knows it.
fn plain(whole: &str) -> &str {
    let named = whole.split_once(':').and_then(|(length, rest)| rest.get(length.parse().ok()?..));
    named.unwrap_or(whole)
}

/// The error a program gets for a lock's.
fn lock_error(error: LockError<Pid>) -> SysError {
    let named = |name: String| plain(&name).to_owned();
    let error = match error {
        LockError::Held { who, name } => LockError::Held { who, name: named(name) },
        LockError::Waits { who, name } => LockError::Waits { who, name: named(name) },
        LockError::NotHeld { who, name } => LockError::NotHeld { who, name: named(name) },
        LockError::Cycle(wheel) => {
            LockError::Cycle(wheel.into_iter().map(|(who, name)| (who, named(name))).collect())
        }
        other => other,
    };
    let kind = match error {
        LockError::Cycle(_) => ErrorKind::Failed,
        _ => ErrorKind::InvalidArgument,
    };
    SysError::new(kind, format!("lock: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tenants_are_their_own() {
        for (tenant, name) in [("", "a"), ("press", "a"), ("", "5:pressa"), ("1:", "2:3"), ("ü", "ä:")] {
            assert_eq!(plain(&of_tenant(tenant, name)), name);
        }
        assert_ne!(of_tenant("", "pressa"), of_tenant("press", "a"));
        assert_ne!(of_tenant("pre", "ssa"), of_tenant("press", "a"));
    }
}
