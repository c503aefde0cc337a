//! Allocation: pages enter an address space, whole groups at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel_types::{PageKind, PageNo};

use crate::admit::{admit, bodies, is_grouped};
use crate::draft::{Draftsman, Drawn, DrawnGroup};
use crate::page::{Flags, Number, Place};
use crate::replacement::Replacement;
use crate::space::{Space, Topic};
use crate::stub;
use crate::table::number_of;
use crate::window::What;
use crate::{Applied, PageDraft, PagerError, Swap};

/// Characters of what the user said that say what it is about.
const TOPIC: usize = 600;

impl Space {
    pub(crate) fn allocate(&mut self, drafts: &[PageDraft], swap: &dyn Swap) -> Result<Applied, PagerError> {
        let texts = admit(drafts, swap)?;
        let drawn =
            Draftsman::new(&self.table, self.counter, self.window.shown.is_some()).draw(drafts, &texts);
        self.check_room(&drawn)?;
        let pages = self.insert(drafts, drawn, &texts);
        let said = drafts
            .iter()
            .zip(&texts)
            .zip(&pages)
            .rfind(|((draft, _), _)| draft.kind == PageKind::User && !draft.swapped);
        if let Some(((_, text), page)) = said {
            let page = Number::try_from(page.0).unwrap_or_default();
            self.topic = Some(Topic { page, text: beginning(text), new: true });
        }
        Ok(Applied { pages })
    }

    /// Pages that belong to the group at the end of the window; if it is not there any more, to one of their own.
    pub(crate) fn extend(&mut self, drafts: &[PageDraft], swap: &dyn Swap) -> Result<Applied, PagerError> {
        let is_plain = |draft: &PageDraft| matches!(draft.kind, PageKind::User | PageKind::Assistant);
        if drafts.iter().any(|draft| !is_plain(draft) || draft.swapped || !is_grouped(&draft.kind)) {
            let message = "only what a user or the model said extends a group, and it starts in the window";
            return Err(PagerError::Invalid(message.to_owned()));
        }
        let Some(group) = self.last_group() else { return self.allocate(drafts, swap) };
        let texts = bodies(drafts.iter().map(|draft| draft.body), swap)?;
        admit(drafts, swap)?;
        let mut drawn = Draftsman::new(&self.table, self.counter, true).draw(drafts, &texts);
        let cost: u64 = drawn.groups.iter().map(|group| group.cost).sum();
        let was = self.table.cost(group);
        self.check_size(was + cost)?;
        let was_fixed = if self.table.is_fixed(group) { was } else { 0 };
        self.check_fixed(self.window.load.fixed - was_fixed + was + cost)?;
        for page in &mut drawn.pages {
            (page.group, page.flags) = (group, page.flags.with(Flags::FRESH, false));
            page.put(Place::Out);
        }
        drawn.groups.clear();
        let first = self.table.next();
        let pages = self.insert(drafts, drawn, &texts);
        let last = self.table.last_link(group);
        self.table.update(last, |page| page.next = first);
        self.grow_group(group, was + cost, cost);
        Ok(Applied { pages })
    }

    /// The plain group at the end of the window, if nothing of it has been shown yet.
    fn last_group(&self) -> Option<Number> {
        let What::Group(group) = self.window.last()?.what() else { return None };
        let record = self.group(group);
        let plain = !record.has(Flags::TOOL) && !record.has(Flags::RETURNED) && !record.has(Flags::FREED);
        let grouped = is_grouped(&self.table.kind(&record));
        let unseen = record.has(Flags::FRESH) && !record.has(Flags::SEEN);
        (plain && grouped && unseen).then_some(group)
    }

    fn grow_group(&mut self, group: Number, cost: u64, by: u64) {
        let slot = self.group(group).slot;
        self.window.set_cost(slot - 1, cost);
        self.window.load.all += by;
        self.window.load.fixed += by;
    }

    /// Each group must fit into the window, and all that must stay must fit together. Documents need not: those that do
    /// not fit leave with the next plan.
    fn check_room(&self, drawn: &Drawn) -> Result<(), PagerError> {
        let mut fixed = self.window.load.fixed;
        let mut notes = BTreeMap::new();
        for group in &drawn.groups {
            self.check_size(group.cost)?;
            if !group.fixed {
                continue;
            }
            fixed += group.cost;
            if let Some(name) = &group.note {
                fixed -= notes.insert(name, group.cost).unwrap_or_else(|| self.fixed_note(name));
            }
        }
        self.check_fixed(fixed)
    }

    /// What the note that would be superseded has in the share of what must stay.
    fn fixed_note(&self, name: &str) -> u64 {
        let shown = |old: &&Number| self.group(**old).place() == Place::Notes;
        let old = self.table.notes.get(name).filter(shown).filter(|old| self.table.is_fixed(**old));
        old.map_or(0, |old| self.table.cost(*old))
    }

    pub(crate) fn check_size(&self, cost: u64) -> Result<(), PagerError> {
        if cost <= self.limit() {
            return Ok(());
        }
        Err(PagerError::TooLarge { tokens: self.ratio.apply(cost), window: self.config.window })
    }

    pub(crate) fn check_fixed(&self, fixed: u64) -> Result<(), PagerError> {
        if fixed <= self.limit() {
            return Ok(());
        }
        Err(PagerError::AllPinned { pinned: self.ratio.apply(fixed), window: self.config.window })
    }

    fn insert(&mut self, drafts: &[PageDraft], drawn: Drawn, texts: &[Arc<str>]) -> Vec<PageNo> {
        let first = self.table.next();
        drawn.files.into_iter().for_each(|file| self.table.add_file(file));
        for ((mut page, label), draft) in drawn.pages.into_iter().zip(drawn.labels).zip(drafts) {
            page.extra = self.table.extras.push(&draft.about, draft.embedding.as_ref());
            if let Some(label) = label {
                self.table.labels.push(label);
                page.label = number_of(self.table.labels.len());
            }
            page.used = self.calls;
            self.table.pages.push(page);
        }
        drawn.groups.into_iter().for_each(|group| self.place(group));
        let numbers = first..self.table.next();
        for (number, text) in numbers.clone().zip(texts) {
            self.index(number, text);
            // All pages or none: a space that was made under another policy has none.
            if matches!(self.policy, Replacement::Summarise { .. })
                && self.table.gists.len() + 1 == number as usize
            {
                self.table.gists.push(stub::gist(text));
            }
        }
        numbers.map(|number| PageNo(u64::from(number))).collect()
    }

    fn place(&mut self, drawn: DrawnGroup) {
        let DrawnGroup { first, cost, place, fixed, note } = drawn;
        match place {
            Place::Out => return,
            Place::Head => {
                Arc::make_mut(&mut self.window.head).push(first);
                self.window.head_cut = true;
                self.window.chained = 0;
                self.window.warm.clear();
            }
            Place::Notes => self.supersede(note.unwrap_or_default(), first),
            Place::Window => {
                self.window.push(&mut self.table, first, cost);
            }
        }
        if self.group(first).has(Flags::FRESH) {
            self.fresh.insert(first);
        }
        self.window.load.all += cost;
        self.window.load.fixed += if fixed { cost } else { 0 };
    }

    /// Makes `note` the note of that name. The one before leaves, pinned or not.
    fn supersede(&mut self, name: String, note: Number) {
        let Some(old) = Arc::make_mut(&mut self.table.notes).insert(name, note) else { return };
        if self.group(old).place() == Place::Notes {
            let cost = self.table.cost(old);
            self.window.load.all -= cost;
            self.window.load.fixed -= if self.table.is_fixed(old) { cost } else { 0 };
        }
        self.table.update(old, |record| {
            record.flags.set(Flags::PINNED, false);
            record.flags.set(Flags::SUPERSEDED, true);
        });
        self.leave(old);
    }

    /// Marks a group as out of the window; its place and its load are the caller's business.
    pub(crate) fn leave(&mut self, group: Number) {
        let calls = self.calls;
        let was = self.table.update(group, |record| {
            let was = record.flags;
            record.put(Place::Out);
            record.flags.set(Flags::FRESH, false);
            record.flags.set(Flags::RECALLED, false);
            record.flags.set(Flags::LEFT, true);
            record.flags.set(Flags::COMPACTED, false);
            (record.slot, record.left) = (0, calls);
            was
        });
        let was = was.unwrap_or_default();
        if was.has(Flags::FRESH) {
            self.fresh.remove(&group);
        }
        if was.has(Flags::RECALLED) {
            self.recalled.remove(group);
        }
    }
}

/// Enough of a text to know what it is about.
fn beginning(text: &Arc<str>) -> Arc<str> {
    match text.char_indices().nth(TOPIC) {
        Some((end, _)) => text[..end].into(),
        None => Arc::clone(text),
    }
}
