//! The order of the window: what is rendered, entry by entry, with its cost and the hash of all bytes up to it.
//!
//! `head | frozen | young`: the head is the first system pages, the frozen part is what the last compaction did not touch,
//! the young part is what it kept behind that and what grew since. Entries that leave become holes, so that nobody's slot changes; holes are swept out when they are the most.
//! Notes are rendered behind all this and are not in the order.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::page::Number;
use crate::sequence::{Sequence, Weigh};
use crate::stub::Stub;
use crate::table::{Table, number_of};

const STUB: u32 = 1 << 31;
/// Fewer holes than this are never swept.
const FEW_HOLES: usize = 64;
/// So many cached prefixes are kept track of.
const MOST_WARM: usize = 32;

/// One place in the window.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    what: u32,
    pub(crate) cost: u32,
    /// The hash of all bytes up to the end of this entry, where it is known.
    pub(crate) chain: u64,
}

/// What an entry holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Hole,
    Group(Number),
    Stub(u32),
}

impl Entry {
    pub(crate) const fn what(&self) -> What {
        match self.what {
            0 => What::Hole,
            stub if stub & STUB != 0 => What::Stub(stub & !STUB),
            group => What::Group(group),
        }
    }

    /// The group it holds.
    pub(crate) const fn group(&self) -> Option<Number> {
        match self.what() {
            What::Group(group) => Some(group),
            _ => None,
        }
    }
}

impl Weigh for Entry {
    fn weight(&self) -> u64 {
        u64::from(self.cost)
    }
}

/// Tokens in the window, not calibrated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Load {
    /// All of it.
    pub(crate) all: u64,
    /// Stubs alone.
    pub(crate) stubs: u64,
    /// What no plan may evict: system pages, pinned and fresh groups.
    pub(crate) fixed: u64,
}

/// What the model was last shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Shown {
    /// Entries in the order then.
    pub(crate) entries: u32,
    /// When, in milliseconds since 1970.
    pub(crate) at_ms: u64,
}

/// The window.
#[derive(Clone, Default)]
pub(crate) struct Window {
    /// System pages from before the first render, in order.
    pub(crate) head: Arc<Vec<Number>>,
    pub(crate) order: Sequence<Entry>,
    holes: usize,
    pub(crate) stubs: Arc<BTreeMap<u32, Stub>>,
    pub(crate) load: Load,
    /// Entries before the cut of the last compaction: the next one is likely to cut there too.
    pub(crate) frozen: u32,
    /// Entries that the last compaction left: or there.
    pub(crate) kept_young: u32,
    /// Counts of entries after which the provider has a cached prefix, ascending, with the time of its last use.
    pub(crate) warm: Vec<Shown>,
    /// The last render that was answered.
    pub(crate) shown: Option<Shown>,
    /// The first entry that changed since then.
    pub(crate) cut: Option<u32>,
    /// The head changed since then.
    pub(crate) head_cut: bool,
    /// How many entries have their chain.
    pub(crate) chained: u32,
}

impl Window {
    pub(crate) fn of(
        head: Vec<Number>,
        order: Vec<Entry>,
        stubs: BTreeMap<u32, Stub>,
        marks: Marks,
    ) -> Option<Self> {
        let holes = order.iter().filter(|entry| entry.what() == What::Hole).count();
        let sane = order.iter().all(|entry| match entry.what() {
            What::Hole => entry.cost == 0,
            What::Stub(stub) => stubs.contains_key(&stub),
            What::Group(_) => true,
        });
        let len = order.len();
        let within = |mark: u32| mark as usize <= len;
        let fits = within(marks.frozen)
            && within(marks.kept_young)
            && marks.warm.iter().all(|warm| within(warm.entries))
            && marks.warm.is_sorted_by(|a, b| a.entries < b.entries)
            && within(marks.chained)
            && marks.shown.is_none_or(|shown| within(shown.entries));
        let mut listed: Vec<u32> = order
            .iter()
            .filter_map(|entry| match entry.what() {
                What::Stub(stub) => Some(stub),
                _ => None,
            })
            .collect();
        listed.sort_unstable();
        let each = listed.iter().eq(stubs.keys()) && stubs.keys().all(|stub| *stub < STUB - 1);
        (sane && fits && each).then(|| Self {
            head: Arc::new(head),
            order: order.into_iter().collect(),
            holes,
            stubs: Arc::new(stubs),
            load: Load::default(),
            frozen: marks.frozen,
            kept_young: marks.kept_young,
            warm: marks.warm,
            shown: marks.shown,
            cut: marks.cut,
            head_cut: marks.head_cut,
            chained: marks.chained,
        })
    }

    pub(crate) fn marks(&self) -> Marks {
        Marks {
            frozen: self.frozen,
            kept_young: self.kept_young,
            warm: self.warm.clone(),
            shown: self.shown,
            cut: self.cut,
            head_cut: self.head_cut,
            chained: self.chained,
        }
    }

    /// Puts a group at the end; its slot is in its record from now on.
    pub(crate) fn push(&mut self, table: &mut Table, group: Number, cost: u64) {
        self.order.push(Entry { what: group, cost: clamp(cost), chain: 0 });
        let slot = number_of(self.order.len());
        table.update(group, |record| record.slot = slot);
    }

    pub(crate) fn entry(&self, at: u32) -> Option<&Entry> {
        self.order.get(at as usize)
    }

    /// Changes what a group's entry costs.
    pub(crate) fn set_cost(&mut self, at: u32, cost: u64) {
        self.order.update(at as usize, |entry| entry.cost = clamp(cost));
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, at: u32) {
        let was = self.order.update(at as usize, |entry| {
            let was = *entry;
            *entry = Entry { what: 0, cost: 0, chain: was.chain };
            was
        });
        let Some(was) = was.filter(|was| was.what() != What::Hole) else { return };
        self.holes += 1;
        if let What::Stub(stub) = was.what() {
            let hidden = Arc::make_mut(&mut self.stubs).remove(&stub).is_some_and(|stub| stub.is_hidden());
            self.load.stubs -= u64::from(was.cost);
            self.load.all -= u64::from(was.cost);
            if hidden {
                // It had no bytes: the prefix is as it was.
                return;
            }
        }
        self.changed(at);
    }

    /// Puts a stub where a hole is.
    pub(crate) fn put_stub(&mut self, at: u32, stub: Stub) {
        let cost = stub.cost;
        let id = self.stubs.last_key_value().map_or(0, |(last, _)| last + 1);
        Arc::make_mut(&mut self.stubs).insert(id, stub);
        self.order
            .update(at as usize, |entry| *entry = Entry { what: STUB | id, cost: clamp(cost), chain: 0 });
        self.holes -= 1;
        self.load.stubs += cost;
        self.load.all += cost;
        self.changed(at);
    }

    /// Bytes changed at an entry: what comes from there on is not what was shown.
    pub(crate) fn changed(&mut self, at: u32) {
        self.cut = Some(self.cut.map_or(at, |cut| cut.min(at)));
        self.chained = self.chained.min(at);
        self.kept_young = self.kept_young.min(at);
        self.warm.retain(|warm| warm.entries <= at);
    }

    /// The window was shown as far as `shown` says, with breakpoints; prefixes unused for `ttl_ms` are forgotten.
    pub(crate) fn warmed(&mut self, shown: Shown, ttl_ms: u64) {
        let before = self.shown.map(|before| before.entries).filter(|_| !self.head_cut);
        let before = before.map(|before| self.cut.map_or(before, |cut| cut.min(before)));
        let marks = [Some(shown.entries), Some(self.frozen), Some(self.kept_young), before];
        for entries in marks.into_iter().flatten().filter(|mark| *mark <= shown.entries) {
            match self.warm.binary_search_by_key(&entries, |warm| warm.entries) {
                Ok(at) => self.warm[at].at_ms = shown.at_ms,
                Err(at) => self.warm.insert(at, Shown { entries, at_ms: shown.at_ms }),
            }
        }
        self.warm.retain(|warm| shown.at_ms.saturating_sub(warm.at_ms) < ttl_ms);
        if self.warm.len() > MOST_WARM {
            let oldest = self.warm.iter().map(|warm| warm.at_ms).min();
            self.warm.retain(|warm| Some(warm.at_ms) != oldest);
        }
    }

    /// What was shown last was read again.
    pub(crate) fn refreshed(&mut self, at_ms: u64) {
        let Some(shown) = self.shown.as_mut().filter(|shown| shown.at_ms < at_ms) else { return };
        let before = std::mem::replace(&mut shown.at_ms, at_ms);
        self.warm.iter_mut().filter(|warm| warm.at_ms == before).for_each(|warm| warm.at_ms = at_ms);
    }

    /// The provider has nothing of what was shown any more.
    pub(crate) fn forgotten(&mut self) {
        self.warm.clear();
        if let Some(shown) = &mut self.shown {
            shown.at_ms = 0;
        }
    }

    /// The entries of the order that are not holes, with their places.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u32, &Entry)> {
        (0..).zip(self.order.iter()).filter(|(_, entry)| entry.what != 0)
    }

    /// The last entry.
    pub(crate) fn last(&self) -> Option<&Entry> {
        self.order.iter().rev().find(|entry| entry.what != 0)
    }

    /// The nearest entry before, and the nearest at or after a place, holes left out.
    pub(crate) fn neighbours(&self, at: u32) -> (Option<u32>, Option<u32>) {
        let is_entry = |place: &u32| self.entry(*place).is_some_and(|entry| entry.what != 0);
        let before = (0..at).rev().take(FEW_HOLES).find(is_entry);
        let after = (at + 1..number_of(self.order.len())).take(FEW_HOLES).find(is_entry);
        (before, after)
    }

    /// How many entries are as they were shown.
    pub(crate) fn kept(&self) -> u32 {
        match self.shown {
            Some(shown) if !self.head_cut => self.cut.map_or(shown.entries, |cut| cut.min(shown.entries)),
            _ => 0,
        }
    }

    /// Sweeps holes out when they are more than the rest.
    pub(crate) fn sweep(&mut self, table: &mut Table) {
        if self.holes <= FEW_HOLES || self.holes * 2 <= self.order.len() {
            return;
        }
        let before = |mark: u32| {
            number_of(self.order.iter().take(mark as usize).filter(|entry| entry.what != 0).count())
        };
        let marks = Marks {
            frozen: before(self.frozen),
            kept_young: before(self.kept_young),
            warm: self.warm.iter().map(|warm| Shown { entries: before(warm.entries), ..*warm }).collect(),
            shown: self.shown.map(|shown| Shown { entries: before(shown.entries), ..shown }),
            cut: self.cut.map(before),
            head_cut: self.head_cut,
            chained: before(self.chained),
        };
        self.order = self.order.iter().filter(|entry| entry.what != 0).copied().collect();
        self.holes = 0;
        (self.frozen, self.kept_young, self.shown) = (marks.frozen, marks.kept_young, marks.shown);
        (self.cut, self.chained, self.warm) = (marks.cut, marks.chained, marks.warm);
        self.warm.dedup_by_key(|warm| warm.entries);
        for (slot, entry) in (1..).zip(self.order.iter()) {
            if let What::Group(group) = entry.what() {
                table.update(group, |record| record.slot = slot);
            }
        }
    }
}

/// The places in the order that matter.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Marks {
    pub(crate) frozen: u32,
    pub(crate) kept_young: u32,
    pub(crate) warm: Vec<Shown>,
    pub(crate) shown: Option<Shown>,
    pub(crate) cut: Option<u32>,
    pub(crate) head_cut: bool,
    pub(crate) chained: u32,
}

/// A cost as it is stored. What does not fit is refused before it gets here.
pub(crate) fn clamp(cost: u64) -> u32 {
    u32::try_from(cost).unwrap_or(u32::MAX)
}
