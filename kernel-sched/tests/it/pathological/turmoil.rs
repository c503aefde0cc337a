//! What happens to those who wait and those who hold slots: kills, children, other priorities, cancelled calls, fewer slots.

use kernel_sched::{Demand, Entry, Fifo, Micros, Scheduler, Slot, Standing};
use kernel_types::Priority;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::pool::{Agent, Policy, Pool, agent, pid};
use super::{apart, bounded, fair, wait};

/// Half the slots go away while all are taken.
#[test]
fn half_the_slots_in_the_middle() {
    let case = |policy: Policy| {
        let agents = (0..24).map(|number| agent(number, 1_000 * (1 + number as u64 % 8)));
        let mut pool = Pool::new(policy, 8, agents.collect());
        let most = (1..=400).map(|step| {
            if step == 100 {
                pool.set_slots(4);
            }
            pool.run(step * 10_000);
            pool.apart(0..24)
        });
        let most = most.max().unwrap();
        (most, apart(8_000))
    };
    bounded(case, Fifo::new());
}

/// Ten who mind their own business among twenty to whom everything happens.
#[test]
fn who_minds_its_own_business_does_not_notice_the_others() {
    let case = |policy: Policy| {
        let (mut apart_most, mut ready) = (0, 0);
        let mut random = StdRng::seed_from_u64(7);
        let quiet = |number: usize| agent(number, if number < 5 { 10_000 } else { 1_000 });
        let mut pool = Pool::new(policy, 3, (0..10).map(quiet).collect());
        for step in 1..=2_000 {
            pool.run(step * 5_000);
            trouble(&mut pool, &mut random);
            apart_most = apart_most.max(pool.apart(0..10));
            ready = ready.max(pool.most_ready);
        }
        let longest = pool.longest(0..10);
        assert!(longest <= wait(20_000, ready, 3) || pool.policy.name() != "fair", "{longest} with {ready}");
        (apart_most, apart(20_000))
    };
    bounded(case, Fifo::new());
}

/// Somebody is killed, has a child, becomes more or less urgent, or takes its request back, whatever it is doing.
fn trouble(pool: &mut Pool, random: &mut StdRng) {
    let count = pool.agents.len();
    let live: Vec<usize> =
        (10..count).filter(|number| pool.policy.standing(pool.agents[*number].entry.pid).is_some()).collect();
    let victim = (!live.is_empty()).then(|| live[random.random_range(0..live.len())]);
    match (victim, random.random_range(0..5)) {
        (Some(victim), 0) if live.len() > 10 => pool.kill(victim),
        (Some(victim), 1) if live.len() < 30 => {
            let family = pool.agents[victim].entry.family;
            let entry = Entry::new(pid(count)).below(family, Priority::default());
            pool.add(Agent { entry, start: pool.now, ..agent(count, random.random_range(0..=20_000)) });
        }
        (Some(victim), 2) => {
            let level = Priority::new(random.random_range(30..=100)).unwrap();
            let entry = Entry { priority: level, share: level, ..pool.agents[victim].entry };
            pool.agents[victim].entry = entry;
            pool.policy.admit(entry, Micros(pool.now)).unwrap();
        }
        (Some(victim), 3) => pool.cancel(victim),
        _ if live.len() < 30 => {
            let tokens = random.random_range(0..=20_000);
            pool.add(Agent { start: pool.now, pause: random.random_range(0..5_000), ..agent(count, tokens) });
        }
        _ => {}
    }
}

/// A killed process gives its slot or its place back at once; what it reserved is not held against its family.
#[test]
fn a_kill_gives_back_what_was_reserved() {
    for holding in [true, false] {
        let mut policy = fair();
        let root = pid(0);
        for number in 0..3 {
            let entry = Entry::new(pid(number));
            let entry = if number < 2 { entry.below(root, Priority::default()) } else { entry };
            policy.admit(entry, Micros(0)).unwrap();
        }
        let large = Demand { input: kernel_types::Tokens(1_000_000), ..Demand::default() };
        policy.request(pid(1), large, Micros(0)).unwrap();
        if holding {
            assert_eq!(policy.next(&Slot::default(), Micros(0)).unwrap().pid, pid(1));
        }
        assert_eq!(policy.withdraw(pid(1), true, Micros(1)), Ok(!holding));
        assert_eq!(policy.standing(pid(1)), None);
        policy.request(root, Demand::default(), Micros(1)).unwrap();
        policy.request(pid(2), Demand::default(), Micros(1)).unwrap();
        assert_eq!(policy.next(&Slot::default(), Micros(1)).unwrap().pid, root, "holding: {holding}");
    }
}

/// A child joins the share of its family while that waits or holds, and shares it from then on.
#[test]
fn children_in_the_middle_share_what_their_family_is_due() {
    let case = |policy: Policy| {
        let mut pool = Pool::new(policy, 1, (0..3).map(|number| agent(number, 1_000)).collect());
        for number in 3..50 {
            pool.run(number as u64 * 777);
            let entry = Entry::new(pid(number)).below(pid(0), Priority::default());
            pool.add(Agent { entry, start: pool.now, ..agent(number, 1_000) });
        }
        pool.run(2_000_000);
        let family = pool.served(0) + (3..50).map(|number| pool.served(number)).sum::<u64>();
        (family.abs_diff(pool.served(1)).max(family.abs_diff(pool.served(2))), apart(1_000))
    };
    bounded(case, Fifo::new());
}

/// Ten levels of priority are twice the share from the moment they change, whether it waits or holds. In thousandths.
#[test]
fn another_priority_is_another_share_from_then_on() {
    let case = |policy: Policy| {
        let mut pool = Pool::new(policy, 1, (0..5).map(|number| agent(number, 1_000)).collect());
        let mut worst = 0;
        for (round, at) in [1_000_000, 6_000_500].into_iter().enumerate() {
            pool.run(at);
            let who = round;
            let urgent = Priority::new(40).unwrap();
            pool.policy.admit(Entry::new(pid(who)).urgent(urgent), Micros(at)).unwrap();
            let before: Vec<u64> = (0..5).map(|number| pool.served(number)).collect();
            pool.run(at + 5_000_000);
            let since = |number: usize| pool.served(number) - before[number];
            let due = since(4) * 2;
            worst =
                worst.max((0..=who).map(|number| since(number).abs_diff(due) * 1_000 / due).max().unwrap());
        }
        // A gap of (2C + L) in 800,000 tokens at least.
        (worst, 30)
    };
    bounded(case, Fifo::new());
}

/// Who takes its request back and asks again has no more than it had; who does so while holding keeps its slot.
#[test]
fn a_cancelled_call_keeps_its_place_in_virtual_time() {
    let case = |policy: Policy| {
        let mut pool = Pool::new(policy, 2, (0..8).map(|number| agent(number, 3_000)).collect());
        let most = (1..=1_000).map(|step| {
            pool.run(step * 1_000);
            let held = matches!(pool.policy.standing(pid(0)), Some(Standing::Holding(_)));
            pool.cancel(0);
            assert_eq!(held, matches!(pool.policy.standing(pid(0)), Some(Standing::Holding(_))));
            pool.apart(1..8).max(pool.served(0).saturating_sub(pool.served(1)))
        });
        (most.max().unwrap(), apart(3_000))
    };
    let loose = kernel_sched::Fair::new().with_slack(0);
    assert!(case(Box::new(loose)).0 <= apart(3_000));
    let (measured, most) = case(fair());
    assert!(measured <= most, "{measured} of {most}");
    // It is not starved by its own doing either.
    let mut pool = Pool::new(fair(), 2, (0..8).map(|number| agent(number, 3_000)).collect());
    for step in 1..=100 {
        pool.run(step * 10_000);
        pool.cancel(0);
    }
    pool.run(2_000_000);
    assert!(pool.apart(0..8) <= apart(3_000), "{}", pool.apart(0..8));
}

/// Whose calls are all cut short gets as much as the others, in more calls: neither more nor less.
#[test]
fn calls_that_are_cut_short_are_charged_for_what_they_used() {
    let case = |policy: Policy| {
        let mut pool = Pool::new(policy, 2, (0..8).map(|number| agent(number, 3_000)).collect());
        let most = (1..=3_000).map(|step| {
            pool.run(step * 1_000);
            pool.cut_short(0);
            pool.apart(0..8)
        });
        (most.max().unwrap(), apart(3_000))
    };
    bounded(case, Fifo::new());
}
