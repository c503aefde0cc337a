//! Locks beside a naive model of themselves: lists that are searched from end to end.

use kernel_sched::{LockError, Locks, Taken};
use kernel_types::Priority;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::soak::walks;

const PROCESSES: usize = 9;
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn priority(value: u8) -> Priority {
    Priority::new(value).unwrap()
}

/// One who waits: who, since the lock had changed hands how often.
#[derive(Clone, Debug, PartialEq)]
struct Waiter {
    who: usize,
    turn: u64,
}

/// A lock of the model; who waits in order of arrival.
#[derive(Clone, Debug, PartialEq)]
struct Lock {
    name: &'static str,
    holder: usize,
    turn: u64,
    waiters: Vec<Waiter>,
}

#[derive(Default)]
struct Model {
    locks: Vec<Lock>,
    own: [Option<Priority>; PROCESSES],
}

impl Model {
    fn lock_of(&mut self, name: &str) -> Option<&mut Lock> {
        self.locks.iter_mut().find(|lock| lock.name == name)
    }

    fn waits_for(&self, who: usize) -> Option<(&'static str, usize)> {
        let waits = |lock: &&Lock| lock.waiters.iter().any(|waiter| waiter.who == who);
        self.locks.iter().find(waits).map(|lock| (lock.name, lock.holder))
    }

    fn held_by(&self, who: usize) -> Vec<&'static str> {
        let mut held: Vec<_> =
            self.locks.iter().filter(|lock| lock.holder == who).map(|lock| lock.name).collect();
        held.sort_unstable();
        held
    }

    fn is_idle(&self, who: usize) -> bool {
        self.held_by(who).is_empty() && self.waits_for(who).is_none()
    }

    /// Its own urgency and those of all who wait for it, by following every chain.
    fn urgency(&self, who: usize) -> Option<Priority> {
        if self.is_idle(who) {
            return None;
        }
        let waiters = self.locks.iter().filter(|lock| lock.holder == who).flat_map(|lock| &lock.waiters);
        waiters.filter_map(|waiter| self.urgency(waiter.who)).chain(self.own[who]).min()
    }

    fn hand_over(&mut self, name: &str) -> Option<usize> {
        let place = self.locks.iter().position(|lock| lock.name == name).unwrap();
        let mut lock = self.locks.remove(place);
        let rank = |waiter: &Waiter| {
            let urgency = self.urgency_of_waiter(waiter.who);
            10 * waiter.turn + u64::from(urgency.value())
        };
        // The first of the least: of equals the one who came first.
        let ranks: Vec<u64> = lock.waiters.iter().map(rank).collect();
        let (place, _) = ranks.iter().enumerate().min_by_key(|(place, rank)| (**rank, *place))?;
        lock.holder = lock.waiters.remove(place).who;
        lock.turn += 1;
        let holder = lock.holder;
        self.locks.push(lock);
        Some(holder)
    }

    /// The same for one whose lock is taken out for the moment.
    fn urgency_of_waiter(&self, who: usize) -> Priority {
        self.urgency(who).or(self.own[who]).unwrap()
    }
}

struct Walk {
    locks: Locks<usize>,
    model: Model,
    random: StdRng,
    cycles: usize,
    handed: usize,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let (locks, model) = (Locks::default(), Model::default());
        Self { locks, model, random: StdRng::seed_from_u64(seed), cycles: 0, handed: 0 }
    }

    fn step(&mut self) {
        let who = self.random.random_range(0..PROCESSES);
        let name = NAMES[self.random.random_range(0..NAMES.len())];
        let urgency = priority(self.random.random_range(0..=10) * 10);
        match self.random.random_range(0..100) {
            0..60 => self.lock(who, name, urgency),
            60..83 => {
                let held = self.model.held_by(who);
                let name = if held.is_empty() { name } else { held[self.random.random_range(0..held.len())] };
                self.unlock(who, name);
            }
            83..89 => self.cancel(who),
            89..92 => self.leave(who),
            _ => {
                self.locks.set_urgency(who, urgency);
                if !self.model.is_idle(who) {
                    self.model.own[who] = Some(urgency);
                }
            }
        }
    }

    fn lock(&mut self, who: usize, name: &'static str, urgency: Priority) {
        let before = self.random.random_bool(0.1).then(|| self.locks.clone());
        let answer = self.locks.lock(who, name, urgency);
        if let (Some(before), true) = (before, answer.is_err()) {
            assert_eq!(self.locks, before, "what is refused changes nothing");
        }
        let expected = self.model_lock(who, name, urgency);
        if matches!(expected, Err(LockError::Cycle(_))) {
            self.cycles += 1;
        }
        assert_eq!(answer, expected);
    }

    fn model_lock(
        &mut self,
        who: usize,
        name: &'static str,
        urgency: Priority,
    ) -> Result<Taken<usize>, LockError<usize>> {
        let holder = self.model.lock_of(name).map(|lock| lock.holder);
        if holder == Some(who) {
            return Err(LockError::Held { who, name: name.to_owned() });
        }
        if let Some((name, _)) = self.model.waits_for(who) {
            return Err(LockError::Waits { who, name: name.to_owned() });
        }
        let mut chain = vec![(who, name.to_owned())];
        let mut next = holder;
        while let Some((waits, holder)) = next.and_then(|next| self.model.waits_for(next)) {
            chain.push((next.unwrap(), waits.to_owned()));
            if holder == who {
                return Err(LockError::Cycle(chain));
            }
            next = Some(holder);
        }
        self.model.own[who] = Some(urgency);
        let Some(lock) = self.model.lock_of(name) else {
            self.model.locks.push(Lock { name, holder: who, turn: 0, waiters: Vec::new() });
            return Ok(Taken::Held);
        };
        lock.waiters.push(Waiter { who, turn: lock.turn });
        Ok(Taken::Waits { holder: lock.holder })
    }

    fn unlock(&mut self, who: usize, name: &str) {
        let held = self.model.held_by(who).contains(&name);
        let expected = if held {
            Ok(self.model.hand_over(name))
        } else {
            Err(LockError::NotHeld { who, name: name.to_owned() })
        };
        self.handed += usize::from(matches!(expected, Ok(Some(_))));
        assert_eq!(self.locks.unlock(who, name), expected);
    }

    fn cancel(&mut self, who: usize) {
        let waits = self.model.waits_for(who).map(|(name, _)| name);
        self.model.locks.iter_mut().for_each(|lock| lock.waiters.retain(|waiter| waiter.who != who));
        assert_eq!(self.locks.cancel(who).as_deref(), waits);
    }

    fn leave(&mut self, who: usize) {
        self.model.locks.iter_mut().for_each(|lock| lock.waiters.retain(|waiter| waiter.who != who));
        let held = self.model.held_by(who).into_iter();
        let handed: Vec<_> =
            held.filter_map(|name| Some((name.to_owned(), self.model.hand_over(name)?))).collect();
        assert_eq!(self.locks.leave(who), handed);
        assert!(self.locks.urgency(who).is_none() && self.locks.held_by(who).next().is_none());
    }

    fn check(&mut self) {
        for name in NAMES {
            let holder = self.model.lock_of(name).map(|lock| lock.holder);
            assert_eq!(self.locks.holder(name), holder);
        }
        for who in 0..PROCESSES {
            assert_eq!(self.locks.urgency(who), self.model.urgency(who), "urgency of {who}");
            assert_eq!(self.locks.waits_for(who), self.model.waits_for(who));
            assert!(self.locks.held_by(who).eq(self.model.held_by(who)));
        }
    }

    /// Whoever waits for nothing gives back what it holds, until nobody holds anything.
    fn drain(&mut self) {
        let waiting: Vec<usize> = (0..PROCESSES).filter(|who| self.model.waits_for(*who).is_some()).collect();
        let mut served = [false; PROCESSES];
        while let Some(who) = (0..PROCESSES)
            .find(|who| self.model.waits_for(*who).is_none() && !self.model.held_by(*who).is_empty())
        {
            for name in self.model.held_by(who) {
                self.unlock(who, name);
                self.locks.holder(name).into_iter().for_each(|next| served[next] = true);
            }
            self.check();
        }
        assert!(self.model.locks.is_empty(), "without a cycle somebody can always go on");
        assert!(waiting.iter().all(|who| served[*who]), "who waited got it");
    }
}

/// A thousand walks of 1,000 operations; with `AGENTOS_SOAK` 8 walks of a million each.
#[test]
fn locks_are_as_the_lists_say() {
    let (seeds, operations) = walks(1_000, 8);
    let (mut cycles, mut handed) = (0, 0);
    for seed in 0..seeds {
        println!("seed {seed}");
        let mut walk = Walk::new(seed);
        for operation in 0..operations {
            walk.step();
            if operation % 4 == 0 {
                walk.check();
            }
        }
        walk.drain();
        (cycles, handed) = (cycles + walk.cycles, handed + walk.handed);
    }
    println!("{cycles} cycles refused, {handed} locks handed over");
    let walked = (seeds * operations) as usize;
    assert!(cycles > walked / 100 && handed > walked / 20);
}

/// The least urgent waits for a lock that ever new processes of the utmost urgency ask for.
#[test]
fn nobody_waits_for_ever_behind_the_more_urgent() {
    let mut locks = Locks::default();
    locks.lock(0, "a", priority(0)).unwrap();
    locks.lock(1, "a", priority(100)).unwrap();
    let (mut holder, mut handed) = (0, 0);
    for newcomer in 2.. {
        locks.lock(newcomer, "a", priority(0)).unwrap();
        holder = locks.unlock(holder, "a").unwrap().unwrap();
        handed += 1;
        if holder == 1 {
            break;
        }
    }
    assert_eq!(handed, 11, "ten changes of hands make up for a hundred levels");
}

#[test]
fn urgency_runs_along_a_chain_and_ends_with_the_release() {
    let mut locks = Locks::default();
    for who in 0..50_u8 {
        locks.lock(who, &who.to_string(), priority(90)).unwrap();
    }
    for who in 1..50_u8 {
        locks.lock(who, &(who - 1).to_string(), priority(90)).unwrap();
    }
    assert_eq!(locks.urgency(0), Some(priority(90)));
    locks.lock(99, "49", priority(3)).unwrap();
    assert!((0..50).all(|who| locks.urgency(who) == Some(priority(3))));
    locks.set_urgency(99, priority(7));
    assert!((0..50).all(|who| locks.urgency(who) == Some(priority(7))));
    assert_eq!(locks.unlock(0, "0"), Ok(Some(1)));
    assert_eq!((locks.urgency(0), locks.urgency(1)), (None, Some(priority(7))));
    assert_eq!(locks.cancel(99).as_deref(), Some("49"));
    assert!((1..50).all(|who| locks.urgency(who) == Some(priority(90))));
}
