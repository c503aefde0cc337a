//! The fair policy beside the plainest implementation of its rules: the same grants and the same errors, whatever callers do.

use std::fmt::Debug;

use kernel_sched::{Charge, Demand, Entry, Fair, Micros, Scheduler, Slot, Standing, Weight};
use kernel_types::{Pid, Priority, Tokens};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::naive::Naive;
use crate::soak::walks;

const PIDS: u64 = 12;
const FAMILIES: u64 = 7;
const TENANTS: u64 = 3;

fn pid(number: u64) -> Pid {
    Pid::from_parts(number + 1, 0)
}

/// A random caller of both.
struct Walk {
    fair: Fair,
    naive: Naive,
    random: StdRng,
    seed: u64,
    step: u64,
    now: u64,
    slots: u32,
    granted: u64,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let slack = [0, 100, 20_000][random.random_range(0..3)];
        let slice = Micros([0, 500, 60_000_000][random.random_range(0..3)]);
        let patience = Micros([0, 2_000, 300_000_000][random.random_range(0..3)]);
        let weights: Vec<(u64, Weight)> =
            (1..TENANTS).map(|tenant| (tenant, Weight::times(random.random_range(1..=8)))).collect();
        let fair = Fair::new().with_slack(slack).with_slice(slice).with_patience(patience);
        let fair = weights.iter().fold(fair, |fair, (tenant, weight)| fair.with_tenant(*tenant, *weight));
        let naive = Naive::new(slack, slice, patience, weights);
        let slots = random.random_range(1..=4);
        Self { fair, naive, random, seed, step: 0, now: 0, slots, granted: 0 }
    }

    fn tokens(&mut self) -> Tokens {
        let most = [1, 100, 10_000, 10_000, 200_000][self.random.random_range(0..5)];
        let freak = self.random.random_ratio(1, 300);
        Tokens(if freak { u64::MAX } else { self.random.random_range(0..most) })
    }

    fn level(&mut self) -> Priority {
        let levels = [50, 50, 0, 100, self.random.random_range(0..=100)];
        Priority::new(levels[self.random.random_range(0..levels.len())]).unwrap()
    }

    fn entry(&mut self, pid: Pid) -> Entry {
        let root = self.random.random_range(0..FAMILIES);
        let (level, share) = (self.level(), self.level());
        let entry = Entry::new(pid).urgent(level).of_tenant(root % TENANTS);
        // Now and then of another tenant than its family: that does not change.
        let entry = if self.random.random_ratio(1, 20) { entry.of_tenant(0) } else { entry };
        entry.below(Pid::from_parts(100 + root, 0), share)
    }

    fn demand(&mut self) -> Demand {
        Demand { input: self.tokens(), cached: self.tokens(), output: self.tokens() }
    }

    fn charge(&mut self) -> Charge {
        let held = Micros(self.random.random_range(0..1_000));
        Charge { uncached: self.tokens(), cached: self.tokens(), output: self.tokens(), held }
    }

    /// The time of the next call: mostly a little later, sometimes much, sometimes earlier.
    fn pass(&mut self) -> Micros {
        match self.random.random_range(0..200) {
            0 => return Micros(self.now.saturating_sub(1)),
            1 => self.now += 400_000_000,
            2..=9 => self.now += 3_000,
            _ => self.now += self.random.random_range(0..300),
        }
        Micros(self.now)
    }

    fn same<T: PartialEq + Debug>(&self, what: impl Debug, fair: T, naive: T) {
        assert_eq!(fair, naive, "seed {}, step {}: {what:?} (fair left, model right)", self.seed, self.step);
    }

    /// A process that mostly stands as the call needs it.
    fn fitting(&mut self, kind: u32) -> Pid {
        let fits = |standing: Option<Standing>| match kind {
            0..=1 => standing.is_none(),
            2..=14 => standing == Some(Standing::Idle),
            27..=37 => matches!(standing, Some(Standing::Holding(_))),
            _ => true,
        };
        let tries = if self.random.random_ratio(1, 10) { 1 } else { PIDS };
        let first = self.random.random_range(0..PIDS);
        let pids = || (0..tries).map(|number| pid((first + number) % PIDS));
        pids().find(|pid| fits(self.fair.standing(*pid))).unwrap_or(pid(first))
    }

    fn decide(&mut self) {
        self.step += 1;
        let now = self.pass();
        let kind = self.random.random_range(0..40);
        let pid = self.fitting(kind);
        match kind {
            0..=1 => {
                let entry = self.entry(pid);
                let answers = (self.fair.admit(entry, now), self.naive.admit(entry, now));
                self.same(("admit", entry), answers.0, answers.1);
            }
            2..=14 => {
                let demand = self.demand();
                let answers = (self.fair.request(pid, demand, now), self.naive.request(pid, demand, now));
                self.same(("request", pid, demand), answers.0, answers.1);
            }
            15 => self.take(pid, now),
            16..=26 => self.next(now),
            27 => {
                let answers = (self.fair.give_back(pid, now), self.naive.give_back(pid, now));
                self.same(("give back", pid), answers.0, answers.1);
            }
            28..=37 => {
                let charge = self.charge();
                let answers = (self.fair.settle(pid, charge, now), self.naive.settle(pid, charge, now));
                self.same(("settle", pid, charge), answers.0, answers.1);
            }
            kind => {
                let leave = kind == 39;
                let answers = (self.fair.withdraw(pid, leave, now), self.naive.withdraw(pid, leave, now));
                self.same(("withdraw", pid, leave), answers.0, answers.1);
            }
        }
        self.same(("standing", pid), self.fair.standing(pid), self.naive.standing(pid));
        self.same(("lag", pid), self.fair.lag(pid), self.naive.lag(pid));
    }

    fn take(&mut self, pid: Pid, now: Micros) {
        let slot = Slot { number: self.random.random_range(0..self.slots), of: self.slots, warm: &[] };
        let (fair, naive) = (self.fair.take(pid, &slot, now), self.naive.take(pid, &slot, now));
        self.same(("take", pid, slot, now), fair, naive);
    }

    fn next(&mut self, now: Micros) {
        if self.random.random_ratio(1, 50) {
            self.slots = self.random.random_range(1..=4);
        }
        let warm: Vec<Pid> = (0..PIDS).map(pid).filter(|_| self.random.random_ratio(1, 5)).collect();
        let slot = Slot { number: self.random.random_range(0..self.slots), of: self.slots, warm: &warm };
        let (fair, naive) = (self.fair.next(&slot, now), self.naive.next(&slot, now));
        self.same(("next", slot, now), fair, naive);
        self.granted += u64::from(fair.is_some());
    }
}

/// A thousand walks of 1,000 decisions; with `AGENTOS_SOAK` 8 walks of a million each.
#[test]
fn fair_decides_as_its_rules_say() {
    let (seeds, decisions) = walks(1_000, 8);
    let mut granted = 0;
    for seed in 0..seeds {
        let mut walk = Walk::new(seed);
        (0..decisions).for_each(|_| walk.decide());
        granted += walk.granted;
    }
    println!("{seeds} walks of {decisions} decisions, {granted} grants");
    assert!(granted * 10 > seeds * decisions, "most walks must grant: {granted}");
}
