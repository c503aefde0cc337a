//! A small pool of slots in virtual time, for schedules that are made by hand: a slot serves a token a microsecond.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use kernel_sched::{Charge, Demand, Entry, Micros, Scheduler, Slot, Standing};
use kernel_types::{Pid, Tokens};

pub(super) type Policy = Box<dyn Scheduler>;

/// What an agent does: call after call of one size.
#[derive(Clone, Copy)]
pub(super) struct Agent {
    pub(super) entry: Entry,
    /// When it first asks.
    pub(super) start: u64,
    /// Tokens of a call, and how many it says there will be.
    pub(super) tokens: u64,
    pub(super) estimate: u64,
    /// Tokens it is charged that it never used.
    pub(super) surcharge: u64,
    /// Between the end of a call and the next request.
    pub(super) pause: u64,
    /// It leaves after so many.
    pub(super) calls: u64,
    /// Its context is warm on the slot that served it last.
    pub(super) warm: bool,
}

pub(super) fn pid(number: usize) -> Pid {
    Pid::from_parts(number as u64 + 1, 0)
}

/// An agent that always wants calls of so many tokens.
pub(super) fn agent(number: usize, tokens: u64) -> Agent {
    let entry = Entry::new(pid(number));
    Agent { entry, start: 0, tokens, estimate: tokens, surcharge: 0, pause: 0, calls: u64::MAX, warm: false }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ends(u32),
    Asks(usize),
}

/// What became of an agent.
#[derive(Clone, Copy, Default)]
pub(super) struct Account {
    pub(super) served: u64,
    pub(super) calls: u64,
    /// The longest it waited for a slot; who waits still counts.
    pub(super) longest: u64,
    /// When its last call ended.
    ended: Option<u64>,
}

pub(super) struct Pool {
    pub(super) policy: Policy,
    pub(super) now: u64,
    pub(super) agents: Vec<Agent>,
    accounts: Vec<Account>,
    numbers: HashMap<Pid, usize>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    slots: u32,
    serving: Vec<Option<usize>>,
    last: Vec<Option<usize>>,
    /// For how long after a call the contexts of those who are warm are kept, whoever has the slot meanwhile; `None`: only that of
    /// the last on each slot.
    pub(super) ttl: Option<u64>,
    /// Who is waiting or being served, now and at most.
    ready: usize,
    pub(super) most_ready: usize,
}

impl Pool {
    pub(super) fn new(policy: Policy, slots: u32, agents: Vec<Agent>) -> Self {
        let mut pool = Self {
            policy,
            now: 0,
            agents: Vec::new(),
            accounts: Vec::new(),
            numbers: HashMap::new(),
            events: BinaryHeap::new(),
            order: 0,
            slots,
            serving: vec![None; slots as usize],
            last: vec![None; slots as usize],
            ttl: None,
            ready: 0,
            most_ready: 0,
        };
        agents.into_iter().for_each(|agent| pool.add(agent));
        pool
    }

    /// It comes when it first asks.
    pub(super) fn add(&mut self, agent: Agent) {
        let number = self.agents.len();
        self.numbers.insert(agent.entry.pid, number);
        self.accounts.push(Account::default());
        self.at(agent.start.max(self.now), Event::Asks(number));
        self.agents.push(agent);
    }

    fn at(&mut self, time: u64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((time, self.order, event)));
    }

    /// Calls under way go on where slots go away.
    pub(super) fn set_slots(&mut self, slots: u32) {
        self.slots = slots;
        let length = self.serving.len().max(slots as usize);
        self.serving.resize(length, None);
        self.last.resize(length, None);
    }

    /// It leaves now, whatever it does.
    pub(super) fn kill(&mut self, number: usize) {
        let pid = self.agents[number].entry.pid;
        match self.policy.standing(pid) {
            None => return,
            Some(Standing::Idle) => {}
            Some(_) => self.ready -= 1,
        }
        self.policy.withdraw(pid, true, Micros(self.now)).unwrap();
        self.agents[number].calls = 0;
        self.serving.iter_mut().filter(|slot| **slot == Some(number)).for_each(|slot| *slot = None);
        self.grant();
    }

    /// It takes its request back and asks again after its pause.
    pub(super) fn cancel(&mut self, number: usize) {
        let Agent { entry, pause, .. } = self.agents[number];
        if self.policy.standing(entry.pid).is_some()
            && self.policy.withdraw(entry.pid, false, Micros(self.now)).unwrap()
        {
            self.ready -= 1;
            self.at(self.now + pause.max(1), Event::Asks(number));
        }
    }

    /// Its call is cut short, as the kernel does it: what it used is charged, the slot is free; it asks again at once.
    pub(super) fn cut_short(&mut self, number: usize) {
        let pid = self.agents[number].entry.pid;
        let Some(Standing::Holding(since)) = self.policy.standing(pid) else { return };
        let used = self.now - since.0;
        let charge = Charge { uncached: Tokens(used), held: Micros(used), ..Charge::default() };
        self.policy.settle(pid, charge, Micros(self.now)).unwrap();
        self.serving.iter_mut().filter(|slot| **slot == Some(number)).for_each(|slot| *slot = None);
        self.accounts[number].served += used;
        self.ready -= 1;
        self.ask(number);
        self.grant();
    }

    pub(super) fn run(&mut self, until: u64) {
        while let Some(Reverse((time, _, event))) = self.events.peek().copied() {
            if time > until {
                break;
            }
            self.events.pop();
            self.now = time;
            match event {
                Event::Asks(number) => self.ask(number),
                Event::Ends(slot) => self.end(slot),
            }
            if self.events.peek().is_none_or(|Reverse((next, _, _))| *next > time) {
                self.grant();
            }
        }
        self.now = until;
    }

    fn ask(&mut self, number: usize) {
        let agent = self.agents[number];
        if agent.calls == 0 {
            return;
        }
        let (now, input) = (Micros(self.now), Tokens(agent.estimate));
        if self.policy.standing(agent.entry.pid).is_none() {
            self.policy.admit(agent.entry, now).unwrap();
        }
        self.policy.request(agent.entry.pid, Demand { input, ..Demand::default() }, now).unwrap();
        self.ready += 1;
        self.most_ready = self.most_ready.max(self.ready);
    }

    fn grant(&mut self) {
        for slot in 0..self.slots {
            if self.serving[slot as usize].is_some() {
                continue;
            }
            let kept: Vec<usize> = match self.ttl {
                Some(ttl) => {
                    let fresh =
                        |number: &usize| self.accounts[*number].ended.is_some_and(|at| self.now - at <= ttl);
                    (0..self.agents.len()).filter(fresh).collect()
                }
                None => self.last[slot as usize].into_iter().collect(),
            };
            let kept = kept.into_iter().filter(|number| self.agents[*number].warm);
            let warm: Vec<Pid> = kept.map(|number| self.agents[number].entry.pid).collect();
            let offered = Slot { number: slot, of: self.slots, warm: &warm };
            let Some(grant) = self.policy.next(&offered, Micros(self.now)) else { return };
            let number = self.numbers[&grant.pid];
            let account = &mut self.accounts[number];
            account.longest = account.longest.max(grant.waited.0);
            (self.serving[slot as usize], self.last[slot as usize]) = (Some(number), Some(number));
            self.at(self.now + self.agents[number].tokens.max(1), Event::Ends(slot));
        }
    }

    fn end(&mut self, slot: u32) {
        // Who was killed left it free; by now somebody else may have it, until an end of its own.
        let Some(number) = self.serving[slot as usize] else { return };
        let agent = self.agents[number];
        let Some(Standing::Holding(since)) = self.policy.standing(agent.entry.pid) else { return };
        if since.0 + agent.tokens.max(1) > self.now {
            return;
        }
        self.serving[slot as usize] = None;
        let held = Micros(agent.tokens.max(1));
        let charge = Charge {
            uncached: Tokens(agent.tokens.saturating_add(agent.surcharge)),
            held,
            ..Charge::default()
        };
        self.policy.settle(agent.entry.pid, charge, Micros(self.now)).unwrap();
        self.ready -= 1;
        let account = &mut self.accounts[number];
        (account.served, account.calls) = (account.served + agent.tokens, account.calls + 1);
        account.ended = Some(self.now);
        if account.calls >= agent.calls {
            self.policy.withdraw(agent.entry.pid, true, Micros(self.now)).unwrap();
        } else if agent.pause == 0 {
            self.ask(number);
        } else {
            self.at(self.now + agent.pause, Event::Asks(number));
        }
    }

    /// Of one agent, until now.
    pub(super) fn account(&self, number: usize) -> Account {
        let account = self.accounts[number];
        let waits = match self.policy.standing(self.agents[number].entry.pid) {
            Some(Standing::Waiting(since)) => self.now - since.0,
            _ => 0,
        };
        Account { longest: account.longest.max(waits), ..account }
    }

    pub(super) fn served(&self, number: usize) -> u64 {
        self.account(number).served
    }

    /// The longest wait of some.
    pub(super) fn longest(&self, numbers: impl IntoIterator<Item = usize>) -> u64 {
        numbers.into_iter().map(|number| self.account(number).longest).max().unwrap_or(0)
    }

    /// How far the service of some is apart.
    pub(super) fn apart(&self, numbers: impl IntoIterator<Item = usize>) -> u64 {
        let served: Vec<u64> = numbers.into_iter().map(|number| self.served(number)).collect();
        served.iter().max().unwrap() - served.iter().min().unwrap()
    }
}
