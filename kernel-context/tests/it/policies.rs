//! Policies at work on simulated conversations: what the shipped one has to be better at, and by how much.
//!
//! The figures are those of four agents in place of twenty: the table of the README comes from the example `policies`.

use kernel_context::Replacement;
use kernel_context::sim::{Report, Setting, Shape, drive};
use kernel_types::{CacheModel, Catalogue};

const SEED: u64 = 7;

fn run(replacement: Replacement, window: u64, cache: CacheModel, shape: &Shape) -> Report {
    drive(&replacement, Setting { window, cache, keep_warm: true }, shape.clone(), SEED).unwrap()
}

/// A few agents with a window of 16,000 tokens, with pings or without, and with a longer time to live to choose or without.
fn kept(shape: &Shape, (keep_warm, long): (bool, bool), seed: u64) -> Report {
    let cache = *Catalogue::built_in().cache("anthropic-5m").unwrap();
    let cache = CacheModel { long: cache.long.filter(|_| long), ..cache };
    let shape = Shape { agents: 2, tasks: 10, ..shape.clone() };
    drive(&Replacement::default(), Setting { window: 16_000, cache, keep_warm }, shape, seed).unwrap()
}

fn input(report: &Report, cache: &CacheModel) -> f64 {
    (report.units() - (report.total.output + report.pinged.output) * u64::from(cache.output)) as f64
}

/// The report, and how many times cheaper its input was than first in, first out without a cache.
fn times(replacement: Replacement, window: u64, provider: &str, shape: &Shape) -> (Report, f64) {
    let cache = *Catalogue::built_in().cache(provider).unwrap();
    let none = CacheModel::default();
    let reference = input(&run(Replacement::Fifo, window, none, shape), &none);
    let report = run(replacement, window, cache, shape);
    (report, reference / input(&report, &cache))
}

fn tools() -> Shape {
    Shape { agents: 4, ..Shape::tools() }
}

#[test]
fn the_default_is_cheap_and_forgets_little() {
    for (window, least, most_faults) in [(8_000, 6.8, 3.1), (16_000, 8.3, 2.0)] {
        let (report, times) = times(Replacement::default(), window, "anthropic-5m", &tools());
        assert!(times >= least, "{times:.2} times cheaper at {window}");
        assert!(report.faults_per_100() <= most_faults, "{:.2} faults", report.faults_per_100());
        assert!(report.window_use() >= 0.795, "{:.3} of the window used", report.window_use());
    }
}

#[test]
fn a_full_window_stays_cached() {
    let (report, _) = times(Replacement::Generational { floor: 0.9 }, 16_000, "anthropic-5m", &tools());
    assert!(report.window_use() >= 0.9, "{:.3} of the window used", report.window_use());
    assert!(report.cached_share() >= 0.9, "{:.3} cached", report.cached_share());
}

#[test]
fn it_is_cheaper_than_the_classic_wherever_it_runs() {
    let chat = Shape { agents: 4, tasks: 120, ..Shape::chat() };
    for (name, shape) in [("tools", tools()), ("chat", chat)] {
        for provider in ["anthropic-5m", "openai-gpt5"] {
            let (_, own) = times(Replacement::default(), 8_000, provider, &shape);
            let (_, theirs) = times(Replacement::LruImportance, 8_000, provider, &shape);
            assert!(own > 1.4 * theirs, "{name}, {provider}: {own:.2} and {theirs:.2} with the classic");
        }
    }
}

#[test]
fn pings_make_long_waits_cheaper_and_nothing_else_dearer() {
    for seed in [1, 2, 5] {
        let price = |shape: &Shape, keep_warm| kept(shape, (keep_warm, false), seed);
        let (with, without) = (price(&Shape::long_waits(), true), price(&Shape::long_waits(), false));
        assert!(with.pings > 10 && without.pings == 0, "{} pings", with.pings);
        assert!(
            with.units() * 100 < without.units() * 92,
            "{} and {} without",
            with.units(),
            without.units()
        );
        assert!(with.cached_share() > without.cached_share() + 0.02);
        let (with, without) = (price(&Shape::tools(), true), price(&Shape::tools(), false));
        assert!(with.units() * 1000 <= without.units() * 1005, "{} and {}", with.units(), without.units());
    }
}

#[test]
fn a_longer_time_to_live_is_asked_for_where_it_is_cheaper() {
    let often = Shape { wait: 0.3, ..Shape::long_waits() };
    for seed in [1, 2, 5] {
        let price = |shape: &Shape, long| kept(shape, (false, long), seed).units();
        let (long, short) = (price(&often, true), price(&often, false));
        assert!(long * 100 < short * 95, "{long} and {short} without");
        assert_eq!(price(&Shape::tools(), true), price(&Shape::tools(), false), "nobody waits");
    }
}
