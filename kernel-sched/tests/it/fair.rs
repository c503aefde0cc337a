//! The bounds of the fair policy, over random loads: who is always backlogged gets what it is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use kernel_sched::{Charge, Demand, Entry, Fair, Micros, Scheduler, Slot, Weight};
use kernel_types::{Pid, Priority, Tokens};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The dearest call, in tokens of input.
const DEAREST: u64 = 50_000;

/// Seeds of 1,000 decisions each; a thousand times as many decisions with `AGENTOS_SOAK`.
fn seeds() -> u64 {
    if std::env::var_os("AGENTOS_SOAK").is_some() { 20_000 } else { 1_000 }
}

fn pid(number: usize) -> Pid {
    Pid::from_parts(number as u64 + 1, 0)
}

/// Processes that always want a slot, on slots that serve a token a microsecond.
struct Crowd {
    fair: Fair,
    random: StdRng,
    weights: Vec<u64>,
    slots: u32,
    slack: u64,
    /// What calls cost less than was reserved for them, at most by this factor.
    error: u64,
    now: u64,
    running: BinaryHeap<Reverse<(u64, usize, u64)>>,
    free: Vec<u32>,
    /// The last of each slot.
    last: Vec<Option<Pid>>,
    held: Vec<Option<u32>>,
    served: Vec<u64>,
    calls: Vec<u64>,
    demands: Vec<u64>,
}

impl Crowd {
    fn new(seed: u64, slots: u32, slack: u64, priorities: &[u8], error: u64) -> Self {
        // None at all, one that a call or two outlast, one that nobody needs.
        let patience = [0, 3 * DEAREST, u64::MAX][usize::try_from(seed % 3).unwrap()];
        let mut fair = Fair::new().with_slack(slack).with_patience(Micros(patience));
        let mut weights = Vec::new();
        for (number, priority) in priorities.iter().enumerate() {
            let priority = Priority::new(*priority).unwrap();
            weights.push(u64::from(Weight::of(priority).units()));
            fair.admit(Entry::new(pid(number)).urgent(priority), Micros(0)).unwrap();
        }
        let count = priorities.len();
        let mut crowd = Self {
            fair,
            random: StdRng::seed_from_u64(seed),
            weights,
            slots,
            slack,
            error,
            now: 0,
            running: BinaryHeap::new(),
            free: (0..slots).collect(),
            last: vec![None; slots as usize],
            held: vec![None; count],
            served: vec![0; count],
            calls: vec![0; count],
            demands: vec![0; count],
        };
        (0..count).for_each(|number| crowd.ask(number));
        crowd
    }

    fn ask(&mut self, number: usize) {
        let input = self.random.random_range(1..=DEAREST);
        let reserved = (input * self.error).min(DEAREST);
        self.demands[number] = input;
        let demand = Demand { input: Tokens(reserved), ..Demand::default() };
        self.fair.request(pid(number), demand, Micros(self.now)).unwrap();
    }

    /// A call ends, and its slot is given away again.
    fn decide(&mut self) {
        if self.free.is_empty() {
            let Reverse((end, number, cost)) = self.running.pop().unwrap();
            self.now = end;
            let charge = Charge { uncached: Tokens(cost), held: Micros(cost), ..Charge::default() };
            self.fair.settle(pid(number), charge, Micros(end)).unwrap();
            self.served[number] += cost;
            self.calls[number] += 1;
            self.free.push(self.held[number].take().unwrap());
            self.ask(number);
        }
        let slot = self.free.pop().unwrap();
        let warm: Vec<Pid> = self.last[slot as usize].into_iter().collect();
        let offered = Slot { number: slot, of: self.slots, warm: &warm };
        let grant = self.fair.next(&offered, Micros(self.now)).expect("somebody always waits");
        let number = (0..self.weights.len()).find(|number| pid(*number) == grant.pid).unwrap();
        self.last[slot as usize] = Some(grant.pid);
        self.held[number] = Some(slot);
        let cost = self.demands[number];
        self.running.push(Reverse((self.now + cost, number, cost)));
    }

    /// Tokens behind, divided by the weight.
    fn behind(&self, number: usize) -> f64 {
        self.fair.lag(pid(number)).unwrap() as f64 / 10.0 / (self.weights[number] as f64 / 1024.0)
    }

    /// How far the furthest is ahead, in tokens; how far two are apart, times the smaller weight.
    fn spread(&self) -> (f64, f64) {
        let behind: Vec<f64> = (0..self.weights.len()).map(|number| self.behind(number)).collect();
        let weight = |number: usize| self.weights[number] as f64 / 1024.0;
        let ahead = (0..behind.len()).map(|number| -behind[number] * weight(number)).fold(0.0, f64::max);
        let mut apart = 0.0_f64;
        for a in 0..behind.len() {
            for b in 0..a {
                apart = apart.max((behind[a] - behind[b]).abs() * weight(a).min(weight(b)));
            }
        }
        (ahead, apart)
    }
}

fn priorities(random: &mut StdRng, count: usize) -> Vec<u8> {
    (0..count).map(|_| random.random_range(35..=65)).collect()
}

#[test]
fn nobody_is_ahead_or_apart_by_more_than_the_bounds() {
    let (mut most_ahead, mut most_apart) = (0.0_f64, 0.0_f64);
    for seed in 0..seeds() {
        let mut random = StdRng::seed_from_u64(seed);
        let slots = random.random_range(1..=4);
        let slack = [0, 5_000, 20_000][random.random_range(0..3)];
        let count = random.random_range(12..=24);
        let priorities = priorities(&mut random, count);
        let mut crowd = Crowd::new(seed, slots, slack, &priorities, 1);
        if crowd.weights.iter().max().unwrap() * u64::from(slots) > crowd.weights.iter().sum() {
            // Who is due more than a slot is capped: a law of its own.
            continue;
        }
        for step in 0..1_000 {
            crowd.decide();
            let (ahead, apart) = crowd.spread();
            let (c, l) = (DEAREST as f64, crowd.slack as f64);
            assert!(
                ahead <= c + l + 1.0,
                "seed {seed}, step {step}: ahead by {ahead} of {} (slots {slots})",
                c + l
            );
            assert!(
                apart <= 2.0 * c + l + 1.0,
                "seed {seed}, step {step}: apart by {apart} (slots {slots}, slack {l})"
            );
            most_ahead = most_ahead.max(ahead / (c + l));
            most_apart = most_apart.max(apart / (2.0 * c + l));
        }
    }
    println!("at most {most_ahead:.3} of the bound ahead, {most_apart:.3} of the bound apart");
}

#[test]
fn without_slack_equals_differ_by_one_call() {
    for seed in 0..seeds() / 4 {
        let mut crowd = Crowd::new(seed, 1, 0, &[50; 8], 1);
        for step in 0..1_000 {
            crowd.decide();
            let (_, apart) = crowd.spread();
            assert!(apart <= DEAREST as f64 + 1.0, "seed {seed}, step {step}: {apart}");
        }
    }
}

#[test]
fn shares_follow_the_weights() {
    let priorities = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100];
    let mut crowd = Crowd::new(1, 1, 0, &priorities, 1);
    while crowd.calls.iter().any(|calls| *calls < 1_000) {
        crowd.decide();
    }
    let all: u64 = crowd.served.iter().sum();
    let weights: u64 = crowd.weights.iter().sum();
    for (number, served) in crowd.served.iter().enumerate() {
        let due = all as f64 * crowd.weights[number] as f64 / weights as f64;
        let error = (*served as f64 - due).abs() / due;
        assert!(error <= 0.005, "priority {}: {served} of {due:.0}", priorities[number]);
    }
}

#[test]
fn who_waits_too_long_spends_slack_to_go_first() {
    for (patience, slack, first) in [(1_000, 20_000, 0), (10_000, 20_000, 1), (1_000, 0, 1)] {
        let mut fair = Fair::new().with_slack(slack).with_patience(Micros(patience));
        for number in 0..2 {
            fair.admit(Entry::new(pid(number)), Micros(0)).unwrap();
            fair.request(pid(number), Demand::default(), Micros(0)).unwrap();
        }
        let grant = fair.next(&Slot::default(), Micros(0)).unwrap();
        assert_eq!(grant.pid, pid(0));
        let charge = Charge { uncached: Tokens(5_000), ..Charge::default() };
        fair.settle(pid(0), charge, Micros(1)).unwrap();
        fair.request(pid(0), Demand::default(), Micros(1)).unwrap();
        // Who is behind asks anew.
        fair.withdraw(pid(1), false, Micros(2_000)).unwrap();
        fair.request(pid(1), Demand::default(), Micros(2_000)).unwrap();
        let grant = fair.next(&Slot::default(), Micros(2_001)).unwrap();
        assert_eq!(grant.pid, pid(first), "patience {patience} us, slack {slack}");
    }
}

/// Processes that come, make one call and go do not hold up one that stays.
#[test]
fn who_stays_is_not_starved_by_those_who_come_and_go() {
    for slots in [1_u32, 2] {
        let mut fair = Fair::new();
        let demand = Demand { input: Tokens(1_000), ..Demand::default() };
        let mut now = 0;
        let mut next = 1;
        let mut come = |fair: &mut Fair, now: u64| {
            let newcomer = pid(next);
            next += 1;
            fair.admit(Entry::new(newcomer), Micros(now)).unwrap();
            fair.request(newcomer, demand, Micros(now)).unwrap();
        };
        fair.admit(Entry::new(pid(0)), Micros(0)).unwrap();
        fair.request(pid(0), demand, Micros(0)).unwrap();
        (0..3 * slots).for_each(|_| come(&mut fair, 0));
        let mut holding = std::collections::VecDeque::new();
        let mut of_old = 0;
        for _ in 0..3_000 {
            if holding.len() == slots as usize {
                let (done, slot): (Pid, u32) = holding.pop_front().unwrap();
                now += 1_000;
                fair.settle(done, Charge { uncached: Tokens(1_000), ..Charge::default() }, Micros(now))
                    .unwrap();
                if done == pid(0) {
                    fair.request(done, demand, Micros(now)).unwrap();
                } else {
                    fair.withdraw(done, true, Micros(now)).unwrap();
                    come(&mut fair, now);
                }
                let grant = fair.next(&Slot { number: slot, of: slots, warm: &[] }, Micros(now)).unwrap();
                of_old += u32::from(grant.pid == pid(0));
                holding.push_back((grant.pid, slot));
            } else {
                let slot = u32::try_from(holding.len()).unwrap();
                let grant = fair.next(&Slot { number: slot, of: slots, warm: &[] }, Micros(now)).unwrap();
                of_old += u32::from(grant.pid == pid(0));
                holding.push_back((grant.pid, slot));
            }
        }
        // Beside three times as many as there are slots, all the time.
        let due = 3_000 / (3 * slots + 1);
        println!("{slots} slots: {of_old} of {due} due");
        // Each of them comes without debts; one that stays pays its own first.
        assert!(of_old * 2 >= due, "{slots} slots: {of_old} calls of {due} due");
    }
}

#[test]
fn a_change_of_weight_in_the_middle_keeps_what_is_owed() {
    for (from, to, least, most) in [(100, 0, 0, 12), (0, 100, 0, 4_000), (50, 40, 0, 12)] {
        let mut crowd = Crowd::new(7, 1, 0, &[50, 50, 50, 50, 50, from], 1);
        (0..200).for_each(|_| crowd.decide());
        let level = Priority::new(to).unwrap();
        crowd.fair.admit(Entry::new(pid(5)).urgent(level), Micros(crowd.now)).unwrap();
        let before = crowd.calls[5];
        let mut decisions = 0;
        while crowd.calls[5] < before + 2 && decisions < 10_000 {
            crowd.decide();
            decisions += 1;
        }
        assert!((least..=most).contains(&decisions), "{from} to {to}: {decisions} decisions for two calls");
    }
}

#[test]
fn the_urgent_of_a_family_goes_before_its_warm() {
    let mut fair = Fair::new();
    let root = pid(9);
    let entry = |number, level| {
        let own = Entry::new(pid(number)).urgent(Priority::new(level).unwrap());
        own.below(root, Priority::default())
    };
    for (number, level) in [(0, 50), (1, 10), (2, 50)] {
        fair.admit(entry(number, level), Micros(0)).unwrap();
        fair.request(pid(number), Demand::default(), Micros(0)).unwrap();
    }
    let warm = [pid(0), pid(2)];
    let offered = Slot { number: 0, of: 1, warm: &warm };
    let order: Vec<Pid> = (0..3).map(|_| fair.next(&offered, Micros(0)).unwrap().pid).collect();
    assert_eq!(order, [pid(1), pid(0), pid(2)]);
}

/// Families of several processes share by weight also where there are fewer families than slots.
#[test]
fn families_share_by_weight_on_more_slots_than_there_are_families() {
    const SLOTS: u32 = 4;
    let mut fair = Fair::new();
    let demand = Demand { input: Tokens(1_000), ..Demand::default() };
    let heavy = |number: usize| number < 6;
    for number in 0..12 {
        let (root, level) = if heavy(number) { (pid(100), 20) } else { (pid(200), 50) };
        let level = Priority::new(level).unwrap();
        fair.admit(Entry::new(pid(number)).below(root, level), Micros(0)).unwrap();
        fair.request(pid(number), demand, Micros(0)).unwrap();
    }
    let (mut now, mut served) = (0, [0_u32; 2]);
    let mut holding = std::collections::VecDeque::new();
    for _ in 0..4_000 {
        if holding.len() == SLOTS as usize {
            let done: Pid = holding.pop_front().unwrap();
            now += 1_000;
            fair.settle(done, Charge { uncached: Tokens(1_000), ..Charge::default() }, Micros(now)).unwrap();
            fair.request(done, demand, Micros(now)).unwrap();
        }
        let grant = fair.next(&Slot { number: 0, of: SLOTS, warm: &[] }, Micros(now)).unwrap();
        let number = (0..12).find(|number| pid(*number) == grant.pid).unwrap();
        served[usize::from(heavy(number))] += 1;
        holding.push_back(grant.pid);
    }
    let [light, heavy] = served.map(f64::from);
    assert!((7.6..8.4).contains(&(heavy / light)), "{heavy} to {light} at weights of 8 to 1");
}
