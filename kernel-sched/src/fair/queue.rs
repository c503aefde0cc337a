//! One level of fair queueing: earliest eligible virtual deadline first.
//!
//! Stoica and Abdel-Wahab, *Earliest Eligible Virtual Deadline First*, 1995, with the differences that calls of a model ask
//! for: a call is not preempted, its cost is known only afterwards, and there are several slots.
//!
//! A member of weight `w` has a virtual time `v`, its service so far divided by its weight. At dispatch the estimate is added to it
//! as a reservation, at the end the truth takes its place. `V` is the weighted mean of the virtual times of the active members (who
//! wait or hold slots), brought up to date by grants and ends, kept from falling, and not held back by those who leave with more
//! than they were due or come with a claim: it goes on by the service of all. A waiting member is eligible if `v <= V`; of those
//! the one with the earliest virtual deadline `v + request / w` is next, the request being one size for all and `w` what the weight
//! counts for when it asks, or when its time or its share changes while it waits. If nobody is eligible, because who is behind
//! holds slots, the smallest `v` is next: no slot stays free. Who is due more than the slots it can use goes before all others and
//! is left out of `V`: earliest deadlines alone would let light members hold it up time and again (Dhall and Liu, *On a Real-Time
//! Scheduling Problem*, 1978), and it could never catch up. It neither claims nor owes. Who sleeps keeps its lag `V - v`: what it
//! is owed up to `C`, the cost of the dearest call of late, what it owes up to `L + C` or `L` and its own last call. Where more is
//! asked for than the slots give nobody owes more, and a nap gains nothing; what was served while slots stood free is not held
//! against anybody for ever.

use std::collections::{BTreeMap, BTreeSet};

use crate::cost::Cost;
use crate::weight::Weight;

use super::classes::{Classes, Share, WHOLE};
use super::dearest::Dearest;

/// Virtual time is counted in 2^-20 of a tenth of a token at the middle weight: rounding stays below a token in 10^9 calls.
const SCALE: i128 = 1 << 30;

/// The request of every call: what counts for its deadline, 5,000 tokens of input. A call's own cost would let long ones wait
/// until all others had as much; with one size for all, equals are served in the order of their virtual times.
const REQUEST: u64 = 50_000;

/// The window of virtual time in which a call counts for the dearest: until a member of the middle weight had 320,000 tokens of
/// input, tens of calls.
const WINDOW: i128 = 64 * REQUEST as i128 * SCALE / 1024;

/// Of those who could be next, so many are looked at for one within the bounds. Nearly always it is the first.
const LOOKED_AT: usize = 64;

/// Half of a slot, as [`Classes::most_due`] says it.
const HALF: u64 = WHOLE / 2;

/// Where members are due more than half of a slot, so many others have to wait for the bounds to be safe.
const ENOUGH: usize = 5;

/// A member's place in the queue.
pub(super) type Index = u32;

#[derive(Clone, Debug)]
struct Member {
    /// Virtual time, reservations included; while it sleeps, how much it is ahead of its due, in tenths of tokens times [`SCALE`]:
    /// nobody knows what its weight will count for when it wakes.
    time: i128,
    share: Share,
    /// Slots it holds.
    holds: u32,
    /// It waits for a slot; the virtual deadline and the order of its request.
    waits: Option<Box<(i128, u64)>>,
    eligible: bool,
    /// It waits and is capped.
    first: bool,
    /// It waits or holds a slot.
    active: bool,
    /// The virtual time at which it fell asleep.
    slept: i128,
    /// What the last call that it ended cost: that it owes however long ago all others forgot it.
    last: u64,
}

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
    /// Who waits and is due more than the slots it can use, by virtual time.
    first: BTreeSet<(i128, u64, Index)>,
    /// Who holds slots, by virtual time.
    holding: BTreeSet<(i128, Index)>,
    classes: Classes,
    now: i128,
    /// Nobody who waits becomes eligible before this virtual time: most grants and ends move `now` on by too little.
    due: i128,
    requests: u64,
    dearest: Dearest,
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
            first: BTreeSet::new(),
            holding: BTreeSet::new(),
            classes: Classes::new(slots),
            now: 0,
            due: i128::MAX,
            requests: 0,
            dearest: Dearest::default(),
        }
    }

    /// There are so many slots now, of which each member can use so many.
    pub(super) fn set_slots(&mut self, slots: u32, usable: impl Fn(Index) -> u32) {
        let others = (0..).zip(&self.members).filter_map(|(index, member)| {
            let member = member.as_ref()?;
            Some((index, Share { usable: usable(index).max(1), ..member.share }))
        });
        let others: Vec<(Index, Share)> = others.collect();
        self.rearrange(&others, |queue| {
            queue.classes.set_slots(slots);
            others.iter().for_each(|(index, share)| queue.set_share(*index, *share));
        });
    }

    /// As after so much virtual time and so many requests; all its members sleep.
    #[cfg(test)]
    pub(super) fn start_from(&mut self, time: i128, requests: u64) {
        assert!(self.classes.mean().is_none(), "nobody waits or holds a slot");
        (self.now, self.due, self.requests) = (time, i128::MAX, requests);
        self.dearest.pass(time, 0);
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
            waits: None,
            eligible: false,
            first: false,
            active: false,
            slept: i128::MIN,
            last: 0,
        };
        if let Some(index) = self.free.pop() {
            self.members[index as usize] = Some(member);
            return index;
        }
        super::family::make_room(&mut self.members);
        self.members.push(Some(member));
        Index::try_from(self.members.len() - 1).expect("2^32 members do not fit in memory")
    }

    /// Forgets a member, whatever it does.
    pub(super) fn remove(&mut self, index: Index) {
        self.take_request(index);
        let member = self.member_mut(index);
        member.holds = 0;
        let time = member.time;
        self.holding.remove(&(time, index));
        self.rest(index);
        self.members[index as usize] = None;
        self.free.push(index);
    }

    fn member(&self, index: Index) -> &Member {
        self.members[index as usize].as_ref().expect("callers keep indices of members only")
    }

    fn member_mut(&mut self, index: Index) -> &mut Member {
        self.members[index as usize].as_mut().expect("callers keep indices of members only")
    }

    /// Gives a member another weight.
    pub(super) fn reweigh(&mut self, index: Index, weight: Weight) {
        let share = self.member(index).share;
        self.reshare(index, Share { weight: weight.units(), ..share });
    }

    /// Says how many slots a member can use at once.
    pub(super) fn set_usable(&mut self, index: Index, slots: u32) {
        let share = self.member(index).share;
        self.reshare(index, Share { usable: slots.max(1), ..share });
    }

    fn reshare(&mut self, index: Index, new: Share) {
        if self.member(index).share != new {
            self.rearrange(&[(index, new)], |queue| queue.set_share(index, new));
        }
    }

    fn set_share(&mut self, index: Index, new: Share) {
        let member = self.member_mut(index);
        let old = std::mem::replace(&mut member.share, new);
        let (active, time) = (member.active, member.time);
        if active {
            self.classes.take(old, index, time);
            self.classes.put(new, index, time);
        }
    }

    /// Changes the number of slots or the shares of some. Of all whose weights count for something else then, the distance from
    /// `now` is stretched so that it stays as many tokens.
    fn rearrange(&mut self, others: &[(Index, Share)], change: impl FnOnce(&mut Self)) {
        let (before, cap) = (self.classes.mean(), self.classes.cap());
        let counted = |(index, _): &(Index, Share)| (*index, self.effective(*index));
        let mut counted: BTreeMap<Index, u32> = others.iter().map(counted).collect();
        change(self);
        for index in self.classes.recap() {
            counted.entry(index).or_insert(self.member(index).share.capped(cap));
        }
        counted.into_iter().for_each(|(index, old)| self.stretch_lag(index, old, None));
        // Another weight that counts for as much may be capped now, or not any more.
        for (index, _) in others {
            if let Some(order) = self.take_request(*index) {
                self.put_request(*index, order);
            }
        }
        self.classes.keep_mean(before);
    }

    /// Others are active now than before: the weights that are more than a slot's worth may count for something else. What their
    /// members are behind by more than `C` they could not have used, and do not claim from those who came.
    fn recap(&mut self) {
        let (before, cap, most) = (self.classes.mean(), self.classes.cap(), self.dearest.cost());
        for index in self.classes.recap() {
            self.stretch_lag(index, self.member(index).share.capped(cap), Some(most));
        }
        self.classes.keep_mean(before);
    }

    /// The weight of a member counted for `old` and counts for something else now.
    fn stretch_lag(&mut self, index: Index, old: u32, most: Option<u64>) {
        let (now, new) = (self.now, self.effective(index));
        let Member { active, time, .. } = *self.member(index);
        if active && old != new {
            let ahead = (time - now) * i128::from(old) / i128::from(new.max(1));
            let ahead = most.map_or(ahead, |most| ahead.max(-stretch(most, new)));
            self.shift(index, now + ahead - time);
        }
    }

    /// Whether a member is due more than the slots it can use.
    fn is_capped(&self, index: Index) -> bool {
        self.classes.is_capped(self.member(index).share)
    }

    /// What the weight of a member counts for.
    fn effective(&self, index: Index) -> u32 {
        self.classes.effective(self.member(index).share)
    }

    /// The member waits for a slot, for a call of this cost; while it waits: for another one in its place.
    pub(super) fn ask(&mut self, index: Index, cost: Cost) {
        self.dearest.note(cost.0);
        let member = self.member(index);
        if member.waits.is_some() {
            return;
        }
        if !member.active {
            self.wake(index);
        }
        self.requests += 1;
        self.put_request(index, self.requests);
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
        let (now, before) = (self.now, self.classes.mean());
        let (dearest, slack) = (self.dearest.cost(), self.slack.0);
        let member = self.member_mut(index);
        let owes = slack.saturating_add(dearest.max(member.last));
        let most = (-i128::from(dearest) * SCALE, i128::from(owes) * SCALE);
        let slept = member.slept < now;
        let ahead = if slept { member.time.clamp(most.0, most.1) } else { member.time };
        member.active = true;
        let share = member.share;
        let time = now + ahead / i128::from(self.effective(index).max(1));
        self.member_mut(index).time = time;
        self.classes.put(share, index, time);
        self.classes.keep_mean(before);
    }

    /// Falls asleep if it neither waits nor holds a slot.
    fn rest(&mut self, index: Index) {
        let (now, effective, before) = (self.now, self.effective(index), self.classes.mean());
        let member = self.member_mut(index);
        if member.holds > 0 || member.waits.is_some() || !member.active {
            return;
        }
        let (share, time) = (member.share, member.time);
        member.time = (time - now) * i128::from(effective);
        member.active = false;
        member.slept = now;
        self.classes.take(share, index, time);
        self.classes.keep_mean(before);
    }

    fn put_request(&mut self, index: Index, order: u64) {
        let (now, effective, first) = (self.now, self.effective(index), self.is_capped(index));
        let member = self.member_mut(index);
        let deadline = member.time + stretch(REQUEST, effective);
        member.waits = Some(Box::new((deadline, order)));
        (member.eligible, member.first) = (member.time <= now, first);
        let (time, eligible) = (member.time, member.eligible);
        if first {
            self.first.insert((time, order, index));
        }
        self.waiting.insert((time, order, index));
        if eligible {
            self.eligible.insert((deadline, order, index));
        } else {
            self.due = self.due.min(time);
        }
    }

    /// Takes a request out of the queues: its order.
    fn take_request(&mut self, index: Index) -> Option<u64> {
        let member = self.member_mut(index);
        let (deadline, order) = *member.waits.take()?;
        let time = member.time;
        let (eligible, first) = (std::mem::take(&mut member.eligible), std::mem::take(&mut member.first));
        if eligible {
            self.eligible.remove(&(deadline, order, index));
        }
        if first {
            self.first.remove(&(time, order, index));
        }
        self.waiting.remove(&(time, order, index));
        Some(order)
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
        if let Some(order) = asked {
            self.put_request(index, order);
        }
    }

    /// Brings virtual time up to the mean of the active members.
    fn advance(&mut self) {
        self.recap();
        self.classes.settle_mean();
        let Some(mean) = self.classes.mean_after(self.now) else { return };
        let from = std::mem::replace(&mut self.now, mean);
        self.dearest.pass(mean, WINDOW);
        if mean < self.due {
            return;
        }
        let mut later = self.waiting.range((from, 0, 0)..).map(|(time, _, index)| (*time, *index)).peekable();
        while let Some((_, index)) = later.next_if(|(time, _)| *time <= mean) {
            let member = self.members[index as usize].as_mut().expect("who waits is a member");
            if let Some((deadline, order)) = member.waits.as_deref().copied().filter(|_| !member.eligible) {
                member.eligible = true;
                self.eligible.insert((deadline, order, index));
            }
        }
        self.due = later.peek().map_or(i128::MAX, |(time, _)| *time);
    }

    /// Whether anybody waits.
    pub(super) fn is_wanted(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Who is next, if anybody waits.
    pub(super) fn next(&mut self) -> Option<Index> {
        self.advance();
        self.first()
    }

    /// Who would be next if no time went by: who is due more than the slots it can use, then the earliest deadline of those who
    /// stay within the bound of all others. If somebody heavy holds a slot and is far behind, that may be nobody; then the furthest
    /// behind: no slot stays free.
    pub(super) fn first(&self) -> Option<Index> {
        if let Some((_, _, index)) = self.first.first() {
            return Some(*index);
        }
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
        self.is_within(index, self.slack.0.saturating_add(self.dearest.cost()))
    }

    /// Whether a member is at most so much ahead of everybody who waits or holds a slot.
    fn is_within(&self, index: Index, cost: u64) -> bool {
        let member = self.member(index);
        let least = self.least().unwrap_or(member.time);
        member.time <= least + stretch(cost, self.effective(index))
    }

    /// The smallest virtual time of those who wait or hold slots.
    fn least(&self) -> Option<i128> {
        let waits = self.waiting.first().map(|(time, _, _)| *time);
        let holds = self.holding.first().map(|(time, _)| *time);
        waits.into_iter().chain(holds).min()
    }

    /// Whether a member that waits may go before who is next, being warm: not if it is further ahead of anybody who waits or holds
    /// a slot than the bound for the two allows, whatever the other's weight. Nor before one who is due more than the slots it can
    /// use.
    pub(super) fn may_go(&self, index: Index) -> bool {
        let member = self.member(index);
        let effective = self.effective(index);
        self.slack.0 > 0
            && member.waits.is_some()
            && self.first.first().is_none_or(|(_, _, first)| *first == index)
            && member.time <= self.now + stretch(self.slack.0, effective)
            && self.is_within(index, self.reach())
    }

    /// How far ahead of the furthest behind a member may be that spends slack: as far as the bounds allow where there are always
    /// enough others to choose from. Where there are not they would be broken as soon as the only one who waits is too far ahead,
    /// since no slot may stay free.
    fn reach(&self) -> u64 {
        let (slack, dearest) = (self.slack.0, self.dearest.cost());
        let due = self.classes.most_due();
        let enough = due <= HALF || (due <= 3 * HALF / 2 && self.waiting.len() > ENOUGH);
        if enough { slack.saturating_add(dearest) } else { slack.min(dearest) }
    }

    /// The virtual deadline of a member that waits.
    pub(super) fn deadline(&self, index: Index) -> Option<i128> {
        self.member(index).waits.as_deref().map(|(deadline, _)| *deadline)
    }

    /// A slot goes to a member, which may ask again for another: what is to be given to [`Queue::end`].
    pub(super) fn start(&mut self, index: Index, cost: Cost) -> Cost {
        self.take_request(index);
        self.dearest.note(cost.0);
        if self.is_capped(index) {
            // What it is behind it could not have used.
            self.shift(index, (self.now - self.member(index).time).max(0));
        }
        let reserved = stretch(cost.0, self.effective(index));
        self.shift(index, reserved);
        let member = self.member_mut(index);
        member.holds += 1;
        let time = member.time;
        self.holding.insert((time, index));
        // Now: whoever is served and leaves before the next grant took it from the others all the same.
        self.advance();
        cost
    }

    /// It gives the slot back and is charged, or not if there was no call.
    pub(super) fn end(&mut self, index: Index, reserved: Cost, cost: Option<Cost>) {
        let most = self.dearest.credible(reserved.0);
        let cost = cost.map(|cost| cost.0.min(most));
        let effective = self.effective(index);
        let charged = cost.map_or(0, |cost| stretch(cost, effective));
        let member = self.member_mut(index);
        member.holds -= 1;
        member.last = cost.unwrap_or(member.last);
        let (holds, time) = (member.holds, member.time);
        if holds == 0 {
            self.holding.remove(&(time, index));
        }
        self.shift(index, charged - stretch(reserved.0, effective));
        if cost.is_some() && self.is_capped(index) {
            // What it had nobody else had to do without.
            self.shift(index, (self.now - self.member(index).time).min(0));
        }
        self.advance();
        self.dearest.note(cost.unwrap_or(0));
        self.rest(index);
    }

    /// Of a member that sleeps: when virtual time will have caught up with what it owes, if it owes anything.
    pub(super) fn owes_until(&self, index: Index) -> Option<i128> {
        let owes = self.member(index).time / i128::from(self.effective(index).max(1));
        (owes > 0).then_some(self.now + owes)
    }

    pub(super) const fn is_past(&self, time: i128) -> bool {
        self.now >= time
    }

    /// How far a member is behind what it is due, in tenths of tokens by what its weight counts for; below zero if it is ahead.
    pub(super) fn lag(&self, index: Index) -> i64 {
        let member = self.member(index);
        let effective = i128::from(self.effective(index));
        let behind = if member.active { (self.now - member.time) * effective } else { -member.time } / SCALE;
        i64::try_from(behind).unwrap_or(if behind < 0 { i64::MIN } else { i64::MAX })
    }
}

/// A cost as virtual time at a weight.
pub(super) fn stretch(cost: u64, weight: u32) -> i128 {
    let scaled = i128::from(cost) * SCALE;
    // Nearly always it fits in 64 bits, whose division is several times as fast.
    match u64::try_from(scaled) {
        Ok(scaled) => i128::from(scaled / u64::from(weight.max(1))),
        Err(_) => scaled / i128::from(weight.max(1)),
    }
}
