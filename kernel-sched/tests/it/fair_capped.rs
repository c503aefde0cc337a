//! Shares that change while everybody waits: what each is owed stays as many tokens, whatever its weight counted for before.

use crate::crowd::{Crowd, DEAREST};

/// The bound of two who both always want slots, at both ends of a span of time.
fn most(slack: u64) -> u64 {
    2 * (2 * DEAREST + slack)
}

/// How far two of equal weight are apart in service since `from`, at most, over so many decisions.
fn apart_since(crowd: &mut Crowd, pair: (usize, usize), decisions: u32) -> u64 {
    let from = crowd.served.clone();
    let mut most = 0;
    for _ in 0..decisions {
        crowd.decide();
        let since = |number: usize| crowd.served[number] - from[number];
        most = most.max(since(pair.0).abs_diff(since(pair.1)));
    }
    most
}

/// Who had a slot of its own, being heavier than that, shares it with equals that come.
#[test]
fn equals_of_one_that_was_capped_have_as_much_as_it() {
    for seed in 0..20 {
        for (light, heavy) in [(100, 0), (60, 20), (60, 30)] {
            for slack in [0, 20_000] {
                let mut crowd = Crowd::new(seed, 2, slack, &[heavy, light, light], 1);
                (0..200).for_each(|_| crowd.decide());
                let newcomers = [crowd.join(heavy), crowd.join(heavy)];
                let apart = apart_since(&mut crowd, (0, newcomers[0]), 2_000);
                assert!(apart <= most(slack), "seed {seed}, {heavy} among {light}: {apart} tokens apart");
            }
        }
    }
}

/// Nobody gains by having been more urgent than a slot can serve.
#[test]
fn another_weight_under_the_cap_gains_nothing() {
    for seed in 0..20 {
        for before in [0, 10, 30] {
            let mut crowd = Crowd::new(seed, 2, 0, &[before, 50, 50], 1);
            (0..200).for_each(|_| crowd.decide());
            crowd.reweigh(0, 30);
            let newcomers = [crowd.join(30), crowd.join(30)];
            let apart = apart_since(&mut crowd, (0, newcomers[1]), 2_000);
            assert!(apart <= most(0), "seed {seed}, priority {before} before: {apart} tokens apart");
        }
    }
}

/// A lag is in tokens of what the weight counts for: who has a slot of its own is not shown millions behind.
#[test]
fn who_has_a_whole_slot_is_not_behind() {
    for priorities in [[0, 100, 100], [0, 50, 100], [0, 0, 100]] {
        let mut crowd = Crowd::new(3, 2, 0, &priorities, 1);
        for step in 0..2_000 {
            crowd.decide();
            for number in 0..3 {
                let behind = crowd.behind(number).abs();
                assert!(
                    behind <= (3 * DEAREST) as f64,
                    "step {step}: {number} of {priorities:?} by {behind}"
                );
            }
        }
    }
}

/// Who is due a whole slot has nearly all of one.
#[test]
fn who_is_due_a_whole_slot_has_it() {
    for (seed, slack) in [(0, 0), (1, 0), (2, 20_000), (3, 20_000)] {
        for priorities in [&[0, 100, 100][..], &[0, 50, 50, 50, 50], &[0, 0, 100, 100, 100]] {
            let mut crowd = Crowd::new(seed, 1 + (priorities.len() as u32) / 3, slack, priorities, 1);
            (0..4_000).for_each(|_| crowd.decide());
            let had = crowd.served[0] * 1_000 / crowd.now;
            println!("{had} of 1000, {:?}", crowd.spread());
            assert!(had >= 950, "seed {seed}, {priorities:?}: {had} thousandths of a slot");
        }
    }
}
