//! What a scheduling decision costs with few and with very many processes waiting, beside a bare ordered set of as many.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

use kernel_sched::{Charge, Demand, Entry, Fair, Fifo, Micros, PriorityRoundRobin, Scheduler, Slot};
use kernel_types::{Pid, Priority, Tokens};

const READY: [u64; 3] = [100, 10_000, 1_000_000];

/// A scheduler with `ready` processes of all priorities, each waiting for a slot.
fn loaded(mut scheduler: Box<dyn Scheduler>, ready: u64) -> Box<dyn Scheduler> {
    for number in 0..ready {
        let pid = Pid::from_parts(number + 1, u128::from(number));
        let priority = Priority::new((number % 101) as u8).expect("within 0 to 100");
        scheduler.admit(Entry::new(pid).urgent(priority), Micros(0)).expect("a fresh pid");
        scheduler.request(pid, DEMAND, Micros(0)).expect("it is idle");
    }
    scheduler
}

/// What every call asks for, and uses.
const DEMAND: Demand = Demand { input: Tokens(2_000), cached: Tokens(0), output: Tokens(300) };

fn charge(held: u64) -> Charge {
    Charge { uncached: Tokens(2_000), output: Tokens(200), held: Micros(held), ..Charge::default() }
}

/// The least that a decision can cost: the first of an ordered set leaves and comes back elsewhere.
fn floor(c: &mut Criterion) {
    let mut group = c.benchmark_group("sched/floor");
    for ready in READY {
        let mut set: BTreeSet<(u64, u64)> = (0..ready).map(|number| (number % 1_009, number)).collect();
        group.bench_function(BenchmarkId::new("first out, in again", ready), |b| {
            b.iter(|| {
                let (key, number) = set.pop_first().expect("not empty");
                set.insert((black_box(key + 1 + number % 1_009), number));
            });
        });
    }
    group.finish();
}

type Make = fn() -> Box<dyn Scheduler>;

/// One decision with all that goes with it: grant the slot, settle the call, ask again.
fn decision(c: &mut Criterion) {
    let policies: [(&str, Make); 3] = [
        ("fair", || Box::new(Fair::new())),
        ("fifo", || Box::new(Fifo::new())),
        ("priority_rr", || Box::new(PriorityRoundRobin::new())),
    ];
    for (name, make) in policies {
        let mut group = c.benchmark_group(format!("sched/{name}"));
        for ready in READY {
            let mut scheduler = loaded(make(), ready);
            let mut now = 0;
            group.bench_function(BenchmarkId::new("grant+settle+request", ready), |b| {
                b.iter(|| {
                    now += 1_000_000;
                    let grant = scheduler.next(&Slot::default(), Micros(now)).expect("all wait");
                    scheduler.settle(grant.pid, charge(1_000_000), Micros(now)).expect("it holds a slot");
                    scheduler.request(black_box(grant.pid), grant.demand, Micros(now)).expect("it is idle");
                });
            });
            // Grants alone; what they use up is put back off the clock.
            let mut granted = Vec::new();
            group.bench_function(BenchmarkId::new("grant", ready), |b| {
                b.iter_custom(|iterations| {
                    let mut spent = std::time::Duration::ZERO;
                    let mut left = iterations;
                    while left > 0 {
                        let some = left.min(ready);
                        let start = Instant::now();
                        granted.extend(
                            (0..some).map(|_| {
                                scheduler.next(&Slot::default(), Micros(now)).expect("all wait").pid
                            }),
                        );
                        spent += start.elapsed();
                        for pid in granted.drain(..) {
                            scheduler.settle(pid, charge(1), Micros(now)).expect("it holds a slot");
                            scheduler.request(pid, DEMAND, Micros(now)).expect("it is idle");
                        }
                        left -= some;
                    }
                    spent
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, floor, decision);
criterion_main!(benches);
