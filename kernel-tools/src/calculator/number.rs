//! Numbers of the calculator: exact as long as they are whole, else floats.

use std::fmt;

/// A whole number or a finite float.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Number {
    Whole(i128),
    Float(f64),
}

use Number::{Float, Whole};

/// Below this every whole float is exact (2^53).
const EXACT: f64 = 9_007_199_254_740_992.0;

type Result = std::result::Result<Number, String>;

impl Number {
    /// A finite float; a whole one becomes a whole number, so that `sqrt(16)` is as good as `4`.
    pub(super) fn float(value: f64) -> Result {
        if value.is_nan() {
            return Err("the result is not a real number".to_owned());
        }
        if value.is_infinite() {
            return Err("overflow: the result is above 1.8e308".to_owned());
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53 by the check")]
        Ok(if value.fract() == 0.0 && value.abs() <= EXACT { Whole(value as i128) } else { Float(value) })
    }

    #[expect(clippy::cast_precision_loss, reason = "a float is asked for")]
    pub(super) const fn to_f64(self) -> f64 {
        match self {
            Whole(n) => n as f64,
            Float(f) => f,
        }
    }

    pub(super) fn add(self, other: Self) -> Result {
        self.combine(other, i128::checked_add, |a, b| a + b)
    }

    pub(super) fn subtract(self, other: Self) -> Result {
        self.combine(other, i128::checked_sub, |a, b| a - b)
    }

    pub(super) fn multiply(self, other: Self) -> Result {
        self.combine(other, i128::checked_mul, |a, b| a * b)
    }

    pub(super) fn divide(self, other: Self) -> Result {
        match (self, other.not_zero()?) {
            (Whole(a), Whole(b)) if a.checked_rem(b) == Some(0) => {
                a.checked_div(b).map(Whole).ok_or_else(overflow)
            }
            (a, b) => Self::float(a.to_f64() / b.to_f64()),
        }
    }

    pub(super) fn remainder(self, other: Self) -> Result {
        self.combine(other.not_zero()?, i128::checked_rem, |a, b| a % b)
    }

    pub(super) fn power(self, other: Self) -> Result {
        if self.is_zero() && other.to_f64() < 0.0 {
            return Err("division by zero".to_owned());
        }
        match (self, other) {
            (Whole(base), Whole(exponent)) if exponent >= 0 => whole_power(base, exponent),
            (base, exponent) => Self::float(base.to_f64().powf(exponent.to_f64())),
        }
    }

    pub(super) fn negate(self) -> Result {
        match self {
            Whole(n) => n.checked_neg().map(Whole).ok_or_else(overflow),
            Float(f) => Ok(Float(-f)),
        }
    }

    /// The larger of the two.
    pub(super) fn larger(self, other: Self) -> Self {
        if other.is_above(self) { other } else { self }
    }

    /// The smaller of the two.
    pub(super) fn smaller(self, other: Self) -> Self {
        if self.is_above(other) { other } else { self }
    }

    fn is_above(self, other: Self) -> bool {
        match (self, other) {
            (Whole(a), Whole(b)) => a > b,
            (a, b) => a.to_f64() > b.to_f64(),
        }
    }

    fn is_zero(self) -> bool {
        self.to_f64() == 0.0
    }

    fn not_zero(self) -> Result {
        if self.is_zero() { Err("division by zero".to_owned()) } else { Ok(self) }
    }

    fn combine(
        self,
        other: Self,
        whole: fn(i128, i128) -> Option<i128>,
        float: fn(f64, f64) -> f64,
    ) -> Result {
        match (self, other) {
            (Whole(a), Whole(b)) => whole(a, b).map(Whole).ok_or_else(overflow),
            (a, b) => Self::float(float(a.to_f64(), b.to_f64())),
        }
    }
}

/// 1 and -1 take any exponent, all else overflows before the exponent leaves 32 bits.
fn whole_power(base: i128, exponent: i128) -> Result {
    match base {
        0 | 1 => Ok(Whole(if exponent == 0 { 1 } else { base })),
        -1 => Ok(Whole(if exponent % 2 == 0 { 1 } else { -1 })),
        _ => u32::try_from(exponent).ok().and_then(|e| base.checked_pow(e)).map(Whole).ok_or_else(overflow),
    }
}

fn overflow() -> String {
    "overflow: whole numbers are exact up to 38 digits; for an approximate result write one of them with a decimal point, \
     such as 2.5 or 2.0e0, and keep it below 1.8e308"
        .to_owned()
}

impl fmt::Display for Number {
    /// Floats with 15 significant digits, which hides the noise of binary fractions (`0.1 + 0.2` is `0.3`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let float = match self {
            Whole(n) => return n.fmt(f),
            Float(float) => *float,
        };
        let rounded: f64 = format!("{float:.14e}").parse().unwrap_or(float);
        if (1e-6..1e15).contains(&rounded.abs()) { write!(f, "{rounded}") } else { write!(f, "{rounded:e}") }
    }
}
