//! Fair shares with bounded unfairness: who is behind goes first, who is warm may go a little ahead.
//!
//! Two levels of [earliest eligible virtual deadline first](queue): tenants, and the families of a tenant. A family is a
//! process and all below it, so that nobody gains by splitting itself; within one the most urgent goes first, then who
//! waits longest. Shares follow the weights: ten levels of priority are twice the share.
//!
//! **Warm slots.** A process whose context is still in the free slot's cache saves most of its prefill. It goes first while
//! it is at most `L` (the slack) ahead of its due and not too far ahead of the furthest behind: at most `L + C`, `C` being the cost
//! of the dearest call of late, and less where few wait to choose from. A turn on one slot lasts a slice of use at most. `L` is the
//! one price of cache hits in fairness.
//!
//! **Patience.** Who has waited longer than that may spend slack too, before the warm: where more is asked for than the slots
//! give, the longest wait would otherwise be that of those who are a little ahead of their due.
//!
//! **Bounds**, in cost, reservations counted, where more families want slots than there are: nobody is ahead of its due by more
//! than `C + L`; two who both wait all the time differ by at most `(2C + L) / w`, `w` the smaller weight; nobody starves. Who is due
//! more than the slots it can use does not count: it goes first and has these, but for the end of a call now and then, and the
//! others share the rest. Who is due more than four fifths of a slot but not all of it makes up for a call that it had to wait for
//! with a fifth of a slot at most, and no slot stays free and no call is interrupted for the sake of a bound: beside such a one they
//! are `2C + L` and `(4C + L) / w`. Among `n` equals on `M` slots that serve a cost of `r` a second each, who asks has a slot within
//! `(n - 1) (2C + L) / (M r)` and one call if `L` is at most a quarter of `C`. Who spent more slack waits until all others have
//! caught up with that: `3C + 2L` for each.
//!
//! When a weight, the number of slots or who asks changes, what each is behind or ahead stays as many tokens, but who could not
//! have used more claims `C` at most. What [`Scheduler::take`] gives out of turn is charged, and outside these bounds until the
//! others had as much.
//!
//! Every operation takes O(log n) of the waiting.

mod classes;
mod dearest;
mod family;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use foldhash::{HashMap, HashMapExt};
use kernel_types::{Pid, Priority};

use crate::clock::Clock;
use crate::cost::Cost;
use crate::weight::Weight;
use crate::{Charge, Demand, Entry, Grant, Micros, SchedError, Scheduler, Slot, Standing};

use self::family::{Family, Tenant};
use self::queue::{Index, Queue};

/// The slack of a scheduler that is told none: 20,000 tokens of input.
const SLACK: Cost = Cost(200_000);
const SLICE: Micros = Micros(60_000_000);
/// As long as most providers keep a prefix: what waits for longer is cold anyway.
const PATIENCE: Micros = Micros(300_000_000);
/// Of so many tenants without processes it is remembered what they had.
const DESERTED: usize = 256;

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    Waiting { since: Micros, demand: Demand, order: u64 },
    Holding { since: Micros, slot: u32, reserved: (Cost, Cost) },
}

#[derive(Clone, Debug)]
struct Process {
    family: Pid,
    level: u8,
    /// Nothing while it is idle: most are, and theirs is all the memory there is of them.
    busy: Option<Box<State>>,
}

impl Process {
    fn state(&self) -> State {
        self.busy.as_deref().copied().unwrap_or(State::Idle)
    }

    fn set(&mut self, state: State) {
        match (state, &mut self.busy) {
            (State::Idle, busy) => *busy = None,
            (state, Some(busy)) => **busy = state,
            (state, busy) => *busy = Some(Box::new(state)),
        }
    }
}

/// Who ran last on a slot, and how long in a row.
#[derive(Clone, Copy, Debug)]
struct Turn {
    pid: Pid,
    used: Micros,
}

/// The fair scheduler.
///
/// ```
/// use kernel_sched::{Charge, Demand, Entry, Fair, Micros, Scheduler, Slot};
/// use kernel_types::{Pid, Tokens};
///
/// let (hungry, modest) = (Pid::fresh(), Pid::fresh());
/// let mut scheduler = Fair::new();
/// let mut now = Micros(0);
/// for pid in [hungry, modest] {
///     scheduler.admit(Entry::new(pid), now)?;
/// }
/// let mut served = [0, 0];
/// for _ in 0..300 {
///     for (pid, input) in [(hungry, 20_000), (modest, 1_000)] {
///         if scheduler.standing(pid) == Some(kernel_sched::Standing::Idle) {
///             scheduler.request(pid, Demand { input: Tokens(input), ..Demand::default() }, now)?;
///         }
///     }
///     let grant = scheduler.next(&Slot::default(), now).expect("both wait");
///     served[usize::from(grant.pid == modest)] += grant.demand.input.0;
///     now.0 += grant.demand.input.0;
///     scheduler.settle(grant.pid, Charge { uncached: grant.demand.input, ..Charge::default() }, now)?;
/// }
/// assert!(served[0].abs_diff(served[1]) <= 20_000, "tokens are shared, not calls: {served:?}");
/// # Ok::<(), kernel_sched::SchedError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Fair {
    slack: Cost,
    slice: Micros,
    patience: Micros,
    clock: Clock,
    processes: HashMap<Pid, Process>,
    /// Who waits, in the order of the requests.
    waiting: BTreeMap<u64, Pid>,
    families: HashMap<Pid, Family>,
    tenants: HashMap<u64, Tenant>,
    weights: HashMap<u64, Weight>,
    /// Tenants by their place in the queue.
    places: Vec<u64>,
    top: Queue,
    /// Tenants without processes, in the order in which the last one left.
    deserted: VecDeque<u64>,
    turns: HashMap<u32, Turn>,
    slots: u32,
    requests: u64,
}

impl Default for Fair {
    fn default() -> Self {
        Self {
            slack: SLACK,
            slice: SLICE,
            patience: PATIENCE,
            clock: Clock::default(),
            processes: HashMap::new(),
            waiting: BTreeMap::new(),
            families: HashMap::new(),
            tenants: HashMap::new(),
            weights: HashMap::new(),
            places: Vec::new(),
            top: Queue::new(1, SLACK),
            deserted: VecDeque::new(),
            turns: HashMap::new(),
            slots: 1,
            requests: 0,
        }
    }
}

impl Fair {
    /// A scheduler without processes: a slack of 20,000 input tokens, slices of 60 seconds, a patience of 300 seconds.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with another slack, in input tokens: how far ahead of its due a process may run for its warm context.
    #[must_use]
    pub fn with_slack(self, tokens: u64) -> Self {
        let slack = Cost(tokens.saturating_mul(10));
        let mut fair = Self { slack, ..self };
        fair.top.set_slack(slack);
        fair.tenants.values_mut().for_each(|tenant| tenant.queue.set_slack(slack));
        fair
    }

    /// The same with another time slice.
    #[must_use]
    pub fn with_slice(self, slice: Micros) -> Self {
        Self { slice, ..self }
    }

    /// The same with another patience: who has waited longer goes first, as far ahead of its due as the slack allows.
    #[must_use]
    pub fn with_patience(self, patience: Micros) -> Self {
        Self { patience, ..self }
    }

    /// The same with a weight for a tenant; without, each has [`Weight::ONE`].
    #[must_use]
    pub fn with_tenant(mut self, tenant: u64, weight: Weight) -> Self {
        self.weights.insert(tenant, weight);
        self
    }

    /// How far the process's family is behind what it is due among those of its tenant, in tenths of input tokens; below
    /// zero if it is ahead. `None` if it is not admitted.
    #[must_use]
    pub fn lag(&self, pid: Pid) -> Option<i64> {
        let family = self.families.get(&self.processes.get(&pid)?.family)?;
        Some(self.tenants.get(&family.tenant)?.queue.lag(family.index))
    }

    fn family_of(&mut self, entry: &Entry) -> &mut Family {
        self.come_back(entry.family);
        let (slots, slack) = (self.slots, self.slack);
        let (top, places, weights) = (&mut self.top, &mut self.places, &self.weights);
        let tenants = &mut self.tenants;
        self.families.entry(entry.family).or_insert_with(|| {
            let tenant = tenants.entry(entry.tenant).or_insert_with(|| {
                let index = top.add(weights.get(&entry.tenant).copied().unwrap_or(Weight::ONE));
                let place = index as usize;
                if places.len() <= place {
                    places.resize(place + 1, 0);
                }
                places[place] = entry.tenant;
                Tenant::new(index, slots, slack)
            });
            self.deserted.retain(|deserted| *deserted != entry.tenant);
            let index = tenant.add(entry.family, Weight::of(entry.share));
            Family::new(entry.tenant, index)
        })
    }

    /// A family all of whose processes had left has one again: it owes what it owed, or starts anew if that is paid.
    fn come_back(&mut self, root: Pid) {
        let Some(family) = self.families.get_mut(&root) else { return };
        let (number, Some(until)) = (family.tenant, family.owes_until.take().map(|until| *until)) else {
            return;
        };
        let Some(tenant) = self.tenants.get_mut(&number) else { return };
        tenant.left.remove(&(until, root));
        if tenant.queue.is_past(until) {
            let index = family.index;
            self.families.remove(&root);
            tenant.forget(index);
        } else {
            tenant.families += 1;
            self.deserted.retain(|deserted| *deserted != number);
        }
    }

    /// A family has a process more or less: so many slots can it use, and its tenant.
    fn recount(&mut self, root: Pid, by: i32) {
        let Some(family) = self.families.get(&root) else { return };
        let Some(tenant) = self.tenants.get_mut(&family.tenant) else { return };
        tenant.processes = tenant.processes.saturating_add_signed(by);
        tenant.queue.set_usable(family.index, family.processes.min(self.slots));
        self.top.set_usable(tenant.index, tenant.processes.min(self.slots));
    }

    fn reweigh(&mut self, family: Pid, share: Priority) {
        let Some(family) = self.families.get(&family) else { return };
        if let Some(tenant) = self.tenants.get_mut(&family.tenant) {
            tenant.queue.reweigh(family.index, Weight::of(share));
        }
    }

    fn demand(&self, pid: Pid) -> Option<Demand> {
        match self.processes.get(&pid)?.state() {
            State::Waiting { demand, .. } => Some(demand),
            _ => None,
        }
    }

    /// Tells both queues what a family wants now.
    fn refresh(&mut self, root: Pid) {
        let Some(family) = self.families.get(&root) else { return };
        let wants = family.first().and_then(|first| self.demand(first)).map(|demand| demand.cost());
        let Some(tenant) = self.tenants.get_mut(&family.tenant) else { return };
        match wants {
            Some(cost) => tenant.queue.ask(family.index, cost),
            None => tenant.queue.unask(family.index),
        }
        match wants {
            Some(cost) => self.top.ask(tenant.index, cost),
            None if !tenant.queue.is_wanted() => self.top.unask(tenant.index),
            None => self.top.ask(tenant.index, Cost(0)),
        }
    }

    /// The process with a warm context on the slot that may go before who is next.
    fn warm(&self, slot: &Slot<'_>, now: Micros) -> Option<Pid> {
        let turn = self.turns.get(&slot.number);
        let over = |pid: &Pid| turn.is_some_and(|turn| turn.pid == *pid && turn.used >= self.slice);
        // Those of one family that are warm do not go on and on before the one of theirs that is not.
        let late = |pid: &Pid| self.first_of(*pid).is_some_and(|(_, since)| now.since(since) > self.slice);
        let may = slot.warm.iter().filter(|pid| !over(pid) && !late(pid));
        let places = may.filter_map(|pid| self.ahead(*pid));
        places.min().map(|(.., pid)| pid)
    }

    /// Who is next in the family of a process, if that is another, and since when it waits.
    fn first_of(&self, pid: Pid) -> Option<(Pid, Micros)> {
        let first = self.families.get(&self.processes.get(&pid)?.family)?.first()?;
        match self.processes.get(&first).filter(|_| first != pid)?.state() {
            State::Waiting { since, .. } => Some((first, since)),
            _ => None,
        }
    }

    /// Who has waited longest, if for too long, and may go before who is next.
    fn overdue(&self, now: Micros) -> Option<Pid> {
        let pid = *self.waiting.first_key_value()?.1;
        let State::Waiting { since, .. } = self.processes.get(&pid)?.state() else { return None };
        if now.since(since) <= self.patience {
            return None;
        }
        self.ahead(pid).map(|(.., pid)| pid)
    }

    /// The place of one who waits among those who may spend slack: the deadline of its tenant, then that of its family, since
    /// virtual times of different tenants do not compare. Nothing if it may not.
    fn ahead(&self, pid: Pid) -> Option<(i128, i128, u64, Pid)> {
        let process = self.processes.get(&pid)?;
        let State::Waiting { order, .. } = process.state() else { return None };
        let family = self.families.get(&process.family)?;
        let tenant = self.tenants.get(&family.tenant)?;
        let urgent = family.level().is_none_or(|level| process.level <= level);
        let may = urgent && self.top.may_go(tenant.index) && tenant.queue.may_go(family.index);
        let (of_tenant, of_family) = (self.top.deadline(tenant.index)?, tenant.queue.deadline(family.index)?);
        may.then_some((of_tenant, of_family, order, pid))
    }

    fn cold(&mut self) -> Option<Pid> {
        let place = self.top.next()?;
        let tenant = *self.places.get(place as usize)?;
        let root = self.tenants.get_mut(&tenant)?.next()?;
        self.families.get(&root)?.first()
    }

    fn grant(&mut self, pid: Pid, slot: &Slot<'_>, now: Micros) -> Option<Grant> {
        let process = self.processes.get_mut(&pid)?;
        let State::Waiting { since, demand, order } = process.state() else { return None };
        let family = self.families.get_mut(&process.family)?;
        let tenant = self.tenants.get_mut(&family.tenant)?;
        self.waiting.remove(&order);
        family.quit(process.level, order, pid);
        let cost = demand.cost();
        let reserved = (self.top.start(tenant.index, cost), tenant.queue.start(family.index, cost));
        process.set(State::Holding { since: now, slot: slot.number, reserved });
        let root = process.family;
        match self.turns.get_mut(&slot.number).filter(|turn| turn.pid == pid && turn.used < self.slice) {
            Some(_) => {}
            None => drop(self.turns.insert(slot.number, Turn { pid, used: Micros(0) })),
        }
        self.refresh(root);
        Some(Grant { pid, demand, waited: now.since(since) })
    }

    fn set_slots(&mut self, slots: u32) {
        if self.slots != slots {
            self.slots = slots;
            let (tenants, places, families) = (&mut self.tenants, &self.places, &self.families);
            tenants.values_mut().for_each(|tenant| tenant.set_slots(slots, families));
            let of_place = |place: Index| places.get(place as usize).and_then(|tenant| tenants.get(tenant));
            self.top
                .set_slots(slots, |place| of_place(place).map_or(1, |tenant| tenant.processes.min(slots)));
        }
    }

    /// Takes a process out of whatever it does; `charge` is what it used of a slot it held.
    fn release(&mut self, pid: Pid, charge: Option<Cost>) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        let (root, level) = (process.family, process.level);
        let state = process.state();
        process.set(State::Idle);
        let Some(family) = self.families.get_mut(&root) else { return };
        match state {
            State::Idle => return,
            State::Waiting { order, .. } => {
                self.waiting.remove(&order);
                family.quit(level, order, pid);
            }
            State::Holding { reserved, .. } => {
                if let Some(tenant) = self.tenants.get_mut(&family.tenant) {
                    tenant.queue.end(family.index, reserved.1, charge);
                    self.top.end(tenant.index, reserved.0, charge);
                }
            }
        }
        self.refresh(root);
    }

    fn forget(&mut self, pid: Pid) {
        let Some(process) = self.processes.remove(&pid) else { return };
        let Some(family) = self.families.get_mut(&process.family) else { return };
        family.processes -= 1;
        let left = family.processes;
        self.recount(process.family, -1);
        if left > 0 {
            return;
        }
        self.leave(process.family);
    }

    /// The last process of a family left. What the family owes is kept until virtual time has caught up with it, lest a chain of
    /// processes of which each leaves before the next one asks starts anew time and again.
    fn leave(&mut self, root: Pid) {
        let Some(family) = self.families.get_mut(&root) else { return };
        let (number, index) = (family.tenant, family.index);
        let Some(tenant) = self.tenants.get_mut(&number) else { return };
        tenant.families -= 1;
        family.owes_until = tenant.queue.owes_until(index).map(Box::new);
        let gone = match family.owes_until.as_deref().copied() {
            Some(until) => tenant.keep(until, root),
            None => vec![root],
        };
        for root in gone {
            if let Some(family) = self.families.remove(&root) {
                tenant.forget(family.index);
            }
        }
        if tenant.families > 0 {
            return;
        }
        self.deserted.push_back(number);
        if self.deserted.len() > DESERTED
            && let Some(oldest) = self.deserted.pop_front()
        {
            self.forget_tenant(oldest);
        }
    }

    fn forget_tenant(&mut self, number: u64) {
        let Some(tenant) = self.tenants.remove(&number) else { return };
        self.top.remove(tenant.index);
        for (_, root) in tenant.left {
            self.families.remove(&root);
        }
    }
}

impl Scheduler for Fair {
    fn name(&self) -> &'static str {
        "fair"
    }

    fn admit(&mut self, entry: Entry, now: Micros) -> Result<(), SchedError> {
        self.clock.check(now)?;
        self.clock.advance(now);
        let level = entry.priority.value();
        let Some(known) = self.processes.get(&entry.pid).cloned() else {
            self.family_of(&entry).processes += 1;
            self.recount(entry.family, 1);
            self.processes.insert(entry.pid, Process { family: entry.family, level, busy: None });
            self.reweigh(entry.family, entry.share);
            return Ok(());
        };
        if let Some(process) = self.processes.get_mut(&entry.pid) {
            process.level = level;
        }
        let Some(family) = self.families.get_mut(&known.family) else { return Ok(()) };
        if let State::Waiting { order, .. } = known.state() {
            family.quit(known.level, order, entry.pid);
            family.join(level, order, entry.pid);
        }
        self.reweigh(known.family, entry.share);
        if matches!(known.state(), State::Waiting { .. }) {
            self.refresh(known.family);
        }
        Ok(())
    }

    fn request(&mut self, pid: Pid, demand: Demand, now: Micros) -> Result<(), SchedError> {
        self.clock.check(now)?;
        let order = self.requests + 1;
        let process = self.processes.get_mut(&pid).ok_or(SchedError::Unknown(pid))?;
        if !matches!(process.state(), State::Idle) {
            return Err(SchedError::AlreadyAsked(pid));
        }
        process.set(State::Waiting { since: now, demand, order });
        let (root, level) = (process.family, process.level);
        if let Some(family) = self.families.get_mut(&root) {
            family.join(level, order, pid);
        }
        self.requests = order;
        self.waiting.insert(order, pid);
        self.clock.advance(now);
        self.refresh(root);
        Ok(())
    }

    fn next(&mut self, slot: &Slot<'_>, now: Micros) -> Option<Grant> {
        let now = self.clock.advance(now);
        self.set_slots(slot.of.max(1));
        let pid = self.cold()?;
        let pid = self.overdue(now).or_else(|| self.warm(slot, now)).unwrap_or(pid);
        self.grant(pid, slot, now)
    }

    fn take(&mut self, pid: Pid, slot: &Slot<'_>, now: Micros) -> Option<Grant> {
        let now = self.clock.advance(now);
        self.set_slots(slot.of.max(1));
        self.grant(pid, slot, now)
    }

    fn settle(&mut self, pid: Pid, charge: Charge, now: Micros) -> Result<(), SchedError> {
        self.clock.check(now)?;
        let process = self.processes.get(&pid).ok_or(SchedError::Unknown(pid))?;
        let State::Holding { slot, .. } = process.state() else { return Err(SchedError::NoGrant(pid)) };
        self.clock.advance(now);
        if let Some(turn) = self.turns.get_mut(&slot).filter(|turn| turn.pid == pid) {
            turn.used.0 = turn.used.0.saturating_add(charge.held.0);
        }
        self.release(pid, Some(charge.cost()));
        Ok(())
    }

    fn give_back(&mut self, pid: Pid, now: Micros) -> Result<(), SchedError> {
        self.clock.check(now)?;
        let process = self.processes.get(&pid).ok_or(SchedError::Unknown(pid))?;
        if !matches!(process.state(), State::Holding { .. }) {
            return Err(SchedError::NoGrant(pid));
        }
        self.clock.advance(now);
        self.release(pid, None);
        Ok(())
    }

    fn withdraw(&mut self, pid: Pid, leave: bool, now: Micros) -> Result<bool, SchedError> {
        self.clock.check(now)?;
        let process = self.processes.get(&pid).ok_or(SchedError::Unknown(pid))?;
        let waiting = matches!(process.state(), State::Waiting { .. });
        self.clock.advance(now);
        if waiting || leave {
            self.release(pid, None);
        }
        if leave {
            self.forget(pid);
        }
        Ok(waiting)
    }

    fn standing(&self, pid: Pid) -> Option<Standing> {
        Some(match self.processes.get(&pid)?.state() {
            State::Idle => Standing::Idle,
            State::Waiting { since, .. } => Standing::Waiting(since),
            State::Holding { since, .. } => Standing::Holding(since),
        })
    }

    fn lag(&self, pid: Pid) -> Option<i64> {
        Self::lag(self, pid)
    }
}
