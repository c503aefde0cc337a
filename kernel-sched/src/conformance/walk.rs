//! A random caller beside the plainest model of a scheduler.

use std::collections::BTreeMap;

use kernel_types::{Pid, Priority};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{charge, demand, entry, pid};
use crate::{Demand, Entry, Grant, Micros, SchedError, Scheduler, Slot, Standing};

/// What a step of a walk answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    Unit(Result<(), SchedError>),
    Flag(Result<bool, SchedError>),
    Grant(Option<Grant>),
}

/// A random walk over a scheduler beside the plainest model of it: who stands how. Checks every answer.
pub(super) struct Walk<S> {
    pub(super) scheduler: S,
    random: StdRng,
    seed: u64,
    pub(super) now: Micros,
    /// The latest time of a call that did not fail.
    pub(super) latest: Micros,
    model: BTreeMap<Pid, (Standing, Demand)>,
    pids: u64,
}

impl<S: Scheduler> Walk<S> {
    pub(super) fn new(scheduler: S, seed: u64) -> Self {
        let pids = (1..).take_while(|&number| scheduler.standing(pid(number)).is_some()).count() as u64;
        let model = (1..=pids).map(|number| (pid(number), (Standing::Idle, Demand::default()))).collect();
        Self {
            scheduler,
            random: StdRng::seed_from_u64(seed),
            seed,
            now: Micros(0),
            latest: Micros(0),
            model,
            pids,
        }
    }

    pub(super) fn step(&mut self) -> Answer {
        self.now.0 += self.random.random_range(0..20_000_000);
        let number = self.random.random_range(1..=self.pids);
        let (pid, now) = (pid(number), self.now);
        let known = self.model.get(&pid).map(|(standing, _)| *standing);
        let answer = match self.random.random_range(0..20) {
            0 => {
                let priority = Priority::new(self.random.random_range(0..=100)).expect("within 0 to 100");
                let answer = self.scheduler.admit(Entry { priority, ..entry(number) }, now);
                assert_eq!(answer, Ok(()), "admit, seed {}", self.seed);
                self.model.entry(pid).or_insert((Standing::Idle, Demand::default()));
                Answer::Unit(answer)
            }
            1 | 2 => self.withdraw(pid, known),
            3..=8 => self.request(pid, known),
            9..=14 => Answer::Grant(self.next()),
            _ => self.settle(pid, known),
        };
        let standing = self.model.get(&pid).map(|(standing, _)| *standing);
        assert_eq!(self.scheduler.standing(pid), standing, "standing, seed {}", self.seed);
        if !matches!(answer, Answer::Unit(Err(_)) | Answer::Flag(Err(_))) {
            self.latest = now;
        }
        answer
    }

    fn request(&mut self, pid: Pid, known: Option<Standing>) -> Answer {
        let wanted = demand(self.random.random_range(0..1000));
        let answer = self.scheduler.request(pid, wanted, self.now);
        let expected = match known {
            None => Err(SchedError::Unknown(pid)),
            Some(Standing::Idle) => Ok(()),
            Some(_) => Err(SchedError::AlreadyAsked(pid)),
        };
        assert_eq!(answer, expected, "request, seed {}", self.seed);
        if answer.is_ok() {
            self.model.insert(pid, (Standing::Waiting(self.now), wanted));
        }
        Answer::Unit(answer)
    }

    fn next(&mut self) -> Option<Grant> {
        let of = self.random.random_range(1..=3);
        let warm: Vec<Pid> = (1..=self.pids).map(pid).filter(|_| self.random.random_ratio(1, 4)).collect();
        let slot = Slot { number: self.random.random_range(0..of), of, warm: &warm };
        let favoured = pid(self.random.random_range(1..=self.pids));
        let taken =
            self.random.random_ratio(1, 8).then(|| self.scheduler.take(favoured, &slot, self.now)).flatten();
        assert!(taken.is_none_or(|grant| grant.pid == favoured), "take, seed {}", self.seed);
        let grant = taken.or_else(|| self.scheduler.next(&slot, self.now));
        let Some(Grant { pid, demand, waited }) = grant else {
            let waiting = self.model.values().any(|(standing, _)| matches!(standing, Standing::Waiting(_)));
            assert!(!waiting, "a slot stays free while somebody waits, seed {}", self.seed);
            return None;
        };
        let Some((Standing::Waiting(since), wanted)) = self.model.get(&pid).copied() else {
            panic!("{pid} was granted a slot but does not wait, seed {}", self.seed);
        };
        assert_eq!((demand, waited), (wanted, self.now.since(since)), "grant, seed {}", self.seed);
        self.model.insert(pid, (Standing::Holding(self.now), wanted));
        grant
    }

    fn settle(&mut self, pid: Pid, known: Option<Standing>) -> Answer {
        let charge = charge(self.random.random_range(0..40_000_000));
        let answer = match self.random.random_ratio(1, 5) {
            true => self.scheduler.give_back(pid, self.now),
            false => self.scheduler.settle(pid, charge, self.now),
        };
        let expected = match known {
            None => Err(SchedError::Unknown(pid)),
            Some(Standing::Holding(_)) => Ok(()),
            Some(_) => Err(SchedError::NoGrant(pid)),
        };
        assert_eq!(answer, expected, "settle, seed {}", self.seed);
        if answer.is_ok() {
            self.model.insert(pid, (Standing::Idle, Demand::default()));
        }
        Answer::Unit(answer)
    }

    fn withdraw(&mut self, pid: Pid, known: Option<Standing>) -> Answer {
        let leave = self.random.random_ratio(1, 3);
        let answer = self.scheduler.withdraw(pid, leave, self.now);
        let expected =
            known.map(|standing| matches!(standing, Standing::Waiting(_))).ok_or(SchedError::Unknown(pid));
        assert_eq!(answer, expected, "withdraw, seed {}", self.seed);
        if leave {
            self.model.remove(&pid);
        } else if answer == Ok(true) {
            self.model.insert(pid, (Standing::Idle, Demand::default()));
        }
        Answer::Flag(answer)
    }
}
