//! What a process that wants nothing costs a scheduler in memory, counted by the allocator: a binary of its own, because every
//! allocation counts.

#![expect(clippy::unwrap_used, reason = "test code: a panic is a failure")]

use std::alloc::System;

use kernel_sched::{
    Charge, Demand, Entry, Fair, FeedbackQueue, Fifo, LeastAttained, Micros, PriorityRoundRobin, Scheduler,
    Slot, TokenCounter,
};
use kernel_types::{Pid, Priority, Tokens};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Tables that grow by doubling are full and nearly empty in turn: the mean over one doubling is what counts.
const PROCESSES: [u64; 5] = [57_000, 66_000, 76_000, 87_000, 100_000];
const MOST_BYTES: usize = 256;

fn live() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Processes of families of one and tenants of a thousand that each made a call and are idle now; bytes for each.
fn parked(mut scheduler: impl Scheduler, processes: u64) -> usize {
    let before = live();
    for number in 0..processes {
        let pid = Pid::from_parts(number + 1, u128::from(number));
        let priority = Priority::new((number % 101) as u8).unwrap();
        let now = Micros(number * 1_000);
        scheduler.admit(Entry::new(pid).urgent(priority).of_tenant(number / 1_000), now).unwrap();
        scheduler.request(pid, Demand { input: Tokens(1_000), ..Demand::default() }, now).unwrap();
        let grant = scheduler.next(&Slot::default(), now).unwrap();
        assert_eq!(grant.pid, pid);
        let charge = Charge { uncached: Tokens(1_000), held: Micros(500), ..Charge::default() };
        scheduler.settle(pid, charge, now).unwrap();
    }
    let bytes = (live() - before) / processes as usize;
    drop(scheduler);
    bytes
}

fn mean<S: Scheduler>(make: impl Fn() -> S) -> usize {
    let all: Vec<usize> = PROCESSES.iter().map(|processes| parked(make(), *processes)).collect();
    all.iter().sum::<usize>() / all.len()
}

#[test]
fn a_parked_entry_is_small() {
    let all = [
        ("fair", mean(Fair::new)),
        ("fifo", mean(Fifo::new)),
        ("priority_rr", mean(PriorityRoundRobin::new)),
        ("mlfq", mean(FeedbackQueue::new)),
        ("las", mean(LeastAttained::new)),
        ("vtc", mean(TokenCounter::new)),
    ];
    assert!(all.iter().all(|(_, bytes)| (1..=MOST_BYTES).contains(bytes)), "bytes an entry: {all:?}");
}
