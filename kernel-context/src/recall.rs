//! Coming back to the window, and staying in it: recall, pin, unpin.

use std::collections::BTreeSet;

use kernel_types::PageNo;

use crate::page::{Flags, Kind, Number, Page, Place};
use crate::space::Space;
use crate::{Applied, PagerError};

impl Space {
    pub(crate) fn recall(&mut self, pages: &[PageNo]) -> Result<Applied, PagerError> {
        let mut groups: Vec<Number> = Vec::with_capacity(pages.len());
        let mut seen = BTreeSet::new();
        for page in pages {
            let (number, record) = self.table.page(*page)?;
            let group = record.group;
            if !seen.insert(group) {
                continue;
            }
            if !self.table.is_resident(record) {
                self.check_return(group, number)?;
            }
            groups.push(group);
        }
        let mut applied = Applied::default();
        for group in groups {
            let record = self.group(group);
            if record.place() == Place::Out {
                if record.left > 0 && f64::from(self.calls.saturating_sub(record.left)) <= self.horizon() {
                    self.habits.refault();
                }
                self.come_back(group);
                self.recalled.push(group);
                self.table.update(group, |record| {
                    record.flags.set(Flags::RECALLED, true);
                    record.faults = record.faults.saturating_add(1);
                });
            }
            self.touch(group);
            applied.pages.extend(self.numbers(group));
        }
        Ok(applied)
    }

    /// What a swapped page's group would take in the window; `None` if it cannot come back.
    pub(crate) fn return_cost(&self, page: Number) -> Option<u64> {
        let group = self.table.record(page)?.group;
        self.check_return(group, page).ok()?;
        Some(self.cost_back(group))
    }

    /// Tokens of what is not fixed and yet leaves only if nothing else helps: notes, and what was recalled for the next call.
    pub(crate) fn staying(&self) -> u64 {
        let notes = self.table.shown_notes();
        let groups = notes.chain(self.recalled.iter()).filter(|group| !self.table.is_fixed(*group));
        groups.map(|group| self.table.cost(group)).sum()
    }

    /// Whether a group can come back: it is not a note that another superseded, and there is room beside what must stay.
    fn check_return(&self, group: Number, number: Number) -> Result<(), PagerError> {
        let record = self.group(group);
        if record.has(Flags::SUPERSEDED) {
            let name = self.table.label(&record).map(|label| label.name.as_str()).unwrap_or_default();
            return Err(PagerError::Invalid(format!("a newer note about {name} superseded page {number}")));
        }
        let cost = self.cost_back(group);
        self.check_size(cost)?;
        self.check_fixed(self.window.load.fixed + cost)
    }

    /// What a group would take in the window once it is back.
    fn cost_back(&self, group: Number) -> u64 {
        let mut back = self.group(group);
        if back.has(Flags::RETURNED) || back.has(Flags::TOOL) || back.kind == Kind::Note {
            return self.table.cost(group);
        }
        back.put(Place::Window);
        back.flags.set(Flags::RETURNED, true);
        let cost = |(number, page): (Number, &Page)| {
            let face = crate::header::Face { group: &back, ..self.face(number, page) };
            u64::from(face.measure(self.counter).0)
        };
        self.table.members(group).map(cost).sum()
    }

    /// Puts a group back at the tail, or among the notes.
    fn come_back(&mut self, group: Number) {
        let record = self.group(group);
        if record.kind == Kind::Note {
            self.table.update(group, |record| record.put(Place::Notes));
            self.window.load.all += self.table.cost(group);
            return;
        }
        self.table.update(group, |record| {
            record.put(Place::Window);
            record.flags.set(Flags::RETURNED, true);
        });
        if !record.has(Flags::RETURNED) {
            self.measure(group);
        }
        let cost = self.table.cost(group);
        self.window.push(&mut self.table, group, cost);
        self.window.load.all += cost;
    }

    fn numbers(&self, group: Number) -> Vec<PageNo> {
        self.table.members(group).map(|(number, _)| PageNo(u64::from(number))).collect()
    }

    pub(crate) fn pin(&mut self, page: PageNo) -> Result<Applied, PagerError> {
        let (number, record) = self.table.page(page)?;
        let group = record.group;
        let resident = self.table.is_resident(record);
        let fixed = resident && self.table.is_fixed(group);
        if !resident {
            self.check_return(group, number)?;
            self.come_back(group);
        } else if !fixed {
            self.check_fixed(self.window.load.fixed + self.table.cost(group))?;
        }
        self.table.update(number, |page| page.flags.set(Flags::PINNED, true));
        if !fixed {
            self.window.load.fixed += self.table.cost(group);
        }
        Ok(Applied { pages: if resident { Vec::new() } else { self.numbers(group) } })
    }

    pub(crate) fn unpin(&mut self, page: PageNo) -> Result<(), PagerError> {
        let (number, record) = self.table.page(page)?;
        if record.kind == Kind::System {
            return Err(PagerError::Invalid(format!("page {page} holds instructions, which stay pinned")));
        }
        let group = record.group;
        let resident = self.table.is_resident(record);
        let was = self.table.is_fixed(group);
        self.table.update(number, |page| page.flags.set(Flags::PINNED, false));
        if resident && was && !self.table.is_fixed(group) {
            self.window.load.fixed -= self.table.cost(group);
        }
        Ok(())
    }
}
