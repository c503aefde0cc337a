//! One address space that changes at random, beside a naive pager that is told the same.

use std::collections::BTreeSet;

use kernel_types::{PageKind, PageNo, Part, Tokens};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::drafts::Drafts;
use super::family::Walked;
use super::naive::{Known, Naive};
use super::space::{Space, assert_no_orphans, parts};
use super::stability::Before;
use super::vectors::towards;
use crate::retrieval::Query;
use crate::{Change, MemorySwap, PageDraft, PagerError, PagerFactory, Rendered, Trace};

/// Keeps a walk from filling its address space.
const MOST_PAGES: usize = 120;
/// Of so many changes one is checked to leave nothing behind if it fails.
const CHECKED: usize = 4;

/// An address space and its naive twin.
pub(super) struct Walk<'f> {
    factory: &'f dyn PagerFactory,
    space: Space,
    random: StdRng,
    naive: Naive,
    drafts: Drafts,
    changes: Vec<Change>,
    walked: Walked,
    /// The last window rendered, and the last that was answered.
    rendered: Option<Before>,
    answered: Option<Before>,
    /// A window that was shown and is not answered yet.
    due: Option<Due>,
    /// Counts may have risen since the last plan.
    recalibrated: bool,
    at: String,
}

#[derive(Clone)]
struct Due {
    trace: Trace,
    shown: Before,
    resident: Vec<PageNo>,
}

impl<'f> Walk<'f> {
    pub(super) fn new(factory: &'f dyn PagerFactory, space: Space, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let instructions = random.random_bool(0.5);
        let mut walk = Self {
            factory,
            space,
            random,
            naive: Naive::default(),
            drafts: Drafts::default(),
            changes: Vec::new(),
            walked: Walked::default(),
            rendered: None,
            answered: None,
            due: None,
            recalibrated: false,
            at: format!("seed {seed}"),
        };
        if instructions {
            let system = walk.drafts.instructions(&mut walk.space);
            walk.apply(Change::Allocate(vec![system]));
        }
        walk
    }

    /// A copy that goes its own way from here on.
    pub(super) fn fork(&mut self) -> Self {
        let mut swap = MemorySwap::default();
        for known in self.naive.pages.values() {
            swap.insert(known.text.clone());
        }
        let pager = self.space.pager.fork();
        let space = Space { config: self.space.config.clone(), pager, swap, now: self.space.now };
        Self {
            factory: self.factory,
            space,
            random: StdRng::seed_from_u64(self.random.random()),
            naive: self.naive.clone(),
            drafts: self.drafts.fork(),
            changes: Vec::new(),
            walked: Walked::default(),
            rendered: self.rendered.clone(),
            answered: self.answered.clone(),
            due: self.due.clone(),
            recalibrated: self.recalibrated,
            at: format!("{}, fork", self.at),
        }
    }

    pub(super) fn at(&mut self, walk: &str, number: usize) {
        self.at = format!("{walk}, operation {number}");
    }

    pub(super) fn place(&self) -> &str {
        &self.at
    }

    pub(super) fn walked(&self) -> Walked {
        self.walked
    }

    pub(super) fn saved(&self) -> Vec<u8> {
        self.space.saved()
    }

    pub(super) fn into_changes(self) -> (Space, Vec<Change>) {
        (self.space, self.changes)
    }

    pub(super) fn step(&mut self) {
        match self.random.random_range(0..55) {
            0..16 => self.allocate(),
            16..20 => self.recall(),
            20..22 => self.evict(),
            22..24 => self.pin(),
            24..28 => self.unpin(),
            28..30 => self.free(),
            30..32 => self.calibrate(),
            32..34 => self.reads_back(),
            34..36 => self.touch(),
            36..40 => self.extend(),
            40 => self.load(),
            41 => self.refuse(),
            42..45 => self.answer(),
            45 => self.embed(),
            _ => self.show(),
        }
        while self.naive.pages.len() > MOST_PAGES {
            self.free();
        }
    }

    fn embed(&mut self) {
        let pages: Vec<PageNo> = self.naive.pages.keys().copied().collect();
        let Some(page) = pages.get(self.random.random_range(0..pages.len().max(1))).copied() else { return };
        let embedding = towards(self.random.random_range(0..360_u16).into());
        self.apply(Change::Embed { page, embedding });
        let near = towards(self.random.random_range(0..360_u16).into());
        let found = self.space.pager.find(&Query::words("").near(Some(&near)), Tokens(300));
        assert!(found.iter().all(|hit| pages.contains(&hit.page)), "{}: {found:?}", self.at);
    }

    fn allocate(&mut self) {
        let drafts = self.drafts.any(&mut self.random, &mut self.space);
        self.apply(Change::Allocate(drafts));
    }

    /// What joined the end of the window is found out by what leaves with it, from a copy.
    fn extend(&mut self) {
        let drafts = self.drafts.said(&mut self.random, &mut self.space);
        let end = self.naive.end();
        let Some(pages) = self.apply(Change::Extend(drafts.clone())) else { return };
        let leaving = self.leaving(pages[0]);
        let joined = leaving.iter().find(|page| !pages.contains(page));
        assert!(pages.iter().all(|page| leaving.contains(page)), "{}: one extension, two groups", self.at);
        let group = joined.map(|page| self.naive.pages[page].group);
        match (end, group) {
            (Some((end, _)), Some(group)) => assert_eq!(group, end, "{}: joined another group", self.at),
            (Some((_, must)), None) => assert!(!must, "{}: what follows was not joined", self.at),
            (None, group) => assert_eq!(group, None, "{}: joined what was shown", self.at),
        }
        let group = group.unwrap_or(pages[0]);
        self.naive.extended(&drafts, &pages, group, &self.space);
        let mates = self.naive.mates(pages[0]);
        assert_eq!(leaving, mates, "{}: a group of pages leaves as one", self.at);
    }

    /// The pages that would leave with this one.
    fn leaving(&self, page: PageNo) -> Vec<PageNo> {
        let mut copy = self.space.pager.fork();
        let resident = |pager: &dyn crate::Pager| {
            let listed = pager.pages().into_iter().filter(|status| status.resident);
            listed.map(|status| status.page).collect::<Vec<_>>()
        };
        let before = resident(&*copy);
        while let Err(error) = copy.apply(&Change::Evict(vec![page]), &self.space.swap) {
            let PagerError::Pinned(pinned) = error else { panic!("{}: {error}", self.at) };
            copy.apply(&Change::Unpin(pinned), &self.space.swap).expect("a pinned page can be unpinned");
        }
        let after = resident(&*copy);
        before.into_iter().filter(|page| !after.contains(page)).collect()
    }

    fn recall(&mut self) {
        let count = self.random.random_range(1..4);
        let pages: Vec<PageNo> = (0..count).filter_map(|_| self.any()).collect();
        self.apply(Change::Recall(pages));
    }

    fn touch(&mut self) {
        let pages: Vec<PageNo> = (0..2).filter_map(|_| self.any()).collect();
        self.apply(Change::Touch(pages)).expect("a page that is there can be touched");
    }

    fn evict(&mut self) {
        let Some(page) = self.any() else { return };
        let pinned = self.naive.is_pinned(page);
        let done = self.apply(Change::Evict(vec![page])).is_some();
        assert_eq!(done, !pinned, "{}: eviction of page {page}", self.at);
    }

    fn pin(&mut self) {
        let Some(page) = self.any() else { return };
        self.apply(Change::Pin(page));
    }

    fn unpin(&mut self) {
        let pinned: Vec<PageNo> = self
            .naive
            .pages
            .iter()
            .filter(|(_, known)| known.pinned && known.kind != PageKind::System)
            .map(|(page, _)| *page)
            .collect();
        let Some(page) = pinned.get(self.random.random_range(0..pinned.len().max(1))) else { return };
        self.apply(Change::Unpin(*page)).expect("a pinned page can be unpinned");
    }

    fn free(&mut self) {
        let Some(page) = self.any() else { return };
        self.apply(Change::Free(page)).expect("a page can be freed");
    }

    fn calibrate(&mut self) {
        let estimated = Tokens(1000);
        let reported = Tokens(self.random.random_range(800..1100));
        self.apply(Change::Calibrate { estimated, reported }).expect("a report is taken");
    }

    /// Bad input is refused, and nothing comes of it.
    fn refuse(&mut self) {
        let change = self.drafts.bad(&mut self.random, &mut self.space);
        let before = self.space.saved();
        let answer = self.space.try_apply(&change);
        assert!(answer.is_err(), "{}: {change:?} was taken", self.at);
        assert_eq!(before, self.space.saved(), "{}: {change:?} was refused and changed something", self.at);
        self.walked.refused += 1;
    }

    fn reads_back(&mut self) {
        if let Some(page) = self.any() {
            assert_eq!(self.space.text(page), *self.naive.pages[&page].text, "{}: page {page}", self.at);
        }
    }

    fn load(&mut self) {
        let saved = self.space.saved();
        let loaded = self.factory.load(&self.space.config, &saved, &self.space.swap);
        self.space.pager =
            loaded.unwrap_or_else(|error| panic!("{}: a saved state does not load: {error}", self.at));
        assert_eq!(self.space.saved(), saved, "{}: what was loaded is not what was saved", self.at);
        self.walked.loads += 1;
    }

    /// Makes room and renders. The model answers at once, later or never.
    fn show(&mut self) {
        let Ok(plan) = self.space.pager.plan(self.space.now) else {
            // Only a recalibration can make the pinned pages too many.
            self.unpin();
            return;
        };
        self.walked.compactions += usize::from(!plan.changes.is_empty());
        for change in plan.changes {
            self.check_planned(&change);
            self.apply(change).unwrap_or_else(|| panic!("{}: a plan cannot be carried out", self.at));
        }
        let rendered = self.space.render();
        self.check(&rendered);
        self.walked.renders += 1;
        self.recalibrated = false;
        self.space.now.0 += self.random.random_range(0..200_000);
        let shown = Before::of(&rendered);
        self.rendered = Some(shown.clone());
        self.due = Some(Due { trace: rendered.trace, shown, resident: rendered.resident });
        if self.random.random_bool(0.7) {
            self.answer();
        }
    }

    /// The model answers what it was shown, whatever was done meanwhile.
    fn answer(&mut self) {
        let Some(Due { trace, shown, resident }) = self.due.take() else { return };
        self.apply(Change::Rendered { trace, at: self.space.now }).expect("a window was shown");
        self.naive.answered(&resident);
        self.answered = Some(shown);
        if self.walked.renders.is_multiple_of(5) {
            let at = self.space.now;
            self.apply(Change::Warmed { at }).expect("a ping is taken at any time");
        }
    }

    fn check_planned(&self, change: &Change) {
        let (Change::Evict(pages) | Change::Compact { evict: pages, .. }) = change else { return };
        for page in pages {
            assert!(!self.naive.is_pinned(*page), "{}: page {page} is pinned and planned to leave", self.at);
            let new = self.naive.is_fresh(*page) && !self.recalibrated;
            assert!(!new, "{}: page {page} was never shown and is planned to leave", self.at);
        }
    }

    fn check(&self, rendered: &Rendered) {
        assert!(rendered.tokens <= self.space.config.window, "{}: {} tokens", self.at, rendered.tokens);
        assert!(rendered.stable <= rendered.tokens, "{}", self.at);
        assert_no_orphans(&rendered.messages);
        self.naive.check_shown(rendered, &self.at);
        if let Some(before) = &self.rendered {
            before.check(rendered, &self.at);
        }
        match &self.answered {
            Some(before) => before.check_stable(rendered, &self.at),
            None => assert_eq!(rendered.stable, Tokens::ZERO, "{}: nothing was shown yet", self.at),
        }
        for ((_, part), segment) in parts(&rendered.messages).into_iter().zip(&rendered.segments) {
            let Some(page) = segment.page else { continue };
            let text = &*self.naive.pages[&page].text;
            let there = match part {
                Part::Text(shown) | Part::ToolResult { text: shown, .. } => shown.ends_with(text),
                Part::ToolCall { args, .. } => args.as_str() == text,
            };
            assert!(there, "{}: page {page} is resident and not shown", self.at);
        }
    }

    /// Every page is there, byte for byte, where the naive pager has it.
    pub(super) fn check_all(&self) {
        let listed = self.space.pager.pages();
        assert_eq!(self.space.pager.count(), listed.len(), "{}", self.at);
        for status in &listed {
            assert_eq!(self.space.pager.status(status.page).as_ref(), Some(status), "{}", self.at);
        }
        let beyond = listed.last().map_or(PageNo(1), |last| PageNo(last.page.0 + 1));
        assert_eq!(self.space.pager.status(beyond), None, "{}", self.at);
        self.naive.check_listed(&listed, &self.at);
        for (page, known) in &self.naive.pages {
            assert_eq!(self.space.text(*page), *known.text, "{}: page {page}", self.at);
        }
    }

    fn apply(&mut self, change: Change) -> Option<Vec<PageNo>> {
        let tried = self.walked.changes + self.walked.refused;
        let before = tried.is_multiple_of(CHECKED).then(|| self.space.pager.fork());
        match self.space.try_apply(&change) {
            Ok(pages) => {
                self.declare(&change);
                self.naive.took(&change, &pages, &self.space);
                self.walked.changes += 1;
                self.changes.push(change);
                Some(pages)
            }
            Err(error) => {
                let same = before.is_none_or(|before| before.save() == self.space.pager.save());
                assert!(same, "{}: {change:?} failed ({error}) and changed something", self.at);
                self.walked.refused += 1;
                None
            }
        }
    }

    /// Tells the windows shown before what may have changed since.
    fn declare(&mut self, change: &Change) {
        let gone: Vec<PageNo> = match change {
            Change::Evict(pages) | Change::Compact { evict: pages, .. } => {
                let groups: BTreeSet<PageNo> =
                    pages.iter().map(|page| self.naive.pages[page].group).collect();
                let leaves = |(_, known): &(&PageNo, &Known)| groups.contains(&known.group);
                self.naive.pages.iter().filter(leaves).map(|(page, _)| *page).collect()
            }
            Change::Free(page) => self.naive.freed(*page),
            _ => Vec::new(),
        };
        let due = self.due.as_mut().map(|due| &mut due.shown);
        for before in self.rendered.iter_mut().chain(&mut self.answered).chain(due) {
            match change {
                Change::Evict(_) | Change::Compact { .. } => before.evicted(&gone),
                Change::Free(_) => before.freed(&gone),
                Change::Calibrate { .. } => before.recounted(),
                Change::Extend(_) => before.extended(),
                _ => {}
            }
        }
        let instructs = |draft: &PageDraft| draft.kind == PageKind::System;
        if self.answered.is_none()
            && matches!(change, Change::Allocate(drafts) if drafts.iter().any(instructs))
        {
            // Until the model has answered, instructions go before all else.
            self.rendered = None;
        }
        self.recalibrated |= matches!(change, Change::Calibrate { .. });
    }

    fn any(&mut self) -> Option<PageNo> {
        let at = self.random.random_range(0..self.naive.pages.len().max(1));
        self.naive.pages.keys().nth(at).copied()
    }
}
