//! Long random walks against the naive model, in windows of many sizes and under several watermarks.

use kernel_context::Replacement;
use kernel_context::conformance::random_walk;

/// Changes for each walk: more when the full-size suites run.
fn count() -> usize {
    if std::env::var_os("AGENTOS_SOAK").is_some() { 25_000 } else { 600 }
}

#[test]
fn no_byte_is_lost_in_small_windows() {
    for (seed, window) in [(11, 90), (12, 130), (13, 200)] {
        random_walk(&Replacement::default(), seed, window, count());
    }
}

#[test]
fn no_byte_is_lost_in_large_windows() {
    for (seed, window) in [(21, 600), (22, 2_000), (23, 6_000)] {
        random_walk(&Replacement::default(), seed, window, count());
    }
}

#[test]
fn no_byte_is_lost_under_odd_watermarks() {
    for (seed, high, low) in [(31, 1.0, 1.0), (32, 0.5, 0.001), (33, 0.9, 0.9)] {
        random_walk(&Replacement::BatchFifo { high, low }, seed, 700, count());
    }
}
