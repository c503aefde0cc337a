//! The best of many.

/// Keeps the items of the highest scores; of equals, those of smaller numbers.
pub(super) struct Top {
    most: usize,
    /// Up to twice as many as asked for, in no order.
    kept: Vec<(f32, usize)>,
    /// What is below is not among the best.
    floor: f32,
}

impl Top {
    /// Keeps at most `most` items.
    pub(super) fn new(most: usize) -> Self {
        Self { most, kept: Vec::new(), floor: f32::NEG_INFINITY }
    }

    pub(super) fn offer(&mut self, score: f32, item: usize) {
        if score >= self.floor && self.most > 0 {
            self.kept.push((score, item));
            if self.kept.len() >= 2 * self.most {
                self.cut();
            }
        }
    }

    /// The best of all that was offered, in no order.
    pub(super) fn into_vec(mut self) -> Vec<(f32, usize)> {
        if self.kept.len() > self.most {
            self.cut();
        }
        self.kept
    }

    fn cut(&mut self) {
        let last = self.most - 1;
        self.kept.select_nth_unstable_by(last, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        self.kept.truncate(self.most);
        self.floor = self.kept[last].0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_those_of_a_full_sort() {
        let scores: Vec<f32> = (0_u16..500).map(|at| f32::from(at * 89 % 97)).collect();
        let mut sorted: Vec<(f32, usize)> = scores.iter().copied().zip(0..).collect();
        sorted.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        for most in [0, 1, 2, 10, 249, 499, 500, 600] {
            let mut top = Top::new(most);
            scores.iter().zip(0..).for_each(|(score, item)| top.offer(*score, item));
            let mut found = top.into_vec();
            found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            assert_eq!(found, sorted[..most.min(500)], "the best {most}");
        }
    }
}
