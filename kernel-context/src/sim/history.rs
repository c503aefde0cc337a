//! What a conversation has been about, and what of it is needed again.

use super::random::Dice;
use super::{PageId, Reuse, Shape};

/// Steps of a returning topic that are needed again.
const RETURNED: usize = 2;

pub(super) struct History {
    reuse: f64,
    which: Reuse,
    steps: Vec<Step>,
    /// The files worked on, or the topic; the last one is what the next step is about.
    open: Vec<usize>,
    /// Topics that there have been.
    topics: usize,
}

/// The page that came before one call, without what the model said before it.
struct Step {
    page: PageId,
    subject: usize,
}

impl History {
    pub(super) fn new(shape: &Shape) -> Self {
        let open = match shape.which {
            Reuse::Files { open, .. } => (0..open.max(1)).collect(),
            Reuse::Recent { .. } | Reuse::Topics { .. } => vec![0],
        };
        Self { reuse: shape.reuse, which: shape.which, steps: Vec::new(), open, topics: 1 }
    }

    /// Adds a step with that page, and gives the pages of earlier ones that it needs.
    pub(super) fn step(&mut self, page: PageId, dice: &mut Dice) -> Vec<PageId> {
        let older = match self.which {
            Reuse::Recent { alpha } => self.recent(alpha, dice),
            Reuse::Files { of, shift, .. } => self.files(of, shift, dice),
            Reuse::Topics { shift, back } => self.topics(shift, back, dice),
        };
        self.steps.push(Step { page, subject: self.subject() });
        older.into_iter().map(|step| self.steps[step].page).collect()
    }

    fn recent(&self, alpha: f64, dice: &mut Dice) -> Vec<usize> {
        if !dice.chance(self.reuse) {
            return Vec::new();
        }
        let distance = usize::try_from(dice.distance(alpha)).unwrap_or(usize::MAX);
        self.steps.len().checked_sub(distance).into_iter().collect()
    }

    fn files(&mut self, of: usize, shift: f64, dice: &mut Dice) -> Vec<usize> {
        let closed: Vec<usize> = (0..of).filter(|file| !self.open.contains(file)).collect();
        let last = self.open.len() - 1;
        self.open.swap(dice.below(last + 1), last);
        let file = if dice.chance(shift) && !closed.is_empty() {
            self.open[last] = closed[dice.below(closed.len())];
            self.open[last]
        } else if dice.chance(self.reuse) {
            self.open[dice.below(last + 1)]
        } else {
            return Vec::new();
        };
        self.steps.iter().rposition(|step| step.subject == file).into_iter().collect()
    }

    fn topics(&mut self, shift: f64, back: f64, dice: &mut Dice) -> Vec<usize> {
        if !dice.chance(shift) {
            let same = self.about(self.subject());
            let needed = dice.chance(self.reuse) && !same.is_empty();
            return if needed { vec![same[dice.below(same.len())]] } else { Vec::new() };
        }
        if self.topics > 1 && dice.chance(back) {
            let other = dice.below(self.topics - 1);
            self.open = vec![if other < self.subject() { other } else { other + 1 }];
        } else {
            self.open = vec![self.topics];
            self.topics += 1;
        }
        let mut earlier = self.about(self.subject());
        earlier.split_off(earlier.len().saturating_sub(RETURNED))
    }

    fn subject(&self) -> usize {
        self.open.last().copied().unwrap_or(0)
    }

    fn about(&self, subject: usize) -> Vec<usize> {
        (0..self.steps.len()).filter(|step| self.steps[*step].subject == subject).collect()
    }
}
