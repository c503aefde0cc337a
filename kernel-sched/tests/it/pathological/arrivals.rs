//! Crowds that come at once or keep coming.

use kernel_sched::LeastAttained;

use super::pool::{Agent, Policy, Pool, agent};
use super::{bounded, fair};

/// Ten thousand at once, who stay, on a hundred who were there for long.
#[test]
fn ten_thousand_at_once_on_a_hundred_old() {
    let case = |policy: Policy| {
        let mut pool = Pool::new(policy, 4, (0..100).map(|number| agent(number, 1_000)).collect());
        pool.run(20_000_000);
        for number in 100..10_100 {
            pool.add(Agent { start: 20_000_000, ..agent(number, 1_000) });
        }
        pool.run(20_000_000 + 4 * unwarmed(1_000, 10_100, 4));
        let most = unwarmed(1_000, pool.most_ready, 4);
        assert!(pool.most_ready == 10_100 && pool.longest(100..10_100) <= most || is_rival(&pool));
        (pool.longest(0..100), most)
    };
    bounded(case, LeastAttained::new());
}

fn is_rival(pool: &Pool) -> bool {
    pool.policy.name() != "fair"
}

/// So many come a second, make one call of so many tokens and go, beside five who stay; a slot serves a million tokens a second.
fn steady(policy: Policy, a_second: u64, tokens: u64, slots: u32) -> (u64, u64) {
    const SECONDS: u64 = 20;
    let come = a_second * SECONDS;
    let mut pool = Pool::new(policy, slots, (0..5).map(|number| agent(number, tokens)).collect());
    for number in 0..come {
        let start = tokens + number * 1_000_000 / a_second;
        pool.add(Agent { start, calls: 1, ..agent(5 + number as usize, tokens) });
    }
    pool.run(tokens + SECONDS * 1_000_000);
    (pool.longest(0..5 + come as usize), unwarmed(tokens, pool.most_ready, slots))
}

/// How long one of `ready` may wait where nobody is warm, and so nobody may go out of turn.
fn unwarmed(dearest: u64, ready: usize, slots: u32) -> u64 {
    dearest + ready as u64 * 2 * dearest / u64::from(slots)
}

/// Four of five slots' worth and more than all of them: with less, those who stay take what is left; with more, ever more wait.
#[test]
fn twenty_short_lived_a_second() {
    let (longest, most) = steady(fair(), 20, 80_000, 2);
    assert!(longest <= most, "{longest} of {most}");
    bounded(|policy| steady(policy, 20, 110_000, 2), LeastAttained::new());
}

#[test]
fn two_thousand_short_lived_a_second() {
    let (longest, most) = steady(fair(), 2_000, 1_000, 3);
    assert!(longest <= most, "{longest} of {most}");
    bounded(|policy| steady(policy, 2_000, 1_700, 3), LeastAttained::new());
}
