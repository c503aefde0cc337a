//! The law behind the laws: random changes against a naive model that only remembers what was allocated.

use std::collections::BTreeMap;

use kernel_types::{PageKind, PageNo, Part, Role, Tokens};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::space::{Space, assert_no_orphans, parts, prose};
use super::vectors::towards;
use crate::retrieval::{Embedding, Query};
use crate::{Change, PageDraft, PagerFactory, Rendered};

/// Keeps a walk from filling its address space.
const MOST_PAGES: usize = 120;

/// A few short walks in windows of several sizes.
pub fn every_promise_is_kept_at_random(factory: &dyn PagerFactory) {
    for (seed, window) in [(1, 150), (2, 400), (3, 1000), (4, 3000)] {
        random_walk(factory, seed, window, 400);
    }
}

/// Applies `count` random changes to a window of `window` tokens and checks every promise of the contract on the way.
///
/// # Panics
/// If a promise is broken, with the seed and the number of the change.
pub fn random_walk(factory: &dyn PagerFactory, seed: u64, window: u64, count: usize) {
    let mut space = Space::new(factory, window);
    let mut walk = Walk::new(&mut space, seed);
    for number in 0..count {
        walk.at = format!("seed {seed}, window {window}, change {number}");
        walk.step();
        if number % 64 == 0 {
            walk.check_all();
        }
    }
    walk.check_all();
}

/// Applies `count` random changes and gives those that succeeded.
pub(super) fn random_changes(space: &mut Space, seed: u64, count: usize) -> Vec<Change> {
    let mut walk = Walk::new(space, seed);
    (0..count).for_each(|_| walk.step());
    walk.changes
}

/// What the model knows of a page.
struct Known {
    text: String,
    /// The page that stands for its tool group.
    tool: Option<PageNo>,
    pinned: bool,
    /// What it is a note about.
    note: Option<u64>,
}

struct Walk<'a> {
    space: &'a mut Space,
    random: StdRng,
    pages: BTreeMap<PageNo, Known>,
    changes: Vec<Change>,
    /// Allocated to be shown next.
    fresh: Vec<PageNo>,
    /// Counts have risen since the last time shown.
    recalibrated: bool,
    /// What was shown, as long as only its tail may have changed.
    shown: Option<Vec<(Role, Part)>>,
    next: u64,
    at: String,
}

impl<'a> Walk<'a> {
    fn new(space: &'a mut Space, seed: u64) -> Self {
        Self {
            space,
            random: StdRng::seed_from_u64(seed),
            pages: BTreeMap::new(),
            changes: Vec::new(),
            fresh: Vec::new(),
            recalibrated: false,
            shown: None,
            next: 0,
            at: format!("seed {seed}"),
        }
    }

    fn step(&mut self) {
        match self.random.random_range(0..23) {
            0..8 => self.allocate(),
            8 | 9 => self.recall(),
            10 => self.evict(),
            11 => self.pin(),
            12 | 13 => self.unpin(),
            14 => self.free(),
            15 => self.calibrate(),
            16 => self.reads_back(),
            17 => self.touch(),
            18 => self.embed(),
            _ => self.show(),
        }
        while self.pages.len() > MOST_PAGES {
            self.free();
        }
    }

    fn allocate(&mut self) {
        self.next += 1;
        let text = prose(self.next, self.random.random_range(4..60));
        let swapped = self.random.random_bool(0.3);
        let mut drafts = match self.random.random_range(0..6) {
            0 => self.space.tool(&format!("call-{}", self.next), &text),
            1 => vec![self.space.draft(PageKind::Note { name: (self.next % 3).to_string() }, &text)],
            2 => vec![self.space.draft(PageKind::Assistant, &text)],
            3 => vec![self.space.draft(PageKind::User, &text)],
            _ => vec![self.space.lines(
                &format!("file-{}", self.next % 5),
                self.random.random_range(1..200),
                &text,
            )],
        };
        let note = matches!(drafts[0].kind, PageKind::Note { .. }).then_some(self.next % 3);
        drafts.iter_mut().for_each(|draft| draft.swapped = swapped && note.is_none());
        for draft in &mut drafts {
            draft.embedding = self.random.random_bool(0.3).then(|| self.vector());
            draft.about =
                vec![format!("speaker {}", self.next % 3); usize::from(self.random.random_bool(0.3))];
        }
        let texts: Vec<String> = drafts.iter().map(|draft| self.body(draft)).collect();
        let tool = drafts.len() > 1;
        let document = drafts[0].kind == PageKind::Document;
        let Some(pages) = self.apply(Change::Allocate(drafts)) else { return };
        assert_eq!(pages.len(), texts.len(), "{}", self.at);
        if note.is_some() {
            self.shown = None;
            self.pages.values_mut().filter(|known| known.note == note).for_each(|old| old.pinned = false);
        } else if !swapped && !document {
            self.fresh.extend(&pages);
        }
        let first = pages[0];
        for (page, text) in pages.into_iter().zip(texts) {
            let known = Known { text, tool: tool.then_some(first), pinned: false, note };
            assert!(self.pages.insert(page, known).is_none(), "{}: page {page} was given twice", self.at);
        }
    }

    fn body(&self, draft: &PageDraft) -> String {
        crate::Swap::body(&self.space.swap, &draft.body).expect("a draft's body is in memory").to_string()
    }

    fn recall(&mut self) {
        let count = self.random.random_range(1..4);
        let pages: Vec<PageNo> = (0..count).filter_map(|_| self.any()).collect();
        if self.apply(Change::Recall(pages.clone())).is_some() {
            assert!(
                pages.iter().all(|page| self.space.is_resident(*page)),
                "{}: recalled and not there",
                self.at
            );
        }
    }

    fn touch(&mut self) {
        let pages: Vec<PageNo> = (0..2).filter_map(|_| self.any()).collect();
        self.apply(Change::Touch(pages)).expect("a page that is there can be touched");
    }

    fn embed(&mut self) {
        let Some(page) = self.any() else { return };
        let embedding = self.vector();
        self.apply(Change::Embed { page, embedding }).expect("a page that is there takes a vector");
        let embedding = self.vector();
        let query = Query::words("").near(Some(&embedding));
        let found = self.space.pager.find(&query, Tokens(300));
        assert!(found.iter().all(|hit| self.pages.contains_key(&hit.page)), "{}: {found:?}", self.at);
    }

    fn vector(&mut self) -> Embedding {
        towards(self.random.random_range(0..360_u16).into())
    }

    fn evict(&mut self) {
        let Some(page) = self.any() else { return };
        let pinned = self.mates(page).iter().any(|mate| self.pages[mate].pinned);
        let done = self.apply(Change::Evict(vec![page])).is_some();
        assert_eq!(done, !pinned, "{}: eviction of page {page}", self.at);
        if done {
            assert!(!self.space.is_resident(page), "{}: evicted and still there", self.at);
            let gone = self.mates(page);
            self.fresh.retain(|fresh| !gone.contains(fresh));
            self.shown = None;
        }
    }

    fn pin(&mut self) {
        let Some(page) = self.any() else { return };
        if self.apply(Change::Pin(page)).is_some() {
            assert!(self.space.is_resident(page), "{}: pinned and not there", self.at);
            self.pages.entry(page).and_modify(|known| known.pinned = true);
            self.shown = None;
        }
    }

    fn unpin(&mut self) {
        let pinned: Vec<PageNo> =
            self.pages.iter().filter(|(_, known)| known.pinned).map(|(page, _)| *page).collect();
        let Some(page) = pinned.get(self.random.random_range(0..pinned.len().max(1))) else { return };
        self.apply(Change::Unpin(*page)).expect("a pinned page can be unpinned");
        self.pages.entry(*page).and_modify(|known| known.pinned = false);
    }

    fn free(&mut self) {
        let Some(page) = self.any() else { return };
        self.apply(Change::Free(page)).expect("a page can be freed");
        for gone in self.mates(page) {
            self.pages.remove(&gone);
            self.fresh.retain(|fresh| *fresh != gone);
        }
        self.shown = None;
    }

    fn calibrate(&mut self) {
        let estimated = Tokens(1000);
        let reported = Tokens(self.random.random_range(800..1100));
        self.apply(Change::Calibrate { estimated, reported }).expect("a report is taken");
        self.recalibrated = true;
    }

    fn reads_back(&mut self) {
        if let Some(page) = self.any() {
            assert_eq!(self.space.text(page), self.pages[&page].text, "{}: page {page}", self.at);
        }
    }

    fn show(&mut self) {
        let Ok(plan) = self.space.pager.plan(self.space.now) else {
            // Only a recalibration can make the pinned pages too many.
            self.unpin();
            return;
        };
        for change in plan.changes {
            self.shown = None;
            self.apply(change).expect("a plan can be carried out");
        }
        let rendered = self.space.render();
        self.check(&rendered);
        let kept: Vec<(Role, Part)> =
            parts(&rendered.messages).into_iter().map(|(r, p)| (r, p.clone())).collect();
        self.shown = Some(kept);
        self.fresh.clear();
        self.recalibrated = false;
        self.space.now.0 += self.random.random_range(0..200_000);
        let at = self.space.now;
        self.apply(Change::Rendered { trace: rendered.trace, at }).expect("a window was shown");
    }

    fn check(&self, rendered: &Rendered) {
        assert!(rendered.tokens <= self.space.config.window, "{}: {} tokens", self.at, rendered.tokens);
        assert!(rendered.stable <= rendered.tokens, "{}", self.at);
        assert_no_orphans(&rendered.messages);
        for (page, known) in self.pages.iter().filter(|(_, known)| known.pinned) {
            assert!(
                rendered.resident.contains(page),
                "{}: pinned page {page} is gone: {}",
                self.at,
                known.text
            );
        }
        let new = self.recalibrated || self.fresh.iter().all(|page| rendered.resident.contains(page));
        assert!(new, "{}: of {:?} not all are shown", self.at, self.fresh);
        let now = parts(&rendered.messages);
        if let Some(before) = &self.shown {
            let notes = before
                .iter()
                .rposition(|(_, part)| matches!(part, Part::Text(t) if t.starts_with("[notes]")));
            let prefix = &before[..notes.unwrap_or(before.len())];
            let same = prefix.iter().zip(&now).all(|((r, p), (role, part))| r == role && p == *part);
            assert!(same && now.len() >= prefix.len(), "{}: the prefix changed", self.at);
        }
        let resident =
            self.space.pager.pages().into_iter().filter(|status| status.resident).map(|status| status.page);
        let mut shown = rendered.resident.clone();
        shown.sort_unstable();
        assert_eq!(shown, resident.collect::<Vec<_>>(), "{}: shown and said to be resident", self.at);
        for page in &rendered.resident {
            let known = &self.pages[page];
            let there = now.iter().any(|(_, part)| match part {
                Part::Text(text) | Part::ToolResult { text, .. } => text.contains(&known.text),
                Part::ToolCall { args, .. } => args.as_str() == known.text,
            });
            assert!(there, "{}: page {page} is resident and not shown", self.at);
        }
    }

    /// Every page is there, byte for byte, and every tool group whole.
    fn check_all(&self) {
        let listed = self.space.pager.pages();
        assert_eq!(listed.len(), self.pages.len(), "{}: pages lost or made up", self.at);
        let resident: BTreeMap<PageNo, bool> =
            listed.iter().map(|status| (status.page, status.resident)).collect();
        for (page, known) in &self.pages {
            assert_eq!(self.space.text(*page), known.text, "{}: page {page}", self.at);
            if let Some(mate) = known.tool {
                assert_eq!(
                    resident[page], resident[&mate],
                    "{}: pages {page} and {mate} were parted",
                    self.at
                );
            }
        }
    }

    fn apply(&mut self, change: Change) -> Option<Vec<PageNo>> {
        let before = self.changes.len().is_multiple_of(8).then(|| self.space.saved());
        match self.space.try_apply(&change) {
            Ok(pages) => {
                self.changes.push(change);
                Some(pages)
            }
            Err(error) => {
                let same = before.is_none_or(|before| before == self.space.saved());
                assert!(same, "{}: {change:?} failed ({error}) and changed something", self.at);
                None
            }
        }
    }

    fn any(&mut self) -> Option<PageNo> {
        let at = self.random.random_range(0..self.pages.len().max(1));
        self.pages.keys().nth(at).copied()
    }

    /// The pages that move with this one.
    fn mates(&self, page: PageNo) -> Vec<PageNo> {
        match self.pages.get(&page).and_then(|known| known.tool) {
            None => vec![page],
            tool => {
                self.pages.iter().filter(|(_, known)| known.tool == tool).map(|(page, _)| *page).collect()
            }
        }
    }
}
