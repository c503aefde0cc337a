//! Least attained service: who had least so far goes first.
//!
//! Nuyens and Wierman, *The Foreground-Background queue: a survey*, 2008. Short processes end soon without anybody having to
//! know that they are short; long ones wait while new ones keep coming, for ever if need be.

use crate::Charge;
use crate::ranked::{Account, Rank, Ranked, ranked};

/// Least attained service first. Priorities and warm slots count for nothing. Newcomers starve who stays: for comparison only.
#[derive(Clone, Debug)]
pub struct LeastAttained(Ranked<Attained>);

#[derive(Clone, Debug)]
struct Attained;

impl Rank for Attained {
    const NAME: &'static str = "las";

    fn rank(&mut self, account: &mut Account, _: Option<u64>) -> u64 {
        account.count
    }

    fn charge(&mut self, account: &mut Account, charge: &Charge) {
        account.count = account.count.saturating_add(charge.cost().0);
    }
}

ranked!(LeastAttained, Attained);
