//! The choice of victims: which groups leave, and in which order.

use std::collections::BTreeSet;

use kernel_types::{GroupId, Tokens};

use crate::table::{Group, Load, Place, Table};
use crate::{Change, PagerError, stub};

/// When to evict and how far, in thousandths of the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Watermarks {
    pub(crate) high: u64,
    pub(crate) low: u64,
}

/// The evictions that bring the window down to the low watermark, if it is above the high one.
///
/// Ordinary groups go first, the least worth first. Only if the window does not fit otherwise do others go: what was
/// recalled for the next call (the last of its recall first), then notes, then what was allocated since the last render
/// (which fitted when it came, so this happens only after the provider reported more tokens than were counted).
pub(crate) fn plan(
    table: &Table,
    load: Load,
    marks: Watermarks,
    window: Tokens,
) -> Result<Vec<Change>, PagerError> {
    let limit = table.ratio.limit(window);
    if load.all <= share(limit, marks.high) {
        return Ok(Vec::new());
    }
    let target = share(limit, marks.low).saturating_sub(stub::share(limit));
    let mut rest = load.all - load.stubs;
    let mut victims = Vec::new();
    for (last_resort, group) in candidates(table) {
        if rest > if last_resort { limit } else { target } {
            rest -= table.cost(group);
            victims.extend(&group.pages);
        }
    }
    if rest > limit {
        return Err(PagerError::AllPinned { pinned: table.ratio.apply(rest), window });
    }
    if victims.is_empty() && load.all <= limit {
        return Ok(Vec::new());
    }
    Ok(vec![Change::Evict(victims)])
}

/// GreedyDual's clock after an eviction: the worth of the dearest victim, but never more than what stays is worth.
pub(crate) fn clock_after(table: &Table, victims: &BTreeSet<GroupId>) -> u64 {
    let worth = |leaves: bool| {
        table
            .resident_ids()
            .filter(move |id| victims.contains(id) == leaves)
            .filter_map(|id| table.groups.get(&id))
            .filter(|group| group.place == Place::Window && !table.is_pinned(group))
            .map(|group| group.worth)
    };
    let dearest = worth(true).max().unwrap_or(table.clock);
    let cheapest_left = worth(false).min().unwrap_or(u64::MAX);
    dearest.min(cheapest_left).max(table.clock)
}

/// The groups that may leave, in order, and whether each leaves only when nothing else helps.
fn candidates(table: &Table) -> impl Iterator<Item = (bool, &Group)> {
    let mut ranked: Vec<_> = table
        .resident()
        .enumerate()
        .filter(|(_, group)| group.place != Place::Head && !table.is_pinned(group))
        .map(|(at, group)| (class(group), group.worth, at, group))
        .collect();
    ranked.sort_by_key(|(class, worth, at, _)| (*class, *worth, *at));
    ranked.into_iter().map(|((class, _), _, _, group)| (class > 0, group))
}

/// The class in which a group leaves, and its turn in it before worth counts.
fn class(group: &Group) -> (u8, u32) {
    match (group.fresh, group.place, group.recalled) {
        (true, ..) => (3, 0),
        (_, Place::Notes, _) => (2, 0),
        (_, _, Some(rank)) => (1, u32::MAX - rank),
        _ => (0, 0),
    }
}

fn share(limit: u64, thousandths: u64) -> u64 {
    let share = u128::from(limit) * u128::from(thousandths) / 1000;
    u64::try_from(share).unwrap_or(u64::MAX)
}
