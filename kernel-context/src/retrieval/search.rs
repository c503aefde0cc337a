//! Scores of an [`Index`]: BM25 over pages, with the evidence of their files.

use super::files::Files;
use super::index::Index;
use super::query::{Hit, Query, Question};
use super::term::{Field, Term};
use super::view::{Lists, View};
use super::top;

/// Dev only.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Weights {
    pub k1: f32, pub b: f32, pub file_lift: f32, pub body_evidence: f32,
    pub near: f32, pub far: f32, pub third: f32, pub fourth: f32, pub file_near: f32, pub file_far: f32,
    pub name_worth: f32, pub about_lift: f32, pub about_add: f32, pub date: f32, pub session_lift: f32,
    pub vector: f32, pub rrf: f32, pub prf: f32, pub x1: f32, pub x2: f32, pub x3: f32, pub x4: f32, pub x5: f32, pub x6: f32,
}
impl Weights {
    /// Dev.
    pub const START: Self = Self {
        k1: 1.2, b: 0.5, file_lift: 2.0, body_evidence: 0.5, near: 0.4, far: 0.2, third: 0.0, fourth: 0.0, file_near: 0.15, file_far: 0.0,
        name_worth: 0.3, about_lift: 0.3, about_add: 0.3, date: 1.0, session_lift: 0.0, vector: 1.0, rrf: 60.0, prf: 0.0, x1: 0.0, x2: 0.0, x3: 0.0, x4: 0.0, x5: 0.0, x6: 0.0,
    };
}
thread_local! { pub(super) static WEIGHTS: std::cell::Cell<Weights> = const { std::cell::Cell::new(Weights::START) }; }
/// Dev.
pub fn set_weights(weights: Weights) { WEIGHTS.set(weights); }

/// Postings that are looked at one by one. Words that are more common than that together are only looked up for the
/// pages that rarer ones found.
const MOST_POSTINGS: usize = 1 << 19;
/// The least pages that are looked at closely.
const LEAST_CANDIDATES: usize = 1 << 10;

/// A word or date of the query and the pages that hold it.
pub(super) struct Clue<'a> {
    pub(super) kind: Kind,
    pub(super) lists: Lists<'a>,
    /// Inverse document frequency.
    pub(super) rarity: f32,
    worth: f32,
    scope: bool,
    /// Sources that the word names, ascending.
    pub(super) named: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind { Text, About, Date, Number }

impl Index {
    /// The pages that fit best, best first; equals by number.
    #[must_use]
    pub fn search(&self, query: &Query<'_>) -> Vec<Hit> {
        let view = View::new(self);
        let question = Question::new(query.text);
        let mut ranked = Search::new(self, &view, &question).run(query.limit.max(1));
        if let Some(embedding) = query.embedding {
            ranked = super::fuse::fuse(&view, ranked, embedding, query.limit);
        }
        ranked.truncate(query.limit);
        ranked
    }
}

struct Search<'a> {
    w: Weights,
    view: &'a View<'a>,
    files: Files,
    all: Vec<Clue<'a>>,
    /// How many clues are followed posting by posting; the rest are looked up.
    followed: usize,
    average: f32,
}

impl<'a> Search<'a> {
    fn new(index: &Index, view: &'a View<'a>, question: &Question) -> Self {
        let w = WEIGHTS.get();
        let pages = index.len();
        let mut all = Vec::new();
        let clue = |kind, lists: Lists<'a>, worth, scope| Clue { kind, rarity: rarity(lists.live, pages), lists, worth, scope, named: Vec::new() };
        for word in &question.words {
            let about = view.lists(word.term.within(Field::About));
            let is_name = about.live > 0;
            if is_name { all.push((word.term, clue(Kind::About, about, 1.0, false))); }
            let mut text = clue(Kind::Text, view.lists(word.term), 1.0, is_name);
            text.named = super::files::named(view, word.term);
            text.scope |= word.scope && !text.named.is_empty();
            all.push((word.term, text));
        }
        for (term, worth) in &question.dates {
            all.push((*term, clue(Kind::Date, view.lists(*term), *worth, false)));
        }
        if question.number { all.push((Term::NUMBER, clue(Kind::Number, view.lists(Term::NUMBER), 1.0, false))); }
        all.retain(|(_, clue)| clue.lists.live > 0 || !clue.named.is_empty());
        all.sort_by_key(|(term, clue)| (clue.lists.live, *term, clue.kind));
        let all: Vec<Clue<'a>> = all.into_iter().map(|(_, clue)| clue).collect();
        let mut sum = 0;
        let followed = all.iter().take_while(|clue| { let first = sum == 0; sum += clue.lists.live; first || sum <= MOST_POSTINGS }).count();
        let average = (index.length as f32 / pages.max(1) as f32).max(1.0);
        let files = Files::new(view, index.origins, &all[..followed], &w);
        Self { w, view, files, all, followed, average }
    }

    fn run(&self, limit: usize) -> Vec<Hit> {
        let mut scores = vec![0.0_f32; self.view.slots];
        for clue in &self.all[..self.followed] {
            self.view.each(&clue.lists, |slot, leaf, count| scores[slot] += self.worth(clue, leaf, count));
        }
        let mut candidates = self.candidates(&scores, limit);
        let near = [self.w.near, self.w.far, self.w.third, self.w.fourth, self.w.x2, self.w.x2 * self.w.x3, self.w.x2 * self.w.x3* self.w.x3,self.w.x2 * self.w.x3* self.w.x3 * self.w.x3];
        let file_near = [self.w.file_near, self.w.file_far];
        if self.w.x1 > 0.0 {
            let mut total = vec![0.0_f32; self.view.slots];
            for clue in self.all.iter() {
                let mut val = vec![0.0_f32; self.view.slots];
                self.view.each(&clue.lists, |slot, leaf, count| val[slot] = self.worth(clue, leaf, count));
                for slot in &candidates {
                    let side = |slots: &mut dyn Iterator<Item = usize>| slots.zip(near).map(|(slot, worth)| worth * val[slot]).fold(0.0_f32, f32::max);
                    let sum = |slots: &mut dyn Iterator<Item = usize>| slots.zip(near).map(|(slot, worth)| worth * val[slot]).sum::<f32>();
                    let (own, add) = if clue.kind == Kind::Text { (side(&mut self.view.before(*slot)).max(side(&mut self.view.after(*slot))).max(val[*slot]), self.w.prf * (sum(&mut self.view.before(*slot)) + sum(&mut self.view.after(*slot)))) } else { (val[*slot], 0.0) };
                    total[*slot] += own + add;
                }
            }
            let hits = candidates.drain(..).map(|slot| Hit { page: self.view.leaf(slot).page, score: self.own(slot, total[slot]) });
            let mut hits: Vec<Hit> = hits.filter(|hit| hit.score > 0.0).collect();
            hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.page.cmp(&b.page)));
            return hits;
        }
        for slot in &candidates {
            scores[*slot] = self.own(*slot, scores[*slot]);
        }
        let hits = candidates.drain(..).map(|slot| {
            let leaf = self.view.leaf(slot);
            let worths: &[f32] = if self.files.is_file(leaf.origin) { &file_near } else { &near };
            let side = |slots: &mut dyn Iterator<Item = usize>| slots.zip(worths).map(|(slot, worth)| worth * scores[slot]).sum::<f32>();
            let spread = side(&mut self.view.before(slot).take(worths.len())) + side(&mut self.view.after(slot).take(worths.len()));
            Hit { page: leaf.page, score: scores[slot] + spread }
        });
        let mut hits: Vec<Hit> = hits.filter(|hit| hit.score > 0.0).collect();
        hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.page.cmp(&b.page)));
        hits.truncate(limit.max(LEAST_CANDIDATES));
        hits
    }

    /// The pages of the best scores and their neighbours, by slot.
    fn candidates(&self, scores: &[f32], limit: usize) -> Vec<usize> {
        let some = scores.iter().enumerate().filter(|(_, score)| **score > 0.0);
        let lifted = some.map(|(slot, score)| (score * self.files.lift(self.view.leaf(slot).origin), slot));
        let best = top::best(lifted, (4 * limit).max(LEAST_CANDIDATES));
        let mut all = best.clone();
        for slot in best {
            all.extend(self.view.before(slot).take(8));
            all.extend(self.view.after(slot).take(8));
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The score of a page by itself, all clues looked at.
    fn own(&self, slot: usize, score: f32) -> f32 {
        let leaf = self.view.leaf(slot);
        let (mut sum, mut about, mut most) = (score, 0.0, 0.0);
        for (at, clue) in self.all.iter().enumerate() {
            if at < self.followed && clue.kind != Kind::About { continue; }
            let count = self.view.count(&clue.lists, slot);
            if clue.kind == Kind::About {
                most += 1.0;
                about += if count > 0 { 1.0 } else { 0.0 };
            }
            if at >= self.followed && count > 0 { sum += self.worth(clue, leaf, count); }
        }
        let about: f32 = if most > 0.0 { about / most } else { 0.0 };
        sum * (self.files.lift(leaf.origin) + self.w.about_lift * about)
    }

    fn worth(&self, clue: &Clue<'_>, leaf: &super::segment::Leaf, count: u8) -> f32 {
        match clue.kind {
            Kind::About => self.w.about_add * clue.rarity,
            Kind::Date => self.w.date * clue.rarity * clue.worth,
            Kind::Number => self.w.x4,
            Kind::Text => {
                let count = f32::from(count);
                let length = leaf.length as f32 / self.average;
                let weight = count * (self.w.k1 + 1.0) / (count + self.w.k1 * (1.0 - self.w.b + self.w.b * length));
                let names = clue.scope || clue.named.binary_search(&leaf.origin).is_ok();
                clue.rarity.powf(1.0 + self.w.x5) * weight * if names { self.w.name_worth } else { 1.0 }
            }
        }
    }
}

/// Inverse document frequency, above zero.
pub(super) fn rarity(holders: usize, all: usize) -> f32 {
    let (holders, all) = (holders as f32, all as f32);
    (1.0 + (all - holders + 0.5) / (holders + 0.5)).ln()
}
