//! What the fair policy is for, on the simulator's default load: sooner done than first in first out, nobody waits long, warm slots.

use kernel_sched::sim::{Agents, Report, Setting, agents, simulate};
use kernel_sched::{Fair, Fifo, LeastAttained, Scheduler, TokenCounter};

const SEEDS: u64 = 8;

/// Of one policy by seeds.
type Reports = Vec<Report>;

fn run(make: impl Fn() -> Box<dyn Scheduler>, rate: f64) -> Reports {
    let shape = Agents { rate, ..Agents::default() };
    (1..=SEEDS).map(|seed| simulate(&mut make(), &Setting::default(), &agents(&shape, seed))).collect()
}

/// How many times as much the one has of something as the other, by the means over all seeds.
fn times(more: &Reports, less: &Reports, of: impl Fn(&Report) -> f64) -> f64 {
    more.iter().map(&of).sum::<f64>() / less.iter().map(of).sum::<f64>()
}

struct Aim {
    rate: f64,
    mean: f64,
    p95: f64,
}

/// All eight seeds of 600 agents: it takes seconds.
#[test]
fn the_aims_of_the_fair_policy_are_met() {
    let aims = [Aim { rate: 0.25, mean: 1.6, p95: 1.3 }, Aim { rate: 0.32, mean: 1.45, p95: 1.15 }];
    for Aim { rate, mean, p95 } in aims {
        let fair = run(|| Box::new(Fair::new()), rate);
        let fifo = run(|| Box::new(Fifo::new()), rate);
        let las = run(|| Box::new(LeastAttained::new()), rate);
        let vtc = run(|| Box::new(TokenCounter::new()), rate);
        let sooner = |policy: &Reports| times(&fifo, policy, |report| report.mean_completion_s);
        let sooner_p95 = |policy: &Reports| times(&fifo, policy, |report| report.p95_completion_s);
        let wait = times(&fair, &las, |report| report.worst_wait_s);
        let worst = |policy: &Reports| policy.iter().map(|report| report.worst_wait_s).fold(0.0, f64::max);
        let hits =
            |policy: &Reports| policy.iter().map(|report| report.cache_hit_rate).sum::<f64>() / SEEDS as f64;
        for (name, policy) in [("fair", &fair), ("las", &las), ("vtc", &vtc), ("fifo", &fifo)] {
            let (mean, p95) = (sooner(policy), sooner_p95(policy));
            println!(
                "{rate}: {name} {mean:.3}x, p95 {p95:.3}x, hits {:.3}, worst wait {:.0} s",
                hits(policy),
                worst(policy)
            );
        }
        println!("{rate}: worst wait {wait:.3} of las");
        assert!(sooner(&fair) >= mean, "{rate}: mean {} times sooner", sooner(&fair));
        assert!(sooner_p95(&fair) >= p95, "{rate}: p95 {} times sooner", sooner_p95(&fair));
        assert!(wait <= 1.0 / 3.0, "{rate}: the worst wait is {wait} of that of las");
        assert!(hits(&fair) >= 0.65, "{rate}: {} of the input was in a cache", hits(&fair));
        // No other comes near: the aims are none that any policy meets.
        for rival in [&las, &vtc, &fifo] {
            assert!(sooner(rival) < mean && hits(rival) < 0.65, "{rate}: the aims show nothing");
        }
    }
}
