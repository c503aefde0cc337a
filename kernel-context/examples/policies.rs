//! Replacement policies side by side: what the same conversations cost with each, by provider and window.
//!
//! `cargo run --release -p kernel-context --example policies [tools|long_waits|coding|chat] [SEED]` prints a table in Markdown. `x` is how
//! many times cheaper the input was than with first in, first out and no cache in the same window.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::error::Error;

use kernel_context::Replacement;
use kernel_context::sim::{Report, Setting, Shape, drive};
use kernel_types::{CacheModel, Catalogue};

const WINDOWS: [u64; 2] = [8_000, 16_000];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "tools".to_owned());
    let shape = match name.as_str() {
        "tools" => Shape::tools(),
        "long_waits" => Shape::long_waits(),
        "coding" => Shape::coding(),
        "chat" => Shape::chat(),
        other => return Err(format!("{other} is none of tools, long_waits, coding, chat").into()),
    };
    let seed = arguments.next().map_or(Ok(1), |seed| seed.parse())?;
    let policies = [
        ("generational, floor 0.5", Replacement::Generational { floor: 0.5 }),
        ("generational, floor 0.8", Replacement::default()),
        ("generational, floor 0.9", Replacement::Generational { floor: 0.9 }),
        ("lru", Replacement::Lru),
        ("lru_importance", Replacement::LruImportance),
        ("fifo", Replacement::Fifo),
        ("batch_fifo", Replacement::BatchFifo { high: 0.95, low: 0.75 }),
        ("summarise", Replacement::Summarise { high: 0.95, low: 0.75 }),
    ];
    println!(
        "| {name}, seed {seed} | window | policy | cached | use | faults/100 | pings/100 | x |\n|---|---|---|---|---|---|---|---|"
    );
    let catalogue = Catalogue::built_in();
    for window in WINDOWS {
        let none = Setting { window, cache: CacheModel::default(), keep_warm: false };
        let reference = input(&drive(&Replacement::Fifo, none, shape.clone(), seed)?, &none.cache);
        for (provider, cache) in catalogue.caches() {
            for (policy, replacement) in policies {
                let setting = Setting { window, cache: *cache, keep_warm: true };
                let report = drive(&replacement, setting, shape.clone(), seed)?;
                let times = reference as f64 / input(&report, cache) as f64;
                println!(
                    "| {provider} | {window} | {policy} | {:.1} % | {:.1} % | {:.2} | {:.2} | {times:.2} |",
                    100.0 * report.cached_share(),
                    100.0 * report.window_use(),
                    report.faults_per_100(),
                    100.0 * report.pings as f64 / report.calls as f64,
                );
            }
        }
    }
    Ok(())
}

/// What the input cost, in thousandths of a plain token.
fn input(report: &Report, cache: &CacheModel) -> u64 {
    report.units() - (report.total.output + report.pinged.output) * u64::from(cache.output)
}
