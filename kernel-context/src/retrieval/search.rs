//! Searching an [`Index`]: by words first, then with the neighbours of what was found, then fused with vectors.

use super::clue::Clues;
use super::files::Files;
use super::fuse;
use super::index::Index;
use super::query::{Hit, Query, Question};
use super::top;
use super::view::View;
use super::window::Windows;

/// The least pages that are looked at closely.
const LEAST_DEPTH: usize = 1 << 8;
/// How far a page lifts its score that has all names the query asks for: its speaker is who said it.
const NAME_LIFT: f32 = 0.4;

impl Index {
    /// The pages that fit a query, best first; equals by number.
    ///
    /// A page fits if it shares a word or a date with the query, if a neighbour does, or if its vector is near.
    #[must_use]
    pub fn search(&self, query: &Query<'_>) -> Vec<Hit> {
        let view = View::new(self);
        let depth = query.limit.max(LEAST_DEPTH);
        let mut hits = self.by_words(&view, query.text, depth);
        if let Some(embedding) = query.embedding {
            let near = fuse::by_vector(&view, embedding, depth);
            hits = fuse::fuse(&hits, &near);
        }
        hits.truncate(query.limit);
        hits
    }

    fn by_words(&self, view: &View<'_>, text: &str, depth: usize) -> Vec<Hit> {
        let question = Question::new(text);
        let clues = Clues::new(self, view, &question);
        let files = Files::new(view, clues.followed());
        let mut scores = vec![0.0_f32; view.slots];
        for clue in clues.followed() {
            view.each(&clue.lists, |slot, leaf, count| scores[slot] += clues.worth(clue, leaf, count));
        }
        let best = top::best(found(view, &scores, &files), depth);
        let best: Vec<usize> = best.into_iter().map(|(_, slot)| slot).collect();
        let windows = Windows::new(view, &best);
        let scores = windows.scores(view, &clues);
        let hits = windows.centres.iter().zip(scores).map(|(slot, score)| {
            let leaf = view.leaf(*slot);
            let lift = files.lift(leaf.origin) + NAME_LIFT * clues.names(view, *slot);
            Hit { page: leaf.page, score: score * lift }
        });
        let mut hits: Vec<Hit> = hits.filter(|hit| hit.score > 0.0).collect();
        sort(&mut hits);
        hits
    }
}

/// The pages with a score, lifted by their files, by slot.
fn found<'a>(view: &'a View<'_>, scores: &'a [f32], files: &'a Files) -> impl Iterator<Item = (f32, usize)> {
    view.parts().flat_map(move |(base, part)| {
        let leaves = part.segment.leaves.iter().zip(&scores[base..]).zip(base..);
        let found = leaves.filter(|((_, score), _)| **score > 0.0);
        found.map(|((leaf, score), slot)| (score * files.lift(leaf.origin), slot))
    })
}

/// Best first; equals by number.
pub(super) fn sort(hits: &mut [Hit]) {
    hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.page.cmp(&b.page)));
}
