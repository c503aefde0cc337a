//! `BatchPager`: evicts whole groups in batches, so that the provider's prefix cache is lost seldom.
//!
//! Above the high watermark a plan evicts down to the low one, the groups of least worth for their size first. In between
//! the window only grows at its end.

use std::collections::{BTreeMap, BTreeSet};

use kernel_types::{GroupId, PageContent, PageKind, PageNo, Recalled, Tokens};

use crate::admit::{admit, bodies};
use crate::draft::{Draftsman, Drawn};
use crate::header::measure;
use crate::retrieval::{Hit, Index, IndexedPage, Query, Source};
use crate::table::{Entry, File, Group, Load, Page, Place, Table};
use crate::victims::Watermarks;
use crate::{
    Applied, Change, PageDraft, PageStatus, Pager, PagerConfig, PagerError, Rendered, Swap, TokenCounter,
    render, saved, stub, victims,
};

/// No page costs less, rendered.
const LEAST_COST: u64 = 8;

/// A pager of the policy [`crate::BatchPagers`].
pub(crate) struct BatchPager {
    config: PagerConfig,
    marks: Watermarks,
    counter: TokenCounter,
    table: Table,
    load: Load,
    index: Index,
    /// The number of each file in the table.
    files: BTreeMap<File, u32>,
}

impl Pager for BatchPager {
    fn apply(&mut self, change: &Change, swap: &dyn Swap) -> Result<Applied, PagerError> {
        match change {
            Change::Allocate(drafts) => return self.allocate(drafts, swap),
            Change::Pin(page) => return self.pin(*page),
            Change::Unpin(page) => self.unpin(*page)?,
            Change::Free(page) => self.free(*page)?,
            Change::Recall(pages) => return self.recall(pages),
            Change::Evict(pages) => self.evict(pages)?,
            Change::Rendered(trace) => self.rendered(trace),
            Change::Calibrate { estimated, reported } => {
                self.table.ratio = self.table.ratio.observe(*estimated, *reported);
            }
        }
        Ok(Applied::default())
    }

    fn read(&self, page: PageNo, swap: &dyn Swap) -> Result<PageContent, PagerError> {
        let entry = self.table.page(page)?;
        let text = swap.body(&entry.body).ok_or_else(|| PagerError::Fault(vec![entry.body]))?;
        Ok(PageContent {
            page,
            kind: entry.kind.clone(),
            text,
            tokens: self.table.ratio.apply(entry.cost),
            resident: self.table.is_resident(entry),
            origin: self.table.origin(entry),
        })
    }

    fn find(&self, query: &str, budget: Tokens) -> Vec<Recalled> {
        let mut room = self.table.ratio.limit(budget);
        let limit = usize::try_from(room / LEAST_COST).unwrap_or(usize::MAX).min(self.index.len());
        let hits = self.index.search(&Query { text: query, embedding: None, limit });
        let best = hits.first().map_or(1.0, |hit| hit.score);
        let mut taken = BTreeSet::new();
        let mut found = Vec::new();
        for Hit { page: number, score } in hits {
            let Ok((id, group)) = self.table.group_of(number) else { continue };
            let Ok(page) = self.table.page(number) else { continue };
            if !taken.contains(&id) {
                let Some(left) = room.checked_sub(self.table.cost(group)) else { continue };
                room = left;
                taken.insert(id);
            }
            found.push(Recalled {
                page: number,
                tokens: self.table.ratio.apply(page.cost),
                score: millionths(score / best),
                was_resident: group.place != Place::Out,
            });
        }
        found
    }

    fn plan(&self) -> Result<Vec<Change>, PagerError> {
        victims::plan(&self.table, self.load, self.marks, self.config.window)
    }

    fn render(&self, swap: &dyn Swap) -> Result<Rendered, PagerError> {
        if self.load.all > self.limit() {
            let tokens = self.table.ratio.apply(self.load.all);
            return Err(PagerError::Overfull { tokens, window: self.config.window });
        }
        render::render(&self.table, self.load, self.config.cache.breakpoints, swap)
    }

    fn pages(&self) -> Vec<PageStatus> {
        let status = |(number, page): (&PageNo, &Page)| PageStatus {
            page: *number,
            kind: page.kind.clone(),
            body: page.body,
            tokens: self.table.ratio.apply(page.cost),
            resident: self.table.is_resident(page),
            pinned: page.pinned,
            origin: self.table.origin(page),
        };
        self.table.pages.iter().map(status).collect()
    }

    fn save(&self) -> Result<Vec<u8>, PagerError> {
        saved::save(&self.table)
    }
}

impl BatchPager {
    pub(crate) fn new(config: PagerConfig, marks: Watermarks) -> Self {
        let counter = TokenCounter::for_model(&config.model);
        let table = Table::new(&config.model, counter.ratio());
        Self {
            config,
            marks,
            counter,
            table,
            load: Load::default(),
            index: Index::default(),
            files: BTreeMap::new(),
        }
    }

    /// A pager with a saved table. If another model's tokenizer had counted, all is counted anew.
    pub(crate) fn restore(
        config: PagerConfig,
        marks: Watermarks,
        table: Table,
        swap: &dyn Swap,
    ) -> Result<Self, PagerError> {
        let texts = bodies(table.pages.values().map(|page| page.body), swap)?;
        let mut pager = Self::new(config, marks);
        let start = pager.table.ratio;
        pager.files = table.files.iter().cloned().zip(0..).collect();
        pager.table = table;
        let numbers: Vec<PageNo> = pager.table.pages.keys().copied().collect();
        if pager.table.model != pager.config.model {
            let same = TokenCounter::for_model(&pager.table.model).counts_like(&pager.counter);
            pager.table.model.clone_from(&pager.config.model);
            pager.table.ratio = start;
            if !same {
                pager.count_anew(numbers.iter().copied().zip(texts.iter().map(|text| &**text)));
            }
        }
        for (number, text) in numbers.iter().zip(&texts) {
            pager.index(*number, text);
        }
        pager.load = pager.table.load();
        Ok(pager)
    }

    fn count_anew<'a>(&mut self, texts: impl Iterator<Item = (PageNo, &'a str)>) {
        for (number, text) in texts {
            let tokens = self.counter.count(text);
            self.table.pages.entry(number).and_modify(|page| page.text_tokens = tokens);
        }
        let groups: Vec<GroupId> = self.table.groups.keys().copied().collect();
        groups.into_iter().for_each(|id| self.measure(id));
        stub::uncount(&mut self.table.window);
        self.compact();
    }

    /// The most counted tokens the window takes.
    fn limit(&self) -> u64 {
        self.table.ratio.limit(self.config.window)
    }

    fn allocate(&mut self, drafts: &[PageDraft], swap: &dyn Swap) -> Result<Applied, PagerError> {
        let texts = admit(drafts, swap)?;
        let mut draftsman = Draftsman::new(&self.table, &self.files, self.counter);
        let drawn = draftsman.draw(drafts, &texts);
        let files = draftsman.new_files;
        self.check_room(&drawn)?;

        for file in files {
            let number = u32::try_from(self.table.files.len()).expect("fewer than 2^32 files fit in memory");
            self.files.insert(file.clone(), number);
            self.table.files.push(file);
        }
        drawn.into_iter().for_each(|group| self.insert(group));
        let first = self.table.next_page.0;
        let pages: Vec<PageNo> = (first..).take(drafts.len()).map(PageNo).collect();
        self.table.next_page = PageNo(first + drafts.len() as u64);
        for (number, text) in pages.iter().zip(&texts) {
            self.index(*number, text);
        }
        Ok(Applied { pages })
    }

    /// Each group must fit into the window, and all that must stay must fit together. Documents need not: those that do
    /// not fit leave with the next plan.
    fn check_room(&self, drawn: &[Drawn]) -> Result<(), PagerError> {
        let mut fixed = self.load.fixed;
        let mut notes = BTreeMap::new();
        for group in drawn {
            self.check_size(group.cost)?;
            if !self.table.is_fixed(&group.group) {
                continue;
            }
            fixed += group.cost;
            if let Some(name) = group.note() {
                fixed -= notes.insert(name, group.cost).unwrap_or_else(|| self.fixed_note(name));
            }
        }
        self.check_fixed(fixed)
    }

    /// What the note that would be superseded has in the share of what must stay.
    fn fixed_note(&self, name: &str) -> u64 {
        let old = self.table.notes.get(name).and_then(|id| self.table.groups.get(id));
        old.filter(|group| self.table.is_fixed(group)).map_or(0, |group| self.table.cost(group))
    }

    fn check_size(&self, cost: u64) -> Result<(), PagerError> {
        if cost <= self.limit() {
            return Ok(());
        }
        Err(PagerError::TooLarge { tokens: self.table.ratio.apply(cost), window: self.config.window })
    }

    fn check_fixed(&self, fixed: u64) -> Result<(), PagerError> {
        if fixed <= self.limit() {
            return Ok(());
        }
        Err(PagerError::AllPinned { pinned: self.table.ratio.apply(fixed), window: self.config.window })
    }

    fn insert(&mut self, drawn: Drawn) {
        let Drawn { id, mut group, pages, cost } = drawn;
        let note = match pages.first().map(|(_, page)| &page.kind) {
            Some(PageKind::Note { name }) => Some(name.clone()),
            _ => None,
        };
        self.table.pages.extend(pages);
        group.worth = self.table.worth(&group);
        match (group.place, note) {
            (Place::Notes, Some(name)) => self.supersede(name, id),
            (Place::Head, _) => self.table.head.push(id),
            (Place::Window, _) => self.table.window.push(Entry::Group(id)),
            _ => {}
        }
        if group.place != Place::Out {
            self.load.all += cost;
            self.load.fixed += if self.table.is_fixed(&group) { cost } else { 0 };
        }
        self.table.groups.insert(id, group);
    }

    /// Makes `id` the note of that name. The one before leaves, pinned or not.
    fn supersede(&mut self, name: String, id: GroupId) {
        let Some(old) = self.table.notes.insert(name, id) else { return };
        let Some(group) = self.table.groups.get(&old) else { return };
        let cost = self.table.cost(group);
        self.load.all -= cost;
        self.load.fixed -= if self.table.is_fixed(group) { cost } else { 0 };
        for page in group.pages.clone() {
            self.table.pages.entry(page).and_modify(|page| page.pinned = false);
        }
        self.leave(old);
    }

    fn leave(&mut self, id: GroupId) {
        if let Some(group) = self.table.groups.get_mut(&id) {
            group.place = Place::Out;
            group.fresh = false;
            group.recalled = None;
        }
    }

    fn index(&mut self, number: PageNo, text: &str) {
        let Some(page) = self.table.pages.get(&number) else { return };
        if matches!(page.kind, PageKind::System | PageKind::Note { .. }) {
            return;
        }
        let source = match page.lines.zip(self.table.path(page)) {
            Some((lines, path)) => Source { id: u64::from(lines.file), path, top: lines.first <= 1 },
            None => Source { id: u64::MAX, path: "", top: false },
        };
        let page = IndexedPage { page: number, text, source: Some(source), about: &[], embedding: None };
        self.index.add(&page).expect("pages are numbered in order");
    }

    /// Brings the cost and the mark of a group's pages up to date with how it is rendered.
    fn measure(&mut self, id: GroupId) {
        let Some(group) = self.table.groups.get(&id) else { return };
        let measured = self.measured(group);
        for (number, (cost, print)) in measured {
            self.table.pages.entry(number).and_modify(|page| (page.cost, page.print) = (cost, print));
        }
    }

    fn measured(&self, group: &Group) -> Vec<(PageNo, (u64, u64))> {
        let one = |(number, page): (PageNo, &Page)| {
            (number, measure(number, page, group, self.table.path(page), self.counter))
        };
        self.table.members(group).map(one).collect()
    }

    fn pin(&mut self, number: PageNo) -> Result<Applied, PagerError> {
        let (id, group) = self.table.group_of(number)?;
        let resident = group.place != Place::Out;
        if resident && !self.table.is_fixed(group) {
            self.check_fixed(self.load.fixed + self.table.cost(group))?;
        }
        if !resident {
            self.check_return(id, number)?;
            self.come_back(id, 0);
        }
        self.table.pages.entry(number).and_modify(|page| page.pinned = true);
        self.load = self.table.load();
        Ok(Applied { pages: if resident { Vec::new() } else { self.pages_of(id) } })
    }

    fn unpin(&mut self, number: PageNo) -> Result<(), PagerError> {
        if self.table.page(number)?.kind == PageKind::System {
            return Err(PagerError::Invalid(format!("page {number} holds instructions, which stay pinned")));
        }
        self.table.pages.entry(number).and_modify(|page| page.pinned = false);
        self.load = self.table.load();
        Ok(())
    }

    fn recall(&mut self, numbers: &[PageNo]) -> Result<Applied, PagerError> {
        let mut ids = Vec::new();
        for number in numbers {
            let (id, group) = self.table.group_of(*number)?;
            if group.place == Place::Out {
                self.check_return(id, *number)?;
            }
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let mut applied = Applied::default();
        for (rank, id) in (0..).zip(ids) {
            if self.table.groups.get(&id).is_some_and(|group| group.place == Place::Out) {
                self.come_back(id, rank);
            }
            self.table.touch(id);
            applied.pages.extend(self.pages_of(id));
        }
        self.load = self.table.load();
        Ok(applied)
    }

    /// Whether a group can come back: it is not a note that another superseded, and there is room beside what must stay.
    fn check_return(&self, id: GroupId, number: PageNo) -> Result<(), PagerError> {
        let kind = &self.table.page(number)?.kind;
        if let PageKind::Note { name } = kind
            && self.table.pages.range(number.next()..).any(|(_, newer)| newer.kind == *kind)
        {
            return Err(PagerError::Invalid(format!("a newer note about {name} superseded page {number}")));
        }
        let Some(group) = self.table.groups.get(&id) else { return Ok(()) };
        let back = Group { place: Place::Window, returned: true, ..group.clone() };
        let cost = self.measured(&back).iter().map(|(_, (cost, _))| cost).sum();
        self.check_size(cost)?;
        self.check_fixed(self.load.fixed + cost)
    }

    fn come_back(&mut self, id: GroupId, rank: u32) {
        let Some(group) = self.table.groups.get_mut(&id) else { return };
        group.recalled = Some(rank);
        let note = group.pages.first().and_then(|first| match &self.table.pages.get(first)?.kind {
            PageKind::Note { name } => Some(name.clone()),
            _ => None,
        });
        if let Some(name) = note {
            group.place = Place::Notes;
            self.table.notes.insert(name, id);
            return;
        }
        group.place = Place::Window;
        group.returned = true;
        self.table.window.push(Entry::Group(id));
        self.measure(id);
    }

    fn pages_of(&self, id: GroupId) -> Vec<PageNo> {
        self.table.groups.get(&id).map(|group| group.pages.clone()).unwrap_or_default()
    }

    fn evict(&mut self, numbers: &[PageNo]) -> Result<(), PagerError> {
        let mut ids = BTreeSet::new();
        for number in numbers {
            let (id, group) = self.table.group_of(*number)?;
            if let Some((pinned, _)) = self.table.members(group).find(|(_, page)| page.pinned) {
                return Err(PagerError::Pinned(pinned));
            }
            if group.place != Place::Out {
                ids.insert(id);
            }
        }
        self.table.clock = victims::clock_after(&self.table, &ids);
        self.table.notes.retain(|_, id| !ids.contains(id));
        ids.into_iter().for_each(|id| self.leave(id));
        self.compact();
        Ok(())
    }

    fn free(&mut self, number: PageNo) -> Result<(), PagerError> {
        let (id, group) = self.table.group_of(number)?;
        let freed = if group.tool { group.pages.clone() } else { vec![number] };
        let emptied = freed.len() == group.pages.len();
        let place = group.place;
        let in_stub = self.is_in_stub(&freed);
        for page in &freed {
            self.table.pages.remove(page);
            self.index.remove(*page);
        }
        if emptied {
            self.table.groups.remove(&id);
            self.table.head.retain(|head| *head != id);
            self.table.notes.retain(|_, note| *note != id);
        } else {
            self.table.groups.entry(id).and_modify(|group| group.pages.retain(|page| *page != number));
        }
        match place {
            Place::Out if !in_stub => {}
            Place::Window | Place::Out => self.compact(),
            Place::Head | Place::Notes => self.load = self.table.load(),
        }
        Ok(())
    }

    fn is_in_stub(&self, pages: &[PageNo]) -> bool {
        self.table.window.iter().any(|entry| match entry {
            Entry::Stub(stub) => pages.iter().any(|page| stub.pages.contains(page)),
            Entry::Group(_) => false,
        })
    }

    /// Rewrites the stubs. Here, and nowhere else, bytes before the tail change.
    fn compact(&mut self) {
        let limit = self.limit();
        stub::compact(&mut self.table, self.counter, limit);
        self.load = self.table.load();
    }

    fn rendered(&mut self, trace: &[u64]) {
        self.table.trace = trace.to_vec();
        self.table.rendered = true;
        let resident: Vec<GroupId> = self.table.resident_ids().collect();
        for id in resident {
            self.table.groups.entry(id).and_modify(|group| (group.fresh, group.recalled) = (false, None));
        }
        self.load = self.table.load();
    }
}

/// A share of 1 in millionths.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1 before")]
fn millionths(share: f32) -> u32 {
    (f64::from(share.clamp(0.0, 1.0)) * 1e6).round() as u32
}
