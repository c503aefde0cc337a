//! The kernel as its embedder holds it.

use std::sync::Arc;
use std::time::Duration;

use kernel_storage::{Store, Vectors};
use kernel_types::{
    AgentRow, Budget, ErrorKind, ExitStatus, Mail, MailBody, MailId, Pid, Priority, ProcessInfo,
    ProcessState, Reservation, Signal, Spec, SysError, Timestamp,
};
use tokio::sync::oneshot;

use crate::builder::KernelBuilder;
use crate::core::{Core, Mode};
use crate::engine::Shared;
use crate::error::KernelError;
use crate::fork::{Resumable, fork_under, restore_under};
use crate::ledger::{Account, tenant_number};
use crate::past::{Moment, moment};

/// How long a shutdown waits for the engine's thread.
const LET_GO: Duration = Duration::from_secs(5);

/// How far [`Kernel::run_until`] goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Until nothing is left that could go on by itself: all processes ended, are suspended, or wait for what only
    /// the outside can bring.
    Idle,
    /// At most so many more steps; calls in flight are waited for.
    Steps(u64),
}

/// An assembled kernel. Programs run while [`Kernel::run_until`] is awaited; all else may be called at any time.
///
/// Dropping a kernel stops it as a power cut would: what was acknowledged is in the store, what was in flight is reported
/// when a kernel on the same store resumes it. [`Kernel::shutdown`] waits for what is in flight.
pub struct Kernel {
    pub(crate) shared: Arc<Shared>,
}

impl Kernel {
    /// Starts assembling a kernel.
    #[must_use]
    pub fn builder() -> KernelBuilder {
        KernelBuilder::default()
    }

    /// Spawns a process under init. When this answers, the process is durable.
    ///
    /// # Errors
    /// [`KernelError::Refused`] for an unknown program or arguments it does not take, [`KernelError::Store`].
    pub async fn spawn(&self, spec: Spec) -> Result<Pid, KernelError> {
        let (sender, receiver) = oneshot::channel();
        self.shared.request(move |core| core.spawn_root(spec, sender))?;
        receiver.await.map_err(|_| KernelError::Stopped)?
    }

    /// Runs programs. Answers how many steps were made.
    ///
    /// # Errors
    /// [`KernelError::Store`] if the store failed for longer than `Limits::store_patience`; nothing acknowledged is lost.
    ///
    /// # Cancellation
    /// Dropping the future pauses the kernel after the step at hand.
    pub async fn run_until(&self, until: Until) -> Result<u64, KernelError> {
        let (sender, receiver) = oneshot::channel();
        let mode = match until {
            Until::Idle => Mode::Idle,
            Until::Steps(steps) => Mode::Steps(steps),
        };
        let run = self.shared.next_run();
        self.shared.request(move |core| core.begin_run(run, mode, sender))?;
        let guard = PauseOnDrop(&self.shared, run);
        let steps = receiver.await.map_err(|_| KernelError::Stopped)?;
        std::mem::forget(guard);
        steps
    }

    /// The processes this kernel runs, and the latest [`Limits::ended`](crate::Limits::ended) of those that it ran, by pid.
    ///
    /// # Errors
    /// [`KernelError::Busy`], [`KernelError::Stopped`].
    pub async fn status(&self) -> Result<Vec<ProcessInfo>, KernelError> {
        self.ask(Core::statuses).await
    }

    /// One process this kernel runs or ran. One that ended long ago is read from the store.
    ///
    /// # Errors
    /// [`KernelError::UnknownProcess`]; for one that ended long ago [`KernelError::Store`], [`KernelError::Damaged`].
    pub async fn process(&self, pid: Pid) -> Result<ProcessInfo, KernelError> {
        let (known, epoch) = self.ask(move |core| (core.info_of(pid), core.epoch)).await?;
        if let Some(info) = known {
            return Ok(info);
        }
        let row = self.shared.parts.store.agent(pid).await?;
        let row =
            row.filter(|row| row.exited && row.epoch == epoch).ok_or(KernelError::UnknownProcess(pid))?;
        Ok(crate::recover::image_of(&row)?.info(pid, row.parent))
    }

    /// How a process ended; `None` if it did not.
    ///
    /// # Errors
    /// As [`Kernel::process`].
    pub async fn exit_status(&self, pid: Pid) -> Result<Option<ExitStatus>, KernelError> {
        Ok(match self.process(pid).await?.state {
            ProcessState::Exited(status) => Some(status),
            _ => None,
        })
    }

    /// Posts a signal.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub async fn signal(&self, pid: Pid, signal: Signal) -> Result<(), KernelError> {
        self.post(pid, MailBody::Signal(signal)).await
    }

    /// Posts a message.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub async fn send(&self, pid: Pid, body: impl Into<String>) -> Result<(), KernelError> {
        self.post(pid, MailBody::Message(body.into())).await
    }

    /// Raises a process's limits by these amounts; one that is suspended by a limit goes on.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub async fn grant(&self, pid: Pid, more: Budget) -> Result<(), KernelError> {
        self.post(pid, MailBody::Grant(more)).await
    }

    /// Raises what a tenant may spend, or all processes together (`None`), until this kernel stops; those that its limits suspended
    /// go on.
    ///
    /// # Errors
    /// [`KernelError::Refused`] for a tenant without limits of its own.
    pub async fn grant_above(&self, tenant: Option<&str>, more: Budget) -> Result<(), KernelError> {
        let account = tenant.map_or(Account::System, |name| Account::Tenant(tenant_number(name)));
        let granted = self.ask(move |core| core.granted_above(account, &more)).await?;
        granted.map_err(|message| KernelError::Refused(SysError::new(ErrorKind::NotFound, message)))
    }

    /// What was spent so far by a tenant, or by all processes together (`None`); `None` for a tenant without limits of its own.
    ///
    /// # Errors
    /// [`KernelError::Busy`], [`KernelError::Stopped`].
    pub async fn spent(&self, tenant: Option<&str>) -> Result<Option<Reservation>, KernelError> {
        let account = tenant.map_or(Account::System, |name| Account::Tenant(tenant_number(name)));
        self.ask(move |core| core.ledger.quotas().spent(account)).await
    }

    /// Makes a process more or less urgent: `nice`.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub async fn set_priority(&self, pid: Pid, priority: Priority) -> Result<(), KernelError> {
        self.post(pid, MailBody::Priority(priority)).await
    }

    async fn post(&self, to: Pid, body: MailBody) -> Result<(), KernelError> {
        if body.is_message() {
            let limit = self.shared.parts.limits.mailbox;
            let full = move |core: &Core| {
                core.processes.get(&to).is_some_and(|process| process.mail_waiting() >= limit)
            };
            // The engine's thread needs not be woken twice for a message.
            let seen = self.shared.core.try_lock().map(|core| full(&core));
            let is_full = match seen {
                Some(is_full) => is_full,
                None => self.ask(move |core| full(core)).await?,
            };
            if is_full {
                let message = format!("the mailbox of {to} holds {limit} messages, its limit");
                return Err(KernelError::Refused(SysError::new(ErrorKind::Busy, message)));
            }
        }
        let mail = post_mail(&*self.shared.parts.store, to, body).await?;
        // It is durable: no full queue may turn it into an error. The poll would find it too.
        self.shared
            .tell(crate::engine::Message::Request(Box::new(move |core| core.deliver_all(vec![mail], false))));
        Ok(())
    }

    /// Takes a process and its descendants over from the store, from where they were.
    ///
    /// # Errors
    /// [`KernelError::UnknownProcess`]; [`KernelError::Refused`] if it has ended; [`KernelError::Damaged`] if its state was
    /// changed or belongs to another version.
    pub async fn resume(&self, pid: Pid) -> Result<Vec<Pid>, KernelError> {
        let row = self.shared.parts.store.agent(pid).await?.ok_or(KernelError::UnknownProcess(pid))?;
        if row.exited {
            return Err(KernelError::Refused(SysError::new(
                ErrorKind::NotFound,
                format!("process {pid} has ended"),
            )));
        }
        let live = self.live_rows().await?;
        let mut family = vec![pid];
        let mut at = 0;
        while at < family.len() {
            let children = live.iter().filter(|row| row.parent == family[at]).map(|row| row.pid);
            family.extend(children.collect::<Vec<_>>());
            at += 1;
        }
        self.take_over(live.into_iter().filter(|row| family.contains(&row.pid)).collect()).await
    }

    /// Takes all processes over that did not end.
    ///
    /// # Errors
    /// As [`Kernel::resume`]; the first that does not load stops the recovery.
    pub async fn recover(&self) -> Result<Vec<Pid>, KernelError> {
        let live = self.live_rows().await?;
        self.take_over(live).await
    }

    /// Makes a process that goes on from a moment of another, which may be running: see [`fork`](crate::fork()). It runs once it
    /// is resumed.
    ///
    /// # Errors
    /// As [`fork`](crate::fork()).
    pub async fn fork(&self, of: Pid, at: &Moment, name: Option<&str>) -> Result<Resumable, KernelError> {
        let epoch = self.ask(|core| core.epoch).await?;
        fork_under(&*self.shared.parts.store, epoch, of, at, name).await
    }

    /// Takes a process back to an earlier moment, see [`restore`](crate::restore()). This kernel lets go of it, and runs it once it is
    /// resumed.
    ///
    /// # Errors
    /// As [`restore`](crate::restore()). Then a process that it ran can be resumed from where it was.
    pub async fn restore(&self, pid: Pid, at: &Moment) -> Result<Resumable, KernelError> {
        moment(&*self.shared.parts.store, pid, at).await?;
        let (epoch, tenant) = self
            .ask(move |core| {
                let tenant = core.processes.get(&pid).map(|process| process.image.tenant.clone());
                core.drop_process(pid);
                (core.epoch, tenant)
            })
            .await?;
        let (back, lost) = restore_under(&*self.shared.parts.store, epoch, pid, at).await?;
        // What it had in flight is charged to it: to its tenant and the system as well.
        if let Some(tenant) = tenant {
            self.ask(move |core| core.ledger.lost_by(&tenant, lost)).await?;
        }
        Ok(back)
    }

    async fn live_rows(&self) -> Result<Vec<AgentRow>, KernelError> {
        let mut rows: Vec<AgentRow> = Vec::new();
        loop {
            let page = self.shared.parts.store.agents(rows.last().map(|row| row.pid), true, 1024).await?;
            if page.is_empty() {
                return Ok(rows);
            }
            rows.extend(page);
        }
    }

    async fn take_over(&self, rows: Vec<AgentRow>) -> Result<Vec<Pid>, KernelError> {
        let since = self.ask(|core| core.cursor).await?;
        let mut loaded = Vec::with_capacity(rows.len());
        for row in rows {
            loaded.push(crate::recover::load(&self.shared.parts, &self.shared.bodies, row).await?);
        }
        self.ask(move |core| {
            // What came between the reading of an inbox and now was passed over by the poll.
            core.cursor = core.cursor.min(since);
            core.adopt(loaded)
        })
        .await
    }

    /// The store, for reading.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.shared.parts.store)
    }

    /// Where its agents remember, if they can.
    #[must_use]
    pub fn memory(&self) -> Option<Arc<dyn Vectors>> {
        self.shared.parts.memory.clone()
    }

    /// Sends nothing more, waits until what was sent has ended and is durable, then stops and lets go of the parts: a store with a
    /// lock can be opened again after this. Calls that waited, for a slot, a rate, a pause or a resource, are noted as not sent: they
    /// cost nothing until they are.
    ///
    /// # Errors
    /// [`KernelError::Store`].
    pub async fn shutdown(self) -> Result<(), KernelError> {
        let (sender, receiver) = oneshot::channel();
        let run = self.shared.next_run();
        self.shared.request(move |core| {
            core.leaving = true;
            core.begin_run(run, Mode::Paused, sender);
        })?;
        let ended = receiver.await.map_err(|_| KernelError::Stopped)?;
        let parts = Arc::downgrade(&self.shared);
        drop(self);
        // The engine's thread ends at its next turn. One that code of others keeps is not waited for any longer.
        let patience = tokio::time::Instant::now() + LET_GO;
        while parts.strong_count() > 0 && tokio::time::Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        ended.map(drop)
    }

    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core) -> T + Send + 'static,
    ) -> Result<T, KernelError> {
        let (sender, receiver) = oneshot::channel();
        self.shared.request(move |core| {
            // The asker may have gone away.
            drop(sender.send(work(core)));
        })?;
        receiver.await.map_err(|_| KernelError::Stopped)
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let mut core = self.shared.core.lock();
        core.quit = true;
        let pids: Vec<Pid> = core.processes.keys().copied().collect();
        for pid in pids {
            core.with(pid, |core, process| core.abort_all(process));
        }
        core.processes.clear();
        drop(core);
        self.shared.ring();
    }
}

struct PauseOnDrop<'a>(&'a Shared, u64);

impl Drop for PauseOnDrop<'_> {
    fn drop(&mut self) {
        let mut core = self.0.core.lock();
        if core.run == self.1 {
            core.mode = Mode::Paused;
            core.pinging = false;
            core.waiter = None;
        }
    }
}

/// Posts mail from outside any process: what `agentos kill` does beside a running kernel.
///
/// # Errors
/// [`KernelError::Store`].
pub async fn post_mail(store: &dyn Store, to: Pid, body: MailBody) -> Result<Mail, KernelError> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let sent_at = Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    let mail = Mail { id: MailId { sender: Pid::fresh(), number: 1 }, to, body, sent_at };
    store.post(vec![mail.clone()]).await?;
    Ok(mail)
}

impl Core {
    fn spawn_root(&mut self, spec: Spec, waiter: oneshot::Sender<Result<Pid, KernelError>>) {
        match self.new_root(spec) {
            Ok(pid) => {
                self.births.insert(pid, waiter);
            }
            // Whoever asked may have gone away.
            Err(error) => drop(waiter.send(Err(error))),
        }
    }

    /// Makes a process under init; its first commit makes it durable.
    pub(crate) fn new_root(&mut self, spec: Spec) -> Result<Pid, KernelError> {
        if let Some(error) = &self.fatal {
            return Err(error.clone());
        }
        let pid = self.fresh_pid();
        let capabilities = spec.capabilities.clone().unwrap_or_else(|| self.parts.capabilities.clone());
        self.create(pid, None, spec, capabilities).map(|()| pid).map_err(|error| {
            KernelError::Refused(SysError::new(ErrorKind::InvalidArgument, error.to_string()))
        })
    }

    fn begin_run(&mut self, run: u64, mode: Mode, waiter: oneshot::Sender<Result<u64, KernelError>>) {
        if waiter.is_closed() {
            return;
        }
        if mode != Mode::Paused && self.waiter.as_ref().is_some_and(|waiter| !waiter.is_closed()) {
            let error = SysError::new(ErrorKind::Busy, "the kernel is being run already");
            drop(waiter.send(Err(KernelError::Refused(error))));
            return;
        }
        if let Some(error) = &self.fatal {
            drop(waiter.send(Err(error.clone())));
            return;
        }
        self.run = run;
        self.mode = mode;
        self.steps = 0;
        self.set_pinging(mode == Mode::Idle);
        self.waiter = Some(waiter);
        if mode == Mode::Paused {
            let pids: Vec<Pid> = self.processes.keys().copied().collect();
            for pid in pids {
                self.with(pid, |core, process| core.settle(process));
            }
        }
    }

    fn statuses(&mut self) -> Vec<ProcessInfo> {
        let running = self.processes.values().map(|process| self.info(process));
        let mut all: Vec<ProcessInfo> = running.chain(self.exited.values().cloned()).collect();
        all.sort_by_key(|info| info.pid);
        all
    }
}
