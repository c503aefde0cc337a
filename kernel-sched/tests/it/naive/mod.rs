//! The fair policy from its rules, without any of its code: lists that are searched from end to end, in wide integers.

mod level;

use kernel_sched::{Charge, Demand, Entry, Grant, Micros, SchedError, Scheduler, Slot, Standing, Weight};
use kernel_types::{Pid, Tokens};

use self::level::Level;

fn cost(uncached: Tokens, cached: Tokens, output: Tokens) -> i128 {
    let cost = 10 * i128::from(uncached.0) + i128::from(cached.0) + 20 * i128::from(output.0);
    cost.clamp(10, 1 << 27)
}

fn of_demand(demand: &Demand) -> i128 {
    let cached = demand.cached.min(demand.input);
    cost(Tokens(demand.input.0 - cached.0), cached, demand.output)
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    Waiting { since: Micros, demand: Demand, order: u64 },
    Holding { since: Micros, slot: u32, of_tenant: i128, of_family: i128 },
}

#[derive(Clone, Debug)]
struct Process {
    pid: Pid,
    family: Pid,
    tenant: u64,
    level: u8,
    state: State,
}

/// Tenants share by weight, the families of a tenant share what it is due, the processes of a family go by urgency.
#[derive(Clone, Debug)]
pub(crate) struct Naive {
    slack: i128,
    slice: Micros,
    patience: Micros,
    weights: Vec<(u64, Weight)>,
    latest: Micros,
    slots: i128,
    processes: Vec<Process>,
    top: Level<u64>,
    tenants: Vec<(u64, Level<Pid>)>,
    /// Slot, who ran last on it, for how long.
    turns: Vec<(u32, Pid, u64)>,
    orders: u64,
    /// Families without processes, their tenants, and until when they owe something.
    left: Vec<(Pid, u64, i128)>,
}

impl Naive {
    pub(crate) fn new(slack: u64, slice: Micros, patience: Micros, weights: Vec<(u64, Weight)>) -> Self {
        let slack = 10 * i128::from(slack);
        Self {
            slack,
            slice,
            patience,
            weights,
            latest: Micros(0),
            slots: 1,
            processes: Vec::new(),
            top: Level::new(1, slack),
            tenants: Vec::new(),
            turns: Vec::new(),
            orders: 0,
            left: Vec::new(),
        }
    }

    pub(crate) fn lag(&self, pid: Pid) -> Option<i64> {
        let process = self.process(pid).ok()?;
        Some(i64::try_from(self.tenant(process.tenant).lag(process.family)).unwrap())
    }

    fn check(&self, now: Micros) -> Result<(), SchedError> {
        let before = self.latest;
        if now < before { Err(SchedError::TimeWentBack { before, now }) } else { Ok(()) }
    }

    fn process(&self, pid: Pid) -> Result<&Process, SchedError> {
        self.processes.iter().find(|process| process.pid == pid).ok_or(SchedError::Unknown(pid))
    }

    fn process_mut(&mut self, pid: Pid) -> &mut Process {
        self.processes.iter_mut().find(|process| process.pid == pid).unwrap()
    }

    fn tenant(&self, tenant: u64) -> &Level<Pid> {
        &self.tenants.iter().find(|(known, _)| *known == tenant).unwrap().1
    }

    fn tenant_mut(&mut self, tenant: u64) -> &mut Level<Pid> {
        &mut self.tenants.iter_mut().find(|(known, _)| *known == tenant).unwrap().1
    }

    /// Of a family, who is next: the most urgent, then who waits longest.
    fn head(&self, family: Pid) -> Option<(&Process, Micros, Demand)> {
        let of_family = self.processes.iter().filter(|process| process.family == family);
        let waiting = of_family.filter_map(|process| match process.state {
            State::Waiting { since, demand, order } => Some((process.level, order, process, since, demand)),
            _ => None,
        });
        let (_, _, process, since, demand) = waiting.min_by_key(|(level, order, ..)| (*level, *order))?;
        Some((process, since, demand))
    }

    /// Tells both levels what a family wants now.
    fn want(&mut self, family: Pid, tenant: u64) {
        let cost = self.head(family).map(|(_, _, demand)| of_demand(&demand));
        match cost {
            Some(cost) => self.tenant_mut(tenant).ask(family, cost),
            None => self.tenant_mut(tenant).unask(family),
        }
        match self.tenant(tenant).first() {
            Some(_) => self.top.ask(tenant, cost.unwrap_or(0)),
            None => self.top.unask(tenant),
        }
    }

    /// How many slots a family and its tenant can use.
    fn recount(&mut self, family: Pid, tenant: u64) {
        let of_family = self.count(|process| process.family == family);
        let of_tenant = self.count(|process| process.tenant == tenant);
        self.tenant_mut(tenant).reshare(family, None, Some(of_family));
        self.top.reshare(tenant, None, Some(of_tenant));
    }

    fn count(&self, of: impl Fn(&Process) -> bool) -> i128 {
        (self.processes.iter().filter(|process| of(process)).count() as i128).min(self.slots)
    }

    fn set_slots(&mut self, slots: u32) {
        if self.slots == i128::from(slots) {
            return;
        }
        self.slots = i128::from(slots);
        let before = self.clone();
        self.top.set_slots(self.slots, |tenant| before.count(|process| process.tenant == tenant));
        for (_, level) in &mut self.tenants {
            level.set_slots(self.slots, |family| before.count(|process| process.family == family));
        }
    }

    /// Who waits and may spend slack: its place among those.
    fn ahead(&self, pid: Pid) -> Option<(i128, i128, u64, Pid)> {
        let process = self.process(pid).ok()?;
        let State::Waiting { order, .. } = process.state else { return None };
        let level = self.tenant(process.tenant);
        let (head, _, _) = self.head(process.family)?;
        let may =
            process.level <= head.level && self.top.may_go(process.tenant) && level.may_go(process.family);
        may.then(|| (self.top.deadline(process.tenant), level.deadline(process.family), order, pid))
    }

    fn warm(&self, slot: &Slot<'_>, now: Micros) -> Option<Pid> {
        let over = |pid: Pid| {
            let mut turns = self.turns.iter();
            turns.any(|(number, last, used)| (*number, *last) == (slot.number, pid) && *used >= self.slice.0)
        };
        let late = |pid: Pid| {
            let head = self.process(pid).ok().and_then(|process| self.head(process.family));
            head.is_some_and(|(head, since, _)| head.pid != pid && now.0 - since.0 > self.slice.0)
        };
        let may = slot.warm.iter().filter(|pid| !over(**pid) && !late(**pid));
        may.filter_map(|pid| self.ahead(*pid)).min().map(|(_, _, _, pid)| pid)
    }

    fn overdue(&self, now: Micros) -> Option<Pid> {
        let waiting = self.processes.iter().filter_map(|process| match process.state {
            State::Waiting { order, since, .. } => Some((order, since, process.pid)),
            _ => None,
        });
        let (_, since, pid) = waiting.min()?;
        (now.0 - since.0 > self.patience.0).then(|| self.ahead(pid)).flatten().map(|(_, _, _, pid)| pid)
    }

    fn cold(&mut self) -> Option<Pid> {
        let tenant = self.top.next()?;
        let family = self.tenant_mut(tenant).next()?;
        self.head(family).map(|(process, _, _)| process.pid)
    }

    fn grant(&mut self, pid: Pid, slot: u32, now: Micros) -> Option<Grant> {
        let process = self.process(pid).ok()?;
        let (family, tenant) = (process.family, process.tenant);
        let State::Waiting { since, demand, .. } = process.state else { return None };
        let of_tenant = self.top.start(tenant, of_demand(&demand));
        let of_family = self.tenant_mut(tenant).start(family, of_demand(&demand));
        self.process_mut(pid).state = State::Holding { since: now, slot, of_tenant, of_family };
        let slice = self.slice.0;
        let goes_on = |turn: &(u32, Pid, u64)| turn.0 == slot && turn.1 == pid && turn.2 < slice;
        if !self.turns.iter().any(goes_on) {
            self.turns.retain(|turn| turn.0 != slot);
            self.turns.push((slot, pid, 0));
        }
        self.want(family, tenant);
        Some(Grant { pid, demand, waited: Micros(now.0 - since.0) })
    }

    fn release(&mut self, pid: Pid, charge: Option<i128>) {
        let process = self.process_mut(pid);
        let (family, tenant) = (process.family, process.tenant);
        let state = std::mem::replace(&mut process.state, State::Idle);
        if let State::Holding { of_tenant, of_family, .. } = state {
            self.tenant_mut(tenant).end(family, of_family, charge);
            self.top.end(tenant, of_tenant, charge);
        }
        if !matches!(state, State::Idle) {
            self.want(family, tenant);
        }
    }
}

impl Scheduler for Naive {
    fn name(&self) -> &'static str {
        "naive"
    }

    fn admit(&mut self, entry: Entry, now: Micros) -> Result<(), SchedError> {
        self.check(now)?;
        self.latest = now;
        let level = entry.priority.value();
        if let Ok(known) = self.process(entry.pid) {
            let (family, tenant, waits) =
                (known.family, known.tenant, matches!(known.state, State::Waiting { .. }));
            self.process_mut(entry.pid).level = level;
            self.tenant_mut(tenant).reshare(family, Some(Weight::of(entry.share).units()), None);
            if waits {
                self.want(family, tenant);
            }
            return Ok(());
        }
        let relative = self.processes.iter().find(|process| process.family == entry.family);
        let (mut first, mut tenant) =
            (relative.is_none(), relative.map_or(entry.tenant, |process| process.tenant));
        if let Some(at) = self.left.iter().position(|(family, ..)| *family == entry.family) {
            let (family, of, until) = self.left.remove(at);
            if self.tenant(of).is_past(until) {
                self.tenant_mut(of).remove(family);
            } else {
                (first, tenant) = (false, of);
            }
        }
        if !self.tenants.iter().any(|(known, _)| *known == tenant) {
            let weight = self.weights.iter().find(|(known, _)| *known == tenant);
            self.top.add(tenant, weight.map_or(1024, |(_, weight)| weight.units()));
            self.tenants.push((tenant, Level::new(self.slots, self.slack)));
        }
        let weight = Weight::of(entry.share).units();
        if first {
            self.tenant_mut(tenant).add(entry.family, weight);
        }
        let family = entry.family;
        self.processes.push(Process { pid: entry.pid, family, tenant, level, state: State::Idle });
        self.recount(family, tenant);
        self.tenant_mut(tenant).reshare(family, Some(weight), None);
        Ok(())
    }

    fn request(&mut self, pid: Pid, demand: Demand, now: Micros) -> Result<(), SchedError> {
        self.check(now)?;
        if !matches!(self.process(pid)?.state, State::Idle) {
            return Err(SchedError::AlreadyAsked(pid));
        }
        self.latest = now;
        self.orders += 1;
        let order = self.orders;
        let process = self.process_mut(pid);
        process.state = State::Waiting { since: now, demand, order };
        let (family, tenant) = (process.family, process.tenant);
        self.want(family, tenant);
        Ok(())
    }

    fn next(&mut self, slot: &Slot<'_>, now: Micros) -> Option<Grant> {
        self.latest = self.latest.max(now);
        let now = self.latest;
        self.set_slots(slot.of);
        let cold = self.cold()?;
        let pid = self.overdue(now).or_else(|| self.warm(slot, now)).unwrap_or(cold);
        self.grant(pid, slot.number, now)
    }

    fn take(&mut self, pid: Pid, slot: &Slot<'_>, now: Micros) -> Option<Grant> {
        self.latest = self.latest.max(now);
        self.set_slots(slot.of);
        self.grant(pid, slot.number, self.latest)
    }

    fn settle(&mut self, pid: Pid, charge: Charge, now: Micros) -> Result<(), SchedError> {
        self.check(now)?;
        let State::Holding { slot, .. } = self.process(pid)?.state else {
            return Err(SchedError::NoGrant(pid));
        };
        self.latest = now;
        for turn in self.turns.iter_mut().filter(|turn| (turn.0, turn.1) == (slot, pid)) {
            turn.2 = turn.2.saturating_add(charge.held.0);
        }
        self.release(pid, Some(cost(charge.uncached, charge.cached, charge.output)));
        Ok(())
    }

    fn give_back(&mut self, pid: Pid, now: Micros) -> Result<(), SchedError> {
        self.check(now)?;
        if !matches!(self.process(pid)?.state, State::Holding { .. }) {
            return Err(SchedError::NoGrant(pid));
        }
        self.latest = now;
        self.release(pid, None);
        Ok(())
    }

    fn withdraw(&mut self, pid: Pid, leave: bool, now: Micros) -> Result<bool, SchedError> {
        self.check(now)?;
        let process = self.process(pid)?;
        let waited = matches!(process.state, State::Waiting { .. });
        let (family, tenant) = (process.family, process.tenant);
        self.latest = now;
        if waited || leave {
            self.release(pid, None);
        }
        if !leave {
            return Ok(waited);
        }
        self.processes.retain(|process| process.pid != pid);
        self.recount(family, tenant);
        if self.processes.iter().any(|process| process.family == family) {
            return Ok(waited);
        }
        match self.tenant(tenant).owes_until(family) {
            Some(until) => self.left.push((family, tenant, until)),
            None => self.tenant_mut(tenant).remove(family),
        }
        Ok(waited)
    }

    fn standing(&self, pid: Pid) -> Option<Standing> {
        Some(match self.process(pid).ok()?.state {
            State::Idle => Standing::Idle,
            State::Waiting { since, .. } => Standing::Waiting(since),
            State::Holding { since, .. } => Standing::Holding(since),
        })
    }
}
