//! Who tries to get more than its share.

use std::collections::HashMap;

use kernel_sched::{
    Charge, Demand, Entry, Fair, Fifo, Grant, LeastAttained, Micros, SchedError, Scheduler, Slot, Standing,
};
use kernel_types::{Pid, Priority};

use super::pool::{Agent, Policy, Pool, agent, pid};
use super::{SLACK, apart, bounded, fair};

/// Who slept is not owed what it slept through: at most a call's worth.
#[test]
fn an_hour_of_idleness_is_no_credit() {
    let case = |policy: Policy| {
        let mut agents: Vec<Agent> = (0..10).map(|number| agent(number, 5_000)).collect();
        agents[0].pause = 3_600_000_000;
        let mut pool = Pool::new(policy, 1, agents);
        pool.run(3_600_000_000);
        pool.agents[0].pause = 0;
        let before: Vec<u64> = (0..10).map(|number| pool.served(number)).collect();
        let gained = (1..=100).map(|step| {
            pool.run(3_600_000_000 + step * 20_000);
            let since = |number: usize| pool.served(number) - before[number];
            since(0).saturating_sub((1..10).map(since).min().unwrap())
        });
        let gained = gained.max().unwrap();
        assert!(pool.served(0) > before[0], "who wakes is served");
        (gained, apart(5_000))
    };
    bounded(case, LeastAttained::new());
}

/// A fair policy that forgets what a process had whenever it is idle for an instant: it comes back as another family.
struct Forgetful {
    inner: Fair,
    entries: HashMap<Pid, (Entry, Micros)>,
    families: u64,
}

impl Scheduler for Forgetful {
    fn name(&self) -> &'static str {
        "forgetful"
    }
    fn admit(&mut self, entry: Entry, now: Micros) -> Result<(), SchedError> {
        self.entries.insert(entry.pid, (entry, now));
        self.inner.admit(entry, now)
    }
    fn request(&mut self, pid: Pid, demand: Demand, now: Micros) -> Result<(), SchedError> {
        let (entry, idle_since) = self.entries[&pid];
        if now > idle_since {
            self.inner.withdraw(pid, true, now)?;
            self.families += 1;
            self.inner.admit(entry.below(Pid::from_parts(self.families, 1), entry.share), now)?;
        }
        self.inner.request(pid, demand, now)
    }
    fn next(&mut self, slot: &Slot<'_>, now: Micros) -> Option<Grant> {
        self.inner.next(slot, now)
    }
    fn settle(&mut self, pid: Pid, charge: Charge, now: Micros) -> Result<(), SchedError> {
        self.entries.entry(pid).and_modify(|(_, idle_since)| *idle_since = now);
        self.inner.settle(pid, charge, now)
    }
    fn withdraw(&mut self, pid: Pid, leave: bool, now: Micros) -> Result<bool, SchedError> {
        self.inner.withdraw(pid, leave, now)
    }
    fn standing(&self, pid: Pid) -> Option<Standing> {
        self.inner.standing(pid)
    }
}

#[test]
fn an_instant_of_idleness_after_each_call_gains_nothing() {
    let case = |policy: Policy| {
        let mut agents: Vec<Agent> =
            (0..10).map(|number| agent(number, if number == 0 { 50_000 } else { 5_000 })).collect();
        // Less than a call of the others: a slot is granted meanwhile.
        agents[0].pause = 10;
        let mut pool = Pool::new(policy, 1, agents);
        let gained = (1..=500).map(|step| {
            pool.run(step * 100_000);
            pool.served(0).saturating_sub((1..10).map(|number| pool.served(number)).min().unwrap())
        });
        (gained.max().unwrap(), apart(50_000))
    };
    let forgetful = Forgetful { inner: Fair::new().with_slack(SLACK), entries: HashMap::new(), families: 0 };
    bounded(case, forgetful);
}

/// A process and a thousand children of its have one share against one that has none.
#[test]
fn a_family_of_a_thousand_has_one_share() {
    let case = |policy: Policy| {
        let mut agents = vec![agent(0, 1_000)];
        agents.extend((1..=1_000).map(|number| {
            let child = agent(number, 1_000);
            Agent { entry: child.entry.below(pid(1), Priority::default()), ..child }
        }));
        let mut pool = Pool::new(policy, 1, agents);
        let most = (1..=100).map(|step| {
            pool.run(step * 50_000);
            (1..=1_000).map(|number| pool.served(number)).sum::<u64>().abs_diff(pool.served(0))
        });
        (most.max().unwrap(), apart(1_000))
    };
    bounded(case, Fifo::new());
}

/// A chain of processes, each of which makes one dear call and exits before the next one asks: what its family owes stays owed.
#[test]
fn a_chain_of_processes_that_exit_has_one_share() {
    let case = |policy: Policy| {
        let mut pool = Pool::new(policy, 1, (0..20).map(|number| agent(number, 1_000)).collect());
        let mut of_chain = 0;
        let mut most = 0;
        for generation in 20..60 {
            let link = agent(generation, 100_000);
            let entry = link.entry.below(pid(1_000), Priority::default());
            pool.add(Agent { entry, start: pool.now + 1_000, calls: 1, ..link });
            while pool.served(generation) == 0 && pool.now < 40_000_000 {
                pool.run(pool.now + 500);
            }
            of_chain += pool.served(generation);
            most =
                most.max(of_chain.saturating_sub((0..20).map(|number| pool.served(number)).min().unwrap()));
        }
        (most, apart(100_000))
    };
    bounded(case, Fifo::new());
}

/// Who is warm on the slot all the time runs ahead by the slack and two calls at most, whatever a slice allows.
#[test]
fn who_is_always_warm_does_not_hog_the_slot() {
    let case = |policy: Policy| {
        let mut agents: Vec<Agent> = (0..6).map(|number| agent(number, 2_000)).collect();
        agents[0].warm = true;
        let mut pool = Pool::new(policy, 1, agents);
        let most = (1..=500).map(|step| {
            pool.run(step * 10_000);
            pool.apart(0..6)
        });
        (most.max().unwrap(), apart(2_000))
    };
    let loose = Fair::new().with_slack(100 * SLACK).with_slice(Micros(u64::MAX));
    bounded(case, loose);
}

/// A context that is forgotten while its process waits is not warm any more: others go first, and it is served in its turn.
#[test]
fn a_context_that_expires_in_the_queue_gives_no_right() {
    for (expires, first) in [(false, pid(0)), (true, pid(1))] {
        let mut policy = fair();
        for number in 0..2 {
            policy.admit(Entry::new(pid(number)), Micros(0)).unwrap();
            policy.request(pid(number), Demand::default(), Micros(0)).unwrap();
        }
        let granted = policy.next(&Slot::default(), Micros(0)).unwrap().pid;
        assert_eq!(granted, pid(0));
        let charge = Charge { uncached: kernel_types::Tokens(3_000), ..Charge::default() };
        policy.settle(pid(0), charge, Micros(1)).unwrap();
        policy.request(pid(0), Demand::default(), Micros(1)).unwrap();
        let warm: &[Pid] = if expires { &[] } else { &[pid(0)] };
        let slot = Slot { warm, ..Slot::default() };
        assert_eq!(policy.next(&slot, Micros(2)).unwrap().pid, first, "expires: {expires}");
        assert!(policy.next(&slot, Micros(2)).is_some(), "the other is next");
    }
}

/// Who waits for longer than its context is kept goes when it is due, like anybody else; while it is kept, sooner.
#[test]
fn a_context_that_expires_in_the_queue_is_worth_nothing() {
    let ahead = |ttl: u64| {
        let mut agents: Vec<Agent> = (0..6).map(|number| agent(number, 4_000)).collect();
        // It is back before the call that took its slot ends.
        agents[0] = Agent { warm: true, pause: 1, ..agent(0, 2_000) };
        let mut pool = Pool::new(fair(), 1, agents);
        pool.ttl = Some(ttl);
        let ahead = (1..=2_000).map(|step| {
            pool.run(step * 5_000);
            pool.served(0).saturating_sub((1..6).map(|number| pool.served(number)).min().unwrap())
        });
        ahead.max().unwrap()
    };
    let (kept, expired) = (ahead(u64::MAX), ahead(1_000));
    assert!(expired <= 2 * 4_000, "{expired} ahead without a warm context");
    assert!(kept > 2 * 4_000, "{kept} ahead with one: the case shows nothing");
}
