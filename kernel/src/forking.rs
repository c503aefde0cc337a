//! `fork` and `restore` as a program calls them: the same moments, states and records as from outside.
//!
//! Once the intent is durable, what the other state needs is read from the store, beside the kernel. Then the process is in the
//! table, and goes the way of all others: a fork's first commit makes it durable and answers the call, as with a child that is spawned; one
//! that goes back is durable with its next commit. A crash before that leaves the call open, and it is made again.

use std::collections::HashMap;
use std::sync::Arc;

use kernel_context::Pager;
use kernel_types::{
    Answer, BlobHash, Call, CallKey, CallResult, ErrorKind, Event, PastMoment, Pid, Retry, Spec, SysError,
    SyscallNo,
};

use crate::core::{Core, Spent};
use crate::device::{End, Start, broken, guarded};
use crate::error::KernelError;
use crate::fork::{fork_image, restored_image};
use crate::parts::patiently;
use crate::past::{Moment, Past, moment};
use crate::process::Process;
use crate::program::Program;
use crate::recover::rebuild;
use crate::seal::Heads;
use crate::tree::NoSpawn;

/// A state that a process goes on from, as read from the store.
pub(crate) struct Other {
    past: Past,
    /// Where the chain over its page changes was.
    pages: kernel_types::Hash,
    rebuilt: Rebuilt,
}

/// What is made of an image: what is not written down as such.
pub(crate) struct Rebuilt {
    pub(crate) program: Box<dyn Program>,
    pub(crate) pager: Option<Box<dyn Pager>>,
    /// Bodies that were needed for it.
    pub(crate) staged: HashMap<BlobHash, Arc<str>>,
}

impl Core {
    /// Checks a `fork`: takes the limits of the new one out of the caller's.
    pub(crate) fn check_fork(
        &mut self,
        parent: &mut Process,
    ) -> Result<(Pid, kernel_types::Budget), NoSpawn> {
        let share = self.set_aside("fork", parent, &kernel_types::Budget::default())?;
        Ok((self.fresh_pid(), share))
    }

    /// Checks a `restore`.
    pub(crate) fn check_restore(process: &Process, name: &str) -> Result<(), SysError> {
        let known = &process.image.checkpoints;
        if known.iter().any(|known| known.name == name) {
            return Ok(());
        }
        let names: Vec<&str> = known.iter().map(|known| known.name.as_str()).collect();
        let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let message = format!("restore: there is no checkpoint {name:?}; there is {has}");
        Err(SysError::new(ErrorKind::NotFound, message))
    }

    /// Reads the state that a `fork` or a `restore` is about, whose intent is durable.
    pub(crate) fn start_other(&mut self, process: &Process, index: usize) {
        let open = &process.image.open[index];
        let Some(pending) = &open.pending else { return };
        let (pid, wanted) = match &pending.call {
            Call::Fork => (process.pid, Moment::Now),
            Call::Restore { name } => (process.pid, Moment::Checkpoint(name.clone())),
            _ => return,
        };
        if pending.child.is_some_and(|child| self.processes.contains_key(&child)) {
            return;
        }
        let key = CallKey { pid, step: process.image.step, seq: open.seq };
        let (parts, bodies) = (Arc::clone(&self.parts), Arc::clone(&self.bodies));
        let timeout = parts.limits.store_patience.saturating_add(parts.limits.step);
        let work = async move {
            let ask = || other(&parts, &bodies, pid, &wanted);
            let read = patiently(parts.limits.store_patience, KernelError::retry, ask).await;
            End::Other(read.map(Box::new))
        };
        self.starts.push_back(Start { key, attempt: pending.attempt, future: guarded(work, timeout) });
        self.expect_end(key, timeout);
    }

    /// The state is there: a fork begins, or the process goes back.
    pub(crate) fn other_done(&mut self, process: &mut Process, index: usize, end: End) {
        let no = process.image.open[index].no;
        let told = |kind, why: &str| SysError::new(kind, format!("{no}: {why}"));
        let other = match end {
            End::Other(Ok(other)) => *other,
            End::Other(Err(KernelError::Refused(error))) => {
                return self.no_other(process, index, told(error.kind, &error.message));
            }
            End::Other(Err(error)) => {
                let kind =
                    if error.retry() == Retry::Never { ErrorKind::Failed } else { ErrorKind::Unavailable };
                return self.no_other(process, index, told(kind, &error.to_string()));
            }
            other => {
                let error = broken(other);
                return self.no_other(process, index, told(error.kind, &error.message));
            }
        };
        match no {
            SyscallNo::Fork => self.begin_fork(process, index, other),
            // The answer to that commit brings the heads of its chains.
            _ if process.committing => process.going_back = Some((index, Box::new(other))),
            _ => self.go_back(process, index, other),
        }
    }

    /// Nothing comes of the call.
    fn no_other(&mut self, process: &mut Process, index: usize, error: SysError) {
        match process.image.open[index].no {
            SyscallNo::Fork => self.cancel_spawn(process, index, error),
            _ => {
                let took = self.took(process, index);
                self.finish(process, index, Err(error), Spent { took, ..Spent::default() });
            }
        }
    }

    /// Makes the new process: a child of the caller, with what the caller set aside for it.
    fn begin_fork(&mut self, parent: &mut Process, index: usize, other: Other) {
        let Some(pending) = &parent.image.open[index].pending else { return };
        let (Some(pid), Some(share)) = (pending.child, pending.share) else { return };
        if self.processes.contains_key(&pid) {
            return;
        }
        let Other { past, pages, rebuilt } = other;
        // Its parent's rates hold for it as for all below.
        let spec = Spec { budget: share, rates: Vec::new(), ..past.spec.clone() };
        let mut image = fork_image(&past, pid, &spec.name, self.now());
        image.budget = share;
        image.priority = image.priority.max(parent.image.priority);
        (image.family, image.share) = (parent.image.family, parent.image.share);
        image.rated.clone_from(&parent.image.rated);
        let capabilities = (*parent.capabilities).clone();
        let spawned = Event::Spawned { spec: spec.clone(), parent: parent.pid, capabilities };
        let (spec, capabilities) = (Arc::new(spec), Arc::clone(&parent.capabilities));
        let mut child = Process::new(pid, parent.pid, image, spec, capabilities, None);
        child.heads = Heads { pages, ..Heads::START };
        child.subscribed.clone_from(&child.image.topics);
        child.dirty_values =
            past.values.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
        self.log(&mut child, None, spawned);
        self.log(&mut child, None, Event::Forked { of: past.at, results: past.results.clone() });
        child.account = self.ledger.join(&child.image.tenant, &child.image.rated);
        self.start_clock(&mut child);
        parent.children.insert(pid);
        self.go_on_from(&mut child, past.results, past.values, rebuilt);
        self.enter(Box::new(child));
    }

    /// Goes back to the state: what else is in flight is cancelled, locks are given up, what was spent stays spent.
    pub(crate) fn go_back(&mut self, process: &mut Process, index: usize, other: Other) {
        if process.image.exited.is_some() || process.results.get(index).is_none_or(Option::is_some) {
            // It ended, or the call was cancelled, while the state was on its way.
            return;
        }
        let Other { past, pages, rebuilt } = other;
        let why = format!("the process went back to step {}", past.at.step);
        for at in (0..process.image.open.len()).filter(|at| *at != index) {
            self.cancel(process, at, &why, Retry::Never);
        }
        self.end_ping(process, &why);
        let took = self.took(process, index);
        self.finish(process, index, Ok(Answer::Done), Spent { took, ..Spent::default() });
        process.unlocked.append(&mut process.image.locks);
        let (from, told) = (process.image.step, process.number + 1);
        let (signal, suspended) = (process.image.signal, process.image.suspended);
        process.image = restored_image(&past, &process.image, told);
        (process.image.signal, process.image.suspended) = (signal, suspended);
        let results = past.open_results(from);
        self.log(process, None, Event::Restored { to: past.at, from, results: results.clone() });
        process.heads.pages = pages;
        // What was not committed of the table that it leaves never was.
        process.changes.clear();
        (process.answered, process.kept, process.ping_due) = (None, None, None);
        process.vectors.clear();
        let gone = std::mem::take(&mut process.values).into_keys().map(|name| (name, None));
        let back = past.values.iter().map(|(name, value)| (name.clone(), Some(value.clone())));
        process.dirty_values.extend(gone.chain(back));
        self.go_on_from(process, results, past.values, rebuilt);
    }

    /// Gives a process what its image says it has; calls that had not ended are made anew.
    fn go_on_from(
        &mut self,
        process: &mut Process,
        results: Vec<Option<CallResult>>,
        values: Vec<(String, String)>,
        rebuilt: Rebuilt,
    ) {
        process.program = Some(rebuilt.program);
        process.pager = rebuilt.pager;
        process.staged.extend(rebuilt.staged);
        process.values = values.into_iter().collect();
        process.results = results;
        process.inner = 0;
        self.queue_commit(process);
        if process.results.iter().any(Option::is_none) {
            self.make_anew(process);
        }
    }
}

/// Reads a moment of a process and rebuilds what it was then.
async fn other(
    parts: &crate::parts::Parts,
    bodies: &crate::bodies::Bodies,
    pid: Pid,
    wanted: &Moment,
) -> Result<Other, KernelError> {
    let store = &*parts.store;
    let at: PastMoment = moment(store, pid, wanted).await?;
    let past = Past::read(store, at).await?;
    let pages = past.verified(store).await?;
    let rebuilt = rebuild(parts, bodies, &past.image, &past.spec, (at.pid, at.record)).await?;
    Ok(Other { past, pages, rebuilt })
}
