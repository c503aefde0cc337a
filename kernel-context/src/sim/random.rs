//! Seeded dice and the distributions that the workloads draw from.

use std::ops::RangeInclusive;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::LogNormal;

/// The 95th percentile of the standard normal distribution.
const Z95: f64 = 1.644_853_6;

pub(super) struct Dice(StdRng);

impl Dice {
    /// Dice of one of many `streams` of a seed: what one stream draws does not depend on how many there are.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self(StdRng::seed_from_u64(seed ^ stream.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    pub(super) fn between(&mut self, range: &RangeInclusive<u64>) -> u64 {
        self.0.random_range(range.clone())
    }

    /// An index below `count`, which is not 0.
    pub(super) fn below(&mut self, count: usize) -> usize {
        self.0.random_range(0..count)
    }

    /// Milliseconds, exponentially distributed, at least 1.
    pub(super) fn wait_ms(&mut self, mean_s: f64) -> u64 {
        whole(-(1.0 - self.unit()).ln() * mean_s * 1000.0).max(1)
    }

    /// A distance of at least 1 with a Pareto tail: more than d with probability d^-alpha, for whole d.
    pub(super) fn distance(&mut self, alpha: f64) -> u64 {
        whole((1.0 - self.unit()).powf(-1.0 / alpha))
    }

    /// Tokens by a log-normal distribution, clamped to its limits.
    pub(super) fn tokens(&mut self, size: &LogNormal) -> u64 {
        let sigma = (size.p95 / size.median).ln() / Z95;
        whole(size.median * (sigma * self.normal()).exp()).clamp(size.least, size.most)
    }

    /// A standard normal number (Box and Muller, 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// 0 inclusive to 1 exclusive.
    fn unit(&mut self) -> f64 {
        self.0.random()
    }
}

/// The whole part; a float that is too large is the largest integer.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and nothing is negative"
)]
fn whole(value: f64) -> u64 {
    value as u64
}
