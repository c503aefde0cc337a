//! Both policies beside a naive model of themselves: lists that are searched from end to end.

use proptest::prelude::*;

use kernel_sched::{Charge, Demand, Entry, Fifo, Grant, Micros, PriorityRoundRobin, Scheduler, Slot};
use kernel_types::{Pid, Priority, Tokens};

/// What a caller does; pids are small numbers so that calls meet.
#[derive(Clone, Debug)]
enum Op {
    Admit(u64, u8),
    Request(u64),
    Next,
    Settle(u64, u64),
    Withdraw(u64, bool),
    Sleep(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let pid = 0..7u64;
    prop_oneof![
        2 => (pid.clone(), prop_oneof![0..4u8, 0..=100u8]).prop_map(|(pid, level)| Op::Admit(pid, level)),
        6 => pid.clone().prop_map(Op::Request),
        5 => Just(Op::Next),
        4 => (pid.clone(), 0..50u64).prop_map(|(pid, held)| Op::Settle(pid, held)),
        1 => (pid, prop::bool::weighted(0.2)).prop_map(|(pid, leave)| Op::Withdraw(pid, leave)),
        1 => (0..200u64).prop_map(Op::Sleep),
    ]
}

fn pid(number: u64) -> Pid {
    Pid::from_parts(number + 1, 0)
}

/// A process of the model.
#[derive(Clone, Debug)]
struct Process {
    pid: u64,
    level: u64,
    turn: Option<u64>,
    used: u64,
    grants: u64,
    last: u64,
    waits: Option<Wait>,
    holds: bool,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    since: u64,
    order: u64,
    granted_before: u64,
    input: u64,
}

/// How a naive policy picks among the processes that wait.
type Pick = fn(&[Process]) -> Option<usize>;

fn pick_fifo(processes: &[Process]) -> Option<usize> {
    let waiting = processes.iter().enumerate().filter_map(|(place, p)| Some((p.waits?.order, place)));
    waiting.min().map(|(_, place)| place)
}

fn pick_priority_rr(processes: &[Process]) -> Option<usize> {
    let age = |p: &Process| p.waits.map(|wait| (wait.granted_before + p.level * AGING, wait.order));
    let (_, level) = processes.iter().filter_map(|p| Some((age(p)?, p.level))).min()?;
    let of_level = processes.iter().enumerate().filter(|(_, p)| p.level == level && p.waits.is_some());
    of_level.min_by_key(|(_, p)| p.turn).map(|(place, _)| place)
}

const AGING: u64 = 3;
const SLICE: u64 = 100;

struct Model {
    pick: Pick,
    processes: Vec<Process>,
    now: u64,
    turns: u64,
    orders: u64,
    granted: u64,
}

impl Model {
    fn place(&self, pid: u64) -> Option<usize> {
        self.processes.iter().position(|process| process.pid == pid)
    }

    /// What the policy must answer: whether a call succeeds, and the grant.
    fn apply(&mut self, op: &Op) -> (bool, Option<Grant>) {
        match *op {
            Op::Sleep(span) => {
                self.now += span;
                (true, None)
            }
            Op::Admit(pid, level) => {
                let place = self.place(pid);
                if let Some(place) = place {
                    self.processes[place].level = u64::from(level);
                } else {
                    let (level, last) = (u64::from(level), self.now);
                    let idle = Process {
                        pid,
                        level,
                        turn: None,
                        used: 0,
                        grants: 0,
                        last,
                        waits: None,
                        holds: false,
                    };
                    self.processes.push(idle);
                }
                (true, None)
            }
            Op::Request(pid) => (self.request(pid), None),
            Op::Next => (true, self.next()),
            Op::Settle(pid, held) => {
                let Some(place) = self.place(pid) else { return (false, None) };
                let process = &mut self.processes[place];
                let held_one = std::mem::take(&mut process.holds);
                if held_one {
                    process.used += held;
                    process.last = self.now;
                }
                (held_one, None)
            }
            Op::Withdraw(pid, leave) => {
                let Some(place) = self.place(pid) else { return (false, None) };
                if self.processes[place].waits.take().is_some() {
                    self.processes[place].last = self.now;
                }
                if leave {
                    self.processes.remove(place);
                }
                (true, None)
            }
        }
    }

    fn request(&mut self, pid: u64) -> bool {
        let Some(place) = self.place(pid) else { return false };
        let process = &mut self.processes[place];
        if process.waits.is_some() || process.holds {
            return false;
        }
        let idle = self.now - process.last;
        if process.turn.is_none() || process.used >= SLICE || process.grants >= 64 || idle > SLICE {
            self.turns += 1;
            (process.turn, process.used, process.grants) = (Some(self.turns), 0, 0);
        }
        self.orders += 1;
        let (since, order, granted_before) = (self.now, self.orders, self.granted);
        process.waits = Some(Wait { since, order, granted_before, input: order });
        true
    }

    fn next(&mut self) -> Option<Grant> {
        let place = (self.pick)(&self.processes)?;
        let process = &mut self.processes[place];
        let wait = process.waits.take()?;
        process.holds = true;
        process.grants += 1;
        self.granted += 1;
        let demand = Demand { input: Tokens(wait.input), ..Demand::default() };
        Some(Grant { pid: pid(process.pid), demand, waited: Micros(self.now - wait.since) })
    }
}

fn check(mut scheduler: impl Scheduler, pick: Pick, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut model = Model { pick, processes: Vec::new(), now: 0, turns: 0, orders: 0, granted: 0 };
    for (step, op) in ops.iter().enumerate() {
        let (expected, grant) = model.apply(op);
        let now = Micros(model.now);
        let mut granted = None;
        let done = match *op {
            Op::Sleep(_) => true,
            Op::Admit(number, level) => {
                let priority = Priority::new(level).expect("within 0 to 100");
                scheduler.admit(Entry::new(pid(number)).urgent(priority), now).is_ok()
            }
            Op::Request(number) => {
                let demand = Demand { input: Tokens(model.orders), ..Demand::default() };
                scheduler.request(pid(number), demand, now).is_ok()
            }
            Op::Next => {
                granted = scheduler.next(&Slot::default(), now);
                true
            }
            Op::Settle(number, held) => {
                let charge = Charge { held: Micros(held), ..Charge::default() };
                scheduler.settle(pid(number), charge, now).is_ok()
            }
            Op::Withdraw(number, leave) => scheduler.withdraw(pid(number), leave, now).is_ok(),
        };
        prop_assert_eq!(done, expected, "step {}: {:?}", step, op);
        prop_assert_eq!(granted, grant, "step {}: {:?}", step, op);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fifo_agrees_with_its_model(ops in prop::collection::vec(op(), 1..400)) {
        check(Fifo::new(), pick_fifo, &ops)?;
    }

    #[test]
    fn priority_rr_agrees_with_its_model(ops in prop::collection::vec(op(), 1..400)) {
        let scheduler = PriorityRoundRobin::new().with_slice(Micros(SLICE)).with_aging(AGING);
        check(scheduler, pick_priority_rr, &ops)?;
    }
}
