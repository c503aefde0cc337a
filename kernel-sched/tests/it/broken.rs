//! The laws against schedulers with one seeded defect each.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use kernel_types::Pid;

use kernel_sched::conformance;
use kernel_sched::{
    Charge, Demand, Entry, Fifo, Grant, Micros, PriorityRoundRobin, SchedError, Scheduler, Slot, Standing,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Defect {
    GrantsTheDead,
    GrantsTwice,
    GrantsWhoDidNotAsk,
    LosesARequest,
    LeavesASlotFree,
    ForgetsTheDemand,
    CountsFailedCalls,
    TakesOverTheTimeOfFailedCalls,
    LetsTimeGoBack,
    SettlesTwice,
    KeepsWhatIsWithdrawn,
    IsRandom,
    TakesTwice,
    TakesAnother,
    StandsIdleWhileHolding,
    RefusesEarlierTimesInNext,
    KeepsWhatIsGivenBack,
    KnowsNoSlices,
}

/// A fifo with a defect.
struct Broken {
    inner: Fifo,
    defect: Defect,
    counter: u64,
    again: VecDeque<Grant>,
    latest: Micros,
    /// Who asked last.
    last: Option<Pid>,
}

impl Broken {
    fn new(defect: Defect) -> Self {
        Self { inner: Fifo::new(), defect, counter: 0, again: VecDeque::new(), latest: Micros(0), last: None }
    }

    fn is(&self, defect: Defect) -> bool {
        self.defect == defect
    }
}

impl Scheduler for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn admit(&mut self, entry: Entry, now: Micros) -> Result<(), SchedError> {
        if self.is(Defect::GrantsWhoDidNotAsk) {
            self.again.push_back(Grant { pid: entry.pid, demand: Demand::default(), waited: Micros(0) });
        }
        self.inner.admit(entry, now)
    }

    fn request(&mut self, pid: Pid, demand: Demand, now: Micros) -> Result<(), SchedError> {
        self.counter += 1;
        (self.latest, self.last) = (now, Some(pid));
        if self.is(Defect::LosesARequest) && self.counter.is_multiple_of(7) {
            return Ok(());
        }
        let answer = self.inner.request(pid, demand, now);
        match answer {
            Err(SchedError::AlreadyAsked(_)) if self.is(Defect::CountsFailedCalls) => {
                // The mistake costs the process its place.
                if self.inner.withdraw(pid, false, now) == Ok(true) {
                    return self.inner.request(pid, demand, now).and(answer);
                }
                answer
            }
            Err(SchedError::Unknown(_)) if self.is(Defect::TakesOverTheTimeOfFailedCalls) => {
                self.inner.next(&Slot::default(), now);
                answer
            }
            _ => answer,
        }
    }

    fn next(&mut self, slot: &Slot<'_>, now: Micros) -> Option<Grant> {
        if let Some(grant) = self.again.pop_front() {
            return Some(grant);
        }
        self.counter += 1;
        if self.is(Defect::LeavesASlotFree) && self.counter.is_multiple_of(5) {
            return None;
        }
        if self.is(Defect::RefusesEarlierTimesInNext) && now < self.latest {
            return None;
        }
        let last = self.last.filter(|_| self.is(Defect::KnowsNoSlices));
        if let Some(grant) = last.and_then(|last| self.inner.take(last, slot, now)) {
            return Some(grant);
        }
        let grant = self.inner.next(slot, now)?;
        match self.defect {
            Defect::GrantsTwice => self.again.push_back(grant),
            Defect::ForgetsTheDemand => return Some(Grant { demand: Demand::default(), ..grant }),
            Defect::IsRandom if Pid::fresh().to_bytes()[15].is_multiple_of(2) => {
                // Sends the first to the back of the queue by chance.
                self.inner.settle(grant.pid, Charge::default(), now).expect("it holds a slot");
                self.inner.request(grant.pid, grant.demand, now).expect("it is idle");
                return self.inner.next(slot, now);
            }
            _ => {}
        }
        Some(grant)
    }

    fn take(&mut self, pid: Pid, slot: &Slot<'_>, now: Micros) -> Option<Grant> {
        let grant = self.inner.take(pid, slot, now)?;
        match self.defect {
            Defect::TakesTwice => self.again.push_back(grant),
            Defect::TakesAnother => {
                let other = self.inner.next(slot, now)?;
                self.again.push_back(grant);
                return Some(other);
            }
            _ => {}
        }
        Some(grant)
    }

    fn give_back(&mut self, pid: Pid, now: Micros) -> Result<(), SchedError> {
        if self.is(Defect::KeepsWhatIsGivenBack)
            && matches!(self.inner.standing(pid), Some(Standing::Holding(_)))
        {
            return Ok(());
        }
        self.inner.give_back(pid, now)
    }

    fn settle(&mut self, pid: Pid, charge: Charge, now: Micros) -> Result<(), SchedError> {
        match self.inner.settle(pid, charge, now) {
            Err(SchedError::NoGrant(_)) if self.is(Defect::SettlesTwice) => Ok(()),
            answer => answer,
        }
    }

    fn withdraw(&mut self, pid: Pid, leave: bool, now: Micros) -> Result<bool, SchedError> {
        let waiting = matches!(self.inner.standing(pid), Some(Standing::Waiting(_)));
        if self.is(Defect::KeepsWhatIsWithdrawn) && !leave {
            return self.inner.standing(pid).map(|_| waiting).ok_or(SchedError::Unknown(pid));
        }
        if self.is(Defect::LetsTimeGoBack) {
            return match self.inner.withdraw(pid, leave, now) {
                Err(SchedError::TimeWentBack { before, .. }) => self.inner.withdraw(pid, leave, before),
                answer => answer,
            };
        }
        if self.is(Defect::GrantsTheDead) && leave && waiting {
            self.again.push_back(Grant { pid, demand: Demand::default(), waited: Micros(0) });
        }
        self.inner.withdraw(pid, leave, now)
    }

    fn standing(&self, pid: Pid) -> Option<Standing> {
        match self.inner.standing(pid) {
            Some(Standing::Holding(_)) if self.is(Defect::StandsIdleWhileHolding) => Some(Standing::Idle),
            standing => standing,
        }
    }
}

fn fails(defect: impl std::fmt::Debug, law: impl FnOnce()) {
    assert!(catch_unwind(AssertUnwindSafe(law)).is_err(), "the laws do not notice {defect:?}");
}

macro_rules! broken_schedulers_fail {
    ($($defect:ident => $($law:ident),+;)*) => {
        #[test]
        fn each_defect_is_noticed() {
            $($(fails(Defect::$defect, || conformance::$law(|| Broken::new(Defect::$defect)));)+)*
        }
    };
}

broken_schedulers_fail! {
    GrantsTheDead => the_dead_are_not_granted, a_random_walk_is_safe;
    GrantsTwice => each_request_is_granted_once, a_random_walk_is_safe;
    GrantsWhoDidNotAsk => only_who_asked_is_granted, a_random_walk_is_safe;
    LosesARequest => each_request_is_granted_once, a_random_walk_is_safe;
    LeavesASlotFree => each_request_is_granted_once, a_random_walk_is_safe;
    ForgetsTheDemand => a_grant_says_what_was_asked, a_random_walk_is_safe;
    CountsFailedCalls => an_error_changes_nothing;
    TakesOverTheTimeOfFailedCalls => mistakes_are_named, an_error_changes_nothing;
    LetsTimeGoBack => mistakes_are_named;
    SettlesTwice => mistakes_are_named, a_random_walk_is_safe;
    KeepsWhatIsWithdrawn => a_withdrawn_request_is_not_granted, a_random_walk_is_safe;
    IsRandom => it_is_deterministic;
    TakesTwice => who_is_taken_holds_the_slot, a_random_walk_is_safe;
    TakesAnother => who_is_taken_holds_the_slot, a_random_walk_is_safe;
    StandsIdleWhileHolding => a_standing_follows_the_calls, a_random_walk_is_safe;
    RefusesEarlierTimesInNext => next_survives_time_going_back;
    KeepsWhatIsGivenBack => a_grant_given_back_is_no_call, a_random_walk_is_safe;
    KnowsNoSlices => a_slice_ends_a_turn;
}

#[test]
fn a_scheduler_that_starves_is_noticed() {
    let starving = || PriorityRoundRobin::new().with_aging(1 << 40);
    fails("starving", || conformance::nobody_starves(starving));
    fails("starving", || conformance::nobody_starves_of_newcomers(starving));
}

#[test]
fn a_sound_scheduler_passes_what_the_broken_ones_fail() {
    conformance::each_request_is_granted_once(Fifo::new);
    conformance::the_dead_are_not_granted(Fifo::new);
    conformance::a_slice_ends_a_turn(Fifo::new);
    conformance::nobody_starves(PriorityRoundRobin::new);
    conformance::nobody_starves_of_newcomers(PriorityRoundRobin::new);
}
