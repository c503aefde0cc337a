//! The virtual token counter: who was served the fewest tokens goes first, and nobody saves up while idle.
//!
//! Sheng et al., *Fairness in Serving Large Language Models*, OSDI 2024: a counter per client grows with its input tokens and
//! twice its output tokens; a client that comes back is lifted to the smallest counter of those who wait.

use crate::Charge;
use crate::ranked::{Account, Rank, Ranked, ranked};

/// The virtual token counter. Priorities, caches and warm slots count for nothing. Newcomers that come one after another, call
/// once and go starve who stays.
#[derive(Clone, Debug)]
pub struct TokenCounter(Ranked<Counter>);

#[derive(Clone, Debug)]
struct Counter;

impl Rank for Counter {
    const NAME: &'static str = "vtc";

    fn rank(&mut self, account: &mut Account, least: Option<u64>) -> u64 {
        account.count = account.count.max(least.unwrap_or(0));
        account.count
    }

    fn charge(&mut self, account: &mut Account, charge: &Charge) {
        let input = charge.uncached.0.saturating_add(charge.cached.0);
        let served = input.saturating_add(charge.output.0.saturating_mul(2)).max(1);
        account.count = account.count.saturating_add(served);
    }
}

ranked!(TokenCounter, Counter);
