//! The active members of a queue by weight: their mean virtual time, and the largest weight that is feasible.

use std::collections::BTreeMap;

/// What members are told apart by: their weight in units, and how many slots they can use at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Share {
    pub(super) weight: u32,
    /// At least 1.
    pub(super) usable: u32,
}

impl Share {
    /// Of its weight, what falls on each slot it can use.
    fn a_slot(self) -> u32 {
        (self.weight / self.usable.max(1)).max(1)
    }
}

/// Members of one share.
#[derive(Clone, Copy, Debug, Default)]
struct Class {
    members: u32,
    /// Of their virtual times, reservations included.
    sum: i128,
}

/// The active members, by what falls of their weight on a slot, their weight, and the slots they can use.
#[derive(Clone, Debug)]
pub(super) struct Classes {
    classes: BTreeMap<(u32, u32, u32), Class>,
    slots: u32,
    /// More than this on a slot counts as this.
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

    pub(super) fn add(&mut self, share: Share, time: i128) {
        let class = self.classes.entry(key(share)).or_default();
        class.members += 1;
        class.sum += time;
        self.cap = self.feasible();
    }

    pub(super) fn remove(&mut self, share: Share, time: i128) {
        if let Some(class) = self.classes.get_mut(&key(share)) {
            class.members -= 1;
            class.sum -= time;
            if class.members == 0 {
                self.classes.remove(&key(share));
            }
        }
        self.cap = self.feasible();
    }

    /// A member's virtual time changed by so much.
    pub(super) fn shift(&mut self, share: Share, by: i128) {
        if let Some(class) = self.classes.get_mut(&key(share)) {
            class.sum += by;
        }
    }

    /// What a weight counts for: who can use one slot of M cannot have more than a share of 1/M, however heavy.
    pub(super) fn effective(&self, share: Share) -> u32 {
        share.weight.min(self.cap.saturating_mul(share.usable))
    }

    /// The weighted mean of the virtual times; `None` without members.
    pub(super) fn mean(&self) -> Option<i128> {
        let (mut sum, mut all) = (0_i128, 0_i128);
        for ((_, weight, usable), class) in &self.classes {
            let weight = i128::from(self.effective(Share { weight: *weight, usable: *usable }));
            sum += weight * class.sum;
            all += weight * i128::from(class.members);
        }
        (all > 0).then(|| sum.div_euclid(all))
    }

    /// Weight readjustment (Chandra, Adler, Goyal and Shenoy, *Surplus Fair Scheduling*, 2000): the heaviest members are
    /// capped until none is due more than the slots it can use, of those the others leave.
    fn feasible(&self) -> u32 {
        if self.slots == 1 {
            return u32::MAX;
        }
        let all = |of: fn(Share) -> u32| -> u64 {
            let each = |(&(_, weight, usable), class): (&(u32, u32, u32), &Class)| {
                u64::from(of(Share { weight, usable })) * u64::from(class.members)
            };
            self.classes.iter().map(each).sum()
        };
        if all(|share| share.usable) <= u64::from(self.slots) {
            // Nobody takes anything from anybody: all have the slots they can use, whatever their weights.
            return self.classes.first_key_value().map_or(u32::MAX, |((a_slot, _, _), _)| *a_slot);
        }
        let (mut rest, mut slots) = (all(|share| share.weight), u64::from(self.slots));
        let mut cap = u32::MAX;
        for ((a_slot, weight, usable), class) in self.classes.iter().rev() {
            for _ in 0..class.members {
                if slots <= u64::from(*usable) || u64::from(*a_slot) * slots <= rest {
                    return cap;
                }
                rest -= u64::from(*weight);
                slots -= u64::from(*usable);
                cap = u32::try_from(rest / slots).unwrap_or(u32::MAX).max(1);
            }
        }
        cap
    }
}

fn key(share: Share) -> (u32, u32, u32) {
    (share.a_slot(), share.weight, share.usable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(weight: u32) -> Share {
        Share { weight, usable: 1 }
    }

    #[test]
    fn who_can_use_more_slots_is_due_more() {
        let mut classes = Classes::new(4);
        let (heavy, light) = (Share { weight: 800, usable: 4 }, Share { weight: 100, usable: 4 });
        classes.add(heavy, 0);
        classes.add(light, 0);
        assert_eq!((classes.effective(heavy), classes.effective(light)), (800, 100), "both could use all");
        classes.remove(heavy, 0);
        let two = Share { usable: 2, ..heavy };
        classes.add(two, 0);
        assert_eq!(classes.effective(two), 100, "two of four slots: as much as what is left");
    }

    #[test]
    fn who_is_due_more_than_a_slot_is_capped() {
        let mut classes = Classes::new(2);
        classes.add(one(1000), 0);
        assert_eq!(classes.effective(one(10)), 10);
        classes.add(one(10), 0);
        classes.add(one(10), 0);
        assert_eq!(classes.effective(one(1000)), 20, "half of two slots");
        assert_eq!(classes.effective(one(10)), 10);
        let mut single = Classes::new(1);
        single.add(one(1000), 0);
        single.add(one(10), 0);
        assert_eq!(single.effective(one(1000)), 1000, "every share of one slot is feasible");
    }
}
