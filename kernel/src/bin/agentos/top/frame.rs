//! What is shown at one moment: all kernels of a data directory together, and sums over them.

use std::collections::BTreeMap;

use kernel::{CpuStatus, LimitStatus, ProcessStatus};
use kernel_types::{MicroUsd, ProcessState, Timestamp, Tokens};

use crate::format::{count, counted, plain, time};

/// Cpus that are shown in a header, and limits.
const CPUS: usize = 4;

/// One moment.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(super) at: Timestamp,
    /// The names of the sockets of the kernels that answered.
    pub(super) kernels: Vec<String>,
    pub(super) cpus: Vec<CpuStatus>,
    /// Of the system and of tenants.
    pub(super) limits: Vec<LimitStatus>,
    pub(super) processes: Vec<ProcessStatus>,
    /// What there is to know about where this comes from.
    pub(super) notes: Vec<String>,
}

impl Frame {
    pub(super) fn tokens(&self) -> Tokens {
        self.processes.iter().map(|process| process.info.usage.tokens()).sum()
    }

    pub(super) fn cost(&self) -> MicroUsd {
        let costs = self.processes.iter().map(|process| process.info.usage.cost);
        costs.fold(MicroUsd(0), MicroUsd::saturating_add)
    }

    /// How many processes there are of each state.
    pub(super) fn states(&self) -> BTreeMap<&'static str, u64> {
        let mut states = BTreeMap::new();
        for process in &self.processes {
            *states.entry(state(&process.info.state)).or_default() += 1;
        }
        states
    }

    /// The lines above the table.
    pub(super) fn header(&self, per_second: Option<u64>) -> Vec<String> {
        let kernels = match self.kernels.as_slice() {
            [] => "no kernel".to_owned(),
            [one] => plain(one),
            many => format!("{} kernels", many.len()),
        };
        let states = self.states();
        let mut states: Vec<String> =
            states.iter().map(|(state, many)| format!("{} {state}", count(*many))).collect();
        if states.is_empty() {
            states.push("none".to_owned());
        }
        let speed = per_second.map_or_else(String::new, |speed| format!(", {} tokens/s", count(speed)));
        let mut lines = vec![
            format!("{kernels}, {}", time(self.at)),
            format!("{}: {}", processes(self.processes.len() as u64), states.join(", ")),
            format!("{} tokens, {}{speed}", count(self.tokens().0), self.cost()),
        ];
        lines.extend(self.cpus.iter().take(CPUS).map(|status| cpu(status, self.at)));
        lines.extend(self.limits.iter().take(CPUS).map(|each| limit(each, self.at)));
        if self.cpus.len() > CPUS {
            lines.push(format!("and {} more", counted((self.cpus.len() - CPUS) as u64, "Cpu")));
        }
        if self.limits.len() > CPUS {
            lines.push(format!("and {} more", counted((self.limits.len() - CPUS) as u64, "limit")));
        }
        lines.extend(self.notes.iter().map(|note| plain(note)));
        lines
    }
}

fn processes(many: u64) -> String {
    format!("{} process{}", count(many), if many == 1 { "" } else { "es" })
}

fn cpu(status: &CpuStatus, now: Timestamp) -> String {
    let model = status.models.first().map_or_else(|| "no model".to_owned(), |model| plain(model));
    let more = match status.models.len() {
        0 | 1 => String::new(),
        many => format!(" and {} more", many - 1),
    };
    let lent = if status.pinging > 0 { format!(", {} lent to pings", status.pinging) } else { String::new() };
    let mut line = format!(
        "{model}{more}: {} of {} slots held{lent}, {} waiting, {}",
        status.held, status.slots, status.waiting, status.scheduler
    );
    for each in &status.limits {
        line.push_str(&format!("; {}", limit(each, now)));
    }
    line
}

fn limit(limit: &LimitStatus, now: Timestamp) -> String {
    let until = limit.until.map_or_else(String::new, |until| {
        format!(", more in {} s", until.0.saturating_sub(now.0).div_ceil(1000))
    });
    format!("{}: {} of {} left{until}", plain(&limit.name), count(limit.left), count(limit.of))
}

/// A state in a word.
const fn state(state: &ProcessState) -> &'static str {
    match state {
        ProcessState::Ready => "ready",
        ProcessState::Running => "running",
        ProcessState::Blocked(_) => "blocked",
        ProcessState::Suspended(_) => "suspended",
        ProcessState::Exited(_) => "exited",
    }
}

/// Tokens a second, from one frame to the next.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    last: Option<(Timestamp, Tokens)>,
}

impl Rate {
    /// `None` for the first frame. A kernel that has gone away takes its tokens with it: that counts as none.
    pub(super) fn next(&mut self, frame: &Frame) -> Option<u64> {
        let now = (frame.at, frame.tokens());
        let (at, tokens) = self.last.replace(now)?;
        let took = now.0.0.saturating_sub(at.0).max(1);
        Some(now.1.saturating_sub(tokens).0.saturating_mul(1000) / took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_are_not_shown_are_counted() {
        let limit = LimitStatus { name: "all: calls".to_owned(), used: 1, left: 2, of: 3, until: None };
        let mut frame = Frame {
            at: Timestamp(0),
            kernels: Vec::new(),
            cpus: Vec::new(),
            limits: vec![limit; 6],
            processes: Vec::new(),
            notes: Vec::new(),
        };
        let last = |frame: &Frame| frame.header(None).pop().unwrap_or_default();
        assert_eq!(last(&frame), "and 2 limits more");
        frame.limits.truncate(4);
        assert_eq!(last(&frame), "all: calls: 2 of 3 left");
    }

    #[test]
    fn a_rate_is_that_of_the_time_between() {
        let mut rate = Rate::default();
        let mut check = |at: u64, tokens: u64, expected: Option<u64>| {
            let mut process = super::super::table::tests::process(1, "a");
            process.info.usage.input_tokens = Tokens(tokens);
            let frame = Frame {
                at: Timestamp(at),
                kernels: Vec::new(),
                cpus: Vec::new(),
                limits: Vec::new(),
                processes: vec![process],
                notes: Vec::new(),
            };
            assert_eq!(rate.next(&frame), expected);
        };
        check(1_000, 100, None);
        check(3_000, 500, Some(200));
        check(3_000, 500, Some(0));
        check(4_000, 20, Some(0));
    }
}
