//! The active members of a queue by weight: their mean virtual time, and the largest weight that is feasible.

use std::collections::{BTreeMap, BTreeSet};

use super::queue::Index;

/// A whole slot, in parts.
pub(super) const WHOLE: u64 = 1 << 10;

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

    /// What the weight counts for where more than `cap` on a slot counts as `cap`.
    pub(super) fn capped(self, cap: u32) -> u32 {
        self.weight.min(cap.saturating_mul(self.usable))
    }
}

/// Members of one share.
#[derive(Clone, Debug, Default)]
struct Class {
    members: BTreeSet<Index>,
    /// Of their virtual times, reservations included.
    sum: i128,
}

/// What falls of a weight on a slot, the weight, and the slots that its member can use.
type Key = (u32, u32, u32);

/// The active members.
#[derive(Clone, Debug)]
pub(super) struct Classes {
    classes: BTreeMap<Key, Class>,
    slots: u32,
    /// More than this on a slot counts as this.
    cap: u32,
    /// Somebody's weight may fall on the cap or more.
    touched: bool,
    /// What those who left were ahead of the mean and those who came were behind it, times their weights. Below
    /// zero where those who left had a claim, until virtual time goes on.
    gone: i128,
    /// Since the cap was found.
    changed: bool,
    all: Totals,
}

/// Of all active members, as if nobody was capped: kept as they come and go, since every decision asks.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    /// Virtual times by weight.
    time: i128,
    weight: i128,
    /// Slots they can use.
    usable: u64,
}

impl Classes {
    pub(super) fn new(slots: u32) -> Self {
        Self {
            classes: BTreeMap::new(),
            slots: slots.max(1),
            cap: u32::MAX,
            touched: false,
            gone: 0,
            changed: false,
            all: Totals::default(),
        }
    }

    /// There are so many slots now; wants [`Classes::recap`].
    pub(super) fn set_slots(&mut self, slots: u32) {
        (self.slots, self.changed) = (slots.max(1), true);
    }

    /// A member becomes active; wants [`Classes::recap`].
    pub(super) fn put(&mut self, share: Share, index: Index, time: i128) {
        self.changed = true;
        self.touched |= share.a_slot() >= self.cap;
        let class = self.classes.entry(key(share)).or_default();
        if class.members.insert(index) {
            self.all.weight += i128::from(share.weight);
            self.all.usable += u64::from(share.usable);
        }
        class.sum += time;
        self.all.time += i128::from(share.weight) * time;
    }

    /// A member is active no more; wants [`Classes::recap`].
    pub(super) fn take(&mut self, share: Share, index: Index, time: i128) {
        self.changed = true;
        if let Some(class) = self.classes.get_mut(&key(share)) {
            if class.members.remove(&index) {
                self.all.weight -= i128::from(share.weight);
                self.all.usable -= u64::from(share.usable);
            }
            class.sum -= time;
            self.all.time -= i128::from(share.weight) * time;
            if class.members.is_empty() {
                self.classes.remove(&key(share));
            }
        }
    }

    /// A member's virtual time changed by so much.
    pub(super) fn shift(&mut self, share: Share, by: i128) {
        if let Some(class) = self.classes.get_mut(&key(share)) {
            class.sum += by;
            self.all.time += i128::from(share.weight) * by;
        }
    }

    pub(super) const fn cap(&self) -> u32 {
        self.cap
    }

    /// Finds the cap anew: whose weight counts for something else than before, and maybe some more. They are no more than there
    /// are slots, and their equals.
    pub(super) fn recap(&mut self) -> Vec<Index> {
        if !std::mem::take(&mut self.changed) {
            return Vec::new();
        }
        let before = self.cap;
        self.cap = self.feasible();
        self.touched = self.classes.last_key_value().is_some_and(|((a_slot, ..), _)| *a_slot >= self.cap);
        if before == self.cap {
            return Vec::new();
        }
        let capped = self.classes.range((before.min(self.cap), 0, 0)..);
        capped.flat_map(|(_, class)| class.members.iter().copied()).collect()
    }

    /// Only service moves the mean on: whoever was served and leaves had it from the others all the same, and whoever comes with
    /// a claim does not take back what they had.
    pub(super) fn keep_mean(&mut self, before: Option<i128>) {
        let (sum, all) = self.totals();
        self.gone = before.map_or(0, |before| before * all - sum);
    }

    /// Whoever left with a claim and is not back before virtual time goes on gave it up: the mean of those who are there is the
    /// least it can be.
    pub(super) fn settle_mean(&mut self) {
        self.gone = self.gone.max(0);
    }

    /// What a weight counts for: who can use one slot of M cannot have more than a share of 1/M, however heavy.
    pub(super) fn effective(&self, share: Share) -> u32 {
        share.capped(self.cap)
    }

    /// Whether a member of this share is due more than the slots it can use: it has them whatever it had, and the others share the
    /// rest.
    pub(super) fn is_capped(&self, share: Share) -> bool {
        share.a_slot() > self.cap
    }

    /// Of those who are not capped, how much of each slot it can use the heaviest is due, in parts of [`WHOLE`].
    pub(super) fn most_due(&self) -> u64 {
        let (mut weight, mut slots) = (self.all.weight, i128::from(self.slots));
        for ((a_slot, own, usable), class) in self.classes.iter().rev() {
            if *a_slot <= self.cap {
                let due = i128::from(WHOLE) * i128::from(*a_slot) * slots / weight.max(1);
                return u64::try_from(due).unwrap_or(WHOLE);
            }
            let members = class.members.len() as i128;
            weight -= i128::from(*own) * members;
            slots -= i128::from(*usable) * members;
        }
        0
    }

    /// The weighted mean of the virtual times of all who are not capped, and what those who left were ahead of it; `None` without
    /// members: somebody never is capped.
    pub(super) fn mean(&self) -> Option<i128> {
        let (sum, all) = self.totals();
        (all > 0).then(|| (sum + self.gone).div_euclid(all))
    }

    /// The same if it is past `now`: asked at every grant and end, of which few move it on.
    pub(super) fn mean_after(&self, now: i128) -> Option<i128> {
        let (sum, all) = self.totals();
        let sum = sum + self.gone;
        (all > 0 && sum >= (now + 1) * all).then(|| sum.div_euclid(all))
    }

    /// Of all who are not capped: the virtual times by weight, and the weights.
    fn totals(&self) -> (i128, i128) {
        let (mut sum, mut all) = (self.all.time, self.all.weight);
        if !self.touched {
            return (sum, all);
        }
        // Whoever is capped falls on the cap or more: no more than there are slots, and their equals.
        for ((_, weight, usable), class) in self.classes.range((self.cap, 0, 0)..) {
            let share = Share { weight: *weight, usable: *usable };
            let counts = if self.is_capped(share) { 0 } else { self.effective(share) };
            let less = i128::from(share.weight - counts);
            sum -= less * class.sum;
            all -= less * class.members.len() as i128;
        }
        (sum, all)
    }

    /// Weight readjustment (Chandra, Adler, Goyal and Shenoy, *Surplus Fair Scheduling*, 2000): the heaviest members are
    /// capped until none is due more than the slots it can use, of those the others leave.
    fn feasible(&self) -> u32 {
        if self.slots == 1 {
            return u32::MAX;
        }
        if self.all.usable <= u64::from(self.slots) {
            // Nobody takes anything from anybody: all have the slots they can use, whatever their weights.
            return self.classes.first_key_value().map_or(u32::MAX, |((a_slot, _, _), _)| *a_slot);
        }
        let weights = u64::try_from(self.all.weight).expect("weights are positive, and few beside 2^32");
        let (mut rest, mut slots) = (weights, u64::from(self.slots));
        let mut cap = u32::MAX;
        for ((a_slot, weight, usable), class) in self.classes.iter().rev() {
            for _ in &class.members {
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

fn key(share: Share) -> Key {
    (share.a_slot(), share.weight, share.usable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(weight: u32) -> Share {
        Share { weight, usable: 1 }
    }

    fn with(slots: u32, members: &[Share]) -> Classes {
        let mut classes = Classes::new(slots);
        for (index, share) in (0..).zip(members) {
            classes.put(*share, index, 0);
        }
        classes.recap();
        classes
    }

    #[test]
    fn who_can_use_more_slots_is_due_more() {
        let (heavy, light) = (Share { weight: 800, usable: 4 }, Share { weight: 100, usable: 4 });
        let classes = with(4, &[heavy, light]);
        assert_eq!((classes.effective(heavy), classes.effective(light)), (800, 100), "both could use all");
        let two = Share { usable: 2, ..heavy };
        let classes = with(4, &[two, light]);
        assert_eq!(classes.effective(two), 100, "two of four slots: as much as what is left");
    }

    #[test]
    fn who_is_due_more_than_a_slot_is_capped() {
        assert_eq!(with(2, &[one(1000)]).effective(one(10)), 10);
        let mut classes = with(2, &[one(1000), one(10)]);
        classes.put(one(10), 2, 0);
        assert!(classes.recap().contains(&0), "its weight counts for something else");
        assert_eq!(classes.effective(one(1000)), 20, "half of two slots");
        assert_eq!(classes.effective(one(10)), 10);
        let single = with(1, &[one(1000), one(10)]);
        assert_eq!(single.effective(one(1000)), 1000, "every share of one slot is feasible");
    }
}
