//! One agent's conversation, call by call.

use kernel_types::Importance;

use super::history::History;
use super::random::Dice;
use super::text::text;
use super::{Event, Kind, Page, PageId, Shape};

pub(super) struct Agent {
    number: usize,
    shape: Shape,
    dice: Dice,
    /// When it acts next.
    at_ms: u64,
    opened: bool,
    /// User turns still to come.
    tasks: usize,
    /// Calls of the current task still to come.
    calls: u64,
    /// Pages made so far.
    pages: u64,
    /// What the model said last and has no page yet.
    said: Option<u64>,
    history: History,
}

impl Agent {
    pub(super) fn new(number: usize, shape: &Shape, seed: u64) -> Self {
        let mut dice = Dice::new(seed, number as u64);
        Self {
            number,
            at_ms: dice.wait_ms(shape.think_s),
            dice,
            opened: false,
            tasks: shape.tasks,
            calls: 0,
            pages: 0,
            said: None,
            history: History::new(shape),
            shape: shape.clone(),
        }
    }

    pub(super) fn at_ms(&self) -> u64 {
        self.at_ms
    }

    pub(super) fn is_done(&self) -> bool {
        self.opened && self.tasks == 0 && self.calls == 0
    }

    /// Opens, or makes the next call; then thinks.
    pub(super) fn act(&mut self) -> Vec<Event> {
        let (agent, at_ms) = (self.number, self.at_ms);
        if !self.opened {
            self.opened = true;
            self.think();
            return vec![Event::Open { agent, at_ms, pinned: vec![self.instructions()] }];
        }
        let said = self.said.take().map(|tokens| self.page(Kind::Assistant, tokens));
        let next = self.next_page();
        let older = self.history.step(next.id, &mut self.dice);
        let pages: Vec<Page> = said.into_iter().chain([next]).collect();
        let ids = pages.iter().map(|page| page.id).chain(older).collect();
        let output_tokens = self.dice.between(&self.shape.output);
        self.said = Some(output_tokens);
        self.calls -= 1;
        self.think();
        vec![
            Event::Append { agent, at_ms, pages },
            Event::Uses { agent, ids },
            Event::Call { agent, at_ms, output_tokens },
        ]
    }

    /// The result of a tool, or the next user turn.
    fn next_page(&mut self) -> Page {
        if self.calls > 0 {
            let tokens = self.dice.tokens(&self.shape.result);
            return self.page(Kind::Tool, tokens);
        }
        self.tasks -= 1;
        self.calls = self.dice.between(&self.shape.calls).max(1);
        let tokens = self.dice.between(&self.shape.user);
        self.page(Kind::User, tokens)
    }

    fn think(&mut self) {
        if self.shape.wait > 0.0 && self.dice.chance(self.shape.wait) {
            self.at_ms += 1000 * self.dice.between(&self.shape.wait_s);
            return;
        }
        let pauses = self.calls == 0 && self.dice.chance(self.shape.pause);
        let mean_s = if pauses { self.shape.pause_s } else { self.shape.think_s };
        self.at_ms += self.dice.wait_ms(mean_s);
    }

    fn instructions(&self) -> Page {
        let tokens = self.shape.pinned;
        let importance = Importance::new(1.0).unwrap_or_default();
        Page { id: PageId(0), kind: Kind::System, importance, tokens, text: text(0, tokens) }
    }

    fn page(&mut self, kind: Kind, tokens: u64) -> Page {
        self.pages += 1;
        let importance = match kind {
            Kind::System => 1.0,
            Kind::User => 0.7,
            Kind::Assistant => 0.5,
            Kind::Tool => [0.3, 0.4, 0.5][self.dice.below(3)],
        };
        Page {
            id: PageId(((self.number as u64 + 1) << 32) + self.pages),
            kind,
            importance: Importance::new(importance).unwrap_or_default(),
            tokens,
            text: text(self.pages, tokens),
        }
    }
}
