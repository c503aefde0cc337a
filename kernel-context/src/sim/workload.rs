//! What many agents do, in the order of time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;

use kernel_types::Importance;

use super::Shape;
use super::agent::Agent;

/// Names a page of a workload. The pinned page is the same for all agents, all others are unique.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PageId(pub u64);

impl fmt::Display for PageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a page is to the model.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// Instructions.
    System,
    /// A user turn.
    User,
    /// What the model said: an answer, or the call of the tool whose result follows.
    Assistant,
    /// A tool result.
    Tool,
}

/// A piece of a conversation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<N = PageId> {
    /// Its name.
    pub id: N,
    /// What it is.
    pub kind: Kind,
    /// What whoever allocates it would say of it.
    pub importance: Importance,
    /// Its length.
    pub tokens: u64,
    /// Words of exactly that length; see [`TokenCounter`](crate::TokenCounter).
    pub text: String,
}

/// Something that happens. An agent opens once; then each of its calls is an `Append`, a `Uses` and a `Call` at one time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// An agent begins.
    Open {
        /// The agent, from 0.
        agent: usize,
        /// Milliseconds since the workload began.
        at_ms: u64,
        /// What stays in its window for good.
        pinned: Vec<Page>,
    },
    /// Pages that come before the next call. They belong together: what the model said last, and what followed from it.
    Append {
        /// The agent.
        agent: usize,
        /// Milliseconds since the workload began.
        at_ms: u64,
        /// The pages, in order; never none.
        pages: Vec<Page>,
    },
    /// What the next call needs in its window.
    Uses {
        /// The agent.
        agent: usize,
        /// The pages just appended, then older ones.
        ids: Vec<PageId>,
    },
    /// The model is asked.
    Call {
        /// The agent.
        agent: usize,
        /// Milliseconds since the workload began.
        at_ms: u64,
        /// What it says; comes as a page with the next `Append`.
        output_tokens: u64,
    },
}

/// The events of a [`Shape`], in the order of time; the same for the same seed.
pub struct Workload {
    agents: Vec<Agent>,
    /// When each agent that is not done acts next.
    due: BinaryHeap<Reverse<(u64, usize)>>,
    ready: VecDeque<Event>,
}

impl Workload {
    /// Draws a workload.
    #[must_use]
    pub fn new(shape: Shape, seed: u64) -> Self {
        let agents: Vec<Agent> = (0..shape.agents).map(|number| Agent::new(number, &shape, seed)).collect();
        let due = agents.iter().enumerate().map(|(number, agent)| Reverse((agent.at_ms(), number))).collect();
        Self { agents, due, ready: VecDeque::new() }
    }
}

impl Iterator for Workload {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.ready.is_empty() {
            let Reverse((_, number)) = self.due.pop()?;
            let agent = &mut self.agents[number];
            self.ready.extend(agent.act());
            if !agent.is_done() {
                self.due.push(Reverse((agent.at_ms(), number)));
            }
        }
        self.ready.pop_front()
    }
}
