//! The best of many.

/// The items of the highest scores, at most `count`, in no order. Equals by their numbers, smaller first.
pub(super) fn best(items: impl Iterator<Item = (f32, usize)>, count: usize) -> Vec<(f32, usize)> {
    let better = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
    let mut kept: Vec<(f32, usize)> = Vec::new();
    let mut floor = f32::NEG_INFINITY;
    for item in items.filter(|_| count > 0) {
        if item.0 < floor {
            continue;
        }
        kept.push(item);
        if kept.len() >= 2 * count.max(1) {
            kept.select_nth_unstable_by(count - 1, better);
            kept.truncate(count);
            floor = kept[count - 1].0;
        }
    }
    if kept.len() > count {
        kept.select_nth_unstable_by(count - 1, better);
        kept.truncate(count);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_those_of_a_full_sort() {
        let scores: Vec<f32> = (0_u16..500).map(|at| f32::from(at * 89 % 97)).collect();
        let mut sorted: Vec<(f32, usize)> = scores.iter().copied().zip(0..).collect();
        sorted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for count in [0, 1, 2, 10, 249, 499, 500, 600] {
            let mut expected: Vec<usize> = sorted.iter().take(count).map(|(_, item)| *item).collect();
            let found = best(scores.iter().copied().zip(0..), count).into_iter();
            let mut found: Vec<usize> = found.map(|(_, item)| item).collect();
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, expected, "the best {count}");
        }
    }
}
