//! The laws of [`Scheduler`], one function each. `scheduler_conformance!` expands them to one named test each.
//!
//! A law fails by panicking. Random laws are seeded and name the seed.

mod walk;

use kernel_types::{Pid, Priority, Tokens};

use self::walk::Walk;
use crate::{Charge, Demand, Entry, Grant, Micros, SchedError, Scheduler, Slot, Standing};

/// So many grants may go ahead of the least urgent process among [`RIVALS`] saturating ones of the highest urgency.
const PATIENCE: usize = 100_000;
const RIVALS: u64 = 4;
/// So many grants to newcomers may go ahead of one that stays.
const NEWCOMERS: u64 = 10_000;
/// Policies that starve by their nature who stays while others come: newcomers had nothing yet.
const STARVES: [&str; 2] = ["las", "vtc"];

fn pid(number: u64) -> Pid {
    Pid::from_parts(number, 0)
}

/// Of three families and two tenants.
fn entry(number: u64) -> Entry {
    let root = 1 + (number - 1) % 3;
    let own = Entry::new(pid(number)).urgent(Priority::default());
    own.below(pid(root), Priority::default()).of_tenant(root % 2)
}

fn demand(number: u64) -> Demand {
    Demand { input: Tokens(number), cached: Tokens(number / 2), output: Tokens(7) }
}

fn charge(held: u64) -> Charge {
    Charge { uncached: Tokens(held), held: Micros(held), ..Charge::default() }
}

/// A scheduler with processes 1 to `count`, all idle, at time 0.
fn with<S: Scheduler>(make: &impl Fn() -> S, count: u64) -> S {
    let mut scheduler = make();
    (1..=count).for_each(|number| scheduler.admit(entry(number), Micros(0)).expect("a fresh pid"));
    scheduler
}

/// A policy has a name.
pub fn it_has_a_name<S: Scheduler>(make: impl Fn() -> S) {
    assert!(!make().name().is_empty(), "a policy has a name");
}

/// Nobody is granted a slot who did not ask for one.
pub fn only_who_asked_is_granted<S: Scheduler>(make: impl Fn() -> S) {
    assert_eq!(make().next(&Slot::default(), Micros(0)), None, "nobody is there");
    let mut scheduler = with(&make, 3);
    assert_eq!(scheduler.next(&Slot::default(), Micros(1)), None, "nobody asked");
    scheduler.request(pid(2), demand(2), Micros(1)).expect("it is idle");
    assert_eq!(scheduler.next(&Slot::default(), Micros(2)).map(|grant| grant.pid), Some(pid(2)));
    assert_eq!(scheduler.next(&Slot::default(), Micros(3)), None, "nobody else asked");
}

/// A grant repeats the demand and says how long it waited.
pub fn a_grant_says_what_was_asked<S: Scheduler>(make: impl Fn() -> S) {
    let mut scheduler = with(&make, 1);
    scheduler.request(pid(1), demand(9), Micros(100)).expect("it is idle");
    let expected = Grant { pid: pid(1), demand: demand(9), waited: Micros(250) };
    assert_eq!(scheduler.next(&Slot::default(), Micros(350)), Some(expected));
}

/// Every request is granted exactly once, and no slot stays free while somebody waits.
pub fn each_request_is_granted_once<S: Scheduler>(make: impl Fn() -> S) {
    let mut scheduler = with(&make, 20);
    for round in 0..10 {
        (1..=20).for_each(|n| scheduler.request(pid(n), demand(n), Micros(round)).expect("it is idle"));
        let mut granted: Vec<Pid> =
            std::iter::from_fn(|| scheduler.next(&Slot::default(), Micros(round))).map(|g| g.pid).collect();
        granted.sort_unstable();
        assert_eq!(granted, (1..=20).map(pid).collect::<Vec<_>>(), "round {round}");
        (1..=20).for_each(|n| scheduler.settle(pid(n), charge(1), Micros(round)).expect("it holds a slot"));
    }
}

/// Who is taken out of turn holds the slot, at most once; nobody else loses their place. A policy may know no exceptions.
pub fn who_is_taken_holds_the_slot<S: Scheduler>(make: impl Fn() -> S) {
    let mut scheduler = with(&make, 5);
    assert_eq!(scheduler.take(pid(3), &Slot::default(), Micros(1)), None, "it did not ask");
    assert_eq!(scheduler.take(pid(9), &Slot::default(), Micros(1)), None, "nobody knows it");
    (1..=5).for_each(|n| scheduler.request(pid(n), demand(n), Micros(1)).expect("it is idle"));
    let taken = scheduler.take(pid(4), &Slot::default(), Micros(3));
    if let Some(grant) = taken {
        assert_eq!(grant, Grant { pid: pid(4), demand: demand(4), waited: Micros(2) });
        assert_eq!(scheduler.standing(pid(4)), Some(Standing::Holding(Micros(3))));
    }
    assert!(
        taken.is_none() || scheduler.take(pid(4), &Slot::default(), Micros(3)).is_none(),
        "it was granted"
    );
    let rest = std::iter::from_fn(|| scheduler.next(&Slot::default(), Micros(4)));
    let mut all: Vec<Pid> = taken.into_iter().chain(rest).map(|grant| grant.pid).collect();
    all.sort_unstable();
    assert_eq!(all, (1..=5).map(pid).collect::<Vec<_>>());
    (1..=5).for_each(|n| scheduler.settle(pid(n), charge(1), Micros(5)).expect("it holds a slot"));
}

/// A grant that was not used is no call: the process is idle again and owes no more than before; others keep their places.
pub fn a_grant_given_back_is_no_call<S: Scheduler>(make: impl Fn() -> S) {
    let mut scheduler = with(&make, 3);
    assert_eq!(scheduler.give_back(pid(9), Micros(0)), Err(SchedError::Unknown(pid(9))));
    assert_eq!(scheduler.give_back(pid(1), Micros(0)), Err(SchedError::NoGrant(pid(1))));
    for round in 1..=100 {
        scheduler.request(pid(1), demand(1_000_000), Micros(round)).expect("it is idle");
        assert_eq!(scheduler.give_back(pid(1), Micros(round)), Err(SchedError::NoGrant(pid(1))));
        let before = scheduler.lag(pid(1));
        scheduler.next(&Slot::default(), Micros(round)).expect("one waits");
        scheduler.give_back(pid(1), Micros(round)).expect("it holds a slot");
        assert_eq!(scheduler.standing(pid(1)), Some(Standing::Idle), "round {round}");
        assert!(scheduler.lag(pid(1)) >= before, "round {round}: it is charged");
    }
    (1..=3).for_each(|n| scheduler.request(pid(n), demand(n), Micros(101)).expect("it is idle"));
    let granted = std::iter::from_fn(|| scheduler.next(&Slot::default(), Micros(101)));
    assert_eq!(granted.count(), 3, "each once");
}

/// Among equals on one slot nobody who asks again at once, in the cache or not, holds the slot for longer than a slice of 60 s and
/// a call while another waits.
pub fn a_slice_ends_a_turn<S: Scheduler>(make: impl Fn() -> S) {
    const CALL: u64 = 10_000_000;
    const SLICE: u64 = 60_000_000;
    let mut scheduler = with(&make, 3);
    (1..=3).for_each(|n| scheduler.request(pid(n), demand(10), Micros(0)).expect("it is idle"));
    let (mut last, mut held) = (None, 0);
    for call in 0..200 {
        let warm: Vec<Pid> = last.into_iter().collect();
        let now = Micros(call * CALL);
        let grant = scheduler.next(&Slot { warm: &warm, ..Slot::default() }, now).expect("all wait");
        held = if last == Some(grant.pid) { held + CALL } else { CALL };
        assert!(held <= SLICE + CALL, "{} holds the slot for {held} us while others wait", grant.pid);
        last = Some(grant.pid);
        let charge = Charge { uncached: Tokens(10), held: Micros(CALL), ..Charge::default() };
        scheduler.settle(grant.pid, charge, Micros(now.0 + CALL)).expect("it holds the slot");
        scheduler.request(grant.pid, demand(10), Micros(now.0 + CALL)).expect("it is idle");
    }
}

/// A standing is idle, waiting, holding and idle again, with the times.
pub fn a_standing_follows_the_calls<S: Scheduler>(make: impl Fn() -> S) {
    let mut scheduler = with(&make, 1);
    assert_eq!(scheduler.standing(pid(2)), None);
    assert_eq!(scheduler.standing(pid(1)), Some(Standing::Idle));
    scheduler.request(pid(1), demand(1), Micros(5)).expect("it is idle");
    assert_eq!(scheduler.standing(pid(1)), Some(Standing::Waiting(Micros(5))));
    scheduler.next(&Slot::default(), Micros(8)).expect("one waits");
    assert_eq!(scheduler.standing(pid(1)), Some(Standing::Holding(Micros(8))));
    scheduler.settle(pid(1), charge(1), Micros(9)).expect("it holds a slot");
    assert_eq!(scheduler.standing(pid(1)), Some(Standing::Idle));
    scheduler.withdraw(pid(1), true, Micros(9)).expect("it is there");
    assert_eq!(scheduler.standing(pid(1)), None);
}

/// A request taken back is not granted; `withdraw` says whether there was one.
pub fn a_withdrawn_request_is_not_granted<S: Scheduler>(make: impl Fn() -> S) {
    let mut scheduler = with(&make, 3);
    (1..=3).for_each(|n| scheduler.request(pid(n), demand(n), Micros(0)).expect("it is idle"));
    assert_eq!(scheduler.withdraw(pid(2), false, Micros(1)), Ok(true));
    assert_eq!(scheduler.withdraw(pid(2), false, Micros(1)), Ok(false), "it is idle");
    let granted: Vec<Pid> =
        std::iter::from_fn(|| scheduler.next(&Slot::default(), Micros(1))).map(|grant| grant.pid).collect();
    assert!(granted.len() == 2 && !granted.contains(&pid(2)), "granted {granted:?}");
    assert_eq!(scheduler.withdraw(pid(1), false, Micros(1)), Ok(false), "it holds a slot");
    assert_eq!(scheduler.standing(pid(1)), Some(Standing::Holding(Micros(1))), "and keeps it");
    scheduler.request(pid(2), demand(2), Micros(2)).expect("it may ask again");
    assert_eq!(scheduler.next(&Slot::default(), Micros(2)).map(|grant| grant.pid), Some(pid(2)));
}

/// Who left is never granted and may come again, whether it was idle, waiting or holding.
pub fn the_dead_are_not_granted<S: Scheduler>(make: impl Fn() -> S) {
    let mut scheduler = with(&make, 3);
    scheduler.request(pid(1), demand(1), Micros(0)).expect("it is idle");
    scheduler.next(&Slot::default(), Micros(0)).expect("one waits");
    scheduler.request(pid(2), demand(2), Micros(0)).expect("it is idle");
    for (number, waiting) in [(1, false), (2, true), (3, false)] {
        assert_eq!(scheduler.withdraw(pid(number), true, Micros(1)), Ok(waiting), "process {number}");
    }
    assert_eq!(scheduler.next(&Slot::default(), Micros(1)), None, "all are gone");
    for number in 1..=3 {
        assert_eq!(
            scheduler.settle(pid(number), charge(1), Micros(1)),
            Err(SchedError::Unknown(pid(number)))
        );
        scheduler.admit(entry(number), Micros(1)).expect("it may come again");
        assert_eq!(scheduler.standing(pid(number)), Some(Standing::Idle));
    }
    assert_eq!(scheduler.next(&Slot::default(), Micros(2)), None, "nobody asked since");
}

/// Each mistake of a caller is its own error.
pub fn mistakes_are_named<S: Scheduler>(make: impl Fn() -> S) {
    let mut scheduler = with(&make, 2);
    mistakes(&mut scheduler, Micros(0), false);
    scheduler.request(pid(1), demand(1), Micros(3)).expect("it is idle");
    assert_eq!(scheduler.request(pid(1), demand(1), Micros(3)), Err(SchedError::AlreadyAsked(pid(1))));
    assert_eq!(scheduler.settle(pid(1), charge(1), Micros(3)), Err(SchedError::NoGrant(pid(1))));
    scheduler.next(&Slot::default(), Micros(4)).expect("one waits");
    assert_eq!(scheduler.request(pid(1), demand(1), Micros(4)), Err(SchedError::AlreadyAsked(pid(1))));
    scheduler.settle(pid(1), charge(1), Micros(5)).expect("it holds a slot");
    assert_eq!(scheduler.settle(pid(1), charge(1), Micros(5)), Err(SchedError::NoGrant(pid(1))));
    mistakes(&mut scheduler, Micros(5), true);
}

/// Makes mistakes that need no particular state; `latest` is the latest time the scheduler was told.
fn mistakes(scheduler: &mut dyn Scheduler, latest: Micros, with_time: bool) {
    let stranger = pid(1000);
    let unknown = SchedError::Unknown(stranger);
    let later = Micros(latest.0 + 1_000_000);
    assert_eq!(scheduler.request(stranger, demand(1), later), Err(unknown));
    assert_eq!(scheduler.settle(stranger, charge(1), later), Err(unknown));
    assert_eq!(scheduler.withdraw(stranger, false, later), Err(unknown));
    assert_eq!(scheduler.withdraw(stranger, true, later), Err(unknown));
    if with_time {
        let now = Micros(latest.0 - 1);
        let back = SchedError::TimeWentBack { before: latest, now };
        assert_eq!(scheduler.admit(entry(1000), now), Err(back));
        assert_eq!(scheduler.request(pid(1), demand(1), now), Err(back));
        assert_eq!(scheduler.settle(pid(1), charge(1), now), Err(back));
        assert_eq!(scheduler.withdraw(pid(1), true, now), Err(back));
    }
}

/// Time that goes back in `next`, which has no way to fail, harms nothing.
pub fn next_survives_time_going_back<S: Scheduler>(make: impl Fn() -> S) {
    let mut scheduler = with(&make, 1);
    scheduler.request(pid(1), demand(1), Micros(10)).expect("it is idle");
    assert_eq!(scheduler.next(&Slot::default(), Micros(3)).map(|grant| grant.waited), Some(Micros(0)));
    scheduler.settle(pid(1), charge(1), Micros(10)).expect("it holds a slot");
}

/// A call that fails changes nothing: a scheduler that saw mistakes answers like one that saw none.
pub fn an_error_changes_nothing<S: Scheduler>(make: impl Fn() -> S) {
    for seed in 0..20 {
        let (mut careful, mut careless) = (Walk::new(with(&make, 6), seed), Walk::new(with(&make, 6), seed));
        for step in 0..300 {
            let number = 1 + step % 6;
            match careless.scheduler.standing(pid(number)) {
                Some(Standing::Idle) => {
                    let answer = careless.scheduler.settle(pid(number), charge(1 << 40), careless.now);
                    assert_eq!(answer, Err(SchedError::NoGrant(pid(number))), "seed {seed}");
                }
                Some(_) => {
                    let answer = careless.scheduler.request(pid(number), demand(99), careless.now);
                    assert_eq!(answer, Err(SchedError::AlreadyAsked(pid(number))), "seed {seed}");
                }
                None => {}
            }
            if careless.scheduler.standing(pid(1)).is_some() {
                mistakes(&mut careless.scheduler, careless.latest, careless.latest > Micros(0));
            }
            assert_eq!(careful.step(), careless.step(), "seed {seed}, step {step}");
            for number in 1..=6 {
                let standings =
                    (careful.scheduler.standing(pid(number)), careless.scheduler.standing(pid(number)));
                assert_eq!(standings.0, standings.1, "seed {seed}, step {step}, process {number}");
            }
        }
    }
}

/// The same calls give the same answers.
pub fn it_is_deterministic<S: Scheduler>(make: impl Fn() -> S) {
    for seed in 0..20 {
        let (mut one, mut two) = (Walk::new(with(&make, 9), seed), Walk::new(with(&make, 9), seed));
        for step in 0..1000 {
            assert_eq!(one.step(), two.step(), "seed {seed}, step {step}");
        }
    }
}

/// Whatever callers do, grants go to who waits, as often as it asked, and no slot stays free while somebody waits.
pub fn a_random_walk_is_safe<S: Scheduler>(make: impl Fn() -> S) {
    for seed in 0..50 {
        let mut walk = Walk::new(with(&make, 8), seed);
        (0..1000).for_each(|_| {
            walk.step();
        });
    }
}

/// The least urgent process gets a slot, however many urgent ones keep asking and however short their calls.
pub fn nobody_starves<S: Scheduler>(make: impl Fn() -> S) {
    for held in [0, 1000, 10_000_000] {
        let mut scheduler = make();
        let urgent = Priority::new(0).expect("within 0 to 100");
        for number in 1..=RIVALS {
            scheduler.admit(Entry::new(pid(number)).urgent(urgent), Micros(0)).expect("a fresh pid");
            scheduler.request(pid(number), demand(1), Micros(0)).expect("it is idle");
        }
        let victim = pid(100);
        scheduler.admit(Entry::new(victim).urgent(Priority::LOWEST), Micros(0)).expect("a fresh pid");
        let mut now = 0;
        for waits in 0..5 {
            scheduler.request(victim, demand(1), Micros(now)).expect("it is idle");
            let mut ahead = 0;
            loop {
                let grant = scheduler.next(&Slot::default(), Micros(now)).expect("many wait");
                now += held;
                scheduler.settle(grant.pid, charge(held), Micros(now)).expect("it holds a slot");
                if grant.pid == victim {
                    break;
                }
                scheduler.request(grant.pid, demand(1), Micros(now)).expect("it is idle");
                ahead += 1;
                assert!(ahead < PATIENCE, "wait {waits} with calls of {held} us: {ahead} grants went ahead");
            }
        }
    }
}

/// Who stays gets a slot, however many that are a little more urgent come, make one call and go. The policies that starve by
/// their nature, as the contract says, are exempt by name.
pub fn nobody_starves_of_newcomers<S: Scheduler>(make: impl Fn() -> S) {
    let mut scheduler = make();
    if STARVES.contains(&scheduler.name()) {
        return;
    }
    let victim = pid(1);
    let urgent = Priority::new(40).expect("within 0 to 100");
    let come = |scheduler: &mut S, number: u64, now: u64| {
        scheduler.admit(Entry::new(pid(number)).urgent(urgent), Micros(now)).expect("a fresh pid");
        scheduler.request(pid(number), demand(1_000), Micros(now)).expect("it is idle");
    };
    scheduler.admit(Entry::new(victim), Micros(0)).expect("a fresh pid");
    (2..=1 + RIVALS).for_each(|number| come(&mut scheduler, number, 0));
    let (mut newest, mut now) = (1 + RIVALS, 0);
    for wait in 0..5 {
        scheduler.request(victim, demand(1_000), Micros(now)).expect("it is idle");
        let mut ahead = 0;
        loop {
            let grant = scheduler.next(&Slot::default(), Micros(now)).expect("many wait");
            now += 1_000;
            scheduler.settle(grant.pid, charge(1_000), Micros(now)).expect("it holds a slot");
            if grant.pid == victim {
                break;
            }
            scheduler.withdraw(grant.pid, true, Micros(now)).expect("it is there");
            newest += 1;
            come(&mut scheduler, newest, now);
            ahead += 1;
            assert!(ahead < NEWCOMERS, "wait {wait}: {ahead} newcomers went ahead");
        }
    }
}

/// Expands to a module `$name` with one test for each law, each on schedulers that the expression `$make` makes.
#[macro_export]
macro_rules! scheduler_conformance {
    ($name:ident, $make:expr) => {
        $crate::scheduler_conformance!(@laws $name, $make;
            it_has_a_name
            only_who_asked_is_granted
            a_grant_says_what_was_asked
            each_request_is_granted_once
            who_is_taken_holds_the_slot
            a_grant_given_back_is_no_call
            a_slice_ends_a_turn
            a_standing_follows_the_calls
            a_withdrawn_request_is_not_granted
            the_dead_are_not_granted
            mistakes_are_named
            next_survives_time_going_back
            an_error_changes_nothing
            it_is_deterministic
            a_random_walk_is_safe
            nobody_starves
            nobody_starves_of_newcomers
        );
    };
    (@laws $name:ident, $make:expr; $($law:ident)*) => {
        mod $name {
            use super::*;

            $(
                #[test]
                fn $law() {
                    $crate::conformance::$law(|| $make);
                }
            )*
        }
    };
}
