//! `Space`: one address space, its page table and its window. What leaves it is a matter of its [`Replacement`].

use std::collections::BTreeSet;
use std::sync::Arc;

use kernel_types::{CacheModel, Importance, PageContent, PageNo, Recalled, Retention, Timestamp, Tokens};

use crate::admit::bodies;
use crate::gaps::Gaps;
use crate::habits::Habits;
use crate::header::Face;
use crate::page::{Flags, Kind, Number, Page, Place};
use crate::pager::Trace;
use crate::recency::Recency;
use crate::replacement::Replacement;
use crate::retrieval::{Hit, Index, IndexedPage, Query, Source};
use crate::table::Table;
use crate::window::{Entry, Load, Shown, What, Window};
use crate::{
    Applied, Change, Explanation, KeepWarm, PageStatus, Pager, PagerConfig, PagerError, Plan, Ratio,
    Rendered, Returns, Swap, TokenCounter, keep, planner, relevance, render, saved, survey, victims,
};

/// How quickly the estimate of tokens a call follows what is seen: an eighth of the way.
const RATE_SHIFT: u32 = 3;
/// After so many calls, the use of the window in older ones counts half.
const MEMORY: u64 = 512;
/// A window that was not used enough is made up for in so many calls.
const SPREAD: f64 = 96.0;
/// It is aimed a little higher than asked for.
const MARGIN: f64 = 0.003;
/// And with no higher floor than this.
const FULLEST: f64 = 0.97;
/// No figure grows larger.
const HUGE: u64 = 1 << 48;
/// The estimate is kept in sixteenths of a token.
const RATE_UNIT: u64 = 16;

/// An address space. Copies share what they have in common.
#[derive(Clone)]
pub(crate) struct Space {
    pub(crate) config: Arc<PagerConfig>,
    pub(crate) policy: Replacement,
    pub(crate) counter: TokenCounter,
    pub(crate) ratio: Ratio,
    pub(crate) table: Table,
    pub(crate) window: Window,
    pub(crate) index: Index,
    /// Groups allocated since the last render, and to be in the next.
    pub(crate) fresh: BTreeSet<Number>,
    /// Groups recalled since the last render, in order.
    pub(crate) recalled: Recency,
    /// The clock: renders that were answered.
    pub(crate) calls: u32,
    pub(crate) growth: Growth,
    pub(crate) habits: Habits,
    /// What the user said last.
    pub(crate) topic: Option<Topic>,
    /// How long the agent is away between requests.
    pub(crate) gaps: Gaps,
    /// How long the provider is asked to keep prefixes.
    pub(crate) retention: Retention,
    /// Pings since the last request.
    pub(crate) pings: u32,
}

/// What the conversation is about now: the beginning of a page of the user.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Topic {
    pub(crate) page: Number,
    pub(crate) text: Arc<str>,
    /// The model has not been shown it yet.
    pub(crate) new: bool,
}

/// How fast the window grows, in tokens that are not calibrated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Growth {
    /// A call, in sixteenths of a token.
    pub(crate) rate: u64,
    /// Parts of the window that calls were shown, in thousandths, and how many calls.
    pub(crate) filled: u64,
    pub(crate) calls: u64,
}

impl Growth {
    fn close(&mut self, grown: u64, load: u64, window: u64) {
        self.filled += load.saturating_mul(1000) / window.max(1);
        self.calls += 1;
        if self.calls >= 2 * MEMORY {
            (self.filled, self.calls) = (self.filled / 2, self.calls / 2);
        }
        let seen = grown.saturating_mul(RATE_UNIT);
        self.rate =
            if self.rate == 0 { seen } else { self.rate - (self.rate >> RATE_SHIFT) + (seen >> RATE_SHIFT) };
    }

    /// The floor to plan for, so that windows that were not full before (at the beginning they never are) are made up for.
    pub(crate) fn floor(&self, floor: f64) -> f64 {
        let missing = (floor + MARGIN) * self.calls as f64 - self.filled as f64 / 1000.0;
        (floor + missing.max(0.0) / SPREAD).min(FULLEST.max(floor))
    }

    /// The part of the window that calls were shown on average, lately; nothing before the first.
    pub(crate) fn mean_use(&self) -> f64 {
        self.filled as f64 / 1000.0 / self.calls.max(1) as f64
    }

    /// Whether saved figures can be ours.
    pub(crate) const fn is_sane(&self) -> bool {
        self.calls < 2 * MEMORY && self.filled < HUGE && self.rate < HUGE
    }

    /// Tokens a call adds, at least 1.
    pub(crate) const fn per_call(self) -> u64 {
        let rate = self.rate / RATE_UNIT;
        if rate == 0 { 1 } else { rate }
    }
}

impl Pager for Space {
    fn apply(&mut self, change: &Change, swap: &dyn Swap) -> Result<Applied, PagerError> {
        let applied = self.change(change, swap)?;
        debug_assert!(self.adds_up(), "after {change:?}: {:?}", self.window.load);
        Ok(applied)
    }

    fn read(&self, page: PageNo, swap: &dyn Swap) -> Result<PageContent, PagerError> {
        let (_, record) = self.table.page(page)?;
        let text = swap.body(&record.body).ok_or_else(|| PagerError::Fault(vec![record.body]))?;
        Ok(PageContent {
            page,
            kind: self.table.kind(record),
            text,
            tokens: self.ratio.apply(u64::from(record.cost)),
            resident: self.table.is_resident(record),
            origin: self.table.origin(record),
        })
    }

    fn find(&self, query: &Query<'_>, budget: Tokens) -> Vec<Recalled> {
        let mut room = self.ratio.limit(budget);
        let limit = usize::try_from(room).unwrap_or(usize::MAX).min(query.limit);
        let hits = self.index.search(&Query { limit, ..*query });
        let best = hits.first().map_or(1.0, |hit| hit.score);
        let mut taken = BTreeSet::new();
        let mut found = Vec::new();
        for Hit { page, score } in hits {
            let Ok((_, record)) = self.table.page(page) else { continue };
            if !taken.contains(&record.group) {
                let Some(left) = room.checked_sub(self.table.cost(record.group)) else { continue };
                room = left;
                taken.insert(record.group);
            }
            found.push(Recalled {
                page,
                tokens: self.ratio.apply(u64::from(record.cost)),
                score: millionths(score / best),
                was_resident: self.table.is_resident(record),
            });
        }
        found
    }

    fn plan(&self, now: Timestamp) -> Result<Plan, PagerError> {
        victims::plan(self, now)
    }

    fn make_room(&self, now: Timestamp) -> Result<Plan, PagerError> {
        victims::make_room(self, now)
    }

    fn takes_in(&self, page: PageNo) -> bool {
        relevance::takes_in(self, page)
    }

    fn used_by(&self, text: &str) -> Vec<PageNo> {
        relevance::used_by(self, text)
    }

    fn render(&self, swap: &dyn Swap) -> Result<Rendered, PagerError> {
        if self.window.load.all > self.limit() {
            let tokens = self.ratio.apply(self.window.load.all);
            return Err(PagerError::Overfull { tokens, window: self.config.window });
        }
        render::render(self, swap)
    }

    fn pages(&self) -> Vec<PageStatus> {
        self.table.live().map(|(number, page)| self.status_of(number, page)).collect()
    }

    fn status(&self, page: PageNo) -> Option<PageStatus> {
        let (number, page) = self.table.page(page).ok()?;
        Some(self.status_of(number, page))
    }

    fn count(&self) -> usize {
        self.table.pages.len() - self.table.freed
    }

    fn explain(&self, now: Timestamp) -> Result<Explanation, PagerError> {
        Ok(survey::explain(self, now))
    }

    fn keep_warm(&self, now: Timestamp, returns: Returns) -> Option<KeepWarm> {
        keep::keep_warm(self, now, returns)
    }

    fn fork(&self) -> Box<dyn Pager> {
        Box::new(self.clone())
    }

    fn save(&self) -> Result<Vec<u8>, PagerError> {
        saved::save(self)
    }
}

impl Space {
    pub(crate) fn new(config: PagerConfig, policy: Replacement) -> Self {
        let counter = TokenCounter::for_model(&config.model);
        Self {
            ratio: counter.ratio(),
            config: Arc::new(config),
            policy,
            counter,
            table: Table::default(),
            window: Window::default(),
            index: Index::default(),
            fresh: BTreeSet::new(),
            recalled: Recency::default(),
            calls: 0,
            growth: Growth::default(),
            habits: Habits::default(),
            topic: None,
            gaps: Gaps::default(),
            retention: Retention::default(),
            pings: 0,
        }
    }

    fn change(&mut self, change: &Change, swap: &dyn Swap) -> Result<Applied, PagerError> {
        match change {
            Change::Allocate(drafts) => return self.allocate(drafts, swap),
            Change::Extend(drafts) => return self.extend(drafts, swap),
            Change::Pin(page) => return self.pin(*page),
            Change::Unpin(page) => self.unpin(*page)?,
            Change::Free(page) => self.free(*page)?,
            Change::Recall(pages) => return self.recall(pages),
            Change::Touch(pages) => self.touch_all(pages)?,
            Change::Evict(pages) => self.evict(pages, false)?,
            Change::Compact { evict, .. } => self.evict(evict, true)?,
            Change::Embed { page, embedding } => {
                self.table.embed(*page, embedding)?;
                self.index.embed(*page, embedding);
            }
            Change::Restore { state } => *self = self.restored(*state, swap)?,
            Change::Rendered { trace, at } => self.rendered(*trace, *at),
            Change::Warmed { at } => self.warmed(*at),
            Change::Retain(retention) => self.retain(*retention),
            Change::Calibrate { estimated, reported } => {
                self.ratio = self.ratio.observe(*estimated, *reported);
            }
        }
        Ok(Applied::default())
    }

    /// Whether the load is what it would be added up from nothing. Not looked at in large windows: it takes long.
    fn adds_up(&self) -> bool {
        const SMALL: usize = 256;
        self.window.order.len() > SMALL || self.window.load == self.load_anew()
    }

    /// Counts all pages anew, as another model's tokenizer does, and indexes them. The bodies must be in memory.
    pub(crate) fn take_in(&mut self, recount: bool, swap: &dyn Swap) -> Result<(), PagerError> {
        let pages: Vec<(Number, Page)> = self.table.live().map(|(number, page)| (number, *page)).collect();
        let texts = bodies(pages.iter().map(|(_, page)| page.body), swap)?;
        for ((number, page), text) in pages.iter().zip(&texts) {
            if recount && !page.has(Flags::SIZED) {
                let tokens = crate::window::clamp(self.counter.count(text));
                self.table.update(*number, |page| page.tokens = tokens);
            }
            self.index(*number, text);
        }
        if recount {
            self.measure_all(&pages);
        }
        self.reload();
        Ok(())
    }

    fn measure_all(&mut self, pages: &[(Number, Page)]) {
        // A group's first page may be freed while others of it are not.
        let groups: BTreeSet<Number> = pages.iter().map(|(_, page)| page.group).collect();
        for group in groups {
            self.measure(group);
            if let Some(at) = self.group(group).slot.checked_sub(1) {
                self.window.set_cost(at, self.table.cost(group));
            }
        }
        let stubs: Vec<(u32, u32)> = self.stub_places().collect();
        for (at, id) in stubs {
            let Some(stub) = Arc::make_mut(&mut self.window.stubs).get_mut(&id) else { continue };
            stub.recount(self.counter);
            let cost = stub.cost;
            self.window.set_cost(at, cost);
        }
        self.window.shown = None;
        self.window.chained = 0;
    }

    pub(crate) fn stub_places(&self) -> impl Iterator<Item = (u32, u32)> {
        self.window.entries().filter_map(|(at, entry)| match entry.what() {
            What::Stub(stub) => Some((at, stub)),
            _ => None,
        })
    }

    /// Adds the load up from nothing.
    pub(crate) fn reload(&mut self) {
        self.window.load = self.load_anew();
    }

    fn load_anew(&self) -> Load {
        let stubs = self.window.stubs.values().map(|stub| stub.cost).sum();
        let others = || self.window.head.iter().copied().chain(self.table.shown_notes());
        let mut load = Load { stubs, all: self.window.order.total(), fixed: 0 };
        load.all += others().map(|group| self.table.cost(group)).sum::<u64>();
        let groups = self.window.entries().filter_map(|(_, entry)| match entry.what() {
            What::Group(group) => Some(group),
            _ => None,
        });
        let fixed = groups.chain(others()).filter(|group| self.table.is_fixed(*group));
        load.fixed = fixed.map(|group| self.table.cost(group)).sum();
        load
    }

    /// The most counted tokens the window takes.
    pub(crate) fn limit(&self) -> u64 {
        self.ratio.limit(self.config.window)
    }

    /// Tokens of the prefix that is as it was shown.
    pub(crate) fn kept_tokens(&self) -> u64 {
        if self.window.shown.is_none() || self.window.head_cut {
            return 0;
        }
        self.head_cost() + self.window.order.prefix(self.window.kept() as usize)
    }

    /// Calls that a usual compaction lasts.
    pub(crate) fn horizon(&self) -> f64 {
        let floor = match self.policy {
            Replacement::Generational { floor } => self.growth.floor(floor),
            _ => 0.0,
        };
        let movable = self.limit().saturating_sub(self.window.load.fixed);
        planner::horizon(self.limit(), movable, self.growth.per_call(), floor)
    }

    /// How probable it is that a group is used again before long, by what it and its kind did before.
    pub(crate) fn reuse(&self, group: &Page) -> f64 {
        let importance = self.table.members(group.group).map(|(_, page)| page.importance).max();
        let importance = f64::from(importance.unwrap_or_default()) / 1000.0;
        let age = self.calls.saturating_sub(group.used);
        self.habits.within(group.uses, age, importance, self.horizon())
    }

    /// Tokens of the head.
    pub(crate) fn head_cost(&self) -> u64 {
        self.window.head.iter().map(|group| self.table.cost(*group)).sum()
    }

    /// The record of a group.
    pub(crate) fn group(&self, group: Number) -> Page {
        *self.table.record(group).expect("a group's first page has a record")
    }

    pub(crate) fn face<'a>(&'a self, number: Number, page: &'a Page) -> Face<'a> {
        Face {
            number,
            page,
            group: self.table.group(page),
            label: self.table.label(page),
            path: self.table.path(page),
        }
    }

    /// Pages in the window, in the order they are rendered.
    pub(crate) fn resident_pages(&self) -> Vec<Number> {
        let order = self.window.entries().filter_map(|(_, entry)| match entry.what() {
            What::Group(group) => Some(group),
            _ => None,
        });
        let groups = self.window.head.iter().copied().chain(order).chain(self.table.shown_notes());
        groups.flat_map(|group| self.table.members(group).map(|(number, _)| number)).collect()
    }

    pub(crate) fn index(&mut self, number: Number, text: &str) {
        let Some(page) = self.table.record(number).copied() else { return };
        if matches!(page.kind, Kind::System | Kind::Note) {
            return;
        }
        let source = match self.table.path(&page) {
            Some(path) => Source { id: u64::from(page.file), path, top: page.first_line <= 1 },
            None => Source { id: u64::MAX, path: "", top: false },
        };
        let number = PageNo(u64::from(number));
        let about: Vec<&str> = self.table.about(&page).iter().map(String::as_str).collect();
        let embedding = self.table.embedding(&page);
        let embedding = embedding.as_ref();
        let page = IndexedPage { page: number, text, source: Some(source), about: &about, embedding };
        self.index.add(&page).expect("pages are indexed in the order of their numbers");
    }

    /// Brings the cost and the mark of a group's pages up to date with how it is rendered.
    pub(crate) fn measure(&mut self, group: Number) {
        let measured: Vec<(Number, (u32, u64))> = self
            .table
            .members(group)
            .map(|(number, page)| (number, self.face(number, page).measure(self.counter)))
            .collect();
        for (number, (cost, print)) in measured {
            self.table.update(number, |page| (page.cost, page.print) = (cost, print));
        }
    }

    fn status_of(&self, number: Number, page: &Page) -> PageStatus {
        PageStatus {
            page: PageNo(u64::from(number)),
            kind: self.table.kind(page),
            body: page.body,
            tokens: self.ratio.apply(u64::from(page.cost)),
            resident: self.table.is_resident(page),
            pinned: page.has(Flags::PINNED),
            importance: Importance::new(f64::from(page.importance) / 1000.0).unwrap_or_default(),
            origin: self.table.origin(page),
            about: self.table.about(page).to_vec(),
        }
    }

    /// The hash of the head's bytes.
    pub(crate) fn head_chain(&self) -> u64 {
        self.window.head.iter().fold(0, |chain, group| self.chain_group(chain, *group))
    }

    /// The hash of all bytes up to the end of an entry, from that of what comes before it.
    pub(crate) fn chained(&self, before: u64, entry: &Entry) -> u64 {
        match entry.what() {
            What::Hole => before,
            What::Group(group) => self.chain_group(before, group),
            What::Stub(stub) => match self.window.stubs.get(&stub).filter(|stub| !stub.is_hidden()) {
                Some(stub) => link(before, stub.print),
                None => before,
            },
        }
    }

    fn chain_group(&self, before: u64, group: Number) -> u64 {
        self.table.members(group).fold(before, |chain, (_, page)| link(chain, page.print))
    }

    /// Counts a use of a group. What is used where it was first shown is not used again.
    pub(crate) fn touch(&mut self, group: Number) {
        let calls = self.calls;
        let again = self.table.update(group, |record| {
            let first = record.uses == 0 && calls <= record.used + 1;
            let again = !first && calls > record.used;
            let before = record.uses;
            if again {
                (record.uses, record.used) = (before.saturating_add(1), calls);
            }
            again.then_some(before)
        });
        if let Some(Some(before)) = again {
            self.habits.used_again(before);
        }
    }

    fn touch_all(&mut self, pages: &[PageNo]) -> Result<(), PagerError> {
        let groups: Result<Vec<Number>, _> =
            pages.iter().map(|page| self.table.page(*page).map(|(_, record)| record.group)).collect();
        let groups: BTreeSet<Number> = groups?.into_iter().collect();
        groups.into_iter().for_each(|group| self.touch(group));
        Ok(())
    }

    /// The window was shown as the trace says: that is what the provider knows now. If it changed since, only what is as it
    /// was shown before is.
    fn rendered(&mut self, trace: Trace, at: Timestamp) {
        let entries = trace.entries.min(crate::table::number_of(self.window.order.len()));
        // What came and left again in between did not grow the window.
        let before = self.window.shown.map_or(0, |shown| shown.entries);
        let grown_from = self.window.order.prefix(before as usize);
        let same = self.chain_to(entries) == trace.chain;
        let known = if same { entries } else { self.window.kept() };
        let shown = Shown { entries: known, at_ms: at.0 };
        self.window.warmed(shown, self.cache().ttl_s.saturating_mul(1000));
        self.gaps.request(at.0);
        self.pings = 0;
        self.window.shown = Some(shown);
        (self.window.cut, self.window.head_cut) = (None, self.window.head_cut && !same);
        self.calls = self.calls.saturating_add(1);
        self.growth.close(self.window.order.total() - grown_from, self.window.load.all, self.limit());
        let shown = |group: &Number| self.group(*group).slot <= entries;
        for group in self.fresh.iter().copied().filter(shown).collect::<Vec<_>>() {
            self.table.update(group, |record| record.flags.set(Flags::SEEN, true));
            // What joined it while the model was answering is still to be shown.
            if self.table.members(group).all(|(number, _)| number <= trace.last) {
                self.unfix(group, Flags::FRESH);
                self.fresh.remove(&group);
                self.habits.entered();
            }
        }
        let shown = |group: &Number| self.group(*group).slot <= entries;
        let seen: Vec<Number> = self.recalled.iter().filter(shown).collect();
        for group in seen {
            self.recalled.remove(group);
            self.table.update(group, |record| record.flags.set(Flags::RECALLED, false));
        }
        if let Some(topic) = self.topic.as_mut().filter(|topic| topic.page <= trace.last) {
            topic.new = false;
        }
        self.window.sweep(&mut self.table);
    }

    /// A ping read what was shown last: the provider keeps it for another while. The model saw nothing new.
    fn warmed(&mut self, at: Timestamp) {
        self.window.refreshed(at.0);
        self.pings = self.pings.saturating_add(1);
    }

    /// What is written from now on is kept so long. Nothing that was written before is counted on.
    fn retain(&mut self, retention: Retention) {
        if self.retention != retention {
            self.retention = retention;
            self.window.forgotten();
        }
    }

    /// The provider's cache, as requests of this space meet it.
    pub(crate) fn cache(&self) -> CacheModel {
        self.config.cache.kept(self.retention)
    }

    /// The hash of all bytes of the first entries, which are marked with theirs.
    fn chain_to(&mut self, entries: u32) -> u64 {
        let chained = self.window.chained.min(entries);
        let mut chain = match chained.checked_sub(1).and_then(|last| self.window.entry(last)) {
            Some(last) => last.chain,
            None => self.head_chain(),
        };
        for place in chained..entries {
            let Some(entry) = self.window.entry(place).copied() else { break };
            chain = self.chained(chain, &entry);
            self.window.order.update(place as usize, |entry| entry.chain = chain);
        }
        self.window.chained = self.window.chained.max(entries);
        chain
    }

    /// Clears a flag that may have kept a group in the window.
    pub(crate) fn unfix(&mut self, group: Number, flag: Flags) {
        let was = self.table.is_fixed(group);
        self.table.update(group, |record| record.flags.set(flag, false));
        if was && !self.table.is_fixed(group) && self.group(group).place() != Place::Out {
            self.window.load.fixed -= self.table.cost(group);
        }
    }
}

/// One more link of a chain of hashes: a multiplication and a fold (as in wyhash); it marks changes, it withstands no attack.
fn link(chain: u64, print: u64) -> u64 {
    let wide = u128::from(chain ^ 0x9E37_79B9_7F4A_7C15) * u128::from(print ^ 0xBF58_476D_1CE4_E5B9);
    #[expect(clippy::cast_possible_truncation, reason = "the halves of 128 bits")]
    let folded = (wide as u64) ^ ((wide >> 64) as u64);
    folded.wrapping_add(chain.rotate_left(23))
}

/// A share of 1 in millionths.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1 before")]
fn millionths(share: f32) -> u32 {
    (f64::from(share.clamp(0.0, 1.0)) * 1e6).round() as u32
}
