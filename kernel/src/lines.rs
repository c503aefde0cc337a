//! The lines for rates: who waits for which account's rate, who is trying, who may try next.
//!
//! First come, first served: one of a line tries at a time, and the others wait for what becomes of it. But a rate says nothing of
//! Cpus: when the Cpu of the one that tries does not take it, the first who asks another Cpu may try as well.

use std::collections::{BTreeMap, BTreeSet};

use kernel_sched::Micros;
use kernel_types::Pid;

use crate::ledger::Account;

/// Where a call stands, or stood, in a line. It keeps its place when it tries and comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) account: Account,
    cpu: usize,
    arrival: u64,
}

/// One who waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    pid: Pid,
    /// When it may try.
    at: Micros,
}

/// One who was the first and tries.
#[derive(Clone, Copy, Debug)]
struct Trying {
    arrival: u64,
    /// Its Cpu does not take it: others need not wait for it.
    passed: bool,
}

#[derive(Clone, Debug, Default)]
struct Line {
    /// By Cpu, in order of arrival.
    waiting: BTreeMap<usize, BTreeMap<u64, Waiting>>,
    /// One a Cpu.
    trying: BTreeMap<usize, Trying>,
    /// As it is noted among those that are due.
    due: Option<Micros>,
}

impl Line {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.trying.is_empty()
    }

    /// Who may try next: the first of those whose Cpu nobody tries, unless somebody tries who may yet start.
    fn next(&self) -> Option<(usize, u64, Waiting)> {
        if self.trying.values().any(|trying| !trying.passed) {
            return None;
        }
        let free = self.waiting.iter().filter(|(cpu, _)| !self.trying.contains_key(cpu));
        let firsts = free.filter_map(|(cpu, queue)| {
            let (arrival, waiting) = queue.first_key_value()?;
            Some((*cpu, *arrival, *waiting))
        });
        firsts.min_by_key(|(_, arrival, _)| *arrival)
    }
}

/// All lines. An operation costs O(log n), and O(Cpus) in the line that it is about.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    lines: BTreeMap<Account, Line>,
    /// When somebody of which line may try.
    due: BTreeSet<(Micros, Account)>,
    /// The lines that somebody tries for on a Cpu and was not passed.
    trying: BTreeMap<usize, BTreeSet<Account>>,
    arrivals: u64,
}

impl Lines {
    /// Whether somebody waits, or tries.
    pub(crate) fn is_waited_for(&self, account: Account) -> bool {
        self.lines.contains_key(&account)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Goes to the end of a line.
    pub(crate) fn join(&mut self, account: Account, cpu: usize, pid: Pid, at: Micros) -> Place {
        self.arrivals += 1;
        let place = Place { account, cpu, arrival: self.arrivals };
        self.wait(place, pid, at);
        place
    }

    /// Tried in vain: it is where it was, until then.
    pub(crate) fn come_back(&mut self, place: Place, pid: Pid, at: Micros) {
        self.stop_trying(place);
        self.wait(place, pid, at);
    }

    fn wait(&mut self, place: Place, pid: Pid, at: Micros) {
        let line = self.lines.entry(place.account).or_default();
        line.waiting.entry(place.cpu).or_default().insert(place.arrival, Waiting { pid, at });
        self.note(place.account);
    }

    /// Waits no more.
    pub(crate) fn quit(&mut self, place: Place) {
        self.take(place);
        self.note(place.account);
    }

    fn take(&mut self, place: Place) {
        let Some(line) = self.lines.get_mut(&place.account) else { return };
        let Some(queue) = line.waiting.get_mut(&place.cpu) else { return };
        queue.remove(&place.arrival);
        if queue.is_empty() {
            line.waiting.remove(&place.cpu);
        }
    }

    /// Has started, or is over: the others need not wait for it.
    pub(crate) fn has_tried(&mut self, place: Place) {
        self.stop_trying(place);
        self.note(place.account);
    }

    fn stop_trying(&mut self, place: Place) {
        let Some(line) = self.lines.get_mut(&place.account) else { return };
        if line.trying.get(&place.cpu).is_some_and(|trying| trying.arrival == place.arrival) {
            line.trying.remove(&place.cpu);
            self.forget_trying(place.cpu, place.account);
        }
    }

    fn forget_trying(&mut self, cpu: usize, account: Account) {
        if let Some(accounts) = self.trying.get_mut(&cpu) {
            accounts.remove(&account);
            if accounts.is_empty() {
                self.trying.remove(&cpu);
            }
        }
    }

    /// The next whose time has come: it tries from now on.
    pub(crate) fn fire(&mut self, now: Micros) -> Option<(Place, Pid)> {
        let (at, account) = self.due.first().copied()?;
        if at > now {
            return None;
        }
        let line = self.lines.get_mut(&account)?;
        let (cpu, arrival, waiting) = line.next()?;
        let place = Place { account, cpu, arrival };
        line.trying.insert(cpu, Trying { arrival, passed: false });
        self.trying.entry(cpu).or_default().insert(account);
        self.take(place);
        self.note(account);
        Some((place, waiting.pid))
    }

    /// A Cpu takes no call now: who tries on it holds up nobody who asks another; nor anybody at all if it is `down`.
    pub(crate) fn pass(&mut self, cpu: usize, down: bool) {
        for account in self.trying.remove(&cpu).unwrap_or_default() {
            if let Some(trying) = self.lines.get_mut(&account).and_then(|line| line.trying.get_mut(&cpu)) {
                trying.passed = true;
            }
            self.note(account);
        }
        if down {
            self.pass_all(cpu);
        }
    }

    fn pass_all(&mut self, cpu: usize) {
        let tried = self.lines.iter().filter(|(_, line)| line.trying.contains_key(&cpu));
        for account in tried.map(|(account, _)| *account).collect::<Vec<_>>() {
            if let Some(line) = self.lines.get_mut(&account) {
                line.trying.remove(&cpu);
            }
            self.note(account);
        }
    }

    /// When the first may try.
    pub(crate) fn next(&self) -> Option<Micros> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Notes when somebody of a line may try; forgets one in which nobody is.
    fn note(&mut self, account: Account) {
        let Some(line) = self.lines.get_mut(&account) else { return };
        let due = line.next().map(|(_, _, waiting)| waiting.at);
        if due != line.due {
            line.due.map(|at| self.due.remove(&(at, account)));
            due.map(|at| self.due.insert((at, account)));
            line.due = due;
        }
        if line.is_empty() {
            self.lines.remove(&account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: Account = Account::Tenant(7);

    fn pid(n: u64) -> Pid {
        Pid::from_parts(n, 0)
    }

    fn lined_up(cpus: &[usize]) -> (Lines, Vec<Place>) {
        let mut lines = Lines::default();
        let places = cpus.iter().zip(0..).map(|(cpu, n)| lines.join(ACCOUNT, *cpu, pid(n), Micros(0)));
        let places = places.collect();
        (lines, places)
    }

    #[test]
    fn one_tries_at_a_time_and_keeps_its_place() {
        let (mut lines, places) = lined_up(&[0, 0, 1]);
        let fired = lines.fire(Micros(0));
        assert_eq!(fired, Some((places[0], pid(0))));
        assert_eq!(
            (lines.fire(Micros(0)), lines.next()),
            (None, None),
            "the others wait for what becomes of it"
        );
        lines.come_back(places[0], pid(0), Micros(50));
        assert_eq!((lines.fire(Micros(49)), lines.next()), (None, Some(Micros(50))));
        assert_eq!(lines.fire(Micros(50)), Some((places[0], pid(0))));
        lines.has_tried(places[0]);
        assert_eq!(lines.fire(Micros(50)), Some((places[1], pid(1))));
        lines.has_tried(places[1]);
        lines.quit(places[2]);
        assert!(lines.is_empty() && lines.next().is_none());
    }

    #[test]
    fn who_waits_for_its_cpu_is_passed_by_who_asks_another() {
        let (mut lines, places) = lined_up(&[0, 0, 1]);
        assert_eq!(lines.fire(Micros(0)), Some((places[0], pid(0))));
        lines.pass(0, false);
        assert_eq!(lines.fire(Micros(0)), Some((places[2], pid(2))), "not the other of the same Cpu");
        assert_eq!(lines.fire(Micros(0)), None);
        lines.has_tried(places[2]);
        assert_eq!((lines.fire(Micros(0)), lines.is_waited_for(ACCOUNT)), (None, true));
        lines.has_tried(places[0]);
        assert_eq!(lines.fire(Micros(0)), Some((places[1], pid(1))));
    }

    #[test]
    fn who_waits_for_a_cpu_that_is_down_holds_up_nobody() {
        let (mut lines, places) = lined_up(&[0, 0, 1]);
        for (place, n) in places[..2].iter().zip(0..) {
            assert_eq!(lines.fire(Micros(0)), Some((*place, pid(n))));
            lines.pass(0, true);
        }
        assert_eq!(lines.fire(Micros(0)), Some((places[2], pid(2))));
        lines.has_tried(places[2]);
        for place in &places[..2] {
            // What becomes of them is of no account any more.
            lines.has_tried(*place);
        }
        assert!(lines.is_empty());
    }
}
