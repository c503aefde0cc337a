//! What people do to a scheduler by accident or on purpose: each case with the bound that the fair policy keeps, and a policy
//! that breaks it, so that the case is known to be one.
//!
//! The bounds, in tokens, for equal weights: the service of two who always want slots differs by at most `2C + L`; with `n`
//! who want slots and `M` slots nobody waits longer than they need for `2C + L` each and the calls under way, `C + n (2C + L) / M`.

mod arrivals;
mod gaming;
mod mistakes;
mod pool;
mod sizes;
mod turmoil;

use kernel_sched::{Fair, Scheduler};

use self::pool::Policy;

/// The slack in all cases, in tokens.
const SLACK: u64 = 20_000;

fn fair() -> Policy {
    Box::new(Fair::new().with_slack(SLACK))
}

/// How far two who always want slots may be apart.
fn apart(dearest: u64) -> u64 {
    2 * dearest + SLACK
}

/// How long one of `ready` may wait.
fn wait(dearest: u64, ready: usize, slots: u32) -> u64 {
    dearest + ready as u64 * apart(dearest) / u64::from(slots)
}

/// The case stays within its bound under the fair policy, and the rival shows that it need not. A case answers what it
/// measured and its bound.
#[expect(clippy::print_stdout, reason = "how near a case comes to its bound")]
fn bounded(case: impl Fn(Policy) -> (u64, u64), rival: impl Scheduler + 'static) {
    let (measured, most) = case(fair());
    println!("{measured} of at most {most}");
    assert!(measured <= most, "{measured} exceeds the bound of {most}");
    let name = rival.name();
    let (measured, most) = case(Box::new(rival));
    println!("{name}: {measured} of at most {most}");
    assert!(measured > most, "{name} keeps the bound of {most} as well, with {measured}: it shows nothing");
}
