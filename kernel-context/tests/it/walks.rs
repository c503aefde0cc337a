//! Long random walks against the naive pager: each policy in windows of many sizes.

use kernel_context::Replacement;
use kernel_context::conformance::{Walked, random_walk};

/// Window sizes, in tokens.
const WINDOWS: [u64; 5] = [90, 200, 700, 2_000, 6_000];

/// Seeds, and operations for each, policy and window: 10^5 operations of eight policies together, or 10^6 when the full-size
/// suites run.
fn size() -> (u64, usize) {
    if std::env::var_os("AGENTOS_SOAK").is_some() { (2, 12_500) } else { (1, 2_500) }
}

fn walk(policy: Replacement, first_seed: u64) {
    let (seeds, count) = size();
    let mut walked = Walked::default();
    for window in WINDOWS {
        for seed in first_seed..first_seed + seeds {
            walked += random_walk(&policy, seed, window, count);
        }
    }
    println!("{policy:?}: {} operations a walk, {walked:?}", count);
    let walks = WINDOWS.len() * seeds as usize;
    for happened in [walked.changes, walked.refused, walked.renders, walked.loads, walked.forks] {
        assert!(happened * 400 > walks * count, "too little happened");
    }
    assert!(walked.compactions * 1_000 > walks * count, "the windows were not full");
}

#[test]
fn nothing_is_lost_by_generations() {
    walk(Replacement::Generational { floor: 0.8 }, 11);
}

#[test]
fn nothing_is_lost_by_cheap_generations() {
    walk(Replacement::Generational { floor: 0.5 }, 21);
}

#[test]
fn nothing_is_lost_by_full_generations() {
    walk(Replacement::Generational { floor: 0.9 }, 31);
}

#[test]
fn nothing_is_lost_by_lru() {
    walk(Replacement::Lru, 41);
}

#[test]
fn nothing_is_lost_by_lru_with_importance() {
    walk(Replacement::LruImportance, 51);
}

#[test]
fn nothing_is_lost_by_fifo() {
    walk(Replacement::Fifo, 61);
}

#[test]
fn nothing_is_lost_in_batches() {
    walk(Replacement::BatchFifo { high: 0.95, low: 0.75 }, 71);
}

#[test]
fn nothing_is_lost_by_summaries() {
    walk(Replacement::Summarise { high: 0.95, low: 0.75 }, 81);
}

/// Watermarks at the edges of what is taken.
#[test]
fn nothing_is_lost_under_odd_watermarks() {
    for (seed, high, low) in [(91, 1.0, 1.0), (92, 0.5, 0.001), (93, 0.9, 0.9)] {
        random_walk(&Replacement::BatchFifo { high, low }, seed, 700, size().1 / 5);
    }
}
