//! The choice of victims: which groups leave the window before the next render.

use kernel_types::{PageNo, Timestamp};

use crate::page::{Flags, Number, Place};
use crate::planner::{self, Candidate, Situation};
use crate::relevance::{relevance, swap_in};
use crate::replacement::Replacement;
use crate::space::Space;
use crate::stub;
use crate::warmth::Warmth;
use crate::window::What;
use crate::{Change, PagerError, Plan, PlanKind, keep};

/// When to evict and how far, in counted tokens.
struct Marks {
    high: u64,
    low: u64,
}

/// What a compaction takes out.
pub(crate) struct Compaction {
    pub(crate) kind: PlanKind,
    pub(crate) victims: Vec<Candidate>,
}

/// What is clearly asked for comes in, then what must leaves.
pub(crate) fn plan(space: &Space, now: Timestamp) -> Result<Plan, PagerError> {
    let mut plan = swap(space, now)?;
    if space.window.shown.is_none() || is_cold(space, now) {
        // Nothing warm is lost by asking for another time to live.
        let retention = keep::retention(space);
        plan.changes.extend((retention != space.retention).then_some(Change::Retain(retention)));
    }
    Ok(plan)
}

fn swap(space: &Space, now: Timestamp) -> Result<Plan, PagerError> {
    let wanted = swap_in(space);
    if wanted.is_empty() {
        return make_room(space, now);
    }
    let mut next = space.clone();
    next.recall(&wanted)?;
    let mut plan = make_room(&next, now)?;
    let leaves = |page: &PageNo| {
        let out = |change: &Change| matches!(change, Change::Compact { evict, .. } if evict.contains(page));
        plan.changes.iter().any(out)
    };
    if wanted.iter().any(leaves) {
        return make_room(space, now);
    }
    plan.changes.insert(0, Change::Recall(wanted));
    Ok(plan)
}

/// What must leaves, and nothing comes in.
pub(crate) fn make_room(space: &Space, now: Timestamp) -> Result<Plan, PagerError> {
    let load = space.window.load.all;
    let cold = is_cold(space, now);
    if load <= high(space) && !(cold && is_generational(space)) {
        return Ok(Plan::default());
    }
    let groups = if is_generational(space) { with_misses(space) } else { candidates(space) };
    let Compaction { kind, victims } = compaction(space, groups, load, cold)?;
    if victims.is_empty() && load <= space.limit() {
        return Ok(Plan::default());
    }
    // With no victims, stubs alone are too much: a compaction that evicts nothing folds them.
    let pages = victims.iter().flat_map(|victim| space.table.members(victim.group));
    let evict = pages.map(|(number, _)| PageNo(u64::from(number))).collect();
    Ok(Plan { kind, changes: vec![Change::Compact { kind, evict }] })
}

/// What a compaction would take out of `groups` (those that may leave) if the window held `load` tokens, stubs included. What
/// it does not hold yet counts as new: it stays.
pub(crate) fn compaction(
    space: &Space,
    mut groups: Vec<Candidate>,
    load: u64,
    cold: bool,
) -> Result<Compaction, PagerError> {
    let limit = space.limit();
    let room = load - space.window.load.stubs;
    let mut victims = match space.policy {
        Replacement::Generational { floor } => {
            planner::choose(&Situation { load, ..situation(space, &groups, space.growth.floor(floor), cold) })
        }
        policy => {
            rank(policy, &mut groups);
            let target = marks(policy, limit).low.saturating_sub(reserve(policy, limit));
            down_to(&groups, room, target)
        }
    };
    let rest = room - victims.iter().map(|victim| victim.cost).sum::<u64>();
    if rest > limit {
        victims.extend(last_resort(space, rest - limit)?);
    }
    let first = victims.iter().map(|victim| victim.at).min().unwrap_or_default();
    Ok(Compaction { kind: kind_of(space, first, cold), victims })
}

/// Above so many tokens, a compaction is due.
pub(crate) fn high(space: &Space) -> u64 {
    marks(space.policy, space.limit()).high
}

fn is_generational(space: &Space) -> bool {
    matches!(space.policy, Replacement::Generational { .. })
}

/// Whether the provider has forgotten the prefix by now.
pub(crate) fn is_cold(space: &Space, now: Timestamp) -> bool {
    let ttl_ms = space.cache().ttl_s.saturating_mul(1000);
    space.window.shown.is_some_and(|shown| ttl_ms > 0 && now.0.saturating_sub(shown.at_ms) >= ttl_ms)
}

fn kind_of(space: &Space, first: u32, cold: bool) -> PlanKind {
    match first {
        _ if cold => PlanKind::Cold,
        first if first >= space.window.frozen => PlanKind::Minor,
        _ => PlanKind::Major,
    }
}

fn marks(policy: Replacement, limit: u64) -> Marks {
    match policy {
        Replacement::BatchFifo { high, low } | Replacement::Summarise { high, low } => {
            Marks { high: part(limit, high), low: part(limit, low) }
        }
        _ => Marks { high: limit, low: limit },
    }
}

/// What the stub of a compaction may take.
fn reserve(policy: Replacement, limit: u64) -> u64 {
    match policy {
        Replacement::Fifo | Replacement::Lru | Replacement::LruImportance => {
            stub::share(policy, limit).min(64)
        }
        _ => stub::share(policy, limit),
    }
}

/// The groups of the order that may leave without need, in their order.
fn candidates(space: &Space) -> Vec<Candidate> {
    let total = space.window.order.total();
    let warmth = Warmth::of(space);
    let mut before = 0;
    let mut found = Vec::new();
    for (at, entry) in space.window.entries() {
        let start = before;
        before += u64::from(entry.cost);
        let What::Group(group) = entry.what() else { continue };
        let record = space.group(group);
        if record.has(Flags::FRESH) || record.has(Flags::RECALLED) || space.table.is_pinned(group) {
            continue;
        }
        let importance = space.table.members(group).map(|(_, page)| page.importance).max();
        found.push(Candidate {
            group,
            at,
            cost: u64::from(entry.cost),
            rewritten: total - start + warmth.gap(at, start),
            age: space.calls.saturating_sub(record.used),
            importance: importance.unwrap_or_default(),
            missed: 0.0,
        });
    }
    found
}

/// The same, with how probable it is that each would be missed.
pub(crate) fn with_misses(space: &Space) -> Vec<Candidate> {
    let mut groups = candidates(space);
    expect_misses(space, &mut groups);
    groups
}

/// Sets how probable it is that each group would be missed: its reuse, corrected by how often this agent missed pages; more for
/// what is important, was missed before, or is about what the user said last.
fn expect_misses(space: &Space, groups: &mut [Candidate]) {
    let correction = space.habits.correction();
    let relevance = relevance(space);
    for group in groups {
        let record = space.group(group.group);
        let relevant = space.table.members(group.group).filter_map(|(number, _)| relevance.get(&number));
        let relevant = relevant.copied().fold(0.0, f64::max);
        let importance = 0.5 + f64::from(group.importance) / 1000.0;
        let weight = importance * (1.0 + f64::from(record.faults)) * (1.0 + relevant) * correction;
        group.missed = (space.reuse(&record) * weight).min(1.0);
    }
}

fn situation<'a>(space: &'a Space, groups: &'a [Candidate], floor: f64, cold: bool) -> Situation<'a> {
    Situation {
        cache: space.cache(),
        groups,
        window: space.limit(),
        load: space.window.load.all,
        growth: space.growth.per_call(),
        stub: stub::share(space.policy, space.limit()).min(48),
        floor,
        cold,
    }
}

/// Sorts groups by the order in which a classic policy gives them up.
fn rank(policy: Replacement, groups: &mut [Candidate]) {
    match policy {
        Replacement::Lru => groups.sort_by_key(|group| (u32::MAX - group.age, group.at)),
        Replacement::LruImportance => {
            let oldest = groups.iter().map(|group| group.age).max().unwrap_or_default().max(1);
            let worth = |group: &Candidate| {
                u32::from(group.importance) + (oldest - group.age).saturating_mul(1000) / oldest
            };
            groups.sort_by_key(|group| (worth(group), group.at));
        }
        _ => {}
    }
}

/// The first of the ranked groups, until the rest is at most `target`.
fn down_to(ranked: &[Candidate], mut rest: u64, target: u64) -> Vec<Candidate> {
    let mut victims = Vec::new();
    for group in ranked {
        if rest <= target {
            break;
        }
        rest -= group.cost;
        victims.push(*group);
    }
    victims
}

/// What leaves only if the window does not fit otherwise: what was recalled for the next call (the last of its recall first),
/// then notes, then what was allocated since the last render (which fitted when it came, so this happens only after the
/// provider reported more tokens than were counted).
fn last_resort(space: &Space, mut excess: u64) -> Result<Vec<Candidate>, PagerError> {
    let fresh = space.fresh.iter().copied();
    let notes = space.table.shown_notes().filter(|note| !space.group(*note).has(Flags::FRESH));
    let recalled = space.recalled.iter().rev().filter(|group| space.group(*group).place() == Place::Window);
    let mut victims = Vec::new();
    for group in recalled.chain(notes).chain(fresh).filter(|group| !space.table.is_pinned(*group)) {
        if excess == 0 {
            break;
        }
        let cost = space.table.cost(group);
        excess = excess.saturating_sub(cost);
        victims.push(unranked(space, group, cost));
    }
    if excess == 0 {
        return Ok(victims);
    }
    let pinned = space.ratio.apply(space.limit() + excess);
    Err(PagerError::AllPinned { pinned, window: space.config.window })
}

fn unranked(space: &Space, group: Number, cost: u64) -> Candidate {
    let at = space.group(group).slot.checked_sub(1).unwrap_or(u32::MAX);
    Candidate { group, at, cost, rewritten: 0, age: 0, importance: 0, missed: 0.0 }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a part of a window, which is far below 2^52"
)]
fn part(limit: u64, share: f64) -> u64 {
    (limit as f64 * share) as u64
}
