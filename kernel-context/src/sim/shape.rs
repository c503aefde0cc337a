//! The shapes of conversations: how much is said, how often, and what is needed again.
//!
//! Three of them, so that a policy that was fitted to one is found out by the others. The numbers are assumptions to vary,
//! not measurements of anybody's agents.

use std::ops::RangeInclusive;

/// What a conversation is made of. Sizes are tokens.
#[derive(Clone, PartialEq, Debug)]
pub struct Shape {
    /// Agents that work at the same time.
    pub agents: usize,
    /// Instructions and tool descriptions that all agents begin with.
    pub pinned: u64,
    /// User turns of each agent; each begins a task.
    pub tasks: usize,
    /// Calls a task; each but the last uses a tool.
    pub calls: RangeInclusive<u64>,
    /// A user turn.
    pub user: RangeInclusive<u64>,
    /// What the model says in one call.
    pub output: RangeInclusive<u64>,
    /// A tool result.
    pub result: LogNormal,
    /// How often a call needs something older than the last step, 0 to 1.
    pub reuse: f64,
    /// What that is.
    pub which: Reuse,
    /// Mean seconds between the calls of an agent, exponentially distributed.
    pub think_s: f64,
    /// How often a user turn comes after a break instead, 0 to 1.
    pub pause: f64,
    /// Mean seconds of such a break.
    pub pause_s: f64,
    /// How often any call comes after a long wait instead, for a slow tool or a person, 0 to 1.
    pub wait: f64,
    /// Seconds of such a wait, evenly distributed.
    pub wait_s: RangeInclusive<u64>,
}

/// A size with a long tail: half of it below `median`, one in twenty above `p95`, all within `least` and `most`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LogNormal {
    /// Tokens that half the draws stay below.
    pub median: f64,
    /// Tokens that one draw in twenty exceeds.
    pub p95: f64,
    /// The fewest tokens.
    pub least: u64,
    /// The most tokens.
    pub most: u64,
}

/// Which older pages a call needs: of each step the last page, a tool result or a user turn.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Reuse {
    /// Those of the step that lies d steps back, where d exceeds x with probability x^-alpha; nothing, if the
    /// conversation is not that long.
    Recent {
        /// The exponent; smaller looks further back.
        alpha: f64,
    },
    /// The newest page of a file that is worked on; and that of a file which is opened again.
    Files {
        /// Files worked on at a time.
        open: usize,
        /// Files of the project.
        of: usize,
        /// How often a call exchanges one of the open files for another of the project, 0 to 1.
        shift: f64,
    },
    /// Any step of the same topic; and the last two steps of a topic when the conversation comes back to it.
    Topics {
        /// How often a turn leaves the topic, 0 to 1.
        shift: f64,
        /// How often it then returns to an earlier one, 0 to 1.
        back: f64,
    },
}

impl Shape {
    /// Long tool-using conversations: many calls a task, small results with a long tail, mostly recent needs.
    #[must_use]
    pub fn tools() -> Self {
        Self {
            agents: 20,
            pinned: 3_500,
            tasks: 30,
            calls: 8..=16,
            user: 40..=80,
            output: 30..=120,
            result: LogNormal { median: 120.0, p95: 900.0, least: 5, most: 3_000 },
            reuse: 0.15,
            which: Reuse::Recent { alpha: 1.2 },
            think_s: 25.0,
            pause: 0.0,
            pause_s: 0.0,
            wait: 0.0,
            wait_s: 0..=0,
        }
    }

    /// The same, but one call of ten comes after a wait of four to twelve minutes: a slow build, a person who is asked.
    #[must_use]
    pub fn long_waits() -> Self {
        Self { wait: 0.1, wait_s: 240..=720, ..Self::tools() }
    }

    /// Work on a code base: few user turns, large results, and a working set of files that shifts and comes back.
    #[must_use]
    pub fn coding() -> Self {
        Self {
            tasks: 6,
            calls: 40..=80,
            user: 60..=200,
            output: 60..=400,
            result: LogNormal { median: 600.0, p95: 2_500.0, least: 20, most: 6_000 },
            reuse: 0.35,
            which: Reuse::Files { open: 4, of: 24, shift: 0.1 },
            think_s: 12.0,
            ..Self::tools()
        }
    }

    /// Talk without tools: small turns, long breaks, topics that return after a long time.
    #[must_use]
    pub fn chat() -> Self {
        Self {
            pinned: 1_500,
            tasks: 300,
            calls: 1..=1,
            user: 15..=120,
            output: 60..=300,
            reuse: 0.2,
            which: Reuse::Topics { shift: 0.12, back: 0.6 },
            think_s: 60.0,
            pause: 0.1,
            pause_s: 1_800.0,
            ..Self::tools()
        }
    }
}
