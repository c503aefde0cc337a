//! `Explanation`: what is in a window and why, what left it, and what a compaction would do next.
//!
//! For people and their tools: nothing here decides anything. All lists are bounded, however large the space: rows that say
//! the same become one, then neighbours do.

use kernel_types::{PageKind, PageNo, Tokens};
use serde::Serialize;

use crate::{Change, PageStatus, Plan, PlanKind};

/// The most rows of a window.
pub(crate) const MOST_ROWS: usize = 256;
/// The most groups that are listed of those that left.
pub(crate) const MOST_LEFT: usize = 48;
/// The most ranges that are listed of a row's pages.
const MOST_RANGES: usize = 8;
/// A window has so many parts.
const PARTS: usize = 4;

/// A window, explained. Tokens are calibrated, each figure rounded up for itself, so that rows may add up to some more than
/// the load.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Explanation {
    /// The most tokens a prompt may have, if the pager says so.
    pub window: Option<Tokens>,
    /// Tokens in the window, stubs and notes included.
    pub load: Tokens,
    /// What is in it, in order of rendering; at most 256 rows.
    pub rows: Vec<WindowRow>,
    /// What is not in it any more, the newest first; at most 48 groups.
    pub left: Vec<LeftRow>,
    /// How many groups are not in it: those that left, listed or not, and those that never came in. Where groups are not
    /// known, pages.
    pub out: u64,
    /// What a compaction would do if the window were full now.
    pub next: NextCompaction,
    /// What the pager learned of this agent, if it learns.
    pub statistics: Option<Statistics>,
}

/// Neighbours in the window that have the same reason to be there.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct WindowRow {
    /// Where in the window.
    pub part: WindowPart,
    /// What is shown.
    pub kind: RowKind,
    /// The pages: for a stub, those that it stands for; for a mixed row, those in the window.
    pub pages: PageRanges,
    /// A file's path, a tool's or a note's name; empty if there is none, or more than one.
    pub about: String,
    /// What it takes.
    pub tokens: Tokens,
    /// Why it is there.
    pub why: Why,
    /// The next compaction would take it out.
    pub leaves: bool,
    /// How often it was used again: of its groups, the most.
    pub uses: u32,
    /// How often it was missed lately: of its groups, the most.
    pub faults: u32,
    /// Calls since it was last used: of its groups, the least.
    pub age: Option<u32>,
    /// How probable it is that it would be missed before the compaction after the next, 0 to 1: of its groups, the most.
    /// `None` for what no compaction takes out.
    pub missed: Option<f64>,
}

/// A part of a window, in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowPart {
    /// The first instructions.
    Head,
    /// What the last compaction did not touch.
    Frozen,
    /// What it kept behind its cut, and what came since.
    Young,
    /// Behind the cached prefix.
    Notes,
}

/// What a row shows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    /// Instructions.
    System,
    /// What the user said.
    User,
    /// What the model said.
    Assistant,
    /// Tool calls and their results.
    Tool,
    /// Documents.
    Document,
    /// Notes.
    Note,
    /// A line in the place of pages that left.
    Stub,
    /// Several of these.
    Mixed,
}

/// Why something is in the window; of several reasons, the first of these.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Instructions stay.
    Instructions,
    /// Pinned.
    Pinned,
    /// The newest note of its name.
    Note,
    /// New: the model has not seen it.
    Fresh,
    /// Recalled for the next call.
    Recalled,
    /// It says what left.
    Stub,
    /// It was used again, and the next compaction would keep it.
    Used,
    /// It is more important than most, and the next compaction would keep it.
    Important,
    /// Nothing but that it was not worth evicting yet.
    NotYetEvicted,
}

/// Pages by their numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct PageRanges {
    /// How many.
    pub count: u64,
    /// First and last numbers of the first ranges, in the order of the window; at most 8.
    pub ranges: Vec<(PageNo, PageNo)>,
}

/// A group that left the window.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LeftRow {
    /// Its pages.
    pub pages: PageRanges,
    /// What it is.
    pub kind: RowKind,
    /// A file's path, a tool's name; empty if there is none.
    pub about: String,
    /// What it would take.
    pub tokens: Tokens,
    /// Calls since it left, if the pager knows.
    pub calls_ago: Option<u32>,
    /// A compaction took it out; if not, somebody asked for it.
    pub compacted: Option<bool>,
}

/// What a compaction would do.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct NextCompaction {
    /// What it costs; [`PlanKind::None`] if nothing may leave.
    pub kind: PlanKind,
    /// What leaves.
    pub pages: PageRanges,
    /// Tokens that this frees, without the stub that it leaves.
    pub freed: Tokens,
    /// Tokens of a full window that are written to the cache anew, if the pager knows.
    pub rewritten: Option<Tokens>,
}

/// What was learned of an agent.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Statistics {
    /// Calls that were answered.
    pub calls: u32,
    /// Tokens that a call adds.
    pub growth: Tokens,
    /// How probable it is that a page is used (again): one never used again, once, more often. 0 to 1.
    pub reuse: [f64; 3],
    /// Pages that came back soon after a compaction took them out; older ones count less.
    pub refaults_seen: u32,
    /// How many were expected to.
    pub refaults_expected: f64,
    /// The part of the window that calls were shown on average, lately. 0 to 1.
    pub mean_use: f64,
}

impl RowKind {
    /// Of a page.
    #[must_use]
    pub const fn of(kind: &PageKind) -> Self {
        match kind {
            PageKind::System => Self::System,
            PageKind::User => Self::User,
            PageKind::Assistant => Self::Assistant,
            PageKind::ToolCall { .. } | PageKind::ToolResult { .. } => Self::Tool,
            PageKind::Note { .. } => Self::Note,
            _ => Self::Document,
        }
    }
}

impl PageRanges {
    /// Adds pages behind the others; ranges that touch become one.
    pub(crate) fn push(&mut self, first: PageNo, last: PageNo) {
        self.count += last.0 - first.0 + 1;
        self.join(first, last);
    }

    fn join(&mut self, first: PageNo, last: PageNo) {
        let room = self.ranges.len() < MOST_RANGES;
        match self.ranges.last_mut() {
            Some((_, end)) if end.0 + 1 == first.0 => *end = last,
            _ if room => self.ranges.push((first, last)),
            _ => {}
        }
    }

    fn append(&mut self, other: &Self) {
        self.count += other.count;
        other.ranges.iter().for_each(|(first, last)| self.join(*first, *last));
    }
}

impl FromIterator<PageNo> for PageRanges {
    fn from_iter<I: IntoIterator<Item = PageNo>>(pages: I) -> Self {
        let mut ranges = Self::default();
        pages.into_iter().for_each(|page| ranges.push(page, page));
        ranges
    }
}

impl WindowRow {
    fn is_like(&self, other: &Self) -> bool {
        let looks = |row: &Self| (row.part, row.kind, row.why, row.leaves, row.uses, row.faults, row.age);
        looks(self) == looks(other) && self.about == other.about && self.kind != RowKind::Stub
    }

    fn absorb(&mut self, other: &Self) {
        match (self.kind == RowKind::Stub, other.kind == RowKind::Stub) {
            (true, false) => self.pages = other.pages.clone(),
            (false, true) => {}
            _ => self.pages.append(&other.pages),
        }
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.kind = if self.kind == other.kind { self.kind } else { RowKind::Mixed };
        if self.about != other.about {
            self.about.clear();
        }
        self.why = self.why.min(other.why);
        self.leaves |= other.leaves;
        self.uses = self.uses.max(other.uses);
        self.faults = self.faults.max(other.faults);
        self.age = self.age.into_iter().chain(other.age).min();
        self.missed = self.missed.into_iter().chain(other.missed).reduce(f64::max);
    }
}

/// At most [`MOST_ROWS`]: neighbours that say the same become one, and if that is not enough, so many neighbours of a part.
pub(crate) fn merged(rows: impl IntoIterator<Item = WindowRow>) -> Vec<WindowRow> {
    let mut merged: Vec<WindowRow> = Vec::new();
    for row in rows {
        match merged.last_mut().filter(|last| last.is_like(&row)) {
            Some(last) => last.absorb(&row),
            None => merged.push(row),
        }
    }
    if merged.len() <= MOST_ROWS {
        return merged;
    }
    let size = merged.len().div_ceil(MOST_ROWS - PARTS);
    let parts = merged.chunk_by(|a, b| a.part == b.part);
    let chunks = parts.flat_map(|part| part.chunks(size));
    let one = |chunk: &[WindowRow]| {
        let (first, rest) = chunk.split_first()?;
        let mut row = first.clone();
        rest.iter().for_each(|other| row.absorb(other));
        Some(row)
    };
    chunks.filter_map(one).collect()
}

impl Explanation {
    /// What can be said of any pager: rows in the order of the page numbers, and what its plan for now is.
    #[must_use]
    pub fn of_pages(pages: &[PageStatus], plan: &Plan) -> Self {
        let evicted = |change: &Change| match change {
            Change::Evict(pages) | Change::Compact { evict: pages, .. } => pages.clone(),
            _ => Vec::new(),
        };
        let mut leaving: Vec<PageNo> = plan.changes.iter().flat_map(evicted).collect();
        leaving.sort_unstable();
        let leaves = |page: &PageStatus| leaving.binary_search(&page.page).is_ok();
        let resident = || pages.iter().filter(|page| page.resident);
        let out = || pages.iter().rev().filter(|page| !page.resident);
        Self {
            window: None,
            load: resident().map(|page| page.tokens).sum(),
            rows: merged(resident().map(|page| row_of(page, leaves(page)))),
            left: out().take(MOST_LEFT).map(left_of).collect(),
            out: out().count() as u64,
            next: NextCompaction {
                kind: plan.kind,
                freed: resident().filter(|page| leaves(page)).map(|page| page.tokens).sum(),
                pages: leaving.iter().copied().collect(),
                rewritten: None,
            },
            statistics: None,
        }
    }
}

fn row_of(page: &PageStatus, leaves: bool) -> WindowRow {
    let kind = RowKind::of(&page.kind);
    let (part, why) = match kind {
        RowKind::System => (WindowPart::Head, Why::Instructions),
        RowKind::Note => (WindowPart::Notes, Why::Note),
        _ if page.pinned => (WindowPart::Young, Why::Pinned),
        _ => (WindowPart::Young, Why::NotYetEvicted),
    };
    WindowRow {
        part,
        kind,
        pages: [page.page].into_iter().collect(),
        about: about(page),
        tokens: page.tokens,
        why,
        leaves,
        uses: 0,
        faults: 0,
        age: None,
        missed: None,
    }
}

fn left_of(page: &PageStatus) -> LeftRow {
    LeftRow {
        pages: [page.page].into_iter().collect(),
        kind: RowKind::of(&page.kind),
        about: about(page),
        tokens: page.tokens,
        calls_ago: None,
        compacted: None,
    }
}

fn about(page: &PageStatus) -> String {
    match (&page.kind, &page.origin) {
        (_, Some(origin)) => origin.path.clone(),
        (PageKind::ToolCall { name, .. } | PageKind::Note { name }, None) => name.clone(),
        _ => String::new(),
    }
}
