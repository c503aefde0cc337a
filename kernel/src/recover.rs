//! Taking processes over from a store: state is loaded, never recomputed; what was in flight is dealt with by its
//! recovery class.

use std::collections::HashMap;
use std::sync::Arc;

use kernel_context::{Change, Pager, PagerConfig, PagerError, PagerFactory};
use kernel_storage::Store;
use kernel_types::{
    AgentRow, BlobHash, Call, CallResult, Decision, ErrorKind, Event, EventKind, Hash, MailBody, Pid, Record,
    Recovery, Reservation, Spec, SuspendReason, SysError, SyscallNo,
};

use crate::bodies::{Bodies, View};
use crate::core::{Core, Spent};
use crate::error::KernelError;
use crate::forking::Rebuilt;
use crate::image::{Image, OpenCall, Stretch};
use crate::ledger::is_from_above;
use crate::parts::Parts;
use crate::process::{Preparing, Process};
use crate::seal::Heads;

const PAGE: usize = 1024;

/// A process read from the store, not yet taken over.
pub(crate) struct Loaded {
    pub(crate) process: Box<Process>,
}

/// Reads one process.
pub(crate) async fn load(parts: &Parts, bodies: &Bodies, row: AgentRow) -> Result<Loaded, KernelError> {
    let pid = row.pid;
    let damaged = |reason: String| KernelError::Damaged { pid, reason };
    let image = image_of(&row)?;
    let store = &*parts.store;
    let first = store.records(pid, 1, 1).await?;
    let Some(Event::Spawned { spec, capabilities, .. }) = event_of(store, first.first()).await? else {
        return Err(damaged("its first record is missing".to_owned()));
    };
    let rebuilt = rebuild(parts, bodies, &image, &spec, (pid, row.records)).await?;
    let Rebuilt { program, pager, staged } = rebuilt;
    let mut process =
        Process::new(pid, row.parent, image, Arc::new(spec), Arc::new(capabilities), Some(program));
    process.pager = pager;
    process.staged = staged;
    process.revision = row.revision;
    process.number = row.records;
    process.heads = Heads { records: row.head, pages: pages_of(store, &row).await? };
    for index in 0..process.image.open.len() {
        let open = &process.image.open[index];
        if let Some(number) = open.outcome {
            let record = store.records(pid, number, 1).await?;
            let told = event_of(store, record.first()).await?;
            let result = told.and_then(|event| result_in(event, index));
            let missing = || damaged(format!("record {number} is not the outcome it should be"));
            process.results[index] = Some(result.ok_or_else(missing)?);
        } else if let Some(child) = open.pending.as_ref().and_then(|pending| pending.child)
            && store.agent(child).await?.is_some()
        {
            process.children.insert(child);
        }
    }
    process.values = store.values(pid).await?.into_iter().collect();
    for mail in store.inbox(pid).await? {
        process.inbox.push_back(mail);
    }
    Ok(Loaded { process: Box::new(process) })
}

/// Makes of an image what is not written down as such: its program, and its page table as of a record.
pub(crate) async fn rebuild(
    parts: &Parts,
    bodies: &Bodies,
    image: &Image,
    spec: &Spec,
    (pid, last): (Pid, u64),
) -> Result<Rebuilt, KernelError> {
    let damaged = |reason: String| KernelError::Damaged { pid, reason };
    let factory = parts.programs.get(&image.program);
    let factory = factory.ok_or_else(|| damaged(format!("no program {:?} is registered", image.program)))?;
    let program = image.saved.as_ref().map_or_else(|| factory.start(spec), |saved| factory.load(saved));
    let program = program.map_err(|error| damaged(error.to_string()))?;
    let mut staged = HashMap::new();
    let config = parts.pager_config(spec);
    let shelf = Shelf { store: &*parts.store, bodies, pagers: &*parts.pagers, config: &config };
    let pager = load_pager(&shelf, image, pid, last, &mut staged).await?;
    Ok(Rebuilt { program, pager, staged })
}

/// The chain over the page changes of a row: its last record, that of its last step, says where it is.
async fn pages_of(store: &dyn Store, row: &AgentRow) -> Result<Hash, KernelError> {
    let last = store.records(row.pid, row.records, 1).await?;
    match event_of(store, last.first()).await? {
        Some(Event::Step { pages, .. }) => Ok(pages),
        _ => {
            let reason = format!("record {} is not that of its last step", row.records);
            Err(KernelError::Damaged { pid: row.pid, reason })
        }
    }
}

/// How a call of the last step ended, told by the record that its process names for it.
pub(crate) fn result_in(event: Event, index: usize) -> Option<CallResult> {
    match event {
        Event::Outcome { result, .. } => Some(result),
        Event::Forked { results, .. } | Event::Restored { results, .. } => {
            results.into_iter().nth(index).flatten()
        }
        _ => None,
    }
}

/// The image of a row that nobody changed.
pub(crate) fn image_of(row: &AgentRow) -> Result<Image, KernelError> {
    let damaged = |reason: String| KernelError::Damaged { pid: row.pid, reason };
    if kernel_security::seal_row(row) != row.seal {
        return Err(damaged("its row was changed: run `agentos audit verify`".to_owned()));
    }
    Image::decode(&row.image).map_err(|error| damaged(error.to_string()))
}

/// What a page table is rebuilt from.
pub(crate) struct Shelf<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) bodies: &'a Bodies,
    pub(crate) pagers: &'a dyn PagerFactory,
    pub(crate) config: &'a PagerConfig,
}

/// Rebuilds the page table as of the record `last`: the snapshot before it and the changes between.
pub(crate) async fn load_pager(
    shelf: &Shelf<'_>,
    image: &Image,
    pid: Pid,
    last: u64,
    staged: &mut HashMap<BlobHash, Arc<str>>,
) -> Result<Option<Box<dyn Pager>>, KernelError> {
    let Shelf { store, bodies, pagers, config } = *shelf;
    let damaged = |reason: String| KernelError::Damaged { pid, reason };
    let mut pager = None;
    if let Some(snapshot) = image.pages.snapshot {
        let bytes =
            blob(store, snapshot).await?.ok_or_else(|| damaged("its page table is missing".to_owned()))?;
        pager = Some(
            serve(store, bodies, staged, |view| pagers.load(config, &bytes, view))
                .await?
                .map_err(|error| damaged(error.to_string()))?,
        );
    }
    let own = Stretch { pid, after: image.pages.after, upto: last };
    for stretch in image.pages.stretches.iter().copied().chain([own]) {
        let mut next = stretch.after + 1;
        while next <= stretch.upto {
            let limit = usize::try_from(stretch.upto - next + 1).unwrap_or(PAGE).min(PAGE);
            let records = store.records(stretch.pid, next, limit).await?;
            let Some(last) = records.last() else { break };
            next = last.number + 1;
            for record in records.iter().filter(|record| record.kind == EventKind::Pages as u8) {
                let Some(Event::Pages { changes }) = event_of(store, Some(record)).await? else {
                    return Err(damaged(format!("record {} does not hold page changes", record.number)));
                };
                let changes: Vec<Change> = changes.read().map_err(|error| damaged(error.to_string()))?;
                if pager.is_none() {
                    pager = Some(pagers.make(config).map_err(|error| damaged(error.to_string()))?);
                }
                let Some(pager) = &mut pager else { continue };
                for change in changes {
                    serve(store, bodies, staged, |view| pager.apply(&change, view)).await?.map_err(
                        |error| damaged(format!("page change of record {}: {error}", record.number)),
                    )?;
                }
            }
        }
    }
    // The bodies that the next render needs shall be in memory; whether it renders is not a matter of loading.
    if let Some(pager) = &mut pager {
        drop(serve(store, bodies, staged, move |view| pager.render(view)).await?);
    }
    Ok(pager)
}

/// Runs `work`, loading the bodies it faults on, until it needs no more.
async fn serve<T>(
    store: &dyn Store,
    bodies: &Bodies,
    staged: &mut HashMap<BlobHash, Arc<str>>,
    mut work: impl FnMut(&View<'_>) -> Result<T, PagerError>,
) -> Result<Result<T, PagerError>, KernelError> {
    loop {
        match work(&View { staged, bodies }) {
            Err(PagerError::Fault(missing)) => {
                let found = fetch(store, &missing).await?;
                if found.len() < missing.len() {
                    return Ok(Err(PagerError::Corrupt("a page body is missing from the store".to_owned())));
                }
                staged.extend(found);
            }
            done => return Ok(done),
        }
    }
}

/// Bodies as text. What is missing or is not text is left out.
pub(crate) async fn fetch(
    store: &dyn Store,
    hashes: &[BlobHash],
) -> Result<Vec<(BlobHash, Arc<str>)>, KernelError> {
    let found = store.blobs(hashes).await?;
    let texts = hashes.iter().zip(found).filter_map(|(hash, bytes)| {
        let text = std::str::from_utf8(bytes.as_deref()?).ok()?;
        Some((*hash, Arc::from(text)))
    });
    Ok(texts.collect())
}

async fn blob(store: &dyn Store, hash: BlobHash) -> Result<Option<Arc<[u8]>>, KernelError> {
    Ok(store.blobs(&[hash]).await?.pop().flatten())
}

/// The event of a record, wherever its body lies; `None` if the record or its body is not there or was erased.
///
/// # Errors
/// [`KernelError::Store`] if the store fails; [`KernelError::Damaged`] if the body is not an event.
pub async fn event_of(store: &dyn Store, record: Option<&Record>) -> Result<Option<Event>, KernelError> {
    let Some(record) = record else { return Ok(None) };
    let stored;
    let body = match (&record.body, record.blob) {
        (Some(body), _) => body.as_bytes(),
        (None, Some(hash)) => match blob(store, hash).await? {
            Some(bytes) => {
                stored = bytes;
                &*stored
            }
            None => return Ok(None),
        },
        (None, None) => return Ok(None),
    };
    let event = serde_json::from_slice(body).map_err(|error| KernelError::Damaged {
        pid: record.pid,
        reason: format!("record {}: {error}", record.number),
    })?;
    Ok(Some(event))
}

impl Core {
    /// Takes over what was loaded: parents before children.
    pub(crate) fn adopt(&mut self, mut loaded: Vec<Loaded>) -> Vec<Pid> {
        let parents: Vec<(Pid, Pid)> =
            loaded.iter().map(|one| (one.process.parent, one.process.pid)).collect();
        loaded.retain(|one| !self.processes.contains_key(&one.process.pid));
        let pids: Vec<Pid> = loaded.iter().map(|one| one.process.pid).collect();
        for one in loaded {
            self.enter(one.process);
        }
        for (parent, child) in parents {
            if let Some(parent) = self.processes.get_mut(&parent) {
                parent.children.insert(child);
            }
        }
        // What all of them hold and lost, before any of them asks for more.
        for pid in &pids {
            self.with(*pid, |core, process| core.take_back(process));
        }
        for pid in &pids {
            self.with(*pid, |core, process| core.take_over(process));
        }
        pids
    }

    /// What a process had when its kernel stopped: its accounts, locks and grants, and the cost of what was lost.
    fn take_back(&mut self, process: &mut Process) {
        let open = process.image.open.iter().filter(|open| open.outcome.is_none()).count();
        let open = open + usize::from(process.image.ping.is_some());
        let event = Event::Recovered { epoch: self.epoch.0, open: u32::try_from(open).unwrap_or(u32::MAX) };
        self.log(process, None, event);
        self.locks_again(process);
        self.subscriptions_again(process);
        process.account = self.ledger.join(&process.image.tenant, &process.image.rated);
        let lost = process.image.in_flight();
        self.ledger.lost(process, lost);
        let usage = &mut process.image.usage;
        usage.calls += lost.calls;
        usage.tool_calls += lost.tool_calls;
        usage.input_tokens = usage.input_tokens.saturating_add(lost.tokens);
        usage.cost = usage.cost.saturating_add(lost.cost);
        for mail in std::mem::take(&mut process.inbox) {
            let MailBody::Grant(more) = mail.body else {
                process.inbox.push_back(mail);
                continue;
            };
            process.arrived(mail.id);
            process.consumed.push(mail.id);
            self.log(process, None, Event::MailTaken { mail });
            self.granted(process, &more);
        }
    }

    /// It goes on: what was in flight by its recovery class, and what it was told meanwhile.
    fn take_over(&mut self, process: &mut Process) {
        let waiting = std::mem::take(&mut process.inbox);
        if matches!(process.image.suspended, Some(SuspendReason::Limit(limit)) if is_from_above(limit)) {
            self.resume(process, "another kernel, whose limits may be larger");
        } else if process.image.suspended.is_none() {
            self.start_clock(process);
        }
        let is_open = |open: &&OpenCall| open.outcome.is_none();
        let new = |open: &OpenCall| open.pending.as_ref().is_some_and(|pending| pending.attempt == 0);
        if process.image.open.iter().filter(is_open).any(new) {
            self.make_anew(process);
        } else {
            for index in 0..process.image.open.len() {
                if process.image.open[index].outcome.is_none() {
                    self.recover_call(process, index);
                }
            }
        }
        self.ping_lost(process);
        for mail in waiting {
            process.arrived(mail.id);
            match mail.body {
                MailBody::Signal(signal) => {
                    process.consumed.push(mail.id);
                    self.signalled(process, signal, mail.id.sender);
                }
                MailBody::Priority(priority) => {
                    process.consumed.push(mail.id);
                    self.log(process, None, Event::MailTaken { mail: mail.clone() });
                    self.prioritised(process, priority);
                }
                MailBody::Message(_) | MailBody::Published { .. } => {
                    process.mailbox += 1;
                    process.inbox.push_back(mail);
                }
                MailBody::Checkpoint { .. } => {
                    process.consumed.push(mail.id);
                    self.named(process, mail);
                }
                MailBody::ChildExit { pid, .. } => {
                    process.children.insert(pid);
                    process.inbox.push_back(mail);
                }
                _ => process.inbox.push_back(mail),
            }
        }
        self.queue_commit(process);
    }

    /// The calls of a step that it goes back to: those that have not ended pass the gate as if its program had just made them.
    pub(crate) fn make_anew(&mut self, process: &mut Process) {
        let again = process.image.open.iter_mut().map(|open| Some(open.pending.take()?.call));
        let calls = again.collect();
        process.preparing =
            Some(Preparing { calls, local_pass: false, next: 0, must_commit: true, exit: None });
        self.prepare(process);
    }

    /// A call that had no outcome when the kernel stopped.
    fn recover_call(&mut self, process: &mut Process, index: usize) {
        let open = &process.image.open[index];
        let no = open.no;
        let Some(pending) = open.pending.clone() else {
            let error =
                SysError::new(ErrorKind::Interrupted, "the kernel stopped before the call was prepared");
            self.finish(process, index, Err(error), Spent::default());
            return;
        };
        let lost = pending.reserved;
        if let Some(pending) = &mut process.image.open[index].pending {
            // It is charged; what the next attempt needs is asked for anew.
            pending.reserved = Reservation::default();
        }
        match (no, pending.recovery) {
            (SyscallNo::Lock, _) => self.lock_again(process, index),
            (SyscallNo::Remember | SyscallNo::Search, _) => self.memory_again(process, index),
            (SyscallNo::Infer, _) => self.infer_again(process, index, lost),
            (SyscallNo::ToolCall, Recovery::Unsafe) if lost != Reservation::default() => {
                self.interrupted(process, index);
            }
            (SyscallNo::ToolCall, _) => self.tool_again(process, index, lost),
            (SyscallNo::Spawn | SyscallNo::Fork, _) => {
                if let Some(child) = pending.child.filter(|child| process.children.contains(child)) {
                    self.finish(process, index, Ok(kernel_types::Answer::Pid(child)), Spent::default());
                }
            }
            _ => {}
        }
    }

    /// Nobody knows what became of a call.
    fn interrupted(&mut self, process: &mut Process, index: usize) {
        let message =
            "the kernel stopped while the call was in flight; whether it had an effect is not known";
        let error = SysError::new(ErrorKind::Interrupted, message);
        self.finish(process, index, Err(error), Spent::default());
    }

    /// Notes that a call which was sent is sent again. One that never was has lost nothing.
    fn attempt_again(&mut self, process: &mut Process, index: usize, charged: Reservation) {
        let open = &mut process.image.open[index];
        let Some(pending) = open.pending.as_mut().filter(|_| charged != Reservation::default()) else {
            return;
        };
        pending.attempt += 1;
        let event = Event::Attempt { number: pending.attempt, charged, why: None };
        let seq = open.seq;
        self.log(process, Some(seq), event);
    }

    /// A tool is called again, as a further call. A `keyed` call that was sent and has no budget for that is not refused, since a
    /// program may then make it anew, under another key.
    fn tool_again(&mut self, process: &mut Process, index: usize, lost: Reservation) {
        let Some(pending) = &process.image.open[index].pending else { return };
        let (recovery, call) = (Some(pending.recovery), pending.call.clone());
        // The rules may be others now.
        let decision = self.decide(process, &call);
        if !decision.is_allow() {
            return self.refuse(process, index, SyscallNo::ToolCall, &decision);
        }
        let needs = Reservation { calls: 1, tool_calls: 1, ..Reservation::default() };
        match self.hold_again(process, index, needs) {
            Ok(()) => self.attempt_again(process, index, lost),
            Err(Decision::OverQuota { limit, .. })
                if recovery == Some(Recovery::Keyed) && lost != Reservation::default() =>
            {
                process.quota_hit = Some(limit);
                self.interrupted(process, index);
            }
            Err(decision) => self.refuse(process, index, SyscallNo::ToolCall, &decision),
        }
    }

    /// An inference is issued again, if it still may be; the lost attempt was charged at its reservation, the most it can have cost.
    fn infer_again(&mut self, process: &mut Process, index: usize, lost: Reservation) {
        self.attempt_again(process, index, lost);
        let open = &process.image.open[index];
        let (seq, Some(pending)) = (open.seq, open.pending.clone()) else { return };
        let Call::Infer(args) = &pending.call else { return };
        let parts = Arc::clone(&self.parts);
        let spec = Arc::clone(&process.spec);
        let name = parts.model(args.model.as_deref(), spec.model.as_deref()).unwrap_or("");
        // The model may be another now, or the rules.
        let decision = self.decide(process, &pending.call);
        if !decision.is_allow() {
            return self.refuse(process, index, SyscallNo::Infer, &decision);
        }
        let rendered = match parts.models.get(name) {
            Some(served) => {
                self.render(process, args, &served.info).map_err(|error| crate::local::pager_error(&error))
            }
            None => Err(SysError::new(ErrorKind::NotFound, format!("model {name:?} is not there any more"))),
        };
        let mut ready = match rendered {
            Ok(ready) => ready,
            Err(error) => return self.finish(process, index, Err(error), Spent::default()),
        };
        let held = self.most(process, &mut ready).and_then(|most| self.hold_again(process, index, most));
        match held {
            Ok(()) => drop(process.prompts.insert(seq, ready)),
            Err(decision) => self.refuse(process, index, SyscallNo::Infer, &decision),
        }
    }

    /// Holds what a call needs that is made again: of its process's budget and of those above.
    fn hold_again(&mut self, process: &mut Process, index: usize, most: Reservation) -> Result<(), Decision> {
        if let Some((limit, left, needed)) = process.exceeded(&most) {
            return Err(Decision::OverQuota { limit, left, needed });
        }
        let open = &mut process.image.open[index];
        let seq = open.seq;
        if let Some(pending) = &mut open.pending {
            pending.reserved = most;
        }
        process.reserve(&most);
        self.hold_above(process, seq, most).map(drop)
    }
}
