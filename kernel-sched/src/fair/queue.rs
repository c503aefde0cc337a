//! One level of fair queueing: earliest eligible virtual deadline first.
//!
//! Stoica and Abdel-Wahab, *Earliest Eligible Virtual Deadline First*, 1995, with the differences that calls of a model ask
//! for: a call is not preempted, its cost is known only afterwards, and there are several slots.
//!
//! A member of weight `w` has a virtual time `v`, its service so far divided by its weight. At dispatch the estimate is
//! added to it as a reservation, at the end the truth takes its place. `V` is the weighted mean of the virtual times of the
//! active members (who wait or hold slots), kept from falling. A waiting member is eligible if `v <= V`; of those the one with
//! the earliest virtual deadline `v + estimate / w` is next. If nobody is eligible, because who is behind holds slots, the
//! smallest `v` is next: no slot stays free. Who sleeps keeps its lag `V - v`, at most a call's worth of it.

use std::collections::BTreeSet;

use crate::cost::Cost;
use crate::weight::Weight;

use super::classes::{Classes, Share};

/// Virtual time is counted in 2^-20 of a tenth of a token at the middle weight: rounding stays below a token in 10^9 calls.
const SCALE: i128 = 1 << 30;

/// The request of every call: what counts for its deadline, 5,000 tokens of input. A call's own cost would let long ones wait
/// until all others had as much; with one size for all, equals are served in the order of their virtual times.
const REQUEST: u64 = 50_000;

/// Of those who could be next, so many are looked at for one within the bounds. Nearly always it is the first.
const LOOKED_AT: usize = 64;

/// A member's place in the queue.
pub(super) type Index = u32;

#[derive(Clone, Debug)]
struct Member {
    /// Virtual time, reservations included; while it sleeps, less the virtual time at which it fell asleep.
    time: i128,
    share: Share,
    /// Slots it holds, and the virtual time reserved for them.
    holds: u32,
    outstanding: i128,
    /// It waits for a slot; the virtual deadline and the order of its request.
    waits: Option<(i128, u64)>,
    eligible: bool,
    /// It waits or holds a slot.
    active: bool,
    /// The virtual time at which it fell asleep.
    slept: i128,
    /// How far behind it may be when it wakes: the estimate it last asked for.
    last: u64,
}

/// What was reserved at a dispatch, to be handed back at the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Reserved(i128);

/// Members that share slots by their weights.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    slack: Cost,
    members: Vec<Option<Member>>,
    free: Vec<Index>,
    /// Who waits, by virtual time, then by the order of requests.
    waiting: BTreeSet<(i128, u64, Index)>,
    /// Of these who is eligible, by virtual deadline.
    eligible: BTreeSet<(i128, u64, Index)>,
    /// Who holds slots, by virtual time.
    holding: BTreeSet<(i128, Index)>,
    classes: Classes,
    now: i128,
    requests: u64,
    /// The dearest call seen: C of the bounds.
    dearest: u64,
}

impl Queue {
    /// For so many slots; a member that is warm may go so far ahead.
    pub(super) fn new(slots: u32, slack: Cost) -> Self {
        Self {
            slack,
            members: Vec::new(),
            free: Vec::new(),
            waiting: BTreeSet::new(),
            eligible: BTreeSet::new(),
            holding: BTreeSet::new(),
            classes: Classes::new(slots),
            now: 0,
            requests: 0,
            dearest: 0,
        }
    }

    pub(super) fn set_slots(&mut self, slots: u32) {
        self.classes.set_slots(slots);
    }

    pub(super) const fn set_slack(&mut self, slack: Cost) {
        self.slack = slack;
    }

    /// A new member without lag.
    pub(super) fn add(&mut self, weight: Weight) -> Index {
        let member = Member {
            time: 0,
            share: Share { weight: weight.units(), usable: 1 },
            holds: 0,
            outstanding: 0,
            waits: None,
            eligible: false,
            active: false,
            slept: i128::MIN,
            last: 0,
        };
        if let Some(index) = self.free.pop() {
            self.members[index as usize] = Some(member);
            return index;
        }
        self.members.push(Some(member));
        Index::try_from(self.members.len() - 1).expect("2^32 members do not fit in memory")
    }

    /// Forgets a member, whatever it does.
    pub(super) fn remove(&mut self, index: Index) {
        self.unask(index);
        if let Some(member) = self.members.get_mut(index as usize).and_then(Option::take) {
            if member.active {
                self.classes.remove(member.share, member.time);
            }
            self.holding.remove(&(member.time, index));
            self.free.push(index);
        }
    }

    fn member(&self, index: Index) -> &Member {
        self.members[index as usize].as_ref().expect("callers keep indices of members only")
    }

    fn member_mut(&mut self, index: Index) -> &mut Member {
        self.members[index as usize].as_mut().expect("callers keep indices of members only")
    }

    /// Gives a member another weight. What it is due and has not had, or has had before its time, stays as many tokens; what is
    /// reserved for calls under way is settled as it was reserved.
    pub(super) fn reweigh(&mut self, index: Index, weight: Weight) {
        let usable = self.member(index).share.usable;
        self.reshare(index, Share { weight: weight.units(), usable });
    }

    /// Says how many slots a member can use at once.
    pub(super) fn set_usable(&mut self, index: Index, slots: u32) {
        let weight = self.member(index).share.weight;
        self.reshare(index, Share { weight, usable: slots.max(1) });
    }

    fn reshare(&mut self, index: Index, new: Share) {
        let (old, now) = (self.member(index).share, self.now);
        if old == new {
            return;
        }
        let asked = self.take_request(index);
        let member = self.member_mut(index);
        let (before, active) = (member.time, member.active);
        let start = if active { now + member.outstanding } else { 0 };
        member.time = start + (before - start) * i128::from(old.weight) / i128::from(new.weight.max(1));
        member.share = new;
        let after = member.time;
        if active {
            self.classes.remove(old, before);
            self.classes.add(new, after);
        }
        if self.holding.remove(&(before, index)) {
            self.holding.insert((after, index));
        }
        if let Some((cost, order)) = asked {
            self.put_request(index, cost, order);
        }
    }

    /// The member waits for a slot, for a call of this cost; a second time: for another one in its place.
    pub(super) fn ask(&mut self, index: Index, cost: Cost) {
        self.dearest = self.dearest.max(cost.0);
        if !self.member(index).active {
            self.wake(index);
        }
        let order = self.take_request(index).map_or_else(
            || {
                self.requests += 1;
                self.requests
            },
            |(_, order)| order,
        );
        self.put_request(index, cost.0, order);
    }

    /// It does not wait any more.
    pub(super) fn unask(&mut self, index: Index) {
        if self.members.get(index as usize).is_some_and(Option::is_some) && self.take_request(index).is_some()
        {
            self.rest(index);
        }
    }

    /// Virtual time stands still between two grants: who asks again before the next one has its place as if it had never left.
    fn wake(&mut self, index: Index) {
        let now = self.now;
        let effective = self.classes.effective(self.member(index).share);
        let behind = stretch(self.dearest, effective);
        let ahead = stretch(self.dearest.saturating_add(self.slack.0), effective);
        let member = self.member_mut(index);
        let slept = member.slept < now;
        member.time = now + if slept { member.time.clamp(-behind, ahead) } else { member.time };
        member.active = true;
        let (share, time) = (member.share, member.time);
        self.classes.add(share, time);
    }

    /// Falls asleep if it neither waits nor holds a slot.
    fn rest(&mut self, index: Index) {
        let member = self.member(index);
        if member.holds > 0 || member.waits.is_some() || !member.active {
            return;
        }
        let now = self.now;
        let member = self.member_mut(index);
        let (share, time) = (member.share, member.time);
        member.active = false;
        member.slept = now;
        member.time -= now;
        self.classes.remove(share, time);
    }

    fn put_request(&mut self, index: Index, cost: u64, order: u64) {
        let now = self.now;
        let effective = self.classes.effective(self.member(index).share);
        let member = self.member_mut(index);
        let deadline = member.time + stretch(REQUEST, effective);
        member.waits = Some((deadline, order));
        member.eligible = member.time <= now;
        member.last = cost;
        let (time, eligible) = (member.time, member.eligible);
        self.waiting.insert((time, order, index));
        if eligible {
            self.eligible.insert((deadline, order, index));
        }
    }

    /// Takes a request out of the queues: its cost and order.
    fn take_request(&mut self, index: Index) -> Option<(u64, u64)> {
        let member = self.member_mut(index);
        let (deadline, order) = member.waits.take()?;
        let (time, cost) = (member.time, member.last);
        if std::mem::take(&mut member.eligible) {
            self.eligible.remove(&(deadline, order, index));
        }
        self.waiting.remove(&(time, order, index));
        Some((cost, order))
    }

    /// Moves a member in virtual time.
    fn shift(&mut self, index: Index, by: i128) {
        let asked = self.take_request(index);
        let member = self.member_mut(index);
        let before = member.time;
        member.time += by;
        let (share, active, time) = (member.share, member.active, member.time);
        if active {
            self.classes.shift(share, by);
        }
        if self.holding.remove(&(before, index)) {
            self.holding.insert((time, index));
        }
        if let Some((cost, order)) = asked {
            self.put_request(index, cost, order);
        }
    }

    /// Brings virtual time up to the mean of the active members.
    fn advance(&mut self) {
        let Some(mean) = self.classes.mean().filter(|mean| *mean > self.now) else { return };
        let (from, to) = (self.now, mean);
        self.now = to;
        let newly = self.waiting.range((from, 0, 0)..(to + 1, 0, 0)).map(|(_, _, index)| *index);
        let newly: Vec<Index> = newly.collect();
        for index in newly {
            let member = self.members[index as usize].as_mut().expect("who waits is a member");
            if let Some((deadline, order)) = member.waits.filter(|_| !member.eligible) {
                member.eligible = true;
                self.eligible.insert((deadline, order, index));
            }
        }
    }

    /// Who is next, if anybody waits.
    pub(super) fn next(&mut self) -> Option<Index> {
        self.advance();
        self.first()
    }

    /// Who would be next if no time went by: the earliest deadline of those who stay within the bound of all others. If somebody
    /// heavy holds a slot and is far behind, that may be nobody; then the furthest behind: no slot stays free.
    pub(super) fn first(&self) -> Option<Index> {
        let (_, _, furthest) = self.waiting.first()?;
        let near = |(_, _, index): &&(i128, u64, Index)| self.is_near(*index);
        let ahead = |(_, _, index): &&(i128, u64, Index)| self.may_go(*index);
        let eligible = self.eligible.iter().take(LOOKED_AT).find(near);
        let next = eligible.or_else(|| self.waiting.iter().take(LOOKED_AT).find(ahead));
        Some(next.map_or(*furthest, |(_, _, index)| *index))
    }

    /// Whether a member would stay within the bound of everybody who waits or holds a slot if it was next, whatever their
    /// weights.
    fn is_near(&self, index: Index) -> bool {
        let member = self.member(index);
        let waits = self.waiting.first().map(|(time, _, _)| *time);
        let holds = self.holding.first().map(|(time, _)| *time);
        let least = waits.into_iter().chain(holds).min().unwrap_or(member.time);
        let effective = self.classes.effective(member.share);
        member.time <= least + stretch(self.slack.0.saturating_add(self.dearest), effective)
    }

    /// Whether a member that waits may go before who is next, being warm: not if it is further ahead
    /// of anybody who waits or holds a slot than the bound for the two allows, whatever the other's weight.
    pub(super) fn may_go(&self, index: Index) -> bool {
        let member = self.member(index);
        let effective = self.classes.effective(member.share);
        self.slack.0 > 0
            && member.waits.is_some()
            && member.time <= self.now + stretch(self.slack.0, effective)
            && self.is_near(index)
    }

    /// Orders members that may go: smaller goes first.
    pub(super) fn deadline(&self, index: Index) -> Option<(i128, u64)> {
        self.member(index).waits
    }

    /// A slot goes to a member, which may ask again for another.
    pub(super) fn start(&mut self, index: Index, cost: Cost) -> Reserved {
        self.take_request(index);
        let reserved = stretch(cost.0, self.classes.effective(self.member(index).share));
        self.shift(index, reserved);
        let member = self.member_mut(index);
        member.holds += 1;
        let time = member.time;
        member.outstanding += reserved;
        self.holding.insert((time, index));
        // Now: whoever is served and leaves before the next grant took it from the others all the same.
        self.advance();
        Reserved(reserved)
    }

    /// It gives the slot back and is charged.
    pub(super) fn end(&mut self, index: Index, reserved: Reserved, cost: Option<Cost>) {
        self.dearest = self.dearest.max(cost.map_or(0, |cost| cost.0));
        let effective = self.classes.effective(self.member(index).share);
        let charged = cost.map_or(0, |cost| stretch(cost.0, effective));
        let member = self.member_mut(index);
        member.holds -= 1;
        member.outstanding -= reserved.0;
        let (holds, time) = (member.holds, member.time);
        if holds == 0 {
            self.holding.remove(&(time, index));
        }
        self.shift(index, charged - reserved.0);
        self.advance();
        self.rest(index);
    }

    /// How far a member is behind what it is due, in tenths of tokens; below zero if it is ahead.
    pub(super) fn lag(&self, index: Index) -> i64 {
        let member = self.member(index);
        let behind = if member.active { self.now - member.time } else { -member.time };
        let served = behind * i128::from(member.share.weight) / SCALE;
        i64::try_from(served).unwrap_or(if served < 0 { i64::MIN } else { i64::MAX })
    }
}

/// A cost as virtual time at a weight.
fn stretch(cost: u64, weight: u32) -> i128 {
    i128::from(cost) * SCALE / i128::from(weight.max(1))
}
