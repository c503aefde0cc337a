//! Timers of calls, by one clock: the wall's for what a program asked for, which outlives a kernel; the steady one for all else,
//! which nobody sets.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use kernel_types::{Pid, Seq, StepNo};

/// A call that is to be looked at.
pub(crate) type Timed = (Pid, StepNo, Seq);

/// So many timers are kept without a look at whether their calls still wait.
const FEW: usize = 4096;

/// The timers, the earliest first.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    heap: BinaryHeap<Reverse<(T, Timed)>>,
    limit: usize,
}

impl<T: Copy + Ord> Timers<T> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), limit: FEW }
    }

    /// Sets one. Those of calls that ended long before their time are cleared out when they outnumber the others.
    pub(crate) fn set(&mut self, at: T, call: Timed, waits: impl Fn(&Timed) -> bool) {
        if self.heap.len() >= self.limit {
            self.heap.retain(|Reverse((_, call))| waits(call));
            self.limit = (2 * self.heap.len()).max(FEW);
        }
        self.heap.push(Reverse((at, call)));
    }

    /// The earliest whose call still waits.
    pub(crate) fn next(&mut self, waits: impl Fn(&Timed) -> bool) -> Option<T> {
        while let Some(Reverse((at, call))) = self.heap.peek() {
            if waits(call) {
                return Some(*at);
            }
            self.heap.pop();
        }
        None
    }

    /// Takes the earliest, if its time has come.
    pub(crate) fn take_due(&mut self, now: T) -> Option<Timed> {
        let Reverse((at, _)) = self.heap.peek()?;
        if *at > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, call))| call)
    }

    /// The calls that are timed, in no order.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &Timed> {
        self.heap.iter().map(|Reverse((_, call))| call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_calls_that_ended_are_cleared_out() {
        let mut timers = Timers::new();
        let call = |n: u32| (Pid::INIT, StepNo(1), Seq(n));
        let waits = |(_, _, seq): &Timed| seq.0 >= 10_000;
        for n in 0..20_000 {
            timers.set(n, call(n), waits);
        }
        assert!(timers.calls().count() < 15_000, "{}", timers.calls().count());
        assert_eq!(timers.next(waits), Some(10_000));
        assert_eq!((timers.take_due(9_999), timers.take_due(10_000)), (None, Some(call(10_000))));
    }
}
