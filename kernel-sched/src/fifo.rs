//! First come, first served.

use std::collections::{BTreeMap, HashMap};

use kernel_types::Pid;

use crate::clock::Clock;
use crate::{Charge, Demand, Entry, Grant, Micros, SchedError, Scheduler, Slot, Standing};

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    /// Its place in the queue.
    Waiting(u64),
    Holding(Micros),
}

/// What is promised of a process that wants nothing.
const _: () = assert!(size_of::<(Pid, State)>() <= 32);

#[derive(Clone, Copy, Debug)]
struct Request {
    pid: Pid,
    demand: Demand,
    since: Micros,
}

/// Grants slots in the order of the requests; priorities count for nothing.
///
/// A request is granted after at most as many grants to others as there are other processes. Every operation takes
/// O(log n) of the waiting at most; a process that wants nothing costs one entry of 32 bytes in a hash table.
#[derive(Clone, Default, Debug)]
pub struct Fifo {
    clock: Clock,
    entries: HashMap<Pid, State>,
    /// By place: a request taken back leaves no gap to skip.
    queue: BTreeMap<u64, Request>,
    places: u64,
}

impl Fifo {
    /// A scheduler without processes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn grant(&mut self, place: u64, now: Micros) -> Option<Grant> {
        let now = self.clock.advance(now);
        let Request { pid, demand, since } = self.queue.remove(&place)?;
        self.entries.insert(pid, State::Holding(now));
        Some(Grant { pid, demand, waited: now.since(since) })
    }
}

impl Scheduler for Fifo {
    fn name(&self) -> &'static str {
        "fifo"
    }

    fn admit(&mut self, entry: Entry, now: Micros) -> Result<(), SchedError> {
        self.clock.check(now)?;
        self.entries.entry(entry.pid).or_insert(State::Idle);
        self.clock.advance(now);
        Ok(())
    }

    fn request(&mut self, pid: Pid, demand: Demand, now: Micros) -> Result<(), SchedError> {
        self.clock.check(now)?;
        let state = self.entries.get_mut(&pid).ok_or(SchedError::Unknown(pid))?;
        if !matches!(state, State::Idle) {
            return Err(SchedError::AlreadyAsked(pid));
        }
        *state = State::Waiting(self.places);
        self.queue.insert(self.places, Request { pid, demand, since: now });
        self.places += 1;
        self.clock.advance(now);
        Ok(())
    }

    fn next(&mut self, _: &Slot<'_>, now: Micros) -> Option<Grant> {
        self.clock.advance(now);
        let first = *self.queue.first_key_value()?.0;
        self.grant(first, now)
    }

    fn take(&mut self, pid: Pid, _: &Slot<'_>, now: Micros) -> Option<Grant> {
        let State::Waiting(place) = *self.entries.get(&pid)? else { return None };
        self.grant(place, now)
    }

    fn settle(&mut self, pid: Pid, _charge: Charge, now: Micros) -> Result<(), SchedError> {
        self.clock.check(now)?;
        let state = self.entries.get_mut(&pid).ok_or(SchedError::Unknown(pid))?;
        if !matches!(state, State::Holding(_)) {
            return Err(SchedError::NoGrant(pid));
        }
        *state = State::Idle;
        self.clock.advance(now);
        Ok(())
    }

    fn withdraw(&mut self, pid: Pid, leave: bool, now: Micros) -> Result<bool, SchedError> {
        self.clock.check(now)?;
        let state = self.entries.get_mut(&pid).ok_or(SchedError::Unknown(pid))?;
        let waiting = if let State::Waiting(place) = *state {
            self.queue.remove(&place);
            *state = State::Idle;
            true
        } else {
            false
        };
        if leave {
            self.entries.remove(&pid);
        }
        self.clock.advance(now);
        Ok(waiting)
    }

    fn standing(&self, pid: Pid) -> Option<Standing> {
        Some(match *self.entries.get(&pid)? {
            State::Idle => Standing::Idle,
            State::Waiting(place) => Standing::Waiting(self.queue.get(&place)?.since),
            State::Holding(since) => Standing::Holding(since),
        })
    }
}
