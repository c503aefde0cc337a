//! The bounds of the fair policy, over random loads: who is always backlogged gets what it is due.

use kernel_sched::{Charge, Demand, Entry, Fair, Micros, Scheduler, Slot};
use kernel_types::{Pid, Priority, Tokens};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::crowd::{Crowd, DEAREST, pid};
use crate::soak::walks;

/// A thousand crowds of 1,000 decisions; with `AGENTOS_SOAK` 8 crowds of a million each.
#[test]
fn nobody_is_ahead_or_apart_by_more_than_the_bounds() {
    let (mut most_ahead, mut most_apart) = (0.0_f64, 0.0_f64);
    let (seeds, decisions) = walks(1_000, 8);
    let mut with_capped = 0;
    for seed in 0..seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let slots = random.random_range(1..=4);
        let slack = [0, 5_000, 20_000][random.random_range(0..3)];
        // Now and then few of very different weights, so that some are due more than a slot.
        let (least, most, levels) = if seed % 2 == 0 { (12, 24, 35..=65) } else { (5, 9, 0..=100) };
        let count = random.random_range(least..=most);
        let priorities: Vec<u8> = (0..count).map(|_| random.random_range(levels.clone())).collect();
        let mut crowd = Crowd::new(seed, slots, slack, &priorities, 1);
        // Who is due more than a slot has one all the time; what the others are due depends on that.
        let capped: Vec<usize> = (0..count).filter(|number| crowd.is_capped(*number)).collect();
        with_capped += u64::from(!capped.is_empty());
        for step in 0..decisions {
            crowd.decide();
            let (ahead, apart) = crowd.spread();
            let ahead = if capped.is_empty() { ahead } else { 0.0 };
            let (c, l) = (DEAREST as f64, crowd.slack as f64);
            // No slot stays free: beside who is due nearly a slot or more, the others may have to go two calls further.
            let calls = if crowd.most_due() <= 0.75 { 2.0 } else { 4.0 };
            assert!(
                ahead <= c + l + 1.0,
                "seed {seed}, step {step}: ahead by {ahead} of {} (slots {slots})",
                c + l
            );
            assert!(
                apart <= calls * c + l + 1.0,
                "seed {seed}, step {step}: apart by {apart} (slots {slots}, slack {l})"
            );
            most_ahead = most_ahead.max(ahead / (c + l));
            most_apart = most_apart.max(apart / (calls * c + l));
        }
        for number in capped {
            let had = crowd.served[number] * 100 / crowd.now;
            assert!(had >= 90, "seed {seed}: {number} had {had} percent of a slot, due more than one");
        }
    }
    println!("{seeds} crowds of {decisions} decisions, {with_capped} with members due more than a slot");
    println!("at most {most_ahead:.3} of the bound ahead, {most_apart:.3} of the bound apart");
}

/// Crowds of 1,000 decisions; with `AGENTOS_SOAK` 8 crowds of a million each.
#[test]
fn without_slack_equals_differ_by_one_call() {
    let (seeds, decisions) = walks(250, 8);
    for seed in 0..seeds {
        let mut crowd = Crowd::new(seed, 1, 0, &[50; 8], 1);
        for step in 0..decisions {
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

/// Who made a dear call that all others have forgotten owes it still, also after a grant that it had to give back.
#[test]
fn a_grant_given_back_pays_no_debts() {
    let dear = |give_back: bool| {
        let mut fair = Fair::new().with_slack(0);
        let call = |fair: &mut Fair, number: usize, tokens: u64| {
            let grant = fair.take(pid(number), &Slot::default(), Micros(0)).unwrap();
            let charge = Charge { uncached: Tokens(tokens), ..Charge::default() };
            fair.settle(grant.pid, charge, Micros(0)).unwrap();
        };
        let ask = |fair: &mut Fair, number: usize, tokens: u64| {
            let demand = Demand { input: Tokens(tokens), ..Demand::default() };
            fair.request(pid(number), demand, Micros(0)).unwrap();
        };
        (0..3).for_each(|number| fair.admit(Entry::new(pid(number)), Micros(0)).unwrap());
        (0..3).for_each(|number| ask(&mut fair, number, 100_000));
        call(&mut fair, 0, 100_000);
        // The others go on for two windows, in which the dearest call is forgotten.
        for round in 0..3_000 {
            call(&mut fair, 1 + round % 2, 1_000);
            ask(&mut fair, 1 + round % 2, 1_000);
        }
        if give_back {
            ask(&mut fair, 0, 10);
            fair.take(pid(0), &Slot::default(), Micros(0)).unwrap();
            fair.give_back(pid(0), Micros(0)).unwrap();
            call(&mut fair, 1, 1_000);
            ask(&mut fair, 1, 1_000);
        }
        ask(&mut fair, 0, 10);
        fair.lag(pid(0)).unwrap()
    };
    let (before, after) = (dear(false), dear(true));
    assert!(before < -500_000, "it owes most of its call: {before}");
    assert!((after - before).abs() <= 20_000, "{before} tenths of tokens, {after} after a grant given back");
}
