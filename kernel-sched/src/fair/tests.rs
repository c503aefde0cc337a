//! Virtual time that has gone on for long.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use kernel_types::Tokens;

use super::*;

const PIDS: u64 = 12;
/// Calls that were made before.
const CALLS: u64 = 1_000_000_000;

fn pid(number: u64) -> Pid {
    Pid::from_parts(number + 1, 0)
}

/// Of one to four families, one to three tenants.
fn entry(number: u64, level: u8) -> Entry {
    let priority = Priority::new(level).expect("within 0 to 100");
    Entry::new(pid(number)).urgent(priority).below(pid(100 + number % 4), priority).of_tenant(number % 4 % 3)
}

/// As far as virtual time is after a thousand million calls of the highest cost there is, all of members of the lowest weight. All
/// sleep, so that what each is ahead of its due is known whatever virtual time is.
fn late(fair: &mut Fair) {
    let gone = i128::from(CALLS) * queue::stretch(1 << 27, Weight::of(Priority::LOWEST).units());
    for queue in fair.tenants.values_mut().map(|tenant| &mut tenant.queue).chain([&mut fair.top]) {
        queue.start_from(gone, CALLS);
    }
    fair.requests = CALLS;
}

/// A random call of a scheduler.
#[derive(Clone, Copy, Debug)]
enum Step {
    Admit(Entry),
    Request(Pid, Demand),
    Next(u32, Pid),
    Settle(Pid, Charge),
    Withdraw(Pid, bool),
}

fn step(random: &mut StdRng) -> Step {
    let number = random.random_range(0..PIDS);
    let tokens = Tokens(random.random_range(0..50_000));
    match random.random_range(0..40) {
        0 | 1 => Step::Admit(entry(number, random.random_range(0..=100))),
        2..=15 => Step::Request(pid(number), Demand { input: tokens, ..Demand::default() }),
        16..=26 => Step::Next(random.random_range(0..40), pid(number)),
        27..=37 => Step::Settle(pid(number), Charge { uncached: tokens, ..Charge::default() }),
        kind => Step::Withdraw(pid(number), kind == 39),
    }
}

fn answer(fair: &mut Fair, step: Step, now: Micros) -> String {
    match step {
        Step::Admit(entry) => format!("{:?}", fair.admit(entry, now)),
        Step::Request(pid, demand) => format!("{:?}", fair.request(pid, demand, now)),
        Step::Next(chance, warm) => {
            let slot = Slot { number: chance % 3, of: if chance == 39 { 2 } else { 3 }, warm: &[warm] };
            format!("{:?}", fair.next(&slot, now))
        }
        Step::Settle(pid, charge) => format!("{:?}", fair.settle(pid, charge, now)),
        Step::Withdraw(pid, leave) => format!("{:?}", fair.withdraw(pid, leave, now)),
    }
}

/// The same grants, the same lags, the same errors: so every bound that holds from the start holds then, too.
#[test]
fn after_a_billion_calls_it_decides_as_at_the_start() {
    for seed in 0..100 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut early = Fair::new();
        for number in 0..PIDS {
            early.admit(entry(number, 50), Micros(0)).expect("a fresh pid");
        }
        let mut then = early.clone();
        late(&mut then);
        let mut grants = 0;
        for now in (0..5_000).map(Micros) {
            let step = step(&mut random);
            let answers = (answer(&mut early, step, now), answer(&mut then, step, now));
            assert_eq!(answers.0, answers.1, "seed {seed}, {now:?}: {step:?}");
            grants += u32::from(answers.0.starts_with("Some(Grant"));
            for number in 0..PIDS {
                assert_eq!(early.lag(pid(number)), then.lag(pid(number)), "seed {seed}, {now:?}: {step:?}");
            }
        }
        assert!(grants > 300, "seed {seed}: {grants} grants");
    }
}
