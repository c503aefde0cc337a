//! One level of fair queueing, from its rules: a list that is searched from end to end.

/// Virtual time in a tenth of a token at a weight of one unit.
const SCALE: i128 = 1 << 30;
/// What counts for a deadline: 5,000 tokens of input.
const REQUEST: i128 = 50_000;
/// Calls count for the dearest for one to two of these: 320,000 tokens of input at the middle weight.
const WINDOW: i128 = 64 * REQUEST * SCALE / 1024;
/// So many are looked at for one within the bounds.
const ENOUGH: usize = 5;
const LOOKED_AT: usize = 64;

#[derive(Clone, Debug)]
struct Member<K> {
    key: K,
    weight: i128,
    usable: i128,
    /// Virtual time; while asleep, how much it was ahead of its due when it fell asleep, in tenths of tokens by [`SCALE`].
    time: i128,
    awake: bool,
    /// The virtual time of all when it fell asleep.
    slept: Option<i128>,
    holds: u32,
    /// The order of its request.
    waits: Option<u64>,
    /// What its last call cost.
    last: i128,
}

/// Members that share slots by weight.
#[derive(Clone, Debug)]
pub(crate) struct Level<K> {
    members: Vec<Member<K>>,
    pub(crate) slack: i128,
    slots: i128,
    now: i128,
    orders: u64,
    /// Costs of calls by window, and when the window began.
    costs: Vec<(u64, i128)>,
    window: (u64, i128),
    /// What those who left were ahead of the mean and those who came were behind it, by weight.
    gone: i128,
    /// What a weight counts for on each slot that its member can use, at most; found when time goes on.
    cap: i128,
}

impl<K: Copy + Eq + std::fmt::Debug> Level<K> {
    pub(crate) fn new(slots: i128, slack: i128) -> Self {
        Self {
            members: Vec::new(),
            slack,
            slots,
            now: 0,
            orders: 0,
            costs: Vec::new(),
            window: (1, 0),
            gone: 0,
            cap: i128::from(u32::MAX),
        }
    }

    pub(crate) fn add(&mut self, key: K, weight: u32) {
        self.members.push(Member {
            key,
            weight: i128::from(weight),
            usable: 1,
            time: 0,
            awake: false,
            slept: None,
            holds: 0,
            waits: None,
            last: 0,
        });
    }

    pub(crate) fn remove(&mut self, key: K) {
        self.members.retain(|member| member.key != key);
    }

    fn of(&self, key: K) -> &Member<K> {
        self.members.iter().find(|member| member.key == key).unwrap()
    }

    fn of_mut(&mut self, key: K) -> &mut Member<K> {
        self.members.iter_mut().find(|member| member.key == key).unwrap()
    }

    fn note(&mut self, cost: i128) {
        self.costs.retain(|(window, _)| window + 1 >= self.window.0);
        self.costs.push((self.window.0, cost));
    }

    /// C of the bounds.
    fn dearest(&self) -> i128 {
        let recent = self.costs.iter().filter(|(window, _)| window + 1 >= self.window.0);
        recent.map(|(_, cost)| *cost).max().unwrap_or(0)
    }

    fn feasible(&self) -> i128 {
        let mut awake: Vec<(i128, i128, i128)> = self
            .members
            .iter()
            .filter(|member| member.awake)
            .map(|member| ((member.weight / member.usable).max(1), member.weight, member.usable))
            .collect();
        awake.sort_unstable();
        let most = i128::from(u32::MAX);
        if self.slots == 1 {
            return most;
        }
        if awake.iter().map(|(_, _, usable)| usable).sum::<i128>() <= self.slots {
            return awake.first().map_or(most, |(on_a_slot, _, _)| *on_a_slot);
        }
        let (mut rest, mut slots) = (awake.iter().map(|(_, weight, _)| weight).sum::<i128>(), self.slots);
        let mut cap = most;
        for (on_a_slot, weight, usable) in awake.into_iter().rev() {
            if slots <= usable || on_a_slot * slots <= rest {
                break;
            }
            (rest, slots) = (rest - weight, slots - usable);
            cap = (rest / slots).max(1);
        }
        cap
    }

    /// Due more than the slots it can use.
    fn is_capped(&self, member: &Member<K>) -> bool {
        (member.weight / member.usable).max(1) > self.cap
    }

    fn stretch(&self, cost: i128, key: K) -> i128 {
        cost * SCALE / effective(self.of(key), self.cap)
    }

    /// Of those who are awake and not capped: virtual times by weight, and weights.
    fn totals(&self) -> (i128, i128) {
        let cap = self.cap;
        let awake = self.members.iter().filter(|member| member.awake && !self.is_capped(member));
        awake.fold((0, 0), |(sum, all), member| {
            let weight = effective(member, cap);
            (sum + weight * member.time, all + weight)
        })
    }

    fn mean(&self) -> Option<i128> {
        let (sum, all) = self.totals();
        (all > 0).then(|| (sum + self.gone).div_euclid(all))
    }

    /// Slots and shares change, or else who is awake has changed. What each is ahead of its due stays as many tokens; who is
    /// behind while others come and go claims `C` at most, if its weight counted for less than it is.
    fn change(&mut self, most: Option<i128>, change: impl FnOnce(&mut Self)) {
        let before = self.mean();
        let counted: Vec<i128> = self.members.iter().map(|member| effective(member, self.cap)).collect();
        change(self);
        self.cap = self.feasible();
        let (now, cap) = (self.now, self.cap);
        for (member, counted) in self.members.iter_mut().zip(counted) {
            let counts = effective(member, cap);
            if member.awake && counted != counts {
                let ahead = (member.time - now) * counted / counts;
                member.time = now + most.map_or(ahead, |most| ahead.max(-(most * SCALE / counts)));
            }
        }
        self.keep_mean(before);
    }

    fn keep_mean(&mut self, before: Option<i128>) {
        let (sum, all) = self.totals();
        self.gone = before.map_or(0, |before| before * all - sum);
    }

    /// Virtual time is the weighted mean of those who are awake, goes on by service only, and never falls.
    fn advance(&mut self) {
        self.change(Some(self.dearest()), |_| ());
        // Who left with a claim and is not back by now gave it up.
        self.gone = self.gone.max(0);
        let Some(mean) = self.mean().filter(|mean| *mean > self.now) else { return };
        self.now = mean;
        if self.now - self.window.1 >= WINDOW {
            self.window = (self.window.0 + 1, self.now);
        }
    }

    pub(crate) fn set_slots(&mut self, slots: i128, usable: impl Fn(K) -> i128) {
        self.change(None, |level| {
            level.slots = slots;
            level.members.iter_mut().for_each(|member| member.usable = usable(member.key).max(1));
        });
    }

    pub(crate) fn reshare(&mut self, key: K, weight: Option<u32>, usable: Option<i128>) {
        let member = self.of(key);
        let weight = weight.map_or(member.weight, i128::from);
        let usable = usable.map_or(member.usable, |usable| usable.max(1));
        if (weight, usable) != (member.weight, member.usable) {
            self.change(None, |level| {
                let member = level.of_mut(key);
                (member.weight, member.usable) = (weight, usable);
            });
        }
    }

    pub(crate) fn ask(&mut self, key: K, cost: i128) {
        self.note(cost);
        if !self.of(key).awake {
            let (now, dearest, before) = (self.now, self.dearest(), self.mean());
            let most = self.slack + dearest.max(self.of(key).last);
            let member = self.of_mut(key);
            let ahead = match member.slept {
                Some(slept) if slept == now => member.time,
                _ => member.time.clamp(-dearest * SCALE, most * SCALE),
            };
            let cap = self.cap;
            let member = self.of_mut(key);
            (member.awake, member.time) = (true, now + ahead / effective(member, cap));
            self.keep_mean(before);
        }
        if self.of(key).waits.is_none() {
            self.orders += 1;
            self.of_mut(key).waits = Some(self.orders);
        }
    }

    pub(crate) fn unask(&mut self, key: K) {
        self.of_mut(key).waits = None;
        self.rest(key);
    }

    fn rest(&mut self, key: K) {
        let (now, cap, before) = (self.now, self.cap, self.mean());
        let member = self.of_mut(key);
        if member.awake && member.waits.is_none() && member.holds == 0 {
            member.time = (member.time - now) * effective(member, cap);
            (member.awake, member.slept) = (false, Some(now));
            self.keep_mean(before);
        }
    }

    fn waiting(&self) -> impl Iterator<Item = &Member<K>> {
        self.members.iter().filter(|member| member.waits.is_some())
    }

    pub(crate) fn next(&mut self) -> Option<K> {
        self.advance();
        self.first()
    }

    /// Who waits and is due more than the slots it can use: the furthest behind of them.
    fn capped(&self) -> Option<K> {
        let capped = self.waiting().filter(|member| self.is_capped(member));
        capped.min_by_key(|member| (member.time, member.waits)).map(|member| member.key)
    }

    pub(crate) fn first(&self) -> Option<K> {
        if let Some(key) = self.capped() {
            return Some(key);
        }
        let mut waiting: Vec<&Member<K>> = self.waiting().collect();
        waiting.sort_by_key(|member| (member.time, member.waits.unwrap()));
        let mut eligible: Vec<&Member<K>> = self.waiting().filter(|member| member.time <= self.now).collect();
        eligible.sort_by_key(|member| (self.deadline(member.key), member.waits.unwrap()));
        let near = eligible.iter().take(LOOKED_AT).find(|member| self.is_near(member));
        let next = near.or_else(|| waiting.iter().take(LOOKED_AT).find(|member| self.may_go(member.key)));
        next.or(waiting.first()).map(|member| member.key)
    }

    /// Of those who wait or hold slots.
    fn least(&self) -> Option<i128> {
        let awake = self.members.iter().filter(|member| member.waits.is_some() || member.holds > 0);
        awake.map(|member| member.time).min()
    }

    fn is_near(&self, member: &Member<K>) -> bool {
        member.time <= self.least().unwrap() + self.stretch(self.slack + self.dearest(), member.key)
    }

    pub(crate) fn may_go(&self, key: K) -> bool {
        let member = self.of(key);
        self.slack > 0
            && member.waits.is_some()
            && self.capped().is_none_or(|capped| capped == key)
            && member.time <= self.now + self.stretch(self.slack, key)
            && member.time <= self.least().unwrap() + self.stretch(self.reach(), key)
    }

    /// Of those who are awake and not capped, how much of a slot the heaviest is due, in 1,024 parts.
    fn most_due(&self) -> i128 {
        let awake = || self.members.iter().filter(|member| member.awake);
        let capped = || awake().filter(|member| self.is_capped(member));
        let weight = awake().map(|member| member.weight).sum::<i128>()
            - capped().map(|member| member.weight).sum::<i128>();
        let slots = self.slots - capped().map(|member| member.usable).sum::<i128>();
        let heaviest = awake().filter(|member| !self.is_capped(member));
        let heaviest = heaviest.map(|member| (member.weight / member.usable).max(1)).max();
        heaviest.map_or(0, |heaviest| 1_024 * heaviest * slots / weight)
    }

    /// How far ahead of the furthest behind one may be that spends slack.
    fn reach(&self) -> i128 {
        let due = self.most_due();
        if due <= 512 || (due <= 768 && self.waiting().count() > ENOUGH) {
            return self.dearest() + self.slack;
        }
        self.slack.min(self.dearest())
    }

    pub(crate) fn deadline(&self, key: K) -> i128 {
        self.of(key).time + self.stretch(REQUEST, key)
    }

    pub(crate) fn start(&mut self, key: K, cost: i128) -> i128 {
        self.note(cost);
        let reserved = self.stretch(cost, key);
        let (now, capped) = (self.now, self.is_capped(self.of(key)));
        let member = self.of_mut(key);
        if capped {
            member.time = member.time.max(now);
        }
        member.waits = None;
        member.holds += 1;
        member.time += reserved;
        self.advance();
        cost
    }

    pub(crate) fn end(&mut self, key: K, reserved: i128, cost: Option<i128>) {
        // One charge far beyond all others says that somebody miscounted.
        let cost = cost.map(|cost| cost.min(4 * self.dearest().max(reserved)));
        let more = cost.map_or(0, |cost| self.stretch(cost, key)) - self.stretch(reserved, key);
        let (now, capped) = (self.now, self.is_capped(self.of(key)));
        let member = self.of_mut(key);
        member.holds -= 1;
        member.last = cost.unwrap_or(member.last);
        member.time += more;
        if capped && cost.is_some() {
            member.time = member.time.min(now);
        }
        self.advance();
        self.note(cost.unwrap_or(0));
        self.rest(key);
    }

    /// When virtual time will have caught up with a sleeper that owes something.
    pub(crate) fn owes_until(&self, key: K) -> Option<i128> {
        let member = self.of(key);
        let owes = member.time / effective(member, self.cap);
        (owes > 0).then_some(self.now + owes)
    }

    pub(crate) fn is_past(&self, time: i128) -> bool {
        self.now >= time
    }

    /// How far behind its due, in tenths of tokens.
    pub(crate) fn lag(&self, key: K) -> i128 {
        let member = self.of(key);
        let ahead =
            if member.awake { (member.time - self.now) * effective(member, self.cap) } else { member.time };
        -ahead / SCALE
    }
}

/// What a weight counts for.
fn effective<K>(member: &Member<K>, cap: i128) -> i128 {
    member.weight.min((cap * member.usable).min(i128::from(u32::MAX)))
}
