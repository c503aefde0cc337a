//! Processes that always want slots under the fair policy, and how far they are from what they are due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use kernel_sched::{Charge, Demand, Entry, Fair, Micros, Scheduler, Slot, Weight};
use kernel_types::{Pid, Priority, Tokens};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The dearest call, in tokens of input.
pub(crate) const DEAREST: u64 = 50_000;

pub(crate) fn pid(number: usize) -> Pid {
    Pid::from_parts(number as u64 + 1, 0)
}

/// Processes that always want a slot, on slots that serve a token a microsecond.
pub(crate) struct Crowd {
    pub(crate) fair: Fair,
    random: StdRng,
    pub(crate) weights: Vec<u64>,
    slots: u32,
    pub(crate) slack: u64,
    /// What calls cost less than was reserved for them, at most by this factor.
    error: u64,
    pub(crate) now: u64,
    running: BinaryHeap<Reverse<(u64, usize, u64)>>,
    free: Vec<u32>,
    /// The last of each slot.
    last: Vec<Option<Pid>>,
    held: Vec<Option<u32>>,
    pub(crate) served: Vec<u64>,
    pub(crate) calls: Vec<u64>,
    demands: Vec<u64>,
    /// The longest that anybody waited for a slot.
    pub(crate) longest: u64,
}

impl Crowd {
    pub(crate) fn new(seed: u64, slots: u32, slack: u64, priorities: &[u8], error: u64) -> Self {
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
            longest: 0,
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
    pub(crate) fn decide(&mut self) {
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
        self.longest = self.longest.max(grant.waited.0);
        self.held[number] = Some(slot);
        let cost = self.demands[number];
        self.running.push(Reverse((self.now + cost, number, cost)));
    }

    /// Another one that always wants a slot, from now on: its number.
    pub(crate) fn join(&mut self, priority: u8) -> usize {
        let number = self.weights.len();
        let priority = Priority::new(priority).unwrap();
        self.fair.admit(Entry::new(pid(number)).urgent(priority), Micros(self.now)).unwrap();
        self.weights.push(u64::from(Weight::of(priority).units()));
        self.held.push(None);
        [&mut self.served, &mut self.calls, &mut self.demands].into_iter().for_each(|counts| counts.push(0));
        self.ask(number);
        number
    }

    /// Of one that is there.
    pub(crate) fn reweigh(&mut self, number: usize, priority: u8) {
        let priority = Priority::new(priority).unwrap();
        self.fair.admit(Entry::new(pid(number)).urgent(priority), Micros(self.now)).unwrap();
        self.weights[number] = u64::from(Weight::of(priority).units());
    }

    /// Tokens behind.
    pub(crate) fn behind(&self, number: usize) -> f64 {
        self.fair.lag(pid(number)).unwrap() as f64 / 10.0
    }

    /// What the weights count for: no more than what the others leave of the slots, times what one slot is worth.
    fn counted(&self) -> Vec<f64> {
        let mut order: Vec<usize> = (0..self.weights.len()).collect();
        order.sort_by_key(|number| Reverse(self.weights[*number]));
        let (mut rest, mut slots, mut cap) =
            (self.weights.iter().sum::<u64>(), u64::from(self.slots), u64::MAX);
        for number in order {
            if slots == 1 || self.weights[number] * slots <= rest {
                break;
            }
            (rest, slots) = (rest - self.weights[number], slots - 1);
            cap = rest / slots;
        }
        self.weights.iter().map(|weight| (*weight).min(cap) as f64 / 1024.0).collect()
    }

    /// How much of a slot each is due.
    pub(crate) fn due(&self) -> Vec<f64> {
        let counted = self.counted();
        let all = counted.iter().sum::<f64>();
        counted.iter().map(|weight| weight * f64::from(self.slots) / all).collect()
    }

    /// Who is due more than a slot.
    pub(crate) fn is_capped(&self, number: usize) -> bool {
        self.counted()[number] < self.weights[number] as f64 / 1024.0
    }

    /// Of those who are due no more than a slot: how much of one the heaviest is due.
    pub(crate) fn most_due(&self) -> f64 {
        let due = self.due().into_iter().enumerate();
        due.filter(|(number, _)| !self.is_capped(*number)).map(|(_, due)| due).fold(0.0, f64::max)
    }

    /// How far the furthest is ahead, in tokens; how far two are apart, times the smaller weight. Who is due more than a slot is
    /// left out.
    pub(crate) fn spread(&self) -> (f64, f64) {
        let weights = self.counted();
        let behind: Vec<f64> =
            (0..weights.len()).map(|number| self.behind(number) / weights[number]).collect();
        let capped = |number: usize| weights[number] < self.weights[number] as f64 / 1024.0;
        let others: Vec<usize> = (0..weights.len()).filter(|number| !capped(*number)).collect();
        let ahead =
            others.iter().copied().map(|number| -behind[number] * weights[number]).fold(0.0, f64::max);
        let mut apart = 0.0_f64;
        for (at, &a) in others.iter().enumerate() {
            for &b in &others[..at] {
                apart = apart.max((behind[a] - behind[b]).abs() * weights[a].min(weights[b]));
            }
        }
        (ahead, apart)
    }
}
