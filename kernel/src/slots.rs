//! The slots of a Cpu: who asks the scheduler for one, who is given one, who gives it back; and the Cpu's own limits, within
//! which calls are started.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kernel_sched::{
    Admission, CallEnd, Charge, CpuLimits, Demand, Entry, Governor, HeldBy, Micros, Scheduler, Slot, Started,
};
use kernel_types::{ErrorKind, Pid, Priority, Seq, SysError, Timestamp, WaitCause};

use crate::core::Core;
use crate::ledger::tenant_number;
use crate::process::{Process, Running};
use crate::waits::{Gate, cause_of};

/// For so many contexts a slot, a Cpu's cache is taken to have room.
const CONTEXTS: usize = 4;

/// Who is more urgent than this has one slot of each Cpu with more than one, as soon as one is free. What a provider's limits
/// allow goes first come, first served: the urgent too wait for the one call that was chosen before them.
const URGENT: Priority = match Priority::new(10) {
    Some(priority) => priority,
    None => unreachable!(),
};

/// Who was granted a slot that the Cpu's limits do not let it use yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) pid: Pid,
    number: u32,
}

/// Urgent requests in order.
#[derive(Debug, Default)]
struct Urgent {
    order: BTreeMap<u64, Pid>,
    numbers: BTreeMap<Pid, u64>,
    last: u64,
}

impl Urgent {
    fn push(&mut self, pid: Pid) {
        self.remove(pid);
        self.last += 1;
        self.order.insert(self.last, pid);
        self.numbers.insert(pid, self.last);
    }

    fn remove(&mut self, pid: Pid) {
        if let Some(number) = self.numbers.remove(&pid) {
            self.order.remove(&number);
        }
    }

    fn first(&self) -> Option<Pid> {
        self.order.first_key_value().map(|(_, pid)| *pid)
    }

    fn contains(&self, pid: Pid) -> bool {
        self.numbers.contains_key(&pid)
    }
}

/// A Cpu's slots and who gets them.
pub(crate) struct Slots {
    pub(crate) scheduler: Box<dyn Scheduler>,
    /// The numbers of the free ones.
    pub(crate) free: Vec<u32>,
    pub(crate) of: u32,
    /// Who asked the scheduler for a slot and was not granted one.
    pub(crate) wanting: BTreeSet<Pid>,
    /// The urgent among them, in the order of their requests.
    urgent: Urgent,
    /// Slots that urgent processes hold.
    urgent_held: BTreeSet<Pid>,
    /// Whose slot is lent to a ping, and which.
    pub(crate) pinging: BTreeMap<Pid, u32>,
    /// Who was answered last, and until when the Cpu has their prompts; the latest at the end. A provider's cache is behind all of
    /// its slots.
    warm: VecDeque<(Pid, Timestamp)>,
    /// What the Cpu takes.
    pub(crate) governor: Governor,
    pub(crate) head: Option<Head>,
    pub(crate) gate: Gate,
    /// What the Cpu failed with last.
    pub(crate) last_error: Option<String>,
    /// Since when it fails, whoever asks.
    pub(crate) failing_since: Option<Micros>,
}

impl Slots {
    pub(crate) fn new(scheduler: Box<dyn Scheduler>, of: u32, limits: CpuLimits) -> Self {
        let of = of.max(1);
        Self {
            scheduler,
            free: (0..of).rev().collect(),
            of,
            wanting: BTreeSet::new(),
            urgent: Urgent::default(),
            urgent_held: BTreeSet::new(),
            pinging: BTreeMap::new(),
            warm: VecDeque::new(),
            governor: Governor::new(limits, of).expect("the builder checked the limits"),
            head: None,
            gate: Gate::default(),
            last_error: None,
            failing_since: None,
        }
    }

    /// Lends a free slot to a ping, if there is one.
    pub(crate) fn lend(&mut self, pid: Pid) -> bool {
        let Some(slot) = self.free.pop() else { return false };
        self.pinging.insert(pid, slot);
        true
    }

    /// Takes back what was lent to a ping.
    pub(crate) fn take_back(&mut self, pid: Pid) {
        self.free.extend(self.pinging.remove(&pid));
    }

    /// A process was answered, by a call or a ping.
    pub(crate) fn answered(&mut self, pid: Pid, until: Timestamp) {
        self.warm.retain(|(other, _)| *other != pid);
        if self.warm.len() >= CONTEXTS * self.of as usize {
            self.warm.pop_front();
        }
        self.warm.push_back((pid, until));
    }

    /// Who wants a slot and is still in the cache.
    fn warm(&self, now: Timestamp) -> Vec<Pid> {
        let warm = self.warm.iter().filter(|(pid, until)| *until > now && self.wanting.contains(pid));
        warm.map(|(pid, _)| *pid).collect()
    }

    /// A slot is there, or will be when the Cpu takes more.
    pub(crate) fn waits_for_limits(&self) -> bool {
        self.gate.until.is_some() && (self.head.is_some() || !self.wanting.is_empty())
    }

    /// A call has ended, and says how the Cpu is doing.
    pub(crate) fn ended(&mut self, call: Started, end: CallEnd, now: Micros) {
        let served = matches!(end, CallEnd::Served { .. });
        if matches!(end, CallEnd::Failed { .. }) {
            self.failing_since.get_or_insert(now);
        }
        self.governor.end(call, end, now);
        let broken = matches!(
            self.governor.open(now),
            Admission::At(_, HeldBy::Breaker) | Admission::AfterAnother(HeldBy::Breaker)
        );
        // One that was sent before the others failed proves nothing.
        if served && !broken {
            self.failing_since = None;
        }
    }

    /// It failed too often: calls wait until it works again.
    pub(crate) fn is_broken(&self) -> bool {
        self.gate.cause() == Some(WaitCause::Breaker)
    }

    /// It failed, or asked for a pause: nobody knows when it takes calls again.
    pub(crate) fn is_down(&self) -> bool {
        matches!(self.gate.cause(), Some(WaitCause::Breaker | WaitCause::RetryAfter))
    }

    fn unwant(&mut self, pid: Pid) {
        self.wanting.remove(&pid);
        self.urgent.remove(pid);
    }

    fn hold(&mut self, admission: Admission, now: Micros) -> bool {
        match admission {
            Admission::Now => return false,
            Admission::At(at, why) => self.gate.hold(cause_of(why), Some(at), now),
            Admission::AfterAnother(why) => self.gate.hold(cause_of(why), None, now),
        }
        true
    }
}

impl Core {
    /// Asks for a slot of the model's Cpu, behind those who wait for the same rate.
    pub(crate) fn want_slot(&mut self, process: &mut Process, index: usize) {
        if !self.queues_up(process, index) {
            self.ask_for_slot(process, index);
        }
    }

    /// Asks the scheduler. A request that it refuses ends the call.
    pub(crate) fn ask_for_slot(&mut self, process: &mut Process, index: usize) {
        let seq = process.image.open[index].seq;
        let Some(ready) = process.prompts.get(&seq) else { return };
        let Some(cpu) = self.parts.models.get(&ready.view.model).map(|served| served.cpu) else { return };
        let (now, wants) = (self.micros(), self.entry(process));
        // The root too: its family lasts as long as it does.
        let root = self.processes.get(&process.image.family).filter(|root| root.image.exited.is_none());
        let root = root.map(|root| self.entry(root));
        let demand =
            Demand { input: ready.view.tokens, cached: ready.view.expected_cached, output: ready.max_output };
        let slots = &mut self.slots[cpu];
        let mut asked = Ok(());
        for entry in root.into_iter().chain([wants]) {
            if asked.is_ok() && slots.scheduler.standing(entry.pid).is_none() {
                asked = slots.scheduler.admit(entry, now);
            }
        }
        if let Err(error) = asked.and_then(|()| slots.scheduler.request(process.pid, demand, now)) {
            tracing::error!(%error, "scheduler refused a request");
            let error = SysError::new(ErrorKind::Failed, format!("infer: the scheduler refused it: {error}"));
            return self.finish(process, index, Err(error), crate::core::Spent::default());
        }
        slots.wanting.insert(process.pid);
        if process.image.priority < URGENT {
            slots.urgent.push(process.pid);
        }
        if let Some(running) = process.running.get_mut(&seq) {
            running.cpu = Some(cpu);
            running.waits.for_cpu(cpu, &slots.gate, now);
        }
        self.be_patient(process, index);
    }

    /// A call will start when its Cpu takes it.
    pub(crate) fn waits_for_limits(&self) -> bool {
        self.slots.iter().any(Slots::waits_for_limits) || self.ledger.is_waited_for()
    }

    /// Gives free slots to whom the schedulers choose, as far as the Cpus take calls. A choice that does not fit is taken back,
    /// never trusted.
    pub(crate) fn pump_slots(&mut self) {
        if !self.may_send() {
            return;
        }
        for cpu in 0..self.slots.len() {
            // Each one who waits starts or goes to wait elsewhere; a scheduler that grants whom it must not does not keep the thread.
            for _ in 0..self.slots[cpu].wanting.len() + 2 {
                if !self.pump(cpu) {
                    break;
                }
            }
        }
    }

    /// Starts the next call of a Cpu, if there is one and it may start.
    fn pump(&mut self, cpu: usize) -> bool {
        let now = self.micros();
        let slots = &mut self.slots[cpu];
        if slots.head.is_none() && slots.wanting.is_empty() {
            slots.gate.open(now);
            return false;
        }
        let open = slots.governor.open(now);
        if open == Admission::AfterAnother(HeldBy::Window) && slots.governor.window() >= u64::from(slots.of) {
            // It takes as many as it has slots: it is for a slot that others wait.
            slots.gate.open(now);
            self.lines_go_past(cpu);
            return false;
        }
        if slots.hold(open, now) {
            self.lines_go_past(cpu);
            return false;
        }
        if slots.head.is_none() && !self.choose(cpu) {
            self.lines_go_past(cpu);
            return false;
        }
        let Some(Head { pid, number }) = self.slots[cpu].head else { return false };
        let needs = self.processes.get(&pid).and_then(|process| process.needs(cpu));
        let slots = &mut self.slots[cpu];
        let admission = slots.governor.admits(needs.map_or(0, |(_, tokens)| tokens.0), now);
        if slots.hold(admission, now) {
            self.lines_go_past(cpu);
            return false;
        }
        let rated = needs.and_then(|(index, _)| {
            self.with(pid, |core, process| {
                let estimate = core.estimate(process, index);
                core.within_rates(process, index, estimate)
            })
        });
        let slots = &mut self.slots[cpu];
        match rated {
            Some(Err(Some(at))) => {
                slots.gate.hold(WaitCause::Rate, Some(at), now);
                self.lines_go_past(cpu);
                return false;
            }
            Some(Err(None)) => {
                slots.head = None;
                self.with(pid, |_, process| Self::leaves_cpu(process, cpu));
                return self.give_back(cpu, pid, number);
            }
            _ => {}
        }
        slots.gate.open(now);
        slots.head = None;
        let started = self.with(pid, |core, process| core.start_infer(process, cpu, number)).unwrap_or(false);
        if started {
            return true;
        }
        tracing::error!(%pid, "scheduler granted a slot to a process that wants none");
        self.give_back(cpu, pid, number)
    }

    /// A call that was chosen waits elsewhere.
    fn leaves_cpu(process: &mut Process, cpu: usize) {
        let waits = |running: &&mut Running| running.cpu == Some(cpu) && running.slot.is_none();
        if let Some(running) = process.running.values_mut().find(waits) {
            running.cpu = None;
        }
    }

    /// Lets the scheduler choose who is next, if a slot is free.
    fn choose(&mut self, cpu: usize) -> bool {
        if self.slots[cpu].free.is_empty() && !self.make_way(cpu) {
            let now = self.micros();
            self.slots[cpu].gate.open(now);
            return false;
        }
        let (now, wall) = (self.micros(), self.now());
        let slots = &mut self.slots[cpu];
        let Some(number) = slots.free.last().copied() else { return false };
        let warm = slots.warm(wall);
        let offered = Slot { number, of: slots.of, warm: &warm };
        let reserved = slots.urgent.first().filter(|_| slots.of > 1 && slots.urgent_held.is_empty());
        let taken = reserved.and_then(|pid| slots.scheduler.take(pid, &offered, now));
        let Some(grant) = taken.or_else(|| slots.scheduler.next(&offered, now)) else {
            slots.gate.open(now);
            return false;
        };
        if slots.urgent.contains(grant.pid) {
            slots.urgent_held.insert(grant.pid);
        }
        slots.unwant(grant.pid);
        slots.free.retain(|free| *free != number);
        slots.head = Some(Head { pid: grant.pid, number });
        true
    }

    /// Ends what the scheduler takes for a held slot, uncharged. Says whether the scheduler agrees.
    fn give_back(&mut self, cpu: usize, pid: Pid, number: u32) -> bool {
        let now = self.micros();
        let slots = &mut self.slots[cpu];
        slots.free.push(number);
        slots.urgent_held.remove(&pid);
        let settled = slots.scheduler.give_back(pid, now);
        if let Err(error) = &settled {
            tracing::error!(%error, "scheduler lost a process");
        }
        settled.is_ok()
    }

    /// A process was answered: its prompt is in the Cpu's cache for as long as that keeps one.
    pub(crate) fn keep_slot_warm(&mut self, process: &Process, seq: Seq) {
        let Some(ready) = process.prompts.get(&seq) else { return };
        let Some(served) = self.parts.models.get(&ready.view.model) else { return };
        let cache = served.info.cache.kept(ready.view.retention);
        if cache.cacheable(ready.view.tokens).0 == 0 {
            return;
        }
        let until = Timestamp(ready.sent.at.0.saturating_add(cache.ttl_s.saturating_mul(1000)));
        let cpu = served.cpu;
        self.slots[cpu].answered(process.pid, until);
    }

    /// Takes a request back, or ends a slot that was held; what became of the call says how the Cpu is doing.
    pub(crate) fn leave_slot(&mut self, process: &mut Process, seq: Seq, charge: Charge, end: CallEnd) {
        let (now, pid) = (self.micros(), process.pid);
        self.frees_line(process, seq);
        let Some(running) = process.running.get_mut(&seq) else { return };
        let Some(cpu) = running.cpu.take() else { return };
        let slots = &mut self.slots[cpu];
        if let Some(started) = running.governed.take() {
            slots.ended(started, end, now);
        }
        let left = match running.slot.take() {
            Some(number) => {
                slots.free.push(number);
                slots.urgent_held.remove(&pid);
                slots.scheduler.settle(pid, charge, now)
            }
            None if slots.head.is_some_and(|head| head.pid == pid) => {
                if let Some(head) = slots.head.take() {
                    self.give_back(cpu, pid, head.number);
                }
                return;
            }
            None => {
                slots.unwant(pid);
                slots.scheduler.withdraw(pid, false, now).map(|_| ())
            }
        };
        if let Err(error) = left {
            tracing::error!(%error, "scheduler lost a process");
        }
    }

    /// Tells the schedulers that know a process how urgent it is now, and its family if it is the root of one.
    pub(crate) fn reprioritise(&mut self, process: &mut Process) {
        let now = self.micros();
        let mut entries = Vec::new();
        if process.image.family == process.pid {
            let share = process.image.priority;
            process.image.share = share;
            for pid in self.families.get(&process.pid).into_iter().flatten() {
                if let Some(other) = self.processes.get_mut(pid) {
                    other.image.share = share;
                }
            }
            entries.extend(self.members(process.pid).map(|member| self.entry(member)));
        }
        entries.push(self.entry(process));
        let urgent = process.image.priority < URGENT;
        for slots in &mut self.slots {
            if slots.wanting.contains(&process.pid) && urgent != slots.urgent.contains(process.pid) {
                slots.urgent.remove(process.pid);
                if urgent {
                    slots.urgent.push(process.pid);
                }
            }
            for entry in &entries {
                if slots.scheduler.standing(entry.pid).is_some()
                    && let Err(error) = slots.scheduler.admit(*entry, now)
                {
                    tracing::error!(%error, "scheduler refused a priority");
                }
            }
        }
    }

    /// Tells the schedulers how urgent a family is now, by way of any one of its members that they know.
    pub(crate) fn readmit(&mut self, family: Pid) {
        let now = self.micros();
        let entries: Vec<Entry> = self.members(family).map(|member| self.entry(member)).collect();
        for slots in &mut self.slots {
            let known = entries.iter().find(|entry| slots.scheduler.standing(entry.pid).is_some());
            if let Some(entry) = known
                && let Err(error) = slots.scheduler.admit(*entry, now)
            {
                tracing::error!(%error, "scheduler refused a family");
            }
        }
    }

    /// The processes of a family that are in the table, by pid.
    fn members(&self, family: Pid) -> impl Iterator<Item = &Process> {
        let pids = self.families.get(&family).into_iter().flatten();
        pids.filter_map(|pid| self.processes.get(pid).map(|process| &**process))
    }

    /// The schedulers need not know of a process any more.
    pub(crate) fn forget_slots(&mut self, pid: Pid) {
        let now = self.micros();
        for slots in &mut self.slots {
            slots.warm.retain(|(other, _)| *other != pid);
            if slots.scheduler.standing(pid).is_some()
                && let Err(error) = slots.scheduler.withdraw(pid, true, now)
            {
                tracing::error!(%error, "scheduler lost a process");
            }
        }
    }
}

impl Core {
    /// A process as a scheduler is told of it: as urgent as itself, or as those who wait for a lock it holds.
    fn entry(&self, process: &Process) -> Entry {
        let image = &process.image;
        let priority = process.lent.map_or(image.priority, |lent| lent.min(image.priority));
        let lent = self.lent.get(&image.family).and_then(|members| members.values().min());
        let share = lent.map_or(image.share, |lent| image.share.min(*lent));
        let own = Entry { share, ..Entry::new(process.pid).urgent(priority) };
        own.below(image.family, share).of_tenant(tenant_number(&image.tenant))
    }
}
