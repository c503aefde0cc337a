//! The classic: priorities, round robin within a priority, aging between them.
//!
//! **Turns.** The processes of one level take turns, in the order in which the turns began. A turn ends when the process
//! has held slots for a time slice, has had [`TURN_GRANTS`] grants, or wanted nothing for as long as a slice; its next
//! request begins a new turn, behind all others of its level. Nothing is taken away in the middle of a call.
//!
//! **Aging.** A request made when `g` slots had been granted has the age `g + priority * aging`; the level of the
//! smallest age is served. A request therefore gains one level on newer ones with every `aging` grants.
//!
//! **Bound.** Once `priority * aging` grants have passed since a request `r`, every newer request is older in age than
//! `r`, so only levels that hold one of the requests made before are served ahead of it, and of those only turns that
//! began before; each other process has one turn at a time of at most [`TURN_GRANTS`] grants. So at most
//! `priority * aging + TURN_GRANTS * others` grants go ahead of it: [`PriorityRoundRobin::wait_bound`].

use std::collections::{BTreeMap, HashMap};

use kernel_types::{Pid, Priority};

use crate::clock::Clock;
use crate::{Charge, Demand, Entry, Grant, Micros, SchedError, Scheduler, Slot, Standing};

/// The most grants of one turn, so that calls which hold their slot for no time end a turn, too.
const TURN_GRANTS: u8 = 64;

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    Waiting,
    Holding(Micros),
}

/// A process. Its request, if it waits, lies in the queue at its level and turn.
#[derive(Clone, Copy, Debug)]
struct Process {
    state: State,
    /// When its turn began, counted in turns; 0 before the first.
    turn: u64,
    /// Slot time held in this turn.
    used: Micros,
    /// When it last gave up a slot or a request.
    last: Micros,
    /// Grants in this turn.
    grants: u8,
    level: u8,
}

/// What is promised of a process that wants nothing.
const _: () = assert!(size_of::<(Pid, Process)>() <= 64);

#[derive(Clone, Copy, Debug)]
struct Request {
    pid: Pid,
    demand: Demand,
    since: Micros,
    /// Slots granted before it was made.
    granted: u64,
    order: u64,
}

/// Age in grants, then the order of requests to break ties.
type Age = (u64, u64);

/// Priorities with time slices and aging. Smaller priority values are more urgent.
///
/// Every operation takes O(log n) of the waiting at most; a process that wants nothing costs one entry of 64 bytes in a
/// hash table.
///
/// ```
/// use kernel_sched::{Micros, PriorityRoundRobin};
/// use kernel_types::Priority;
///
/// let scheduler = PriorityRoundRobin::new().with_slice(Micros(10_000_000)).with_aging(4);
/// assert_eq!(scheduler.wait_bound(Priority::LOWEST, 3), 4 * 100 + 64 * 3);
/// ```
#[derive(Clone, Debug)]
pub struct PriorityRoundRobin {
    slice: Micros,
    aging: u64,
    clock: Clock,
    processes: HashMap<Pid, Process>,
    /// Requests by level and turn: the first of a level is the next of it.
    queue: BTreeMap<(u8, u64), Request>,
    /// The level of each request by age: the first is the level to serve.
    ages: BTreeMap<Age, u8>,
    turns: u64,
    requests: u64,
    granted: u64,
}

impl Default for PriorityRoundRobin {
    fn default() -> Self {
        Self {
            slice: Micros(60_000_000),
            aging: 8,
            clock: Clock::default(),
            processes: HashMap::new(),
            queue: BTreeMap::new(),
            ages: BTreeMap::new(),
            turns: 0,
            requests: 0,
            granted: 0,
        }
    }
}

impl PriorityRoundRobin {
    /// A scheduler without processes: slices of 60 seconds, a level gained every 8 grants.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same scheduler with another time slice.
    #[must_use]
    pub fn with_slice(self, slice: Micros) -> Self {
        Self { slice, ..self }
    }

    /// The same scheduler with another aging: how many grants a request must wait to gain one level on newer ones.
    /// More is stricter; with 0, levels count only among requests made between the same two grants.
    #[must_use]
    pub fn with_aging(self, grants: u64) -> Self {
        Self { aging: grants, ..self }
    }

    /// The most grants that can go ahead of a request of this priority while at most `others` other processes are
    /// admitted at once.
    #[must_use]
    pub fn wait_bound(&self, priority: Priority, others: usize) -> u64 {
        let turns = u64::from(TURN_GRANTS).saturating_mul(others as u64);
        self.aging.saturating_mul(u64::from(priority.value())).saturating_add(turns)
    }

    fn dequeue(&mut self, place: (u8, u64)) -> Option<Request> {
        let request = self.queue.remove(&place)?;
        self.ages.remove(&self.age(place.0, &request));
        Some(request)
    }

    fn enqueue(&mut self, place: (u8, u64), request: Request) {
        self.ages.insert(self.age(place.0, &request), place.0);
        self.queue.insert(place, request);
    }

    fn grant(&mut self, place: (u8, u64), now: Micros) -> Option<Grant> {
        let now = self.clock.advance(now);
        let Request { pid, demand, since, .. } = self.dequeue(place)?;
        let process = self.processes.get_mut(&pid)?;
        process.state = State::Holding(now);
        process.grants += 1;
        self.granted += 1;
        Some(Grant { pid, demand, waited: now.since(since) })
    }

    fn age(&self, level: u8, request: &Request) -> Age {
        (request.granted.saturating_add(self.aging.saturating_mul(u64::from(level))), request.order)
    }
}

impl Process {
    fn turn_is_over(&self, slice: Micros, now: Micros) -> bool {
        self.turn == 0 || self.used >= slice || self.grants >= TURN_GRANTS || now.since(self.last) > slice
    }
}

impl Scheduler for PriorityRoundRobin {
    fn name(&self) -> &'static str {
        "priority_rr"
    }

    fn admit(&mut self, entry: Entry, now: Micros) -> Result<(), SchedError> {
        self.clock.check(now)?;
        self.clock.advance(now);
        let (used, last) = (Micros(0), now);
        let level = entry.priority.value();
        let Some(known) = self.processes.get_mut(&entry.pid) else {
            self.processes
                .insert(entry.pid, Process { state: State::Idle, turn: 0, used, last, grants: 0, level });
            return Ok(());
        };
        let old = std::mem::replace(&mut known.level, level);
        let place = (old, known.turn);
        if old != level
            && matches!(known.state, State::Waiting)
            && let Some(request) = self.dequeue(place)
        {
            self.enqueue((level, place.1), request);
        }
        Ok(())
    }

    fn request(&mut self, pid: Pid, demand: Demand, now: Micros) -> Result<(), SchedError> {
        self.clock.check(now)?;
        let process = self.processes.get_mut(&pid).ok_or(SchedError::Unknown(pid))?;
        if !matches!(process.state, State::Idle) {
            return Err(SchedError::AlreadyAsked(pid));
        }
        if process.turn_is_over(self.slice, now) {
            self.turns += 1;
            (process.turn, process.used, process.grants) = (self.turns, Micros(0), 0);
        }
        process.state = State::Waiting;
        let place = (process.level, process.turn);
        let request = Request { pid, demand, since: now, granted: self.granted, order: self.requests };
        self.requests += 1;
        self.enqueue(place, request);
        self.clock.advance(now);
        Ok(())
    }

    fn next(&mut self, _: &Slot<'_>, now: Micros) -> Option<Grant> {
        self.clock.advance(now);
        let (_, &level) = self.ages.first_key_value()?;
        let (&place, _) = self.queue.range((level, 0)..).next()?;
        self.grant(place, now)
    }

    fn take(&mut self, pid: Pid, _: &Slot<'_>, now: Micros) -> Option<Grant> {
        let process = self.processes.get(&pid).filter(|process| matches!(process.state, State::Waiting))?;
        self.grant((process.level, process.turn), now)
    }

    fn settle(&mut self, pid: Pid, charge: Charge, now: Micros) -> Result<(), SchedError> {
        self.clock.check(now)?;
        let process = self.processes.get_mut(&pid).ok_or(SchedError::Unknown(pid))?;
        if !matches!(process.state, State::Holding(_)) {
            return Err(SchedError::NoGrant(pid));
        }
        process.state = State::Idle;
        process.used = Micros(process.used.0.saturating_add(charge.held.0));
        process.last = now;
        self.clock.advance(now);
        Ok(())
    }

    fn withdraw(&mut self, pid: Pid, leave: bool, now: Micros) -> Result<bool, SchedError> {
        self.clock.check(now)?;
        let process = self.processes.get_mut(&pid).ok_or(SchedError::Unknown(pid))?;
        let waiting = matches!(process.state, State::Waiting);
        let place = (process.level, process.turn);
        if waiting {
            process.state = State::Idle;
            process.last = now;
            self.dequeue(place);
        }
        if leave {
            self.processes.remove(&pid);
        }
        self.clock.advance(now);
        Ok(waiting)
    }

    fn standing(&self, pid: Pid) -> Option<Standing> {
        let process = self.processes.get(&pid)?;
        Some(match process.state {
            State::Idle => Standing::Idle,
            State::Waiting => Standing::Waiting(self.queue.get(&(process.level, process.turn))?.since),
            State::Holding(since) => Standing::Holding(since),
        })
    }
}
