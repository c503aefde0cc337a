//! Estimates and charges that are wrong, and numbers that are large.

use kernel_sched::{
    Charge, Demand, Entry, Fair, Fifo, Grant, LeastAttained, Micros, SchedError, Scheduler, Slot, Standing,
};
use kernel_types::{Pid, Priority, Tokens};

use super::pool::{Agent, Policy, Pool, agent, pid};
use super::{SLACK, apart, bounded, wait};

/// A fair policy that charges what was estimated.
struct Credulous {
    inner: Fair,
    estimates: std::collections::HashMap<Pid, Tokens>,
}

impl Scheduler for Credulous {
    fn name(&self) -> &'static str {
        "credulous"
    }
    fn admit(&mut self, entry: Entry, now: Micros) -> Result<(), SchedError> {
        self.inner.admit(entry, now)
    }
    fn request(&mut self, pid: Pid, demand: Demand, now: Micros) -> Result<(), SchedError> {
        self.estimates.insert(pid, demand.input);
        self.inner.request(pid, demand, now)
    }
    fn next(&mut self, slot: &Slot<'_>, now: Micros) -> Option<Grant> {
        self.inner.next(slot, now)
    }
    fn settle(&mut self, pid: Pid, charge: Charge, now: Micros) -> Result<(), SchedError> {
        let uncached = self.estimates.get(&pid).copied().unwrap_or_default();
        self.inner.settle(pid, Charge { uncached, ..charge }, now)
    }
    fn withdraw(&mut self, pid: Pid, leave: bool, now: Micros) -> Result<bool, SchedError> {
        self.inner.withdraw(pid, leave, now)
    }
    fn standing(&self, pid: Pid) -> Option<Standing> {
        self.inner.standing(pid)
    }
}

/// Half the agents say a tenth of what they use, the others ten times that: settled by the truth, shares are off by half a
/// percent at most. In millionths.
#[test]
fn estimates_that_are_wrong_ten_times_either_way() {
    for slots in [1, 3] {
        let case = |policy: Policy| {
            let agents = (0..10).map(|number| Agent {
                estimate: if number % 2 == 0 { 1_000 } else { 100_000 },
                ..agent(number, 10_000)
            });
            let mut pool = Pool::new(policy, slots, agents.collect());
            pool.run(10 * 2_000 * 10_000);
            let due = (0..10).map(|number| pool.served(number)).sum::<u64>() / 10;
            let error = (0..10).map(|number| pool.served(number).abs_diff(due) * 1_000_000 / due);
            (error.max().unwrap(), 5_000)
        };
        let credulous =
            Credulous { inner: Fair::new().with_slack(SLACK), estimates: std::collections::HashMap::new() };
        bounded(case, credulous);
    }
}

/// Somebody is charged all tokens there are, and stays or leaves. The others go on as if nothing had happened, and so does who
/// comes afterwards.
#[test]
fn a_charge_of_all_tokens_there_are_harms_nobody_else() {
    for calls in [1, u64::MAX] {
        let case = |policy: Policy| {
            let mut agents: Vec<Agent> = (0..8).map(|number| agent(number, 1_000)).collect();
            agents.push(Agent { surcharge: u64::MAX, calls, ..agent(8, 1_000) });
            let mut pool = Pool::new(policy, 1, agents);
            pool.run(2_000_000);
            pool.agents[8].surcharge = 0;
            for number in 9..17 {
                pool.add(Agent { start: 2_000_000, ..agent(number, 1_000) });
            }
            pool.run(4_000_000);
            let harmless = pool.apart(0..8).max(pool.apart(9..17)) <= apart(1_000);
            assert!(harmless || pool.policy.name() != "fair", "equals are apart");
            (pool.longest((0..8).chain(9..17)), wait(1_000, 17, 1))
        };
        bounded(case, LeastAttained::new());
    }
}

/// As much virtual time as a billion calls of 13,000 tokens take at the lowest weight, in a million calls of 13 million, and the
/// bounds hold as at the start: what grows with calls is virtual time, counters of requests have 64 bits.
#[test]
fn bounds_hold_after_a_billion_calls() {
    let case = |mut policy: Policy| {
        let lowest = |number: usize| agent(number, 5_000).entry.urgent(Priority::LOWEST);
        for number in 0..2 {
            policy.admit(lowest(number), Micros(0)).unwrap();
        }
        // No call is charged more than 13 million tokens.
        let charge = Charge { uncached: Tokens(u64::MAX), ..Charge::default() };
        for _ in 0..500_000 {
            for number in 0..2 {
                policy.request(pid(number), Demand::default(), Micros(0)).unwrap();
            }
            for _ in 0..2 {
                let granted = policy.next(&Slot::default(), Micros(0)).unwrap().pid;
                policy.settle(granted, charge, Micros(0)).unwrap();
            }
        }
        let agents = (0..10).map(|number| {
            let tokens = if number < 2 { 1_000 } else { 5_000 };
            Agent { entry: lowest(number), ..agent(number, tokens) }
        });
        let mut pool = Pool::new(policy, 1, agents.collect());
        // The last of those calls is still owed: until the others had as much.
        let start = 10 * 14_000_000;
        pool.run(start);
        let before: Vec<u64> = (0..10).map(|number| pool.served(number)).collect();
        let most = (1..=500).map(|step| {
            pool.run(start + step * 20_000);
            let since = |number: usize| pool.served(number) - before[number];
            (0..10).map(since).max().unwrap() - (0..10).map(since).min().unwrap()
        });
        // Both ends of the time may be as far off as the bound.
        (most.max().unwrap(), 2 * apart(5_000))
    };
    bounded(case, Fifo::new());
}
