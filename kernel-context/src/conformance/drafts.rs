//! What a random walk allocates: drafts of all kinds, and drafts that must be refused.

use kernel_types::{Importance, PageKind, PageNo, Tokens};
use rand::RngExt;
use rand::rngs::StdRng;

use super::space::{Space, prose};
use super::vectors::towards;
use crate::{Change, PageDraft};

/// Makes drafts with texts that are on no other page of a walk.
#[derive(Default)]
pub(super) struct Drafts {
    next: u64,
    forks: u64,
}

impl Drafts {
    /// For a fork, whose texts are others than its parent's.
    pub(super) fn fork(&mut self) -> Self {
        self.forks += 1;
        Self { next: self.next + (self.forks << 32), forks: 0 }
    }

    fn text(&mut self, tokens: u64) -> String {
        self.next += 1;
        prose(self.next, tokens)
    }

    pub(super) fn instructions(&mut self, space: &mut Space) -> PageDraft {
        let text = self.text(6);
        space.draft(PageKind::System, &text)
    }

    /// One batch of any kind.
    pub(super) fn any(&mut self, random: &mut StdRng, space: &mut Space) -> Vec<PageDraft> {
        let tokens = random.random_range(4..60);
        let mut drafts = match random.random_range(0..60) {
            0..9 => self.tools(random, space, tokens),
            9..19 => {
                let text = self.text(tokens);
                vec![space.draft(PageKind::Note { name: (self.next % 3).to_string() }, &text)]
            }
            19..29 => self.said(random, space),
            29..34 => {
                (0..random.random_range(2..5)).map(|_| self.lines(random, space, tokens / 2 + 4)).collect()
            }
            34..36 => vec![self.instructions(space)],
            _ => vec![self.lines(random, space, tokens)],
        };
        let movable =
            drafts.iter().all(|draft| !matches!(draft.kind, PageKind::Note { .. } | PageKind::System));
        let swapped = movable && random.random_bool(0.3);
        let pinned = !swapped && random.random_bool(0.03);
        for draft in &mut drafts {
            (draft.swapped, draft.pinned) = (swapped, pinned);
            draft.importance = Importance::new(random.random()).expect("within 0 to 1");
            draft.embedding =
                random.random_bool(0.2).then(|| towards(random.random_range(0..360_u16).into()));
            draft.about = vec![format!("speaker {}", self.next % 3); usize::from(random.random_bool(0.2))];
            if random.random_bool(0.15) {
                draft.size = Some(Tokens(random.random_range(1..60)));
            }
        }
        drafts
    }

    /// A thought or none, and up to three calls with their results.
    fn tools(&mut self, random: &mut StdRng, space: &mut Space, tokens: u64) -> Vec<PageDraft> {
        let mut drafts = Vec::new();
        if random.random_bool(0.3) {
            let text = self.text(8);
            drafts.push(space.draft(PageKind::Assistant, &text));
        }
        let mut results = Vec::new();
        for _ in 0..random.random_range(1..4) {
            let text = self.text(tokens);
            let [call, result] =
                <[PageDraft; 2]>::try_from(space.tool(&format!("call-{}", self.next), &text))
                    .expect("a call and a result");
            drafts.push(call);
            results.push(result);
        }
        drafts.extend(results);
        drafts
    }

    fn lines(&mut self, random: &mut StdRng, space: &mut Space, tokens: u64) -> PageDraft {
        let text = self.text(tokens);
        space.lines(&format!("file-{}", self.next % 5), random.random_range(1..200), &text)
    }

    /// What a user or the model said, in one or two pages.
    pub(super) fn said(&mut self, random: &mut StdRng, space: &mut Space) -> Vec<PageDraft> {
        let kind = if random.random_bool(0.5) { PageKind::User } else { PageKind::Assistant };
        let count = random.random_range(1..3);
        (0..count)
            .map(|_| {
                let text = self.text(random.random_range(4..40));
                space.draft(kind.clone(), &text)
            })
            .collect()
    }

    /// A change that every pager must refuse.
    pub(super) fn bad(&mut self, random: &mut StdRng, space: &mut Space) -> Change {
        let nowhere = PageNo(1 << 40);
        let window = space.config.window.0;
        match random.random_range(0..10) {
            0 => Change::Recall(vec![nowhere]),
            1 => Change::Evict(vec![nowhere]),
            2 => Change::Pin(nowhere),
            3 => Change::Free(PageNo(0)),
            4 => Change::Touch(vec![nowhere]),
            5 => Change::Allocate(vec![space.draft(PageKind::User, "")]),
            6 => {
                let large = space.draft(PageKind::Document, "large");
                // Ratios go down to a half.
                Change::Allocate(vec![PageDraft { size: Some(Tokens(2 * window + 1)), ..large }])
            }
            7 => {
                let mut pair = space.tool("call-0", "a result");
                pair.truncate(1);
                Change::Allocate(pair)
            }
            8 => {
                let pair = space.tool("call-0", "a result");
                Change::Extend(pair)
            }
            _ => {
                let draft = space.draft(PageKind::User, "pinned and swapped");
                Change::Allocate(vec![PageDraft { pinned: true, swapped: true, ..draft }])
            }
        }
    }
}
