//! A lock that is held and those who wait for it; a process that holds or waits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kernel_types::Priority;

/// Every time the lock changes hands, those who wait for it gain this much on whoever comes later.
const GAIN: u64 = 10;

/// Where a process stands in a queue. Both numbers stay as they are while it waits: so it ages without being touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// How often the lock had changed hands when it came.
    turn: u64,
    /// Unique, in order of arrival.
    arrival: u64,
}

/// A lock that somebody holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lock<K> {
    pub(super) holder: K,
    /// How often it changed hands while somebody waited for it.
    turn: u64,
    /// Who waits, the next first: by urgency less what was gained by waiting, then by arrival.
    queue: BTreeMap<(u64, u64), K>,
    /// The urgencies of those who wait, for the holder to inherit.
    urgencies: BTreeSet<(Priority, u64)>,
}

impl<K: Copy> Lock<K> {
    pub(super) const fn new(holder: K) -> Self {
        Self { holder, turn: 0, queue: BTreeMap::new(), urgencies: BTreeSet::new() }
    }

    /// The place of one who comes now.
    pub(super) const fn place(&self, arrival: u64) -> Place {
        Place { turn: self.turn, arrival }
    }

    pub(super) fn insert(&mut self, who: K, place: Place, urgency: Priority) {
        self.queue.insert(rank(place, urgency), who);
        self.urgencies.insert((urgency, place.arrival));
    }

    pub(super) fn remove(&mut self, place: Place, urgency: Priority) {
        self.queue.remove(&rank(place, urgency));
        self.urgencies.remove(&(urgency, place.arrival));
    }

    /// The urgency of the most urgent who waits.
    pub(super) fn pressure(&self) -> Option<Priority> {
        self.urgencies.first().map(|(urgency, _)| *urgency)
    }

    /// Who is next; they are to be removed.
    pub(super) fn next(&self) -> Option<K> {
        self.queue.values().next().copied()
    }

    pub(super) fn hand_to(&mut self, holder: K) {
        self.holder = holder;
        self.turn += 1;
    }
}

/// After ten changes of hands nobody who comes passes, even from urgency 0 past 100.
fn rank(place: Place, urgency: Priority) -> (u64, u64) {
    (place.turn * GAIN + u64::from(urgency.value()), place.arrival)
}

/// A process that holds a lock or waits for one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Party {
    pub(super) own: Priority,
    /// Its own urgency or that of the most urgent who waits for it, through chains.
    pub(super) effective: Priority,
    /// The locks it holds.
    pub(super) held: BTreeSet<Arc<str>>,
    /// Of these, the ones somebody waits for, by the urgency of the most urgent.
    pub(super) pressed: BTreeSet<(Priority, Arc<str>)>,
    /// What it waits for.
    pub(super) waits: Option<(Arc<str>, Place)>,
}

impl Party {
    pub(super) const fn new(own: Priority) -> Self {
        Self { own, effective: own, held: BTreeSet::new(), pressed: BTreeSet::new(), waits: None }
    }

    /// Its urgency by what it is and who waits for it.
    pub(super) fn due(&self) -> Priority {
        self.pressed.first().map_or(self.own, |(urgency, _)| self.own.min(*urgency))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.held.is_empty() && self.waits.is_none()
    }
}
