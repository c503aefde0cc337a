//! Directions, and the cosine of the angle between two.
//!
//! Sums are made in a fixed order and without fused multiplication, so that they have the same bits on every machine
//! and with every width of its registers.

/// So many sums are made beside each other: two registers of the widest machines.
const LANES: usize = 32;

/// A vector of length one in the direction of finite values that are not all zero.
#[expect(clippy::cast_possible_truncation, reason = "a direction is as exact as its values")]
pub(crate) fn direction(values: &[f32]) -> Vec<f32> {
    let squares: f64 = values.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
    let length = squares.sqrt();
    values.iter().map(|value| (f64::from(*value) / length) as f32).collect()
}

/// The cosine of the angle between two directions.
#[inline(always)]
pub(crate) fn cosine(one: &[f32], other: &[f32]) -> f32 {
    dot(one, other).clamp(-1.0, 1.0)
}

/// The sum of the products of two slices of one length.
#[inline(always)]
pub(crate) fn dot(one: &[f32], other: &[f32]) -> f32 {
    let (one, one_rest) = one.as_chunks::<LANES>();
    let (other, other_rest) = other.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (one, other) in one.iter().zip(other) {
        for lane in 0..LANES {
            sums[lane] += one[lane] * other[lane];
        }
    }
    let rest: f32 = one_rest.iter().zip(other_rest).map(|(one, other)| one * other).sum();
    // Halves onto halves: what vector instructions do, said aloud.
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0] + rest
}

#[cfg(test)]
mod tests {
    use super::{cosine, direction, dot};

    #[test]
    fn a_direction_has_length_one_whatever_the_vector_had() {
        for scale in [1e-38, 1.0, 1e38] {
            let found = direction(&[3.0 * scale, 0.0, -2.0 * scale, 1.0 * scale]);
            assert!((dot(&found, &found) - 1.0).abs() < 1e-6, "{scale}: {found:?}");
        }
    }

    #[test]
    fn the_cosine_is_that_of_the_angle() {
        let (east, north) = (direction(&[5.0, 0.0]), direction(&[0.0, 2.0]));
        for (one, other, expected) in [(&east, &east, 1.0), (&east, &north, 0.0)] {
            assert!((cosine(one, other) - expected).abs() < 1e-6);
        }
        let west = direction(&[-1.0, 0.0]);
        assert!((cosine(&east, &west) + 1.0).abs() < 1e-6);
    }

    #[test]
    fn products_of_every_length_are_summed_once() {
        for length in 0..100 {
            let values: Vec<f32> = (0..length).map(|n| n as f32).collect();
            let expected: f32 = values.iter().map(|value| value * value).sum();
            assert_eq!(dot(&values, &values), expected, "{length}");
        }
    }
}
