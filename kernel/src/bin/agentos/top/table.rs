//! The table of processes: its columns, their order, what a cell says.

use std::cmp::Ordering;

use kernel::ProcessStatus;
use kernel_types::Timestamp;
use unicode_width::UnicodeWidthStr;

use crate::format::{clipped, count, plain};

/// Characters of a name and of what a process waits for.
const NAME: usize = 60;
const WAIT: usize = 120;
/// Characters of a pid.
pub(super) const PID: usize = 36;

/// A column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Column {
    Pid,
    Name,
    State,
    Priority,
    Lag,
    Waited,
    Steps,
    Calls,
    Tokens,
    Cost,
    For,
}

impl Column {
    /// All, as they stand beside each other.
    pub(super) const ALL: [Self; 11] = [
        Self::Pid,
        Self::Name,
        Self::State,
        Self::Priority,
        Self::Lag,
        Self::Waited,
        Self::Steps,
        Self::Calls,
        Self::Tokens,
        Self::Cost,
        Self::For,
    ];

    /// All, the one that is missed most first.
    const BY_USE: [Self; 11] = [
        Self::Name,
        Self::State,
        Self::Tokens,
        Self::Pid,
        Self::Cost,
        Self::Priority,
        Self::Waited,
        Self::Lag,
        Self::Steps,
        Self::Calls,
        Self::For,
    ];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Pid => "PID",
            Self::Name => "NAME",
            Self::State => "STATE",
            Self::Priority => "PRI",
            Self::Lag => "LAG",
            Self::Waited => "WAIT",
            Self::Steps => "STEPS",
            Self::Calls => "CALLS",
            Self::Tokens => "TOKENS",
            Self::Cost => "COST",
            Self::For => "WAITS FOR",
        }
    }

    /// Numbers are aligned to the right, and the largest is first.
    pub(super) const fn is_number(self) -> bool {
        !matches!(self, Self::Pid | Self::Name | Self::State | Self::For)
    }

    /// Cells on a screen, at least; `pid` for a pid. Where that is whole there is room for whole states, too.
    pub(super) fn width(self, pid: usize) -> usize {
        match self {
            Self::Pid => pid,
            Self::Name => 16,
            Self::State if pid == PID => 26,
            Self::State => 18,
            Self::Priority => 3,
            Self::Lag | Self::Waited => 9,
            Self::Steps | Self::Calls => 6,
            Self::Tokens | Self::Cost => 11,
            Self::For => 24,
        }
    }

    /// The columns that a screen has room for.
    pub(super) fn fitting(screen: usize, pid: usize) -> Vec<Self> {
        let mut room = screen;
        let mut fit = Vec::new();
        for column in Self::BY_USE {
            let needs = column.width(pid) + usize::from(!fit.is_empty());
            if needs > room && !fit.is_empty() {
                break;
            }
            room = room.saturating_sub(needs);
            fit.push(column);
        }
        Self::ALL.into_iter().filter(|column| fit.contains(column)).collect()
    }

    pub(super) fn next(self) -> Self {
        let at = Self::ALL.iter().position(|column| *column == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }

    pub(super) fn previous(self) -> Self {
        let at = Self::ALL.iter().position(|column| *column == self).unwrap_or(0);
        Self::ALL[(at + Self::ALL.len() - 1) % Self::ALL.len()]
    }

    /// What a process has in this column: one line without anything that a terminal acts on.
    pub(super) fn cell(self, process: &ProcessStatus, now: Timestamp) -> String {
        let info = &process.info;
        match self {
            Self::Pid => info.pid.to_string(),
            Self::Name => clipped(&info.name, NAME),
            Self::State => plain(&info.state.to_string()),
            Self::Priority => info.priority.to_string(),
            Self::Lag => process.lag.map_or_else(String::new, lag),
            Self::Waited => format!("{:.1}s", waited(process, now) as f64 / 1000.0),
            Self::Steps => count(info.usage.steps),
            Self::Calls => count(info.usage.calls),
            Self::Tokens => count(info.usage.tokens().0),
            Self::Cost => info.usage.cost.to_string(),
            Self::For => process.wait.as_deref().map_or_else(String::new, |wait| clipped(wait, WAIT)),
        }
    }

    /// The order of a column: numbers from the largest, texts from the first.
    fn order(self, a: &ProcessStatus, b: &ProcessStatus, now: Timestamp) -> Ordering {
        let (left, right) = (&a.info, &b.info);
        match self {
            Self::Pid => Ordering::Equal,
            Self::Name => left.name.cmp(&right.name),
            Self::State => left.state.to_string().cmp(&right.state.to_string()),
            Self::Priority => right.priority.value().cmp(&left.priority.value()),
            Self::Lag => b.lag.cmp(&a.lag),
            Self::Waited => waited(b, now).cmp(&waited(a, now)),
            Self::Steps => right.usage.steps.cmp(&left.usage.steps),
            Self::Calls => right.usage.calls.cmp(&left.usage.calls),
            Self::Tokens => right.usage.tokens().cmp(&left.usage.tokens()),
            Self::Cost => right.usage.cost.cmp(&left.usage.cost),
            Self::For => (a.wait.is_none(), &a.wait).cmp(&(b.wait.is_none(), &b.wait)),
        }
    }
}

/// `+1,200`: so many tokens behind; tenths do not matter.
fn lag(tenths: i64) -> String {
    let sign = match tenths / 10 {
        0 => "",
        1.. => "+",
        _ => "-",
    };
    format!("{sign}{}", count(tenths.unsigned_abs() / 10))
}

/// Milliseconds that calls of a process have waited to be started, the wait at hand included.
fn waited(process: &ProcessStatus, now: Timestamp) -> u64 {
    let since = process.waiting_since.map_or(0, |since| now.0.saturating_sub(since.0));
    process.info.waited.0.saturating_add(since)
}

/// The processes that are to be shown, in order: their places in `processes`.
pub(super) fn rows(
    processes: &[ProcessStatus],
    now: Timestamp,
    (sort, reverse): (Column, bool),
    filter: &str,
) -> Vec<usize> {
    let filter = filter.to_lowercase();
    let fits = |process: &ProcessStatus| process.info.name.to_lowercase().contains(&filter);
    let mut rows: Vec<usize> = (0..processes.len()).filter(|row| fits(&processes[*row])).collect();
    rows.sort_by(|a, b| {
        let (a, b) = (&processes[*a], &processes[*b]);
        let order = sort.order(a, b, now).then_with(|| a.info.pid.cmp(&b.info.pid));
        if reverse { order.reverse() } else { order }
    });
    rows
}

/// So many characters tell all pids apart.
pub(super) fn pid_width(processes: &[ProcessStatus]) -> usize {
    let mut pids: Vec<String> = processes.iter().map(|process| process.info.pid.to_string()).collect();
    pids.sort_unstable();
    let same = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let longest = pids.windows(2).map(|pair| same(&pair[0], &pair[1]) + 1).max().unwrap_or(0);
    longest.clamp(8, PID)
}

/// Cells that a text takes on a screen.
pub(super) fn cells(text: &str) -> usize {
    text.width()
}

#[cfg(test)]
pub(super) mod tests {
    use kernel_types::{Budget, Millis, Pid, Priority, ProcessInfo, ProcessState, StepNo, Tokens, Usage};

    use super::*;

    pub(in crate::top) fn process(number: u128, name: &str) -> ProcessStatus {
        ProcessInfo {
            pid: Pid::from_parts(1_700_000_000_000, number),
            parent: Pid::INIT,
            name: name.to_owned(),
            program: String::new(),
            priority: Priority::default(),
            state: ProcessState::Ready,
            step: StepNo(1),
            usage: Usage::default(),
            budget: Budget::default(),
            spawned_at: Timestamp(0),
            waited: Millis(0),
        }
        .into()
    }

    #[test]
    fn numbers_are_sorted_from_the_largest_and_names_are_filtered() {
        let mut processes = vec![process(1, "Anna"), process(2, "berta"), process(3, "hanna")];
        processes[1].info.usage.input_tokens = Tokens(7);
        let check = |sort, reverse, filter: &str, expected: &[usize]| {
            assert_eq!(
                rows(&processes, Timestamp(0), (sort, reverse), filter),
                expected,
                "{sort:?} {filter}"
            );
        };
        check(Column::Tokens, false, "", &[1, 0, 2]);
        check(Column::Tokens, true, "", &[2, 0, 1]);
        check(Column::Name, false, "ANNA", &[0, 2]);
        check(Column::Pid, false, "x", &[]);
    }

    #[test]
    fn a_cell_says_nothing_that_a_terminal_acts_on() {
        let mut odd = process(1, "a\u{1b}[31mred\0\n\u{202e}b");
        odd.wait = Some("tool \u{1b}]0;x\u{7}".to_owned());
        odd.lag = Some(-12_345);
        for column in Column::ALL {
            let cell = column.cell(&odd, Timestamp(0));
            assert!(!cell.chars().any(|c| c.is_control() || c == '\u{202e}'), "{cell:?}");
        }
        assert_eq!(Column::Lag.cell(&odd, Timestamp(0)), "-1,234");
    }

    #[test]
    fn as_many_columns_are_shown_as_fit() {
        for screen in 0..200 {
            let fit = Column::fitting(screen, 18);
            let needs: usize = fit.iter().map(|column| column.width(18) + 1).sum();
            assert!(fit.len() == 1 || needs - 1 <= screen, "{screen}: {fit:?}");
        }
        assert_eq!(Column::fitting(200, PID).len(), Column::ALL.len());
        let narrow = Column::fitting(80, 18);
        assert!(narrow.contains(&Column::Tokens) && narrow.contains(&Column::Cost), "{narrow:?}");
    }
}
