//! A naive pager: the letter of the contract, with lists. It neither counts nor chooses; it is told what was done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kernel_types::{PageKind, PageNo};

use super::space::Space;
use crate::{Change, PageDraft, PageStatus, Rendered, Swap};

/// A page as the naive pager knows it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) text: Arc<str>,
    pub(super) kind: PageKind,
    /// The first page of its group.
    pub(super) group: PageNo,
    pub(super) pinned: bool,
    pub(super) resident: bool,
    /// It left the window and came back.
    returned: bool,
}

impl Known {
    pub(super) fn is_tool(&self) -> bool {
        matches!(self.kind, PageKind::ToolCall { .. } | PageKind::ToolResult { .. })
    }

    fn is_plain(&self) -> bool {
        matches!(self.kind, PageKind::User | PageKind::Assistant)
    }

    /// Whether its place among the others is laid down: notes come last, instructions first.
    fn is_ordered(&self) -> bool {
        !matches!(self.kind, PageKind::Note { .. } | PageKind::System)
    }
}

/// The naive pager.
#[derive(Clone, Debug, Default)]
pub(super) struct Naive {
    pub(super) pages: BTreeMap<PageNo, Known>,
    /// What is in the window in the order in which it is shown, but notes and instructions.
    order: Vec<PageNo>,
    /// Allocated since the last render that was answered, to be in the next.
    fresh: BTreeSet<PageNo>,
    /// The group of each page there ever was, and the groups of which a page was in a render that was answered.
    groups: BTreeMap<PageNo, PageNo>,
    seen: BTreeSet<PageNo>,
    /// The group at the end of the window was allocated last, and nothing left since.
    open: bool,
}

impl Naive {
    /// The pages that move with this one.
    pub(super) fn mates(&self, page: PageNo) -> Vec<PageNo> {
        let Some(known) = self.pages.get(&page) else { return vec![page] };
        let mate = |(number, other): (&PageNo, &Known)| (other.group == known.group).then_some(*number);
        self.pages.iter().filter_map(mate).collect()
    }

    /// What is freed with this page.
    pub(super) fn freed(&self, page: PageNo) -> Vec<PageNo> {
        let mates = self.mates(page);
        let tool = mates.iter().any(|mate| self.pages.get(mate).is_some_and(Known::is_tool));
        if tool { mates } else { vec![page] }
    }

    pub(super) fn is_pinned(&self, page: PageNo) -> bool {
        self.mates(page).iter().any(|mate| self.pages[mate].pinned)
    }

    pub(super) fn is_fresh(&self, page: PageNo) -> bool {
        self.fresh.contains(&page)
    }

    /// The group that an extension may join, and whether it must.
    pub(super) fn end(&self) -> Option<(PageNo, bool)> {
        let last = self.order.last()?;
        let known = &self.pages[last];
        let unseen = self.fresh.contains(last) && !self.seen.contains(&known.group);
        let joins = known.is_plain() && !known.returned && unseen;
        joins.then_some((known.group, self.open))
    }

    /// Takes note of a change that was made and the pages it gave. Extensions are told apart by their caller.
    pub(super) fn took(&mut self, change: &Change, pages: &[PageNo], space: &Space) {
        match change {
            Change::Allocate(drafts) => self.allocated(drafts, pages, space),
            Change::Pin(page) => {
                self.came_back(*page);
                self.pages.entry(*page).and_modify(|known| known.pinned = true);
            }
            Change::Unpin(page) => drop(self.pages.entry(*page).and_modify(|known| known.pinned = false)),
            Change::Free(page) => {
                for gone in self.freed(*page) {
                    self.left(gone);
                    self.pages.remove(&gone);
                }
            }
            Change::Recall(recalled) => recalled.iter().for_each(|page| self.came_back(*page)),
            Change::Evict(evicted) | Change::Compact { evict: evicted, .. } => {
                for page in evicted {
                    self.mates(*page).into_iter().for_each(|mate| self.left(mate));
                }
                self.open = false;
            }
            _ => {}
        }
    }

    fn allocated(&mut self, drafts: &[PageDraft], pages: &[PageNo], space: &Space) {
        let mut run: Option<PageNo> = None;
        for (draft, page) in drafts.iter().zip(pages) {
            let alone = matches!(draft.kind, PageKind::Document | PageKind::System | PageKind::Note { .. });
            let group = if alone { *page } else { *run.get_or_insert(*page) };
            if alone && !matches!(draft.kind, PageKind::Note { .. }) {
                run = None;
            }
            if let PageKind::Note { .. } = &draft.kind {
                let older: Vec<PageNo> = self
                    .pages
                    .iter()
                    .filter(|(_, old)| old.kind == draft.kind)
                    .map(|(old, _)| *old)
                    .collect();
                for old in older {
                    self.left(old);
                    self.pages.entry(old).and_modify(|old| old.pinned = false);
                }
            }
            self.entered(draft, *page, group, space);
        }
        self.open = drafts
            .iter()
            .any(|draft| !draft.swapped && matches!(draft.kind, PageKind::User | PageKind::Assistant));
    }

    /// Pages that follow others at the end of the window, as one group with them or by themselves.
    pub(super) fn extended(&mut self, drafts: &[PageDraft], pages: &[PageNo], group: PageNo, space: &Space) {
        for (draft, page) in drafts.iter().zip(pages) {
            self.entered(draft, *page, group, space);
        }
        self.open = true;
    }

    fn entered(&mut self, draft: &PageDraft, page: PageNo, group: PageNo, space: &Space) {
        let text = space.swap.body(&draft.body).expect("a draft's body is in memory");
        let pinned = draft.pinned || draft.kind == PageKind::System;
        let resident = !draft.swapped;
        self.groups.insert(page, group);
        let known = Known { text, kind: draft.kind.clone(), group, pinned, resident, returned: false };
        if resident && known.is_ordered() {
            self.order.push(page);
        }
        if resident && draft.kind != PageKind::Document {
            self.fresh.insert(page);
        }
        assert!(self.pages.insert(page, known).is_none(), "page {page} was given twice");
    }

    fn came_back(&mut self, page: PageNo) {
        for mate in self.mates(page) {
            let Some(known) = self.pages.get_mut(&mate).filter(|known| !known.resident) else { continue };
            (known.resident, known.returned) = (true, true);
            if known.is_ordered() {
                self.order.push(mate);
                self.open = false;
            }
        }
    }

    fn left(&mut self, page: PageNo) {
        self.pages.entry(page).and_modify(|known| known.resident = false);
        self.order.retain(|other| *other != page);
        self.fresh.remove(&page);
        self.open = false;
    }

    /// These pages were shown.
    pub(super) fn answered(&mut self, shown: &[PageNo]) {
        self.fresh.retain(|page| !shown.contains(page));
        self.seen.extend(shown.iter().map(|page| self.groups[page]));
    }

    /// Panics unless the pager lists what there is, where it is.
    pub(super) fn check_listed(&self, listed: &[PageStatus], at: &str) {
        let ours = self.pages.iter().map(|(page, known)| (*page, &known.kind, known.resident, known.pinned));
        let theirs = listed.iter().map(|status| (status.page, &status.kind, status.resident, status.pinned));
        let (ours, theirs): (Vec<_>, Vec<_>) = (ours.collect(), theirs.collect());
        let different = ours.iter().zip(&theirs).find(|(ours, theirs)| ours != theirs);
        assert!(different.is_none(), "{at}: page, kind, resident, pinned, and what is listed: {different:?}");
        assert_eq!(ours.len(), theirs.len(), "{at}: pages lost or made up");
    }

    /// Panics unless the pages shown are those that are there, in their order.
    pub(super) fn check_shown(&self, rendered: &Rendered, at: &str) {
        let known = |page: &PageNo| {
            self.pages.get(page).unwrap_or_else(|| panic!("{at}: page {page} is shown and does not exist"))
        };
        let ordered: Vec<PageNo> =
            rendered.resident.iter().copied().filter(|page| known(page).is_ordered()).collect();
        assert_eq!(ordered, self.order, "{at}: what is shown, and what there is to be shown");
        let shown: BTreeSet<PageNo> = rendered.resident.iter().copied().collect();
        let resident = self.pages.iter().filter(|(_, known)| known.resident).map(|(page, _)| *page).collect();
        assert_eq!(shown, resident, "{at}: shown, and said to be resident");
        assert_eq!(shown.len(), rendered.resident.len(), "{at}: a page is shown twice");
    }
}
