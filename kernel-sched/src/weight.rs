//! Weights: how much of the slots a priority is due.

use kernel_types::Priority;

/// A share of the slots against others, in units of 1/1024 of the middle priority's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Weight(u32);

/// The weight of the middle priority, 50.
const MIDDLE: u32 = 1024;
/// `2^(k/10) * 2^20`, rounded, for k of 0 to 9.
const TENTHS: [u64; 10] = [
    1_048_576, 1_123_836, 1_204_497, 1_290_948, 1_383_604, 1_482_910, 1_589_344, 1_703_416, 1_825_676,
    1_956_711,
];

impl Weight {
    /// One tenant's share against another's, and one process's of priority 50.
    pub const ONE: Self = Self(MIDDLE);

    /// `2^((50 - p) / 10)`: ten levels are twice the share, priority 0 has 1,024 times that of priority 100.
    #[must_use]
    pub const fn of(priority: Priority) -> Self {
        let steps = 100 - priority.value() as usize;
        let scaled = TENTHS[steps % 10] << (steps / 10);
        // Priority 100 is 2^-5 of the middle: 32.
        #[expect(clippy::cast_possible_truncation, reason = "at most 2^15")]
        let units = ((scaled * 32 + (1 << 19)) >> 20) as u32;
        Self(units)
    }

    /// `parts` times [`Weight::ONE`], at least 1 and at most 1,024 of them.
    #[must_use]
    pub const fn times(parts: u32) -> Self {
        let parts = if parts < 1 { 1 } else { parts };
        Self(MIDDLE * if parts > 1024 { 1024 } else { parts })
    }

    /// In units: 1,024 for the middle priority.
    #[must_use]
    pub const fn units(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_levels_double_the_share() {
        let weight = |level| Weight::of(Priority::new(level).unwrap()).units();
        assert_eq!((weight(50), weight(100), weight(0)), (1024, 32, 32 * 1024));
        for level in 0..=100 {
            let exact = 1024.0 * 2f64.powf((50.0 - f64::from(level)) / 10.0);
            let error = (f64::from(weight(level)) - exact).abs() / exact;
            assert!(error < 0.016, "priority {level}: {} against {exact}", weight(level));
        }
        assert!((0..100).all(|level| weight(level) > weight(level + 1)));
    }
}
