//! Taking processes over from a store: state is loaded, never recomputed; what was in flight is dealt with by its
//! recovery class.

use std::collections::HashMap;
use std::sync::Arc;

use kernel_context::{Change, Pager, PagerConfig, PagerError, PagerFactory};
use kernel_storage::Store;
use kernel_types::{
    AgentRow, BlobHash, Call, ErrorKind, Event, EventKind, MailBody, Pid, Record, Recovery, SysError,
    SyscallNo,
};

use crate::bodies::{Bodies, View};
use crate::core::{Core, Spent};
use crate::error::KernelError;
use crate::image::Image;
use crate::parts::Parts;
use crate::process::Process;

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
    let factory = parts.programs.get(&image.program);
    let factory = factory.ok_or_else(|| damaged(format!("no program {:?} is registered", image.program)))?;
    let program = if image.step.0 == 0 { factory.start(&spec) } else { factory.load(&image.saved) };
    let program = program.map_err(|error| damaged(error.to_string()))?;

    let mut staged = HashMap::new();
    let config = parts.pager_config(&spec);
    let shelf = Shelf { store, bodies, pagers: &*parts.pagers, config: &config };
    let pager = load_pager(&shelf, &image, pid, &mut staged).await?;
    let mut process =
        Process::new(pid, row.parent, image, Arc::new(spec), Arc::new(capabilities), Some(program));
    process.pager = pager;
    process.staged = staged;
    process.revision = row.revision;
    process.number = row.records;
    process.head = row.head;
    for index in 0..process.image.open.len() {
        let open = &process.image.open[index];
        if let Some(number) = open.outcome {
            let record = store.records(pid, number, 1).await?;
            let Some(Event::Outcome { result, .. }) = event_of(store, record.first()).await? else {
                return Err(damaged(format!("record {number} is not the outcome it should be")));
            };
            process.results[index] = Some(result);
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

/// Rebuilds the page table: the last snapshot and the changes after it.
pub(crate) async fn load_pager(
    shelf: &Shelf<'_>,
    image: &Image,
    pid: Pid,
    staged: &mut HashMap<BlobHash, Arc<str>>,
) -> Result<Option<Box<dyn Pager>>, KernelError> {
    let Shelf { store, bodies, pagers, config } = *shelf;
    let damaged = |reason: String| KernelError::Damaged { pid, reason };
    let mut pager = None;
    let mut next = 1;
    if let Some(snapshot) = image.snapshot {
        let bytes = blob(store, snapshot.blob)
            .await?
            .ok_or_else(|| damaged("its page table is missing".to_owned()))?;
        pager = Some(
            serve(store, bodies, staged, |view| pagers.load(config, &bytes, view))
                .await?
                .map_err(|error| damaged(error.to_string()))?,
        );
        next = snapshot.record + 1;
    }
    loop {
        let records = store.records(pid, next, PAGE).await?;
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
                serve(store, bodies, staged, |view| pager.apply(&change, view))
                    .await?
                    .map_err(|error| damaged(format!("page change of record {}: {error}", record.number)))?;
            }
        }
    }
    // The bodies that the next render needs shall be in memory; whether it renders is not a matter of loading.
    if let Some(pager) = &pager {
        drop(serve(store, bodies, staged, |view| pager.render(view)).await?);
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
        loaded.retain(|one| !self.processes.contains_key(&one.process.pid));
        let pids: Vec<Pid> = loaded.iter().map(|one| one.process.pid).collect();
        let parents: Vec<(Pid, Pid)> =
            loaded.iter().map(|one| (one.process.parent, one.process.pid)).collect();
        for one in loaded {
            self.processes.insert(one.process.pid, one.process);
        }
        for (parent, child) in parents {
            if let Some(parent) = self.processes.get_mut(&parent) {
                parent.children.insert(child);
            }
        }
        for pid in &pids {
            self.with(*pid, |core, process| core.take_over(process));
        }
        pids
    }

    fn take_over(&mut self, process: &mut Process) {
        let open = process.image.open.iter().filter(|open| open.outcome.is_none()).count();
        let open = open + usize::from(process.image.ping.is_some());
        let event = Event::Recovered { epoch: self.epoch.0, open: u32::try_from(open).unwrap_or(u32::MAX) };
        self.log(process, None, &event);
        let waiting = std::mem::take(&mut process.inbox);
        let held = process
            .image
            .open
            .iter()
            .filter_map(|open| open.pending.as_ref())
            .map(|pending| pending.reserved);
        for reserved in held.collect::<Vec<_>>() {
            process.reserve(&reserved);
        }
        for index in 0..process.image.open.len() {
            if process.image.open[index].outcome.is_none() {
                self.recover_call(process, index);
            }
        }
        self.ping_lost(process);
        for mail in waiting {
            let newest = process.delivered.entry(mail.id.sender).or_insert(0);
            *newest = mail.id.number.max(*newest);
            match mail.body {
                MailBody::Signal(signal) => {
                    process.consumed.push(mail.id);
                    self.signalled(process, signal, mail.id.sender);
                }
                MailBody::Grant(more) => {
                    process.consumed.push(mail.id);
                    self.log(process, None, &Event::MailTaken { mail: mail.clone() });
                    self.granted(process, &more);
                }
                MailBody::Priority(priority) => {
                    process.consumed.push(mail.id);
                    self.log(process, None, &Event::MailTaken { mail: mail.clone() });
                    self.prioritised(process, priority);
                }
                MailBody::Message(_) => {
                    process.mailbox += 1;
                    process.inbox.push_back(mail);
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

    /// A call that had no outcome when the kernel stopped.
    fn recover_call(&mut self, process: &mut Process, index: usize) {
        let open = &process.image.open[index];
        let Some(pending) = open.pending.clone() else {
            let error =
                SysError::new(ErrorKind::Interrupted, "the kernel stopped before the call was prepared");
            self.finish(process, index, Err(error), Spent::default());
            return;
        };
        match (open.no, pending.recovery) {
            (SyscallNo::Infer, _) => self.infer_again(process, index, pending.reserved),
            (SyscallNo::ToolCall, Recovery::Unsafe) => {
                process.image.usage.calls += 1;
                let message =
                    "the kernel stopped while the call was in flight; whether it had an effect is not known";
                let error = SysError::new(ErrorKind::Interrupted, message);
                self.finish(process, index, Err(error), Spent::default());
            }
            (SyscallNo::ToolCall, _) => {
                self.attempt_again(process, index, kernel_types::Reservation::default())
            }
            (SyscallNo::Spawn, _) => {
                if let Some(child) = pending.child.filter(|child| process.children.contains(child)) {
                    self.finish(process, index, Ok(kernel_types::Answer::Pid(child)), Spent::default());
                }
            }
            _ => {}
        }
    }

    fn attempt_again(&mut self, process: &mut Process, index: usize, charged: kernel_types::Reservation) {
        let open = &mut process.image.open[index];
        let Some(pending) = &mut open.pending else { return };
        pending.attempt += 1;
        let event = Event::Attempt { number: pending.attempt, charged };
        let seq = open.seq;
        self.log(process, Some(seq), &event);
    }

    /// An inference is issued again; the lost attempt is charged at its reservation, the most it can have cost.
    fn infer_again(&mut self, process: &mut Process, index: usize, lost: kernel_types::Reservation) {
        let usage = &mut process.image.usage;
        usage.calls += lost.calls;
        usage.input_tokens = usage.input_tokens.saturating_add(lost.tokens);
        usage.cost = usage.cost.saturating_add(lost.cost);
        self.attempt_again(process, index, lost);
        let open = &process.image.open[index];
        let (seq, Some(pending)) = (open.seq, open.pending.clone()) else { return };
        let Call::Infer(args) = &pending.call else { return };
        let parts = Arc::clone(&self.parts);
        let spec = Arc::clone(&process.spec);
        let name = parts.model(args.model.as_deref(), spec.model.as_deref()).unwrap_or("");
        let rendered = match parts.models.get(name) {
            Some(served) => {
                self.render(process, args, &served.info).map_err(|error| crate::local::pager_error(&error))
            }
            None => Err(SysError::new(ErrorKind::NotFound, format!("model {name:?} is not there any more"))),
        };
        process.release(&pending.reserved);
        if let Some(pending) = &mut process.image.open[index].pending {
            pending.reserved = kernel_types::Reservation::default();
        }
        match (rendered, process.exceeded(&lost)) {
            (Err(error), _) => self.finish(process, index, Err(error), Spent::default()),
            (Ok(_), Some((limit, left, needed))) => {
                process.quota_hit = Some(limit);
                let message = format!("infer: needs {needed} of {limit}, {left} left after a lost attempt");
                let error = SysError::new(ErrorKind::QuotaExceeded, message);
                self.finish(process, index, Err(error), Spent::default());
            }
            (Ok(ready), None) => {
                process.reserve(&lost);
                if let Some(pending) = &mut process.image.open[index].pending {
                    pending.reserved = lost;
                }
                process.prompts.insert(seq, ready);
            }
        }
    }
}
