//! Calls of very different sizes.

use kernel_sched::{Fifo, LeastAttained, Micros};

use super::pool::{Policy, Pool, agent};
use super::{apart, bounded, wait};

#[test]
fn one_heavy_against_many_light() {
    let case = |policy: Policy| {
        let mut agents = vec![agent(0, 50_000)];
        agents.extend((1..=20).map(|number| agent(number, 1_000)));
        let mut pool = Pool::new(policy, 1, agents);
        let most = (1..=200).map(|second| {
            pool.run(second * 100_000);
            pool.apart(0..=20)
        });
        (most.max().unwrap(), apart(50_000))
    };
    bounded(case, Fifo::new());
}

/// Calls of ten seconds by five, on two slots: a thousand times what the ten others want at once.
#[test]
fn calls_of_ten_seconds_before_short_ones() {
    let case = |policy: Policy| {
        let agents = (0..15).map(|number| agent(number, if number < 5 { 10_000_000 } else { 10_000 }));
        let mut pool = Pool::new(policy, 2, agents.collect());
        pool.run(2_000_000_000);
        (pool.apart(0..15), apart(10_000_000))
    };
    bounded(case, Fifo::new());
}

/// A call cannot be taken back; but who had its ten seconds waits until the others had as much.
#[test]
fn short_calls_are_held_up_by_a_long_one_once() {
    let case = |policy: Policy| {
        let agents = (0..11).map(|number| agent(number, if number == 0 { 10_000_000 } else { 1_000 }));
        let mut pool = Pool::new(policy, 1, agents.collect());
        pool.run(50_000_000);
        let calls = pool.account(0).calls;
        assert!(calls > 0, "the long one is served, too");
        (calls, 1)
    };
    bounded(case, Fifo::new());
}

/// Calls that cost nothing hold a slot all the same: they neither starve others nor are starved.
#[test]
fn calls_that_cost_nothing() {
    let case = |policy: Policy| {
        let mut agents: Vec<_> = (0..5).map(|number| agent(number, 10_000)).collect();
        // It comes when the others had 400,000 tokens each.
        agents.push(super::pool::Agent { start: 2_000_000, ..agent(5, 0) });
        let mut pool = Pool::new(policy, 1, agents);
        pool.run(3_000_000);
        assert!(pool.account(5).calls > 100, "calls that cost nothing are starved");
        (pool.longest(0..6), wait(10_000, 6, 1))
    };
    bounded(case, LeastAttained::new());
}

/// One freak call loosens the bounds while it is remembered, not for ever.
#[test]
fn a_freak_call_is_forgotten() {
    const FREAK: u64 = 5_000_000;
    let case = |policy: Policy| {
        let mut pool = Pool::new(policy, 1, (0..4).map(|number| agent(number, 10_000)).collect());
        pool.agents[0].tokens = FREAK;
        pool.agents[0].estimate = FREAK;
        pool.run(1);
        (pool.agents[0].tokens, pool.agents[0].estimate) = (FREAK, 10_000);
        pool.run(FREAK + 1);
        pool.agents[0].tokens = 10_000;
        // Until all others had as much, and two windows of 320,000 tokens each after that.
        pool.run(4 * FREAK + 4 * 3 * 320_000);
        // From here on one is always warm: as far ahead as it may go.
        pool.agents[1].warm = true;
        let before: Vec<u64> = (0..4).map(|number| pool.served(number)).collect();
        let start = pool.now;
        let most = (1..200).map(|step| {
            pool.run(start + step * 10_000);
            let since: Vec<u64> = (0..4).map(|number| pool.served(number) - before[number]).collect();
            since.iter().max().unwrap() - since.iter().min().unwrap()
        });
        (most.max().unwrap(), 2 * apart(10_000))
    };
    let loose = kernel_sched::Fair::new().with_slack(FREAK).with_slice(Micros(u64::MAX));
    bounded(case, loose);
}
