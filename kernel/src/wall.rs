//! The time that processes run: counted while a kernel has them and they are not suspended, and limited. It is the steady clock's:
//! whoever sets the wall's takes no time from anybody.

use kernel_sched::Micros;
use kernel_types::{LimitName, Millis, Retry, SuspendReason, SyscallNo};

use crate::core::Core;
use crate::process::Process;

/// For so long a process that is asked to end goes on without time.
const GRACE: Millis = Millis(1_000);

impl Process {
    /// Adds what has passed since the last look.
    pub(crate) fn count_time(&mut self, now: Micros) {
        let Some(since) = &mut self.runs_since else { return };
        let passed = Millis(now.since(*since).0 / 1000);
        let usage = &mut self.image.usage;
        usage.wall_time = usage.wall_time.saturating_add(passed);
        // What is less than a millisecond is not lost.
        since.0 = since.0.saturating_add(passed.0.saturating_mul(1000));
    }
}

impl Core {
    /// A process's time counts from now on, or its limit changed.
    pub(crate) fn start_clock(&mut self, process: &mut Process) {
        let now = self.micros();
        process.count_time(now);
        process.runs_since.get_or_insert(now);
        self.forget_clock(process);
        if let Some(left) = process.left().wall_time {
            let due = self.in_future(left.into());
            process.time_ends = Some(due);
            self.clocks.insert((due, process.pid));
        }
    }

    /// Its time does not count any more.
    pub(crate) fn stop_clock(&mut self, process: &mut Process) {
        process.count_time(self.micros());
        process.runs_since = None;
        self.forget_clock(process);
    }

    fn forget_clock(&mut self, process: &mut Process) {
        if let Some(due) = process.time_ends.take() {
            self.clocks.remove(&(due, process.pid));
        }
    }

    /// When the first process has used its time up.
    pub(crate) fn next_clock(&self) -> Option<Micros> {
        self.clocks.first().map(|(due, _)| *due)
    }

    /// Suspends those whose time is used up.
    pub(crate) fn fire_clocks(&mut self) {
        let now = self.micros();
        while let Some((due, pid)) = self.clocks.first().copied().filter(|(due, _)| *due <= now) {
            self.clocks.remove(&(due, pid));
            self.with(pid, |core, process| {
                process.time_ends = None;
                process.count_time(now);
                if process.left().wall_time.is_some_and(|left| left > Millis::ZERO) {
                    return core.start_clock(process);
                }
                if process.image.signal.is_some() {
                    // It is asked to end: it has a moment for that.
                    let due = core.in_future(GRACE.into());
                    process.time_ends = Some(due);
                    core.clocks.insert((due, process.pid));
                } else if process.image.suspended.is_none() && process.image.exited.is_none() {
                    core.stop_infers(process, "the limit of wall time is used up");
                    core.suspend(process, SuspendReason::Limit(LimitName::WallTime));
                }
            });
        }
    }

    /// Cancels inferences in flight: they are charged for what they used, and may be made again.
    pub(crate) fn stop_infers(&mut self, process: &mut Process, why: &str) {
        for index in 0..process.image.open.len() {
            let open = &process.image.open[index];
            if open.no == SyscallNo::Infer && open.pending.is_some() {
                self.cancel(process, index, why, Retry::Now);
            }
        }
    }
}
