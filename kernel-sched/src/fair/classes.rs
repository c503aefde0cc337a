//! The active members of a queue by weight: their mean virtual time, and the largest weight that is feasible.

use std::collections::BTreeMap;

/// Members of one weight.
#[derive(Clone, Copy, Debug, Default)]
struct Class {
    members: u32,
    /// Of their virtual times, reservations included.
    sum: i128,
}

/// The active members, by weight in units.
#[derive(Clone, Debug)]
pub(super) struct Classes {
    classes: BTreeMap<u32, Class>,
    slots: u32,
    /// Weights above this count as this.
    cap: u32,
}

impl Classes {
    pub(super) fn new(slots: u32) -> Self {
        Self { classes: BTreeMap::new(), slots: slots.max(1), cap: u32::MAX }
    }

    pub(super) fn set_slots(&mut self, slots: u32) {
        self.slots = slots.max(1);
        self.cap = self.feasible();
    }

    pub(super) fn add(&mut self, weight: u32, time: i128) {
        let class = self.classes.entry(weight).or_default();
        class.members += 1;
        class.sum += time;
        self.cap = self.feasible();
    }

    pub(super) fn remove(&mut self, weight: u32, time: i128) {
        if let Some(class) = self.classes.get_mut(&weight) {
            class.members -= 1;
            class.sum -= time;
            if class.members == 0 {
                self.classes.remove(&weight);
            }
        }
        self.cap = self.feasible();
    }

    /// A member's virtual time changed by so much.
    pub(super) fn shift(&mut self, weight: u32, by: i128) {
        if let Some(class) = self.classes.get_mut(&weight) {
            class.sum += by;
        }
    }

    /// What a weight counts for: who holds one slot of M cannot have more than a share of 1/M, however heavy.
    pub(super) fn effective(&self, weight: u32) -> u32 {
        weight.min(self.cap)
    }

    /// The weighted mean of the virtual times; `None` without members.
    pub(super) fn mean(&self) -> Option<i128> {
        let (mut sum, mut all) = (0_i128, 0_i128);
        for (weight, class) in &self.classes {
            let weight = i128::from(self.effective(*weight));
            sum += weight * class.sum;
            all += weight * i128::from(class.members);
        }
        (all > 0).then(|| sum.div_euclid(all))
    }

    /// Weight readjustment (Chandra, Adler, Goyal and Shenoy, *Surplus Fair Scheduling*, 2000): the heaviest members are
    /// capped until none is due more than one slot of those the others leave.
    fn feasible(&self) -> u32 {
        if self.slots == 1 {
            return u32::MAX;
        }
        let mut rest: u64 =
            self.classes.iter().map(|(weight, class)| u64::from(*weight) * u64::from(class.members)).sum();
        let members: u64 = self.classes.values().map(|class| u64::from(class.members)).sum();
        if members <= u64::from(self.slots) {
            // Nobody takes anything from anybody: all have a slot, whatever their weights.
            return self.classes.first_key_value().map_or(u32::MAX, |(weight, _)| *weight);
        }
        let mut slots = u64::from(self.slots);
        let mut cap = u32::MAX;
        for (weight, class) in self.classes.iter().rev() {
            for _ in 0..class.members {
                if slots <= 1 || u64::from(*weight) * slots <= rest {
                    return cap;
                }
                rest -= u64::from(*weight);
                slots -= 1;
                cap = u32::try_from(rest / slots).unwrap_or(u32::MAX).max(1);
            }
        }
        cap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_due_more_than_a_slot_is_capped() {
        let mut classes = Classes::new(2);
        classes.add(1000, 0);
        assert_eq!(classes.effective(10), 10);
        classes.add(10, 0);
        classes.add(10, 0);
        assert_eq!(classes.effective(1000), 20, "half of two slots");
        assert_eq!(classes.effective(10), 10);
        let mut one = Classes::new(1);
        one.add(1000, 0);
        one.add(10, 0);
        assert_eq!(one.effective(1000), 1000, "every share of one slot is feasible");
    }
}
