//! Groups in the order in which they came, any of which may leave: a list in which nothing is searched for.

use std::collections::BTreeMap;

use crate::page::Number;

/// Distinct groups, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recency {
    order: BTreeMap<u64, Number>,
    places: BTreeMap<Number, u64>,
}

impl Recency {
    /// Adds a group at the end; one that is there moves there.
    pub(crate) fn push(&mut self, group: Number) {
        self.remove(group);
        let place = self.order.last_key_value().map_or(0, |(last, _)| last + 1);
        self.order.insert(place, group);
        self.places.insert(group, place);
    }

    pub(crate) fn remove(&mut self, group: Number) {
        if let Some(place) = self.places.remove(&group) {
            self.order.remove(&place);
        }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = Number> {
        self.order.values().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }
}

impl FromIterator<Number> for Recency {
    fn from_iter<I: IntoIterator<Item = Number>>(groups: I) -> Self {
        let mut all = Self::default();
        groups.into_iter().for_each(|group| all.push(group));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_coming() {
        let mut groups: Recency = [3, 1, 2].into_iter().collect();
        groups.push(3);
        assert_eq!(groups.iter().collect::<Vec<_>>(), [1, 2, 3]);
        groups.remove(2);
        groups.remove(9);
        assert_eq!((groups.iter().rev().collect::<Vec<_>>(), groups.len()), (vec![3, 1], 2));
    }
}
