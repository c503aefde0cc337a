//! Leaving the window: eviction, freeing, and the stubs that stay behind. Here, and nowhere else, bytes before the tail change.

use std::collections::BTreeSet;
use std::sync::Arc;

use kernel_types::PageNo;

use crate::PagerError;
use crate::page::{Flags, Kind, Number, Page, Place};
use crate::space::Space;
use crate::stub::{Stub, share};
use crate::table::number_of;
use crate::window::What;

impl Space {
    /// Takes groups out. As part of a compaction, what lies before the cut is frozen and all stubs behind it become
    /// one.
    pub(crate) fn evict(&mut self, pages: &[PageNo], compact: bool) -> Result<(), PagerError> {
        let mut groups = BTreeSet::new();
        for page in pages {
            let (_, record) = self.table.page(*page)?;
            if let Some((pinned, _)) = self.pinned_member(record.group) {
                return Err(PagerError::Pinned(PageNo(u64::from(pinned))));
            }
            if self.table.group(record).place() == Place::Out {
                continue;
            }
            groups.insert(record.group);
        }
        if compact {
            groups.iter().for_each(|group| self.habits.left(self.reuse(&self.group(*group))));
        }
        let mut gone = Vec::new();
        let mut first = None;
        for group in groups {
            if self.group(group).place() == Place::Window {
                gone.extend(self.table.members(group).map(|(number, _)| number));
            }
            let at = self.take_out(group);
            self.table.update(group, |record| record.flags.set(Flags::COMPACTED, compact));
            if let Some(at) = at {
                first = Some(first.map_or(at, |first: u32| first.min(at)));
            }
        }
        if let Some(at) = first {
            self.leave_stub(at, &gone, compact);
        }
        self.bound_stubs();
        if let Some(cut) = self.window.cut.filter(|_| compact) {
            self.window.frozen = cut;
            self.window.kept_young = number_of(self.window.order.len());
            self.fade();
        }
        Ok(())
    }

    /// What was missed keeps its groups for some compactions, not for good.
    fn fade(&mut self) {
        let groups: Vec<Number> = self.window.entries().filter_map(|(_, entry)| entry.group()).collect();
        for group in groups {
            if self.group(group).faults > 0 {
                self.table.update(group, |record| record.faults /= 2);
            }
        }
    }

    fn pinned_member(&self, group: Number) -> Option<(Number, &Page)> {
        self.table.members(group).find(|(_, page)| page.has(Flags::PINNED))
    }

    /// Takes a group out of the window and says where it was in the order.
    fn take_out(&mut self, group: Number) -> Option<u32> {
        let record = self.group(group);
        let cost = self.table.cost(group);
        self.window.load.all -= cost;
        self.window.load.fixed -= if self.table.is_fixed(group) { cost } else { 0 };
        let at = match record.place() {
            Place::Window => record.slot.checked_sub(1),
            Place::Head => {
                Arc::make_mut(&mut self.window.head).retain(|head| *head != group);
                self.window.head_cut = true;
                self.window.chained = 0;
                self.window.warm.clear();
                None
            }
            Place::Notes | Place::Out => None,
        };
        if let Some(at) = at {
            self.window.remove(at);
        }
        self.leave(group);
        at
    }

    /// Puts a stub for `pages` at a hole, together with the stubs beside it; with all behind it if the bytes there change
    /// anyway.
    fn leave_stub(&mut self, at: u32, pages: &[Number], fold_behind: bool) {
        let mut stub = Stub::of(pages);
        let (before, after) = self.window.neighbours(at);
        let behind: Vec<u32> = if fold_behind {
            self.stub_places().map(|(place, _)| place).filter(|place| *place > at).collect()
        } else {
            after.into_iter().collect()
        };
        let mut place = at;
        for near in before.into_iter().chain(behind) {
            if self.absorb(&mut stub, near) {
                place = place.min(near);
            }
        }
        stub.write(&self.table, self.counter, share(self.policy, self.limit()));
        if !stub.is_empty() {
            self.window.put_stub(place, stub);
        }
    }

    /// Takes the stub at a place over, if one is there.
    fn absorb(&mut self, stub: &mut Stub, at: u32) -> bool {
        let Some(What::Stub(id)) = self.window.entry(at).map(|entry| entry.what()) else { return false };
        if let Some(other) = self.window.stubs.get(&id) {
            stub.absorb(other);
        }
        self.window.remove(at);
        true
    }

    /// Keeps stubs within their share of the window: folds them into one where the first is seen, and hides that if need be.
    fn bound_stubs(&mut self) {
        let limit = self.limit();
        let load = self.window.load;
        let room = share(self.policy, limit).min(limit.saturating_sub(load.all - load.stubs));
        if load.stubs <= room {
            return;
        }
        let places: Vec<(u32, u32)> = self.stub_places().collect();
        let seen = |(_, id): &&(u32, u32)| self.window.stubs.get(id).is_some_and(|stub| !stub.is_hidden());
        let Some((first, _)) = places.iter().find(seen).copied() else { return };
        let mut stub = Stub::default();
        for (place, _) in places {
            self.absorb(&mut stub, place);
        }
        stub.write(&self.table, self.counter, room);
        if stub.cost > room {
            stub.hide();
        }
        if !stub.is_empty() {
            self.window.put_stub(first, stub);
        }
    }

    pub(crate) fn free(&mut self, page: PageNo) -> Result<(), PagerError> {
        let (number, record) = self.table.page(page)?;
        let group = record.group;
        let whole = self.table.group(record).has(Flags::TOOL);
        let members: Vec<Number> = self.table.members(group).map(|(number, _)| number).collect();
        let freed = if whole { members.clone() } else { vec![number] };
        if freed.len() == members.len() {
            if self.table.is_resident(self.table.group(record)) {
                self.take_out(group);
            }
            self.forget_note(group);
        } else {
            self.shrink(group, number);
        }
        for number in freed {
            let record = self.group(number);
            self.table.forget_extra(&record);
            self.table.freed += 1;
            self.table.update(number, |page| {
                page.flags.set(Flags::FREED, true);
                page.flags.set(Flags::PINNED, false);
            });
            self.index.remove(PageNo(u64::from(number)));
        }
        Ok(())
    }

    fn forget_note(&mut self, group: Number) {
        let name = self.table.record(group).filter(|note| note.kind == Kind::Note);
        let name = name.and_then(|note| self.table.label(note)).map(|label| label.name.clone());
        let newest = name.filter(|name| self.table.notes.get(name) == Some(&group));
        if let Some(name) = newest {
            Arc::make_mut(&mut self.table.notes).remove(&name);
        }
    }

    /// Takes one page's part out of its group's load.
    fn shrink(&mut self, group: Number, number: Number) {
        let record = self.group(group);
        if record.place() == Place::Out {
            return;
        }
        let cost = self.table.cost(group);
        let part = self.table.record(number).map_or(0, |page| u64::from(page.cost));
        let fixed = self.table.is_fixed(group);
        let others_fix = record.has(Flags::FRESH)
            || self.table.members(group).any(|(other, page)| other != number && page.has(Flags::PINNED));
        self.window.load.all -= part;
        self.window.load.fixed -= match (fixed, others_fix) {
            (true, true) => part,
            (true, false) => cost,
            (false, _) => 0,
        };
        if let Some(at) = record.slot.checked_sub(1) {
            self.window.set_cost(at, cost - part);
            self.window.changed(at);
        }
    }
}
