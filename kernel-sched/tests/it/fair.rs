//! The rules of the fair policy, one by one.

use kernel_sched::{Charge, Demand, Entry, Fair, Micros, Scheduler, Slot};
use kernel_types::{Pid, Priority, Tokens};

use crate::crowd::pid;

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
