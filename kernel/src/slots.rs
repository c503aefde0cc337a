//! The slots of a Cpu: who asks the scheduler for one, who is given one, who gives it back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kernel_sched::{Charge, Demand, Entry, Scheduler, Slot};
use kernel_types::{Pid, Seq, Timestamp};

use crate::core::Core;
use crate::process::Process;

/// For so many contexts a slot, a Cpu's cache is taken to have room.
const CONTEXTS: usize = 4;

/// A Cpu's slots and who gets them.
pub(crate) struct Slots {
    pub(crate) scheduler: Box<dyn Scheduler>,
    /// The numbers of the free ones.
    pub(crate) free: Vec<u32>,
    of: u32,
    /// Who asked the scheduler for a slot and was not granted one.
    pub(crate) wanting: BTreeSet<Pid>,
    /// Whose slot is lent to a ping, and which.
    pub(crate) pinging: BTreeMap<Pid, u32>,
    /// Who was answered last, and until when the Cpu has their prompts; the latest at the end. A provider's cache is behind all of
    /// its slots.
    warm: VecDeque<(Pid, Timestamp)>,
}

impl Slots {
    pub(crate) fn new(scheduler: Box<dyn Scheduler>, of: u32) -> Self {
        let of = of.max(1);
        Self {
            scheduler,
            free: (0..of).rev().collect(),
            of,
            wanting: BTreeSet::new(),
            pinging: BTreeMap::new(),
            warm: VecDeque::new(),
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
}

impl Core {
    /// Asks for a slot of the model's Cpu.
    pub(crate) fn want_slot(&mut self, process: &Process, seq: Seq) -> Option<usize> {
        let ready = process.prompts.get(&seq)?;
        let cpu = self.parts.models.get(&ready.view.model)?.cpu;
        let (now, wants) = (self.micros(), entry(process));
        // The root too: its family lasts as long as it does.
        let root = self.processes.get(&process.image.family).filter(|root| root.image.exited.is_none());
        let root = root.map(|root| entry(root));
        let demand =
            Demand { input: ready.view.tokens, cached: ready.view.expected_cached, output: ready.max_output };
        let scheduler = &mut self.slots[cpu].scheduler;
        for entry in root.into_iter().chain([wants]) {
            if scheduler.standing(entry.pid).is_none()
                && let Err(error) = scheduler.admit(entry, now)
            {
                tracing::error!(%error, "scheduler refused a process");
            }
        }
        if let Err(error) = scheduler.request(process.pid, demand, now) {
            tracing::error!(%error, "scheduler refused a request");
        }
        self.slots[cpu].wanting.insert(process.pid);
        Some(cpu)
    }

    /// Gives free slots to whom the schedulers choose. A choice that does not fit is taken back, never trusted.
    pub(crate) fn pump_slots(&mut self) {
        if self.fatal.is_some() {
            return;
        }
        for cpu in 0..self.slots.len() {
            while !self.slots[cpu].free.is_empty() || self.make_way(cpu) {
                let (now, wall) = (self.micros(), self.now());
                let slots = &mut self.slots[cpu];
                let Some(number) = slots.free.last().copied() else { break };
                let warm = slots.warm(wall);
                let offered = Slot { number, of: slots.of, warm: &warm };
                let Some(grant) = slots.scheduler.next(&offered, now) else { break };
                slots.wanting.remove(&grant.pid);
                let started = self
                    .with(grant.pid, |core, process| core.start_infer(process, cpu, number, grant.waited))
                    .unwrap_or(false);
                if started {
                    self.slots[cpu].free.retain(|free| *free != number);
                } else {
                    tracing::error!(pid = %grant.pid, "scheduler granted a slot to a process that wants none");
                    if self.slots[cpu].scheduler.settle(grant.pid, Charge::default(), now).is_err() {
                        break;
                    }
                }
            }
        }
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

    /// Takes a request back, or ends a slot that was held.
    pub(crate) fn leave_slot(&mut self, pid: Pid, cpu: usize, slot: Option<u32>, charge: Charge) {
        let now = self.micros();
        let slots = &mut self.slots[cpu];
        slots.wanting.remove(&pid);
        let left = match slot {
            Some(number) => {
                slots.free.push(number);
                slots.scheduler.settle(pid, charge, now)
            }
            None => slots.scheduler.withdraw(pid, false, now).map(|_| ()),
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
            for other in self.processes.values_mut().filter(|other| other.image.family == process.pid) {
                other.image.share = share;
                entries.push(entry(other));
            }
        }
        entries.push(entry(process));
        for slots in &mut self.slots {
            for entry in &entries {
                if slots.scheduler.standing(entry.pid).is_some()
                    && let Err(error) = slots.scheduler.admit(*entry, now)
                {
                    tracing::error!(%error, "scheduler refused a priority");
                }
            }
        }
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

/// A process as a scheduler is told of it.
fn entry(process: &Process) -> Entry {
    let image = &process.image;
    let own = Entry::new(process.pid).urgent(image.priority);
    if image.family == process.pid { own } else { own.below(image.family, image.share) }
}
