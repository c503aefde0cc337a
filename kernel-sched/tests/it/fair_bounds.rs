//! The bounds of the fair policy, over random loads: who is always backlogged gets what it is due.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::crowd::{Crowd, DEAREST};
use crate::soak::walks;

const C: f64 = DEAREST as f64;

/// A crowd on up to six slots, its priorities drawn from one of some kinds: many alike, few of very different weights of which some
/// are due more than a slot, hardly more than there are slots.
fn crowd(seed: u64) -> Crowd {
    let mut random = StdRng::seed_from_u64(seed);
    let slots = random.random_range(1..=6_u32);
    let slack = [0, 5_000, 20_000, DEAREST, 2 * DEAREST][random.random_range(0..5)];
    let kinds = [(12, 24, 35..=65), (3, 9, 30..=70), (7, 12, 20..=80), (3, 9, 40..=60), (5, 9, 0..=100)];
    let (least, most, levels) = kinds[random.random_range(0..kinds.len())].clone();
    let least = least.max(slots as usize + 1);
    let count = random.random_range(least..=most.max(least));
    let priorities: Vec<u8> = (0..count).map(|_| random.random_range(levels.clone())).collect();
    Crowd::new(seed, slots, slack, &priorities, 1)
}

/// A thousand crowds of 1,000 decisions; with `AGENTOS_SOAK` 8 crowds of a million each.
///
/// Who is due more than a slot has one; it is neither ahead nor behind, and the others keep the bounds among themselves. Where one
/// of them is due more than four fifths of a slot they are wider by a call, and no scheduler that keeps all slots busy and interrupts
/// nobody could do without that. Say one is due 0.99 of a slot of two, there is no slack, and all calls cost `C`. It is ahead by a
/// hundredth of `C` after each, so that another call would take it over the bound: it must let another go. The other slot may be at
/// the start of a call too, so it waits for `C` and is behind by as much, which takes it a hundred calls to make up for. Until then
/// the others are ahead by that together, and whoever of them is the only one to wait for the second slot must go, and is ahead by
/// what it was and `C`.
#[test]
fn nobody_is_ahead_or_apart_by_more_than_the_bounds() {
    let (mut most_ahead, mut most_apart) = ([0.0_f64; 2], [0.0_f64; 2]);
    let (seeds, decisions) = walks(1_000, 8);
    let (mut with_capped, mut cornered) = (0, [0; 2]);
    for seed in 0..seeds {
        let mut crowd = crowd(seed);
        let capped: Vec<usize> = (0..crowd.weights.len()).filter(|number| crowd.is_capped(*number)).collect();
        let (due, corner) = (crowd.due(), usize::from(crowd.most_due() > 0.8));
        cornered[corner] += 1;
        with_capped += usize::from(!capped.is_empty());
        let (calls, slack) = (corner as f64 + 1.0, crowd.slack as f64);
        let (may_ahead, may_apart) = (calls * C + slack, 2.0 * calls * C + slack);
        for step in 0..decisions {
            crowd.decide();
            let (ahead, apart) = crowd.spread();
            assert!(
                ahead <= may_ahead + 1.0,
                "seed {seed}, step {step}: ahead by {ahead} of {may_ahead}, due {due:?}"
            );
            assert!(
                apart <= may_apart + 1.0,
                "seed {seed}, step {step}: apart by {apart} of {may_apart}, due {due:?}"
            );
            most_ahead[corner] = most_ahead[corner].max(ahead / may_ahead);
            most_apart[corner] = most_apart[corner].max(apart / may_apart);
        }
        for number in capped {
            let had = crowd.served[number] as f64 / crowd.now as f64;
            assert!(had >= 0.95, "seed {seed}: {number} had {had} of a slot, due more than one");
        }
    }
    println!("{seeds} crowds of {decisions} decisions, {with_capped} with members due more than a slot");
    println!("the heaviest of the others is due up to four fifths of a slot, or more: {cornered:?} crowds");
    println!("at most {most_ahead:.3?} of the bounds ahead, {most_apart:.3?} of the bounds apart");
}

/// A thousand crowds of 1,000 decisions; with `AGENTOS_SOAK` 8 crowds of a million each.
#[test]
fn without_slack_equals_differ_by_one_call() {
    let (seeds, decisions) = walks(1_000, 8);
    for seed in 0..seeds {
        let mut crowd = Crowd::new(seed, 1, 0, &[50; 8], 1);
        for step in 0..decisions {
            crowd.decide();
            let (_, apart) = crowd.spread();
            assert!(apart <= C + 1.0, "seed {seed}, step {step}: {apart}");
        }
    }
}

/// A thousand crowds of 1,000 decisions; with `AGENTOS_SOAK` 8 crowds of a million each.
///
/// `n` equals on `M` slots that serve a token a microsecond. Where the slack is at most a quarter of the dearest call, who asks has a
/// slot within `(n - 1) (2C + L) / M` and one call, that which is under way. With more, who asks may just have spent slack itself: it
/// waits until each of the others has caught up by `C + L`, and goes at the latest when each is ahead of it by `2C + L`. That makes
/// `3C + 2L` for each; with less than half a call hardly any crowd needs more than `2C + L`.
#[test]
fn equals_wait_no_longer_than_the_bound() {
    let (seeds, decisions) = walks(1_000, 8);
    let (mut longest, mut beyond) = ([0.0_f64; 2], 0);
    for seed in 0..seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let slots = random.random_range(1..=6_u32);
        let slack = [0, 5_000, DEAREST / 4, 20_000, DEAREST, 2 * DEAREST][random.random_range(0..6)];
        let count = random.random_range(slots as usize + 1..=30);
        let mut crowd = Crowd::new(seed, slots, slack, &vec![50; count], 1);
        (0..decisions).for_each(|_| crowd.decide());
        let within = |each: f64| (count as f64 - 1.0) * each / f64::from(slots) + C;
        let (bound, spends) = (2.0 * C + slack as f64, slack * 4 > DEAREST);
        let most = within(if spends { 3.0 * C + 2.0 * slack as f64 } else { bound });
        let wait = crowd.longest as f64;
        assert!(wait <= most, "seed {seed}: {count} on {slots} slots, slack {slack}: {wait} us of {most}");
        let level = wait / within(bound);
        longest[usize::from(spends)] = longest[usize::from(spends)].max(level);
        beyond += u64::from(level > 1.0 && slack * 2 < DEAREST);
    }
    println!(
        "{seeds} crowds of {decisions} decisions: {longest:.3?} of the bound, the second with more slack"
    );
    assert!(
        beyond * 50 <= seeds || decisions > 1_000,
        "{beyond} of {seeds} waited for longer with a slack of less than half a call"
    );
}

/// How far what one was served may be from what it is due after a thousand calls.
const ERROR: f64 = 0.005;

/// Until each has made a thousand calls.
fn shares_follow(seed: u64, slots: u32, slack: u64, priorities: &[u8]) -> f64 {
    let mut crowd = Crowd::new(seed, slots, slack, priorities, 1);
    while crowd.calls.iter().any(|calls| *calls < 1_000) {
        (0..100).for_each(|_| crowd.decide());
    }
    let all: u64 = crowd.served.iter().sum();
    let mut most = 0.0_f64;
    for (number, part) in crowd.due().into_iter().enumerate() {
        let due = all as f64 * part / f64::from(slots);
        let (served, error) = (crowd.served[number], (crowd.served[number] as f64 - due).abs() / due);
        let about = format!("seed {seed}, {slots} slots, priority {} of {priorities:?}", priorities[number]);
        assert!(error <= ERROR, "{about}: {served} of {due:.0}");
        most = most.max(error);
    }
    most
}

/// Weights of 1 to 1,024.
#[test]
fn shares_follow_the_widest_weights() {
    let error = shares_follow(1, 1, 0, &[0, 50, 100]);
    println!("off by {error:.5} at most");
}

/// Weights of 1 to 16 on one to four slots, and some that are due more than a slot; with `AGENTOS_SOAK` weights of 1 to 64 and
/// to 1,024 as well.
#[test]
fn shares_follow_the_weights_on_several_slots() {
    let soak = std::env::var_os("AGENTOS_SOAK").is_some();
    let mut cases: Vec<&[u8]> = vec![&[30, 30, 30, 30, 30, 50, 70], &[20, 40, 50, 50, 60], &[50; 6]];
    if soak {
        cases.extend([&[20, 20, 20, 20, 20, 30, 40, 50, 60, 70, 80][..], &[0, 60, 80, 100, 100]]);
    }
    let mut most = 0.0_f64;
    let seeds = if soak { 4 } else { 3 };
    for seed in 0..seeds {
        for slots in [1, 2, 4] {
            for priorities in &cases {
                let slack = [0, 20_000][(seed % 2) as usize];
                most = most.max(shares_follow(seed, slots, slack, priorities));
            }
        }
    }
    println!("off by {most:.5} at most");
}

/// Who becomes more or less urgent is served what it is due from then on, give or take what it was and is ahead.
#[test]
fn another_weight_in_the_middle_keeps_what_is_owed() {
    for seed in 0..30 {
        for (from, to, soonest) in [(100, 0, 12), (0, 100, 1_200), (50, 40, 60), (60, 30, 40)] {
            let mut crowd = Crowd::new(seed, 1, 0, &[50, 50, 50, 50, 50, from], 1);
            (0..200).for_each(|_| crowd.decide());
            let ahead = -crowd.behind(5);
            crowd.reweigh(5, to);
            assert!(
                (crowd.behind(5) + ahead).abs() <= 1.0,
                "seed {seed}, {from} to {to}: it stays as many tokens"
            );
            let (calls, served) = (crowd.calls[5], crowd.served.clone());
            let mut decisions = 0;
            while crowd.calls[5] < calls + 2 && decisions < soonest {
                crowd.decide();
                decisions += 1;
            }
            assert!(
                crowd.calls[5] >= calls + 2,
                "seed {seed}, {from} to {to}: no two calls in {soonest} decisions"
            );
            let part = crowd.due()[5];
            for _ in 0..3_000 {
                crowd.decide();
                let since: Vec<u64> =
                    crowd.served.iter().zip(&served).map(|(now, then)| now - then).collect();
                let due = since.iter().sum::<u64>() as f64 * part;
                let off = (since[5] as f64 - due).abs();
                // Ahead by a call, behind by two, and the calls under way at either end.
                assert!(
                    off <= 5.0 * C + 1.0,
                    "seed {seed}, {from} to {to}: {off} tokens off after {decisions}"
                );
            }
        }
    }
}
