//! The engine: one thread that drives the core, and a watchdog that replaces it when code of others does not return.
//!
//! The thread never waits for a device or the store: their futures are polled once here, so that one that is done at
//! once costs no hop, and go on as tasks of the runtime otherwise. The lock is free while code of others runs.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kernel_storage::{Arrival, CommitOutcome, StoreError};
use kernel_types::{BlobHash, CallKey, Mail, Pid};
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::runtime::Handle;

use crate::bodies::Bodies;
use crate::commit::Batch;
use crate::core::{Core, Mode};
use crate::device::{End, Start, panic_text};
use crate::error::KernelError;
use crate::parts::{Parts, patiently};
use crate::prepare::{Fault, Stepped};
use crate::reload::{self, Again};
use crate::vectors::{self, Embedded, Text};

/// What reaches the engine from tasks and from outside.
pub(crate) enum Message {
    /// Something to do on the core; from outside, bounded by `Limits::requests`.
    Request(Box<dyn FnOnce(&mut Core) + Send>),
    Device(CallKey, u32, End),
    Batch(Batch, Result<Vec<CommitOutcome>, StoreError>),
    Bodies(Pid, Result<Vec<(BlobHash, Arc<str>)>, KernelError>),
    Reloaded(Pid, Result<Again, KernelError>),
    Vectors(Pid, Vec<Embedded>),
    /// Mail that arrived after the cursor of that time.
    Arrivals(Arrival, Result<Vec<(Arrival, Mail)>, StoreError>),
}

pub(crate) struct Shared {
    pub(crate) core: Mutex<Core>,
    pub(crate) parts: Arc<Parts>,
    pub(crate) bodies: Arc<Bodies>,
    pub(crate) runtime: Handle,
    inbox: Mutex<Inbox>,
    bell: Condvar,
    /// The bell of a kernel that is a task.
    rung: tokio::sync::Notify,
    section: Section,
    runs: AtomicU64,
}

#[derive(Default)]
struct Inbox {
    messages: VecDeque<Message>,
    requests: usize,
    rung: bool,
    stopped: bool,
}

/// What code of others runs on the engine's thread, since when.
struct Section {
    origin: Instant,
    /// Microseconds since `origin` plus one; 0 while nothing runs.
    since: AtomicU64,
    what: Mutex<Option<What>>,
}

#[derive(Clone, Copy)]
enum What {
    Step(Pid),
    Device(CallKey, u32),
}

impl Shared {
    pub(crate) fn new(core: Core, runtime: Handle) -> Arc<Self> {
        Arc::new(Self {
            parts: Arc::clone(&core.parts),
            bodies: Arc::clone(&core.bodies),
            core: Mutex::new(core),
            runtime,
            inbox: Mutex::default(),
            bell: Condvar::new(),
            rung: tokio::sync::Notify::new(),
            section: Section { origin: Instant::now(), since: AtomicU64::new(0), what: Mutex::new(None) },
            runs: AtomicU64::new(0),
        })
    }

    /// Hands a request to the engine; refused when too many wait.
    pub(crate) fn request(&self, work: impl FnOnce(&mut Core) + Send + 'static) -> Result<(), KernelError> {
        let mut inbox = self.inbox.lock();
        if inbox.stopped {
            return Err(KernelError::Stopped);
        }
        let limit = self.parts.limits.requests;
        if inbox.requests >= limit {
            return Err(KernelError::Busy(limit));
        }
        inbox.requests += 1;
        inbox.messages.push_back(Message::Request(Box::new(work)));
        inbox.rung = true;
        drop(inbox);
        self.wake();
        Ok(())
    }

    /// Hands over the end of something the engine started: bounded by what it started.
    pub(crate) fn tell(&self, message: Message) {
        let mut inbox = self.inbox.lock();
        inbox.messages.push_back(message);
        inbox.rung = true;
        drop(inbox);
        self.wake();
    }

    /// Nothing is taken any more; who waits for an answer learns that there will be none.
    fn stop(&self) {
        let mut inbox = self.inbox.lock();
        inbox.stopped = true;
        let dropped = std::mem::take(&mut inbox.messages);
        drop(inbox);
        drop(dropped);
    }

    /// A number for a run.
    pub(crate) fn next_run(&self) -> u64 {
        self.runs.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Wakes the engine.
    pub(crate) fn ring(&self) {
        self.inbox.lock().rung = true;
        self.wake();
    }

    fn wake(&self) {
        self.bell.notify_one();
        self.rung.notify_one();
    }

    fn take_messages(&self) -> VecDeque<Message> {
        let mut inbox = self.inbox.lock();
        inbox.rung = false;
        inbox.requests = 0;
        std::mem::take(&mut inbox.messages)
    }

    /// Waits until someone rings, at most so long.
    fn wait(&self, at_most: Duration) {
        let mut inbox = self.inbox.lock();
        if !inbox.rung {
            self.bell.wait_for(&mut inbox, at_most);
        }
        inbox.rung = false;
    }

    fn is_rung(&self) -> bool {
        self.inbox.lock().rung
    }

    fn enter(&self, what: What) {
        *self.section.what.lock() = Some(what);
        let since = u64::try_from(self.section.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.section.since.store(since.saturating_add(1), Ordering::Release);
    }

    fn leave(&self) {
        self.section.since.store(0, Ordering::Release);
    }
}

/// Starts the engine's thread and its watchdog.
pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
    spawn_engine(shared, 0)?;
    let watched = Arc::downgrade(shared);
    let limit = shared.parts.limits.step;
    std::thread::Builder::new().name("agentos-watchdog".to_owned()).spawn(move || {
        let pause = (limit / 4).clamp(Duration::from_millis(5), Duration::from_millis(250));
        loop {
            std::thread::park_timeout(pause);
            let Some(shared) = watched.upgrade() else { return };
            if shared.core.lock().quit {
                return;
            }
            watch(&shared, limit);
        }
    })?;
    Ok(())
}

fn spawn_engine(shared: &Arc<Shared>, generation: u64) -> std::io::Result<()> {
    let shared = Arc::clone(shared);
    let builder = std::thread::Builder::new().name(format!("agentos-engine-{generation}"));
    let work = move || {
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&shared, generation))) else { return };
        // A part that panicked under the lock, a scheduler say. The state is not to be trusted: nothing more is started.
        let reason = format!("a part of the kernel panicked: {}", panic_text(panic.as_ref()));
        let mut core = shared.core.lock();
        core.fail(KernelError::Build(reason));
        core.quit = true;
        drop(core);
        shared.stop();
    };
    builder.spawn(work).map(drop)
}

/// Replaces the engine's thread if code of others has kept it for too long. That thread ends when the code returns.
fn watch(shared: &Arc<Shared>, limit: Duration) {
    let since = shared.section.since.load(Ordering::Acquire);
    if since == 0 {
        return;
    }
    let now = u64::try_from(shared.section.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
    let held = Duration::from_micros(now.saturating_sub(since - 1));
    if held < limit {
        return;
    }
    let mut core = shared.core.lock();
    // It may have returned meanwhile: it cannot have gone on, since that needs the lock.
    if shared.section.since.load(Ordering::Acquire) != since {
        return;
    }
    let Some(what) = *shared.section.what.lock() else { return };
    shared.leave();
    core.generation += 1;
    let generation = core.generation;
    match what {
        What::Step(pid) => {
            tracing::warn!(%pid, ?held, "a step did not return");
            core.step_stuck(pid, held);
        }
        What::Device(key, attempt) => {
            tracing::warn!(%key, ?held, "a device blocked the kernel's thread");
            core.device_returned(key, attempt);
            core.device_done(key, attempt, End::Stuck(held.into()));
        }
    }
    drop(core);
    if let Err(error) = spawn_engine(shared, generation) {
        shared.core.lock().fail(KernelError::Build(format!("no thread for the engine: {error}")));
    }
}

/// Another thread has taken over.
struct Replaced;

fn run(shared: &Arc<Shared>, generation: u64) {
    let _runtime = shared.runtime.enter();
    let mut core = shared.core.lock();
    loop {
        if core.generation != generation || core.quit {
            return;
        }
        for message in shared.take_messages() {
            core.handle(message);
        }
        if turn(shared, &mut core, generation).is_err() {
            return;
        }
        if core.has_work() {
            continue;
        }
        let pause = core.pause(&|| shared.is_rung());
        MutexGuard::unlocked(&mut core, || shared.wait(pause));
    }
}

/// The engine as a task of the runtime in place of a thread: on a runtime of one thread with a paused clock the order of all that
/// happens follows from the seeds. There is no watchdog: code of others that does not return stops everything.
#[cfg(feature = "conformance")]
pub(crate) async fn drive(shared: Arc<Shared>) {
    loop {
        let pause = {
            let mut core = shared.core.lock();
            if core.quit {
                return;
            }
            for message in shared.take_messages() {
                core.handle(message);
            }
            if turn(&shared, &mut core, 0).is_err() {
                return;
            }
            if core.has_work() { Duration::ZERO } else { core.pause(&|| shared.is_rung()) }
        };
        if pause > Duration::ZERO {
            // Somebody rings, or the time has come.
            drop(tokio::time::timeout(pause, shared.rung.notified()).await);
        }
        tokio::task::yield_now().await;
    }
}

/// One round: steps, slots, commits, starts, loads, timers.
fn turn(shared: &Arc<Shared>, core: &mut MutexGuard<'_, Core>, generation: u64) -> Result<(), Replaced> {
    for _ in 0..64 {
        let Some(pid) = core.next_ready() else { break };
        step(shared, core, pid, generation)?;
    }
    core.fire_timers();
    core.fire_clocks();
    if core.may_send() {
        core.fire_lines();
        core.fire_short();
    }
    core.start_supplied();
    while let Some(batch) = core.next_batch() {
        commit(shared, core, batch, generation)?;
    }
    core.pump_slots();
    core.fire_pings();
    // One by one: what a device that blocks leaves in the queue is the next thread's to start.
    while let Some(start) = core.starts.pop_front() {
        launch(shared, core, start, generation)?;
    }
    for (pid, fault) in std::mem::take(&mut core.loads) {
        match fault {
            Fault::Bodies(missing) => load(shared, core, pid, missing),
            Fault::Vectors(texts) => embed(shared, core, pid, texts),
        }
    }
    for pid in std::mem::take(&mut core.reloads) {
        reload::reload(shared, core, pid);
    }
    if core.wants_poll() {
        poll_mail(shared, core);
    }
    core.end_run();
    Ok(())
}

/// Runs a process's steps until it makes a call that is not answered at once.
fn step(
    shared: &Arc<Shared>,
    core: &mut MutexGuard<'_, Core>,
    pid: Pid,
    generation: u64,
) -> Result<(), Replaced> {
    let Some((mut program, input)) = core.begin_step(pid) else { return Ok(()) };
    shared.enter(What::Step(pid));
    let (program, stepped) = MutexGuard::unlocked(core, || {
        let stepped = catch_unwind(AssertUnwindSafe(|| {
            let step = program.step(input);
            program.save().map(|saved| (step, saved))
        }));
        let stepped = match stepped {
            Ok(Ok((step, saved))) => Stepped::Done(step, saved),
            Ok(Err(error)) => Stepped::Faulted(error.to_string()),
            Err(panic) => Stepped::Faulted(format!("the program panicked: {}", panic_text(panic.as_ref()))),
        };
        (program, stepped)
    });
    if core.generation != generation {
        return Err(Replaced);
    }
    shared.leave();
    core.end_step(pid, program, stepped);
    Ok(())
}

/// Polls a future once, with the lock free. `Err` hands it back: it needs more time.
fn poll_once<T>(
    core: &mut MutexGuard<'_, Core>,
    mut future: BoxFuture<'static, T>,
) -> Result<T, BoxFuture<'static, T>> {
    MutexGuard::unlocked(core, || match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err(future),
    })
}

fn launch(
    shared: &Arc<Shared>,
    core: &mut MutexGuard<'_, Core>,
    start: Start,
    generation: u64,
) -> Result<(), Replaced> {
    let Start { key, attempt, future } = start;
    if !core.still_wants(key, attempt) {
        return Ok(());
    }
    core.device_started(key);
    shared.enter(What::Device(key, attempt));
    let polled = poll_once(core, future);
    if core.generation != generation {
        return Err(Replaced);
    }
    shared.leave();
    match polled {
        Ok(end) => {
            core.device_returned(key, attempt);
            core.device_done(key, attempt, end);
        }
        Err(future) => {
            let teller = Arc::clone(shared);
            let finish = DeviceGuard { shared: Arc::clone(shared), key, attempt, armed: true };
            let task = shared.runtime.spawn(async move {
                let mut finish = finish;
                let end = future.await;
                finish.armed = false;
                teller.tell(Message::Device(key, attempt, end));
            });
            core.keep_abort(key, task.abort_handle());
        }
    }
    Ok(())
}

/// Counts a device call as ended when its task is aborted.
struct DeviceGuard {
    shared: Arc<Shared>,
    key: CallKey,
    attempt: u32,
    armed: bool,
}

impl Drop for DeviceGuard {
    fn drop(&mut self) {
        if self.armed {
            let (key, attempt) = (self.key, self.attempt);
            self.shared.tell(Message::Request(Box::new(move |core| core.device_returned(key, attempt))));
        }
    }
}

fn commit(
    shared: &Arc<Shared>,
    core: &mut MutexGuard<'_, Core>,
    batch: Batch,
    generation: u64,
) -> Result<(), Replaced> {
    core.in_flight.batches += 1;
    let apart = batch.unsealed.len() >= shared.parts.limits.seal_apart;
    let future = crate::commit::write(Arc::clone(&shared.parts.store), batch).boxed();
    let polled = if apart { Err(future) } else { poll_once(core, future) };
    if core.generation != generation {
        return Err(Replaced);
    }
    match polled {
        Ok((batch, result)) => {
            core.in_flight.batches -= 1;
            core.batch_done(batch, result);
        }
        Err(future) => {
            let teller = Arc::clone(shared);
            shared.runtime.spawn(async move {
                let told = match AssertUnwindSafe(future).catch_unwind().await {
                    Ok((batch, result)) => Message::Batch(batch, result),
                    Err(panic) => {
                        let text = panic_text(panic.as_ref());
                        let reason = format!("a batch could not be sealed: {text}");
                        Message::Request(Box::new(move |core| core.fail(KernelError::Build(reason))))
                    }
                };
                teller.tell(told);
            });
        }
    }
    Ok(())
}

fn load(shared: &Arc<Shared>, core: &mut MutexGuard<'_, Core>, pid: Pid, missing: Vec<BlobHash>) {
    core.in_flight.loads += 1;
    let teller = Arc::clone(shared);
    shared.runtime.spawn(async move {
        let parts = &teller.parts;
        let ask = || crate::recover::fetch(&*parts.store, &missing);
        let result = patiently(parts.limits.store_patience, KernelError::retry, ask).await;
        teller.tell(Message::Bodies(pid, result));
    });
}

fn embed(shared: &Arc<Shared>, core: &mut MutexGuard<'_, Core>, pid: Pid, texts: Vec<Text>) {
    core.in_flight.loads += 1;
    let teller = Arc::clone(shared);
    shared.runtime.spawn(async move {
        let patience = teller.parts.limits.embed;
        let found = match teller.parts.embedder.clone() {
            Some(embedder) => vectors::vectors(embedder, texts, patience).await,
            None => texts.into_iter().map(|(hash, _)| (hash, None)).collect(),
        };
        teller.tell(Message::Vectors(pid, found));
    });
}

fn poll_mail(shared: &Arc<Shared>, core: &mut MutexGuard<'_, Core>) {
    core.in_flight.polls += 1;
    core.last_poll = tokio::time::Instant::now();
    let (teller, after) = (Arc::clone(shared), core.cursor);
    shared.runtime.spawn(async move {
        let result = teller.parts.store.arrivals(after, 256).await;
        teller.tell(Message::Arrivals(after, result));
    });
}

impl Core {
    fn handle(&mut self, message: Message) {
        match message {
            Message::Request(work) => work(self),
            Message::Device(key, attempt, end) => {
                self.device_returned(key, attempt);
                self.device_done(key, attempt, end);
            }
            Message::Batch(batch, result) => {
                self.in_flight.batches -= 1;
                self.batch_done(batch, result);
            }
            Message::Bodies(pid, result) => {
                self.in_flight.loads -= 1;
                self.bodies_loaded(pid, result);
            }
            Message::Reloaded(pid, found) => {
                self.in_flight.loads -= 1;
                self.reloaded(pid, found);
            }
            Message::Vectors(pid, found) => {
                self.in_flight.loads -= 1;
                self.with(pid, |core, process| {
                    if process.loading {
                        process.vectors.extend(found);
                        core.go_on(process);
                    }
                });
            }
            Message::Arrivals(after, result) => {
                self.in_flight.polls -= 1;
                match result {
                    Ok(arrived) => {
                        // Unless it was set back meanwhile.
                        if let Some((last, _)) = arrived.last().filter(|_| self.cursor == after) {
                            self.cursor = *last;
                        }
                        self.deliver_all(arrived.into_iter().map(|(_, mail)| mail).collect(), false);
                    }
                    Err(error) => tracing::warn!(%error, "cannot ask the store for mail"),
                }
            }
        }
    }

    fn bodies_loaded(&mut self, pid: Pid, result: Result<Vec<(BlobHash, Arc<str>)>, KernelError>) {
        match result {
            Ok(found) if found.is_empty() => {
                self.with(pid, |core, process| {
                    if !process.loading {
                        return;
                    }
                    process.loading = false;
                    let reason = "a page body is missing from the store: `agentos audit verify` names it";
                    core.end(process, kernel_types::ExitStatus::Faulted(reason.to_owned()));
                });
            }
            Ok(found) => {
                self.with(pid, |core, process| {
                    process.staged.extend(found);
                    if process.loading {
                        core.go_on(process);
                    }
                });
            }
            Err(error) => self.fail(error),
        }
    }

    /// What a call waited for is there.
    fn go_on(&mut self, process: &mut crate::process::Process) {
        process.loading = false;
        self.prepare(process);
        self.settle(process);
    }

    /// The call was not cancelled between its commit and its start.
    fn still_wants(&self, key: CallKey, attempt: u32) -> bool {
        let Some(process) = self.processes.get(&key.pid) else { return false };
        if key.seq.is_ping() {
            return process.is_pinging(key);
        }
        let index = process.pending_index(key.step, key.seq);
        let pending = index.and_then(|index| process.image.open[index].pending.as_ref());
        pending.is_some_and(|pending| pending.attempt == attempt)
    }

    fn next_ready(&mut self) -> Option<Pid> {
        if self.fatal.is_some() {
            return None;
        }
        match &mut self.mode {
            Mode::Paused | Mode::Steps(0) => None,
            Mode::Idle => self.ready.pop_front(),
            Mode::Steps(left) => {
                let pid = self.ready.pop_front()?;
                *left -= 1;
                Some(pid)
            }
        }
    }

    /// A step was stopped by the watchdog. Its thread keeps the program; the process ends.
    fn step_stuck(&mut self, pid: Pid, held: Duration) {
        self.with(pid, |core, process| {
            process.stepping = false;
            core.end(
                process,
                kernel_types::ExitStatus::Faulted(format!("a step did not return within {held:?}")),
            );
        });
    }

    fn keep_abort(&mut self, key: CallKey, abort: tokio::task::AbortHandle) {
        let process = self.processes.get_mut(&key.pid);
        if key.seq.is_ping() {
            match process
                .filter(|process| process.is_pinging(key))
                .and_then(|process| process.pinging.as_mut())
            {
                Some(pinging) => pinging.abort = Some(abort),
                None => abort.abort(),
            }
            return;
        }
        let running = process
            .filter(|process| process.pending_index(key.step, key.seq).is_some())
            .and_then(|process| process.running.get_mut(&key.seq));
        match running {
            Some(running) => running.abort = Some(abort),
            // It was cancelled between the commit and here.
            None => abort.abort(),
        }
    }

    fn wants_poll(&self) -> bool {
        self.mode != Mode::Paused
            && self.in_flight.polls == 0
            && self.fatal.is_none()
            && self.last_poll.elapsed() >= self.parts.limits.poll
    }

    /// Ends the run if it has come to where it should.
    fn end_run(&mut self) {
        if self.waiter.is_none() || self.busy() {
            return;
        }
        let over = match self.mode {
            Mode::Paused => !self.leaving || self.is_closed(),
            Mode::Steps(0) => {
                if self.waits_for_limits() {
                    return;
                }
                self.mode = Mode::Paused;
                for pid in self.ready.clone() {
                    self.with(pid, |core, process| core.settle(process));
                }
                !self.busy()
            }
            Mode::Idle | Mode::Steps(_) => {
                self.ready.is_empty() && !self.waits_for_time() && !self.waits_for_limits()
            }
        };
        if over && let Some(waiter) = self.waiter.take() {
            self.mode = Mode::Paused;
            // The runner may have gone away: then nobody wants to know.
            drop(waiter.send(Ok(self.steps)));
        }
    }

    /// There is something to do at once.
    fn has_work(&self) -> bool {
        let may_step = !matches!(self.mode, Mode::Paused | Mode::Steps(0)) && self.fatal.is_none();
        let may_commit = self.fatal.is_none();
        (may_step && !self.ready.is_empty())
            || (may_commit && !self.commits.is_empty())
            || !self.starts.is_empty()
            || !self.supplied.is_empty()
            || !self.loads.is_empty()
            || !self.reloads.is_empty()
    }

    /// How long to wait for news.
    fn pause(&mut self, is_rung: &dyn Fn() -> bool) -> Duration {
        let news = if self.mode == Mode::Paused { Duration::from_secs(3600) } else { self.parts.limits.poll };
        let (now, wall) = (self.micros(), self.now());
        let retries = self.retries.iter().map(|batch| batch.next_try);
        // What is not looked at any more brings nothing: its time may have passed long ago.
        let (sends, ticks) = (self.may_send(), !self.closed && self.fatal.is_none());
        let gates = self.slots.iter().filter_map(|slots| slots.gate.until).chain(self.ledger.next());
        let gates = gates.filter(|_| sends).chain(self.next_clock());
        let soon = retries.chain(gates).min();
        let soon = soon.into_iter().chain(self.next_alarm().filter(|_| ticks)).min();
        let soon = soon.map(|at| Duration::from_micros(at.since(now).0));
        let next = self.next_timer().filter(|_| ticks).into_iter().chain(self.next_ping()).min();
        let timer = next.map(|at| Duration::from(at.since(wall)));
        let Some(wait) = soon.into_iter().chain(timer).min() else { return news };
        self.parts.clock.wait(wait, &|| self.is_idle() && !is_rung()).min(news)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it panics")]
mod tests {
    use kernel_llm::{Canned, FnCpu, model_info};
    use kernel_sched::Micros;
    use kernel_types::WaitCause;

    use super::*;
    use crate::Kernel;

    /// A gate whose time has passed is looked at by nobody once the kernel has failed or shuts down.
    #[tokio::test]
    async fn a_kernel_that_sends_nothing_does_not_wait_for_gates() {
        let cpu = FnCpu::new(model_info("m"), |_| Ok(Canned::text("Yes.")));
        let kernel = Kernel::builder().cpu(cpu).build().await.unwrap();
        let mut core = kernel.shared.core.lock();
        core.slots[0].gate.hold(WaitCause::RetryAfter, Some(Micros(0)), Micros(0));
        assert_eq!(core.pause(&|| false), Duration::ZERO, "control");
        core.leaving = true;
        assert!(core.pause(&|| false) > Duration::from_secs(1));
        core.leaving = false;
        core.set_timer(kernel_types::Timestamp(0), Pid::INIT, kernel_types::StepNo(1), kernel_types::Seq(0));
        core.ledger.freed = true;
        core.supplied.push(CallKey {
            pid: Pid::INIT,
            step: kernel_types::StepNo(1),
            seq: kernel_types::Seq(0),
        });
        core.fail(KernelError::Build("a test".to_owned()));
        core.start_supplied();
        assert!(core.pause(&|| false) > Duration::from_secs(1));
        assert!(!core.has_work(), "and nothing is left to do");
    }
}
