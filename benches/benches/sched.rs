//! What a scheduling decision costs with few and with very many processes waiting.

use std::hint::black_box;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

use kernel_sched::{Charge, Demand, Entry, Fair, Fifo, Micros, PriorityRoundRobin, Scheduler, Slot};
use kernel_types::{Pid, Priority};

const READY: [u64; 3] = [100, 10_000, 1_000_000];

/// A scheduler with `ready` processes of all priorities, each waiting for a slot.
fn loaded(mut scheduler: Box<dyn Scheduler>, ready: u64) -> Box<dyn Scheduler> {
    for number in 0..ready {
        let pid = Pid::from_parts(number + 1, u128::from(number));
        let priority = Priority::new((number % 101) as u8).expect("within 0 to 100");
        scheduler.admit(Entry::new(pid).urgent(priority), Micros(0)).expect("a fresh pid");
        scheduler.request(pid, Demand::default(), Micros(0)).expect("it is idle");
    }
    scheduler
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
                    let charge = Charge { held: Micros(1_000_000), ..Charge::default() };
                    scheduler.settle(grant.pid, charge, Micros(now)).expect("it holds a slot");
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
                            scheduler.settle(pid, Charge::default(), Micros(now)).expect("it holds a slot");
                            scheduler.request(pid, Demand::default(), Micros(now)).expect("it is idle");
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

criterion_group!(benches, decision);
criterion_main!(benches);
