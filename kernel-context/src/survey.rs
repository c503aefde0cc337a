//! How a space explains itself: its window row by row, what left it, what it would lose next.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use kernel_types::{PageNo, Timestamp, Tokens};

use crate::explain::{MOST_LEFT, merged};
use crate::header::shown;
use crate::page::{Flags, Kind, Number, Page, Place};
use crate::planner::Candidate;
use crate::space::Space;
use crate::stub::Stub;
use crate::victims::{self, Compaction};
use crate::window::What;
use crate::{
    Explanation, LeftRow, NextCompaction, PageRanges, PlanKind, RowKind, Statistics, Why, WindowPart,
    WindowRow,
};

/// More important than this, in thousandths, is more important than most.
const IMPORTANT: u16 = 600;

pub(crate) fn explain(space: &Space, now: Timestamp) -> Explanation {
    let cold = victims::is_cold(space, now);
    let groups = victims::with_misses(space);
    let missed = groups.iter().map(|group| (group.group, group.missed)).collect();
    let (next, leaving) = next(space, groups, cold);
    let surveyor = Surveyor { space, missed, leaving };
    Explanation {
        window: Some(space.config.window),
        load: space.ratio.apply(space.window.load.all),
        rows: surveyor.rows(),
        left: left(space),
        out: groups_out(space).count() as u64,
        next,
        statistics: Some(statistics(space)),
    }
}

/// What a compaction would do if the window were filled up with what is new, and the groups that it would take out.
fn next(space: &Space, mut groups: Vec<Candidate>, cold: bool) -> (NextCompaction, BTreeSet<Number>) {
    let load = space.window.load.all;
    let full = load.max(victims::high(space) + 1);
    groups.iter_mut().for_each(|group| group.rewritten += full - load);
    // Where nothing may leave, there is no compaction.
    let none = || Compaction { kind: PlanKind::None, victims: Vec::new() };
    let Compaction { kind, victims } =
        victims::compaction(space, groups, full, cold).unwrap_or_else(|_| none());
    if victims.is_empty() {
        return (NextCompaction::default(), BTreeSet::new());
    }
    let freed: u64 = victims.iter().map(|victim| victim.cost).sum();
    let behind = if cold { full } else { victims.iter().map(|victim| victim.rewritten).max().unwrap_or(0) };
    let leaving: BTreeSet<Number> = victims.iter().map(|victim| victim.group).collect();
    let pages: BTreeSet<PageNo> = leaving.iter().flat_map(|group| numbers(space, *group)).collect();
    let next = NextCompaction {
        kind,
        pages: pages.into_iter().collect(),
        freed: space.ratio.apply(freed),
        rewritten: Some(space.ratio.apply(behind.saturating_sub(freed))),
    };
    (next, leaving)
}

struct Surveyor<'a> {
    space: &'a Space,
    missed: BTreeMap<Number, f64>,
    /// What the next compaction would take out.
    leaving: BTreeSet<Number>,
}

impl Surveyor<'_> {
    fn rows(&self) -> Vec<WindowRow> {
        let (space, window) = (self.space, &self.space.window);
        let head = window.head.iter().map(|group| self.group(*group, WindowPart::Head));
        let order = window.entries().filter_map(|(at, entry)| {
            let part = if at < window.frozen { WindowPart::Frozen } else { WindowPart::Young };
            match entry.what() {
                What::Group(group) => Some(self.group(group, part)),
                What::Stub(stub) => {
                    window.stubs.get(&stub).filter(|stub| !stub.is_hidden()).map(|stub| self.stub(stub, part))
                }
                What::Hole => None,
            }
        });
        let notes = space.table.shown_notes().map(|note| self.group(note, WindowPart::Notes));
        merged(head.chain(order).chain(notes))
    }

    fn group(&self, group: Number, part: WindowPart) -> WindowRow {
        let record = self.space.group(group);
        let leaves = self.leaving.contains(&group);
        WindowRow {
            part,
            kind: kind(&record),
            pages: numbers(self.space, group).collect(),
            about: about(self.space, &record),
            tokens: self.space.ratio.apply(self.space.table.cost(group)),
            why: self.why(group, &record, leaves),
            leaves,
            uses: u32::from(record.uses),
            faults: u32::from(record.faults),
            age: Some(self.space.calls.saturating_sub(record.used)),
            missed: self.missed.get(&group).copied(),
        }
    }

    fn why(&self, group: Number, record: &Page, leaves: bool) -> Why {
        let important = || self.space.table.members(group).any(|(_, page)| page.importance > IMPORTANT);
        match record.kind {
            Kind::System => Why::Instructions,
            _ if self.space.table.is_pinned(group) => Why::Pinned,
            Kind::Note => Why::Note,
            _ if record.has(Flags::FRESH) => Why::Fresh,
            _ if record.has(Flags::RECALLED) => Why::Recalled,
            _ if leaves => Why::NotYetEvicted,
            _ if record.uses > 0 => Why::Used,
            _ if important() => Why::Important,
            _ => Why::NotYetEvicted,
        }
    }

    fn stub(&self, stub: &Stub, part: WindowPart) -> WindowRow {
        let mut pages = PageRanges::default();
        for (first, last) in stub.ranges() {
            pages.push(PageNo(u64::from(*first)), PageNo(u64::from(*last)));
        }
        WindowRow {
            part,
            kind: RowKind::Stub,
            pages,
            about: String::new(),
            tokens: self.space.ratio.apply(stub.cost),
            why: Why::Stub,
            leaves: false,
            uses: 0,
            faults: 0,
            age: None,
            missed: None,
        }
    }
}

/// The groups that left last, newest first.
fn left(space: &Space) -> Vec<LeftRow> {
    let gone = groups_out(space).filter(|(_, page)| page.has(Flags::LEFT));
    let mut groups: Vec<(Reverse<u32>, Number)> =
        gone.map(|(number, page)| (Reverse(page.left), number)).collect();
    if groups.len() > MOST_LEFT {
        groups.select_nth_unstable(MOST_LEFT);
        groups.truncate(MOST_LEFT);
    }
    groups.sort_unstable();
    groups.into_iter().map(|(_, group)| left_row(space, group)).collect()
}

/// Groups that could be in the window and are not.
fn groups_out(space: &Space) -> impl Iterator<Item = (Number, &Page)> {
    let records = (1..).zip(space.table.pages.iter());
    records.filter(|(number, page): &(Number, &Page)| {
        page.group == *number
            && !page.has(Flags::SUPERSEDED)
            && page.place() == Place::Out
            && space.table.members(*number).next().is_some()
    })
}

fn left_row(space: &Space, group: Number) -> LeftRow {
    let record = space.group(group);
    LeftRow {
        pages: numbers(space, group).collect(),
        kind: kind(&record),
        about: about(space, &record),
        tokens: space.ratio.apply(space.table.cost(group)),
        calls_ago: Some(space.calls.saturating_sub(record.left)),
        compacted: Some(record.has(Flags::COMPACTED)),
    }
}

fn statistics(space: &Space) -> Statistics {
    let (refaults_seen, refaults_expected) = space.habits.refaults();
    Statistics {
        calls: space.calls,
        growth: if space.growth.rate == 0 {
            Tokens::ZERO
        } else {
            space.ratio.apply(space.growth.per_call())
        },
        reuse: space.habits.chances(),
        refaults_seen,
        refaults_expected,
        mean_use: space.growth.mean_use(),
    }
}

fn numbers(space: &Space, group: Number) -> impl Iterator<Item = PageNo> {
    space.table.members(group).map(|(number, _)| PageNo(u64::from(number)))
}

/// What a group is: a tool call with its results may begin with what the model said.
const fn kind(record: &Page) -> RowKind {
    match record.kind {
        _ if record.flags.has(Flags::TOOL) => RowKind::Tool,
        Kind::System => RowKind::System,
        Kind::User => RowKind::User,
        Kind::Assistant => RowKind::Assistant,
        Kind::ToolCall | Kind::ToolResult => RowKind::Tool,
        Kind::Document => RowKind::Document,
        Kind::Note => RowKind::Note,
    }
}

/// A file's path, a tool's or a note's name.
fn about(space: &Space, record: &Page) -> String {
    let named = |(_, page): (Number, &Page)| match space.table.path(page) {
        Some(path) => Some(shown(path)),
        None => {
            space.table.label(page).filter(|label| !label.name.is_empty()).map(|label| shown(&label.name))
        }
    };
    space.table.members(record.group).find_map(named).unwrap_or_default()
}
