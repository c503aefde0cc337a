//! Policies that are one number a process: the smallest goes first.

use std::collections::{BTreeMap, HashMap};

use kernel_types::Pid;

use crate::clock::Clock;
use crate::{Charge, Demand, Entry, Grant, Micros, SchedError, Scheduler, Slot, Standing};

/// What a policy keeps of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Account {
    /// What the policy counts, in its own unit.
    pub(crate) count: u64,
    /// When the policy last started all counts anew, as it was when this one was last used.
    pub(crate) epoch: u64,
    pub(crate) level: u8,
}

/// The number of a policy.
pub(crate) trait Rank: Send {
    const NAME: &'static str;

    /// The rank of a process that asks; `least` is the smallest of those who wait.
    fn rank(&mut self, account: &mut Account, least: Option<u64>) -> u64;

    /// A process was charged.
    fn charge(&mut self, account: &mut Account, charge: &Charge);

    /// A slot was granted while so many others wait: whether all who wait are to be ranked anew.
    fn granted(&mut self, waiting: usize) -> bool {
        let _ = waiting;
        false
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    /// Its place in the queue.
    Waiting((u64, u64)),
    Holding(Micros),
}

#[derive(Clone, Copy, Debug)]
struct Process {
    state: State,
    account: Account,
}

/// What is promised of a process that wants nothing.
const _: () = assert!(size_of::<(Pid, Process)>() <= 96);

#[derive(Clone, Copy, Debug)]
struct Request {
    pid: Pid,
    demand: Demand,
    since: Micros,
}

/// A queue by rank, then by the order of the requests. Every operation takes O(log n) of the waiting.
#[derive(Clone, Debug)]
pub(crate) struct Ranked<R> {
    rank: R,
    clock: Clock,
    processes: HashMap<Pid, Process>,
    queue: BTreeMap<(u64, u64), Request>,
    requests: u64,
}

impl<R: Rank> Ranked<R> {
    pub(crate) fn new(rank: R) -> Self {
        Self { rank, clock: Clock::default(), processes: HashMap::new(), queue: BTreeMap::new(), requests: 0 }
    }

    fn least(&self) -> Option<u64> {
        self.queue.first_key_value().map(|((rank, _), _)| *rank)
    }

    fn grant(&mut self, place: (u64, u64), now: Micros) -> Option<Grant> {
        let now = self.clock.advance(now);
        let Request { pid, demand, since } = self.queue.remove(&place)?;
        self.processes.get_mut(&pid)?.state = State::Holding(now);
        if self.rank.granted(self.queue.len()) {
            self.rank_anew();
        }
        Some(Grant { pid, demand, waited: now.since(since) })
    }

    fn rank_anew(&mut self) {
        for ((_, order), request) in std::mem::take(&mut self.queue) {
            let Some(process) = self.processes.get_mut(&request.pid) else { continue };
            let place = (self.rank.rank(&mut process.account, None), order);
            process.state = State::Waiting(place);
            self.queue.insert(place, request);
        }
    }
}

impl<R: Rank> Scheduler for Ranked<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn admit(&mut self, entry: Entry, now: Micros) -> Result<(), SchedError> {
        self.clock.check(now)?;
        self.clock.advance(now);
        let account = Account { level: entry.priority.value(), ..Account::default() };
        let process = self.processes.entry(entry.pid).or_insert(Process { state: State::Idle, account });
        process.account.level = account.level;
        Ok(())
    }

    fn request(&mut self, pid: Pid, demand: Demand, now: Micros) -> Result<(), SchedError> {
        self.clock.check(now)?;
        let least = self.least();
        let process = self.processes.get_mut(&pid).ok_or(SchedError::Unknown(pid))?;
        if !matches!(process.state, State::Idle) {
            return Err(SchedError::AlreadyAsked(pid));
        }
        self.requests += 1;
        let place = (self.rank.rank(&mut process.account, least), self.requests);
        process.state = State::Waiting(place);
        self.queue.insert(place, Request { pid, demand, since: now });
        self.clock.advance(now);
        Ok(())
    }

    fn next(&mut self, _: &Slot<'_>, now: Micros) -> Option<Grant> {
        self.clock.advance(now);
        let first = *self.queue.first_key_value()?.0;
        self.grant(first, now)
    }

    fn take(&mut self, pid: Pid, _: &Slot<'_>, now: Micros) -> Option<Grant> {
        let State::Waiting(place) = self.processes.get(&pid)?.state else { return None };
        self.grant(place, now)
    }

    fn settle(&mut self, pid: Pid, charge: Charge, now: Micros) -> Result<(), SchedError> {
        self.give_back(pid, now)?;
        if let Some(process) = self.processes.get_mut(&pid) {
            self.rank.charge(&mut process.account, &charge);
        }
        Ok(())
    }

    fn give_back(&mut self, pid: Pid, now: Micros) -> Result<(), SchedError> {
        self.clock.check(now)?;
        let process = self.processes.get_mut(&pid).ok_or(SchedError::Unknown(pid))?;
        if !matches!(process.state, State::Holding(_)) {
            return Err(SchedError::NoGrant(pid));
        }
        process.state = State::Idle;
        self.clock.advance(now);
        Ok(())
    }

    fn withdraw(&mut self, pid: Pid, leave: bool, now: Micros) -> Result<bool, SchedError> {
        self.clock.check(now)?;
        let process = self.processes.get_mut(&pid).ok_or(SchedError::Unknown(pid))?;
        let waiting = if let State::Waiting(place) = process.state {
            self.queue.remove(&place);
            process.state = State::Idle;
            true
        } else {
            false
        };
        if leave {
            self.processes.remove(&pid);
        }
        self.clock.advance(now);
        Ok(waiting)
    }

    fn standing(&self, pid: Pid) -> Option<Standing> {
        Some(match self.processes.get(&pid)?.state {
            State::Idle => Standing::Idle,
            State::Waiting(place) => Standing::Waiting(self.queue.get(&place)?.since),
            State::Holding(since) => Standing::Holding(since),
        })
    }
}

/// Makes a public scheduler of a rank: its methods go to the queue inside.
macro_rules! ranked {
    ($policy:ident, $rank:expr) => {
        impl Default for $policy {
            fn default() -> Self {
                Self($crate::ranked::Ranked::new($rank))
            }
        }

        impl $policy {
            /// A scheduler without processes.
            #[must_use]
            pub fn new() -> Self {
                Self::default()
            }
        }

        impl $crate::Scheduler for $policy {
            fn name(&self) -> &'static str {
                self.0.name()
            }
            fn admit(&mut self, entry: $crate::Entry, now: $crate::Micros) -> Result<(), $crate::SchedError> {
                self.0.admit(entry, now)
            }
            fn request(
                &mut self,
                pid: kernel_types::Pid,
                demand: $crate::Demand,
                now: $crate::Micros,
            ) -> Result<(), $crate::SchedError> {
                self.0.request(pid, demand, now)
            }
            fn next(&mut self, slot: &$crate::Slot<'_>, now: $crate::Micros) -> Option<$crate::Grant> {
                self.0.next(slot, now)
            }
            fn take(
                &mut self,
                pid: kernel_types::Pid,
                slot: &$crate::Slot<'_>,
                now: $crate::Micros,
            ) -> Option<$crate::Grant> {
                self.0.take(pid, slot, now)
            }
            fn settle(
                &mut self,
                pid: kernel_types::Pid,
                charge: $crate::Charge,
                now: $crate::Micros,
            ) -> Result<(), $crate::SchedError> {
                self.0.settle(pid, charge, now)
            }
            fn give_back(
                &mut self,
                pid: kernel_types::Pid,
                now: $crate::Micros,
            ) -> Result<(), $crate::SchedError> {
                self.0.give_back(pid, now)
            }
            fn withdraw(
                &mut self,
                pid: kernel_types::Pid,
                leave: bool,
                now: $crate::Micros,
            ) -> Result<bool, $crate::SchedError> {
                self.0.withdraw(pid, leave, now)
            }
            fn standing(&self, pid: kernel_types::Pid) -> Option<$crate::Standing> {
                self.0.standing(pid)
            }
        }
    };
}

pub(crate) use ranked;
