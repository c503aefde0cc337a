//! Commits: what a step did becomes durable in one write, and only then do its device calls start.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use kernel_sched::Micros;
use kernel_storage::{Commit, CommitOutcome, Store, StoreError, StoreErrorKind};
use kernel_types::{AgentRow, BlobHash, Hash, Pid};

use crate::core::Core;
use crate::device::panic_text;
use crate::error::KernelError;
use crate::image::PageSource;
use crate::process::Process;
use crate::seal::{Heads, Unsealed};

/// Steps' worth of page changes after which a snapshot shortens recovery.
const SNAPSHOT_CHANGES: u64 = 64;

/// Commits on their way to the store, kept to be tried again.
pub(crate) struct Batch {
    /// Those that are not sealed yet: all, before the first try.
    pub(crate) unsealed: Vec<Unsealed>,
    pub(crate) commits: Vec<Commit>,
    /// Where the chains are after each of them.
    heads: Vec<Heads>,
    pub(crate) first_try: Micros,
    pub(crate) next_try: Micros,
    pub(crate) tries: u32,
}

impl Batch {
    fn of(unsealed: Vec<Unsealed>, now: Micros) -> Self {
        let (commits, heads) = (Vec::new(), Vec::new());
        Self { unsealed, commits, heads, first_try: now, next_try: now, tries: 0 }
    }

    /// Seals what is not.
    pub(crate) fn seal(&mut self) {
        let sealed = std::mem::take(&mut self.unsealed).into_iter().map(Unsealed::seal);
        (self.commits, self.heads) = sealed.unzip();
    }
}

/// Seals a batch if need be and hands it to the store.
pub(crate) async fn write(
    store: Arc<dyn Store>,
    mut batch: Batch,
) -> (Batch, Result<Vec<CommitOutcome>, StoreError>) {
    if batch.commits.is_empty() {
        batch.seal();
    }
    let written = AssertUnwindSafe(store.commit(batch.commits.clone())).catch_unwind().await;
    let result = written.unwrap_or_else(|panic| {
        let message = format!("the store panicked: {}", panic_text(panic.as_ref()));
        Err(StoreError::new(StoreErrorKind::CommitUnknown, "commit", message))
    });
    (batch, result)
}

impl Core {
    /// Takes what is queued, as one batch.
    pub(crate) fn next_batch(&mut self) -> Option<Batch> {
        if self.fatal.is_some() {
            return None;
        }
        let now = self.micros();
        if let Some(at) = self.retries.iter().position(|batch| batch.next_try <= now) {
            return Some(self.retries.swap_remove(at));
        }
        let mut commits = Vec::with_capacity(self.commits.len());
        while let Some(pid) = self.commits.pop_front() {
            let built = self.with(pid, |core, process| {
                process.commit_queued = false;
                if let Some(preparing) = &mut process.preparing {
                    // Its calls are not all arranged: what is would start before the intents of the others are durable.
                    preparing.must_commit = true;
                    return None;
                }
                (!process.committing).then(|| core.build_commit(process))
            });
            commits.extend(built.flatten());
        }
        (!commits.is_empty()).then(|| Batch::of(commits, now))
    }

    fn build_commit(&mut self, process: &mut Process) -> Unsealed {
        let (at, salt) = (self.now(), self.salt());
        process.count_time(self.micros());
        process.record_changes(at, salt);
        if process.changes_since_snapshot >= SNAPSHOT_CHANGES {
            self.snapshot(process);
        }
        // The record of the step is written when the commit is sealed.
        process.number += 1;
        for checkpoint in process.image.checkpoints.iter_mut().filter(|known| known.at.record == 0) {
            checkpoint.at.record = process.number;
        }
        let image = process.image.encode().expect("the image holds plain data only");
        let row = AgentRow {
            pid: process.pid,
            parent: process.parent,
            epoch: self.epoch,
            revision: process.revision + 1,
            records: process.number,
            head: Hash::ZERO,
            exited: process.image.exited.is_some(),
            image,
            seal: Hash::ZERO,
        };
        process.committing = true;
        process.releasing.append(&mut process.unlocked);
        process.subscribing.append(&mut process.subscribed);
        process.moved = false;
        process.inner = 0;
        let commit = Commit {
            row,
            records: Vec::new(),
            values: std::mem::take(&mut process.dirty_values),
            consumed: std::mem::take(&mut process.consumed),
            sent: std::mem::take(&mut process.sent),
            blobs: std::mem::take(&mut process.blobs),
        };
        Unsealed {
            commit,
            drafts: std::mem::take(&mut process.drafts),
            heads: process.heads,
            program: process.image.program_hash(),
            at,
            salt: self.salt(),
            step: process.image.step,
        }
    }

    /// Writes the page table as a blob, when the changes since the last one outweigh it.
    fn snapshot(&mut self, process: &mut Process) {
        let Some(pager) = &process.pager else { return };
        if process.changes_since_snapshot < pager.count() as u64 / 4 {
            return;
        }
        match pager.save() {
            Ok(bytes) => {
                let blob = kernel_storage::Blob::of(bytes);
                process.image.pages =
                    PageSource { snapshot: Some(blob.hash), stretches: Vec::new(), after: process.number };
                process.blobs.push(blob);
                process.changes_since_snapshot = 0;
            }
            Err(error) => tracing::warn!(pid = %process.pid, %error, "page table not snapshot"),
        }
    }

    /// Takes the store's answer to a batch.
    pub(crate) fn batch_done(&mut self, mut batch: Batch, result: Result<Vec<CommitOutcome>, StoreError>) {
        let outcomes = match result {
            Ok(outcomes) if outcomes.len() == batch.commits.len() => outcomes,
            Ok(outcomes) => {
                let message = format!("{} answers to {} commits", outcomes.len(), batch.commits.len());
                self.fail(StoreError::new(StoreErrorKind::Corrupt, "commit", message).into());
                return;
            }
            Err(error) => {
                let patient = self.since(batch.first_try) < self.parts.limits.store_patience;
                let passing =
                    matches!(error.kind(), StoreErrorKind::Unavailable | StoreErrorKind::CommitUnknown);
                if passing && patient {
                    tracing::warn!(%error, "commit failed, trying again");
                    let wait = std::time::Duration::from_millis(10 << batch.tries.min(6));
                    batch.tries += 1;
                    batch.next_try = Micros(
                        self.micros().0.saturating_add(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)),
                    );
                    self.retries.push(batch);
                } else {
                    self.fail(error.into());
                }
                return;
            }
        };
        let mut mail = Vec::new();
        for ((commit, heads), outcome) in batch.commits.into_iter().zip(batch.heads).zip(outcomes) {
            let pid = commit.row.pid;
            match outcome {
                CommitOutcome::Committed | CommitOutcome::Already => {
                    mail.extend(commit.sent);
                    self.committed(pid, commit.row.revision, heads);
                    if commit.row.revision == 1 {
                        self.spawned(pid, commit.row.parent);
                        if let Some(waiter) = self.births.remove(&pid) {
                            // Whoever spawned it may have gone away; the process runs all the same.
                            drop(waiter.send(Ok(pid)));
                        }
                    }
                }
                CommitOutcome::Fenced { epoch } => {
                    tracing::warn!(%pid, %epoch, "taken over by another kernel");
                    self.drop_process(pid);
                }
                CommitOutcome::Conflict { revision } => {
                    tracing::warn!(%pid, revision, "changed by the kernel before, whose commit came late");
                    self.reload(pid);
                }
                CommitOutcome::Refused { reason } => {
                    self.drop_process(pid);
                    self.fail(KernelError::Damaged { pid, reason });
                }
            }
        }
        self.deliver_all(mail, true);
    }

    fn committed(&mut self, pid: Pid, revision: u64, heads: Heads) {
        let mut released = Vec::new();
        let over = self.with(pid, |core, process| {
            process.committing = false;
            process.revision = revision;
            process.heads = heads;
            released = std::mem::take(&mut process.releasing);
            let subscribed = std::mem::take(&mut process.subscribing);
            if process.image.exited.is_none() {
                core.subscriptions_hold(process, subscribed);
            }
            // What came meanwhile is durable with the next commit only, and stays at hand until then.
            let fresh: HashSet<BlobHash> = process.blobs.iter().map(|blob| blob.hash).collect();
            for (hash, body) in process.staged.extract_if(|hash, _| !fresh.contains(hash)) {
                core.bodies.insert(hash, body);
            }
            match (process.image.exited.is_some(), process.dirty()) {
                (true, true) => core.queue_commit(process),
                (true, false) => return true,
                (false, _) => {
                    if let Some((index, other)) = process.going_back.take() {
                        core.go_back(process, index, *other);
                    }
                    core.start_pending(process);
                    core.settle(process);
                }
            }
            false
        });
        if !released.is_empty() {
            self.release(pid, released);
        }
        if over == Some(true)
            && let Some(process) = self.remove(pid)
        {
            self.keep_ended(process.image.info(pid, process.parent));
            self.release_all(pid);
        }
    }

    /// Forgets a process that another kernel runs now. Nothing of it is started any more.
    pub(crate) fn drop_process(&mut self, pid: Pid) {
        if let Some(process) = self.put_down(pid) {
            self.forget_subscriptions(&process);
        }
    }

    /// Stops all that a process does here; its subscriptions stay.
    pub(crate) fn put_down(&mut self, pid: Pid) -> Option<Box<Process>> {
        let mut process = self.remove(pid)?;
        self.abort_all(&mut process);
        self.forget_slots(pid);
        self.stop_clock(&mut process);
        self.release_all(pid);
        if process.image.exited.is_none() {
            self.ledger.leave(process.account, &process.image.rated);
        }
        Some(process)
    }

    /// The kernel cannot go on: nothing more is started, whoever runs it is told.
    pub(crate) fn fail(&mut self, error: KernelError) {
        tracing::error!(%error, "the kernel stops");
        self.retries.clear();
        for (_, waiter) in self.births.drain() {
            drop(waiter.send(Err(error.clone())));
        }
        if let Some(waiter) = self.waiter.take() {
            // The runner may have gone away; the error stays for the next one.
            drop(waiter.send(Err(error.clone())));
        }
        self.mode = crate::core::Mode::Paused;
        self.fatal.get_or_insert(error);
    }
}
