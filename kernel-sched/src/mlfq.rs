//! A multi-level feedback queue: who used little stays high, who used much sinks, and now and then all start anew.
//!
//! Corbató, Merwin-Daggett and Daley, *An Experimental Time-Sharing System*, 1962, with the boost of Solaris and FreeBSD so
//! that nobody starves.

use crate::Charge;
use crate::ranked::{Account, Rank, Ranked, ranked};

/// Service after which a process sinks from the highest level: 10,000 tokens of input. Each level below has four times that.
const QUANTUM: u64 = 100_000;
const LEVELS: u32 = 6;
/// All start anew after so many grants, or after as many as there are waiting if these are more.
const BOOST: usize = 1024;

/// A multi-level feedback queue with a boost. Priorities and warm slots count for nothing.
#[derive(Clone, Debug)]
pub struct FeedbackQueue(Ranked<Levels>);

#[derive(Clone, Debug, Default)]
struct Levels {
    epoch: u64,
    grants: usize,
}

impl Levels {
    fn renew(&self, account: &mut Account) {
        if account.epoch != self.epoch {
            (account.epoch, account.count) = (self.epoch, 0);
        }
    }
}

impl Rank for Levels {
    const NAME: &'static str = "mlfq";

    fn rank(&mut self, account: &mut Account, _: Option<u64>) -> u64 {
        self.renew(account);
        let sinks = (0..LEVELS - 1).take_while(|level| account.count >= QUANTUM << (2 * level));
        sinks.count() as u64
    }

    fn charge(&mut self, account: &mut Account, charge: &Charge) {
        self.renew(account);
        account.count = account.count.saturating_add(charge.cost().0);
    }

    fn granted(&mut self, waiting: usize) -> bool {
        self.grants += 1;
        let over = self.grants >= BOOST.max(waiting);
        if over {
            (self.grants, self.epoch) = (0, self.epoch + 1);
        }
        over
    }
}

ranked!(FeedbackQueue, Levels::default());
