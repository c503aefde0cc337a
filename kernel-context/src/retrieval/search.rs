//! Searching an [`Index`]: by words first, then with the neighbours of what was found, then fused with vectors.

use super::clue::Clues;
use super::embedding::Embedding;
use super::files::Files;
use super::fuse;
use super::index::Index;
use super::query::{Hit, Query};
use super::question::Question;
use super::segment::Postings;
use super::top::Top;
use super::view::View;
use super::window::Windows;

/// The least pages that are looked at closely.
const LEAST_DEPTH: usize = 1 << 8;
/// How far a page lifts its score that has all names the query asks for: its speaker is who said it.
const NAME_LIFT: f32 = 0.4;
/// What a page keeps of its score that asks itself: it is seldom the answer.
const ASKING: f32 = 0.85;

impl Index {
    /// The pages that fit a query, best first; equals by number.
    ///
    /// A page fits if it shares a word or a date with the query, if a neighbour does, or if its vector is near.
    #[must_use]
    pub fn search(&self, query: &Query<'_>) -> Vec<Hit> {
        let view = View::new(self);
        let limit = query.limit.min(self.len());
        let depth = limit.max(LEAST_DEPTH);
        let mut hits = self.by_words(&view, query.text, depth);
        if let Some(embedding) = query.embedding {
            let near = fuse::by_vector(&view, embedding, depth);
            hits = fuse::fuse(&hits, &near);
        }
        hits.truncate(limit);
        hits
    }

    /// The pages whose vectors are nearest to `embedding`, nearest first; scores are cosines. Those of other models are not
    /// looked at.
    #[must_use]
    pub fn nearest(&self, embedding: &Embedding, limit: usize) -> Vec<Hit> {
        fuse::by_vector(&View::new(self), embedding, limit.min(self.len()))
    }

    fn by_words(&self, view: &View<'_>, text: &str, depth: usize) -> Vec<Hit> {
        let question = Question::new(text);
        let clues = Clues::new(self, view, &question);
        let files = Files::new(view, clues.followed());
        let best = best(view, &clues, &files, depth);
        let windows = Windows::new(view, &best);
        let scores = windows.scores(view, &clues);
        let found = windows.centres.iter().zip(scores).filter(|(_, score)| *score > 0.0);
        let hits = found.map(|(slot, score)| {
            let leaf = view.leaf(slot);
            let lift = files.lift(leaf.origin) + NAME_LIFT * clues.names(view, slot);
            let asking = if clues.asks(view, slot) { ASKING } else { 1.0 };
            Hit { page: leaf.page, score: (score + clues.number(view, slot)) * lift * asking }
        });
        let mut hits: Vec<Hit> = hits.collect();
        sort(&mut hits);
        hits
    }
}

/// The slots of the pages that hold the most of what is asked, each page by itself.
fn best(view: &View<'_>, clues: &Clues<'_>, files: &Files, depth: usize) -> Vec<usize> {
    let mut best = Top::new(depth);
    let mut scores: Vec<f32> = Vec::new();
    for (number, (base, part)) in view.parts().enumerate() {
        scores.clear();
        scores.resize(part.segment.leaves.len(), 0.0);
        for clue in clues.followed() {
            for (place, count) in clue.lists.of_part(number).iter().flat_map(Postings::iter) {
                scores[place] += clues.worth(clue, &part.segment, place, count);
            }
        }
        for (place, score) in scores.iter().enumerate().filter(|(_, score)| **score > 0.0) {
            if part.is_live(place) {
                best.offer(score * files.lift_at(&part.segment, place), base + place);
            }
        }
    }
    best.into_vec().into_iter().map(|(_, slot)| slot).collect()
}

/// Best first; equals by number.
pub(super) fn sort(hits: &mut [Hit]) {
    hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.page.cmp(&b.page)));
}
