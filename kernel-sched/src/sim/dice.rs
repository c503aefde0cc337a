//! Seeded dice and the distributions that loads draw from.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub(super) struct Dice(StdRng);

impl Dice {
    /// Dice of one of many `streams` of a seed: what one stream draws does not depend on the others.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self(StdRng::seed_from_u64(seed ^ stream.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    pub(super) fn one_of(&mut self, choices: &[u64]) -> u64 {
        choices[self.0.random_range(0..choices.len())]
    }

    /// Exponentially distributed with this mean.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -(1.0 - self.unit()).ln() * mean
    }

    /// Log-normally distributed with this median and this deviation of the logarithm.
    pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
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
