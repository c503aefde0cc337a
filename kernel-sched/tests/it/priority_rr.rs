//! What priorities, time slices and aging promise.

use std::collections::BTreeMap;

use proptest::prelude::*;

use kernel_sched::{Charge, Demand, Entry, Micros, PriorityRoundRobin, Scheduler, Slot};
use kernel_types::{Pid, Priority};

const SECOND: u64 = 1_000_000;

fn pid(number: u64) -> Pid {
    Pid::from_parts(number + 1, 0)
}

fn priority(value: u8) -> Priority {
    Priority::new(value).expect("within 0 to 100")
}

/// One slot under load: processes ask again as soon as their call is over.
struct Bench {
    scheduler: PriorityRoundRobin,
    now: u64,
}

impl Bench {
    fn new(scheduler: PriorityRoundRobin, levels: &[u8]) -> Self {
        let mut bench = Self { scheduler, now: 0 };
        (0..).zip(levels).for_each(|(number, &level)| bench.admit(number, level));
        (0..).zip(levels).for_each(|(number, _)| bench.request(number));
        bench
    }

    fn admit(&mut self, number: u64, level: u8) {
        let entry = Entry::new(pid(number)).urgent(priority(level));
        self.scheduler.admit(entry, Micros(self.now)).expect("a fresh pid");
    }

    fn request(&mut self, number: u64) {
        self.scheduler.request(pid(number), Demand::default(), Micros(self.now)).expect("it is idle");
    }

    /// The next process has a call of `held` and asks again before the slot is given away.
    fn call(&mut self, held: u64) -> u64 {
        let number = self.call_without_asking(held);
        self.request(number);
        number
    }

    fn call_without_asking(&mut self, held: u64) -> u64 {
        let grant = self.scheduler.next(&Slot::default(), Micros(self.now)).expect("somebody waits");
        self.now += held;
        let charge = Charge { held: Micros(held), ..Charge::default() };
        self.scheduler.settle(grant.pid, charge, Micros(self.now)).expect("it holds a slot");
        (0..).find(|&number| pid(number) == grant.pid).expect("one of ours")
    }

    fn calls(&mut self, held: u64, count: usize) -> Vec<u64> {
        (0..count).map(|_| self.call(held)).collect()
    }
}

#[test]
fn the_more_urgent_goes_first_whoever_asked_first() {
    let mut bench = Bench::new(PriorityRoundRobin::new(), &[90, 50, 10, 0, 100]);
    let order: Vec<u64> = (0..5).map(|_| bench.call_without_asking(SECOND)).collect();
    assert_eq!(order, [3, 2, 1, 0, 4]);
}

#[test]
fn a_level_takes_turns_of_a_slice() {
    let mut bench = Bench::new(PriorityRoundRobin::new(), &[50, 50, 50]);
    let expected = [0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 1];
    assert_eq!(bench.calls(20 * SECOND, 13), expected, "calls of 20 seconds, slices of 60");
}

#[test]
fn a_slice_ends_a_turn_after_the_call_not_in_it() {
    let mut bench = Bench::new(PriorityRoundRobin::new(), &[50, 50]);
    assert_eq!(bench.calls(59 * SECOND, 4), [0, 0, 1, 1], "the second call runs over and is not cut");
    assert_eq!(bench.calls(600 * SECOND, 4), [0, 1, 0, 1]);
}

#[test]
fn without_a_slice_each_call_is_a_turn() {
    let mut bench = Bench::new(PriorityRoundRobin::new().with_slice(Micros(0)), &[50, 50, 50]);
    assert_eq!(bench.calls(0, 7), [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn calls_that_take_no_time_end_a_turn_too() {
    let mut bench = Bench::new(PriorityRoundRobin::new(), &[50, 50]);
    let order = bench.calls(0, 64 * 3);
    assert_eq!(order, [[0; 64], [1; 64], [0; 64]].concat());
}

#[test]
fn who_wanted_nothing_for_a_slice_begins_a_new_turn() {
    for (pause, first) in [(60, 0), (61, 1)] {
        let mut bench = Bench::new(PriorityRoundRobin::new(), &[50, 50]);
        assert_eq!(bench.call_without_asking(SECOND), 0);
        bench.now += pause * SECOND;
        bench.request(0);
        assert_eq!(bench.call(SECOND), first, "back after {pause} seconds");
    }
}

#[test]
fn an_old_turn_is_no_advantage_over_more_urgent_levels() {
    let mut bench = Bench::new(PriorityRoundRobin::new(), &[100]);
    assert_eq!(bench.call_without_asking(0), 0, "its turn began first of all");
    bench.admit(1, 0);
    bench.request(1);
    bench.calls(0, 5000);
    bench.request(0);
    assert_eq!(bench.calls(0, 100), vec![1; 100]);
}

#[test]
fn an_aged_request_comes_up_after_the_grants_it_was_told() {
    let mut bench = Bench::new(PriorityRoundRobin::new().with_aging(8), &[0, 10]);
    let order = bench.calls(SECOND, 500);
    let first = order.iter().position(|&number| number == 1);
    // 80 grants to gain ten levels, then the turn of the other is over or its request newer.
    assert!(first.is_some_and(|first| (80..=80 + 64).contains(&first)), "{first:?}");
    let share = order.iter().filter(|&&number| number == 1).count();
    assert!((1..=500 / 80).contains(&share), "{share} of 500");
}

#[test]
fn the_least_urgent_waits_no_longer_than_its_bound() {
    for held in [0, SECOND, 100 * SECOND] {
        let levels = [[0; 20].as_slice(), &[100]].concat();
        let mut bench = Bench::new(PriorityRoundRobin::new(), &levels);
        let bound = bench.scheduler.wait_bound(Priority::LOWEST, 20);
        let ahead = (0..).take_while(|_| bench.call(held) != 20).count() as u64;
        assert!((800..=bound).contains(&ahead), "{ahead} grants went ahead, the bound is {bound}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any mix of levels, lengths of calls, slots, aging, pauses and newcomers.
    #[test]
    fn nobody_waits_longer_than_the_bound(
        levels in prop::collection::vec(prop_oneof![Just(0u8), Just(100), 0..=100u8], 2..9),
        script in prop::collection::vec((0..4u64, 0..8u8, prop::option::weighted(0.02, 0..=100u8)), 500..2500),
        slots in 1..4usize,
        aging in prop_oneof![Just(0u64), Just(1), Just(8)],
    ) {
        let mut bench = Bench::new(PriorityRoundRobin::new().with_aging(aging), &levels);
        let mut levels: Vec<u8> = levels;
        let mut held: Vec<(u64, u64)> = Vec::new();
        let mut away: Vec<u64> = Vec::new();
        // For each process that waits: how many grants went ahead.
        let mut ahead: BTreeMap<u64, u64> = (0..levels.len() as u64).map(|number| (number, 0)).collect();
        for (length, luck, newcomer) in script {
            if let Some(level) = newcomer {
                let number = levels.len() as u64;
                levels.push(level);
                bench.admit(number, level);
                bench.request(number);
                ahead.insert(number, 0);
            }
            while held.len() < slots {
                let Some(grant) = bench.scheduler.next(&Slot::default(), Micros(bench.now)) else { break };
                let number = (0..levels.len() as u64).find(|&n| pid(n) == grant.pid).expect("one of ours");
                ahead.remove(&number);
                ahead.values_mut().for_each(|count| *count += 1);
                held.push((number, length * 25 * SECOND));
            }
            for (number, count) in &ahead {
                let level = levels[usize::try_from(*number).expect("small")];
                let bound = bench.scheduler.wait_bound(priority(level), levels.len() - 1);
                prop_assert!(*count <= bound, "process {} of level {} saw {} grants, bound {}", number, level, count, bound);
            }
            // One call ends; its process asks again at once, or another one that was away does.
            if !held.is_empty() {
                let (number, length) = held.remove(usize::from(luck) % held.len());
                bench.now += length;
                let charge = Charge { held: Micros(length), ..Charge::default() };
                bench.scheduler.settle(pid(number), charge, Micros(bench.now)).expect("it holds a slot");
                away.push(number);
            }
            if luck != 7 && !away.is_empty() {
                let number = away.swap_remove(usize::from(luck) % away.len());
                bench.request(number);
                ahead.insert(number, 0);
            }
        }
    }
}
