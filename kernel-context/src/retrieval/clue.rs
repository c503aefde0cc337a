//! What a query gives to go by: its words, dates and names, each with the pages that hold it.
//!
//! A word's worth on a page is its BM25 weight (Robertson and Zaragoza, *The Probabilistic Relevance Framework*, 2009).

use super::files::Files;
use super::index::Index;
use super::question::Question;
use super::segment::Segment;
use super::term::{Field, Term};
use super::view::{Lists, View};

const K1: f32 = 1.2;
const B: f32 = 0.5;
/// The worth of a word on a page when it only says where to look: the file's name, or whom the speaker talks to.
const NAME_WORTH: f32 = 0.3;
/// The worth of a number for a question that asks for one.
const NUMBER_WORTH: f32 = 3.0;
/// Postings that are looked at one by one. Clues that are more common than that together are only looked up for the pages
/// that rarer ones found.
const MOST_POSTINGS: usize = 1 << 18;

/// A word or date of a query and the pages that hold it.
pub(super) struct Clue<'a> {
    pub(super) kind: Kind,
    pub(super) lists: Lists<'a>,
    /// Numbers of the files that it names, ascending.
    pub(super) named: Vec<u32>,
    /// Inverse document frequency, for dates times what they are worth.
    rarity: f32,
    /// It only says where to look, wherever it stands.
    scope: bool,
}

impl Clue<'_> {
    /// What it is worth on a page of the usual length that holds it once.
    pub(super) fn topic(&self) -> f32 {
        self.rarity * if self.scope { NAME_WORTH } else { 1.0 }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// A word of a page's text.
    Word,
    /// A word of what is known about a page, such as its speaker.
    Name,
    /// A date of a page.
    Date,
}

/// The clues of a query, the rarest first.
pub(super) struct Clues<'a> {
    all: Vec<Clue<'a>>,
    /// How many are followed posting by posting.
    followed: usize,
    /// The pages that hold a number, if the query asks for one.
    numbers: Option<Lists<'a>>,
    /// The pages that end with a question.
    questions: Lists<'a>,
    /// The mean length of a page.
    average: f32,
}

impl<'a> Clues<'a> {
    #[expect(clippy::cast_precision_loss, reason = "only the leading digits of a mean matter")]
    pub(super) fn new(index: &Index, view: &'a View<'a>, question: &Question) -> Self {
        let mut all = Vec::new();
        for word in &question.words {
            all.extend(words(index, view, word.term, word.scope).map(|clue| (word.term, clue)));
        }
        for (term, worth) in &question.dates {
            let mut clue = clue(index, Kind::Date, view.lists(*term));
            clue.rarity *= worth;
            all.push((*term, clue));
        }
        all.retain(|(_, clue)| clue.lists.live > 0 || !clue.named.is_empty());
        all.sort_by_key(|(term, clue)| (clue.lists.live, *term, clue.kind));
        let all: Vec<Clue<'a>> = all.into_iter().map(|(_, clue)| clue).collect();
        let mut postings = 0;
        let few = all.iter().take_while(|clue| {
            postings += clue.lists.live;
            postings <= MOST_POSTINGS
        });
        let followed = few.count().max(1).min(all.len());
        let average = (index.length as f32 / index.len().max(1) as f32).max(1.0);
        let numbers = question.number.then(|| view.lists(Term::NUMBER));
        let questions = view.lists(Term::QUESTION);
        Self { all, followed, numbers, questions, average }
    }

    /// The clues that are followed posting by posting.
    pub(super) fn followed(&self) -> &[Clue<'a>] {
        &self.all[..self.followed]
    }

    /// The clues that are too common for that.
    pub(super) fn common(&self) -> &[Clue<'a>] {
        &self.all[self.followed..]
    }

    /// What it is worth that a page holds a number.
    pub(super) fn number(&self, view: &View<'_>, slot: usize) -> f32 {
        let holds = |numbers| view.count(numbers, slot) > 0;
        if self.numbers.as_ref().is_some_and(holds) { NUMBER_WORTH } else { 0.0 }
    }

    /// Whether the page ends with a question.
    pub(super) fn asks(&self, view: &View<'_>, slot: usize) -> bool {
        view.count(&self.questions, slot) > 0
    }

    /// The share of the names asked for that the page has, 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a query has few names")]
    pub(super) fn names(&self, view: &View<'_>, slot: usize) -> f32 {
        let names = || self.all.iter().filter(|clue| clue.kind == Kind::Name);
        let found = names().filter(|clue| view.count(&clue.lists, slot) > 0).count();
        found as f32 / names().count().max(1) as f32
    }

    /// What a clue found `count` times is worth on the page at `place`.
    pub(super) fn worth(&self, clue: &Clue<'_>, segment: &Segment, place: usize, count: u8) -> f32 {
        if count == 0 || clue.kind != Kind::Word {
            return if count == 0 { 0.0 } else { clue.rarity };
        }
        let count = f32::from(count);
        let length = f32::from(segment.lengths[place]) / self.average;
        let weight = count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length));
        let origin = || segment.leaves[place].origin;
        let names = clue.scope || !clue.named.is_empty() && clue.named.binary_search(&origin()).is_ok();
        clue.rarity * weight * if names { NAME_WORTH } else { 1.0 }
    }
}

/// What one word of a query stands for.
fn words<'a>(index: &Index, view: &'a View<'a>, term: Term, scope: bool) -> impl Iterator<Item = Clue<'a>> {
    let name = clue(index, Kind::Name, view.lists(term.within(Field::About)));
    let named = Files::named(view, term);
    // A name after a preposition says where to look only if there is something of that name.
    let scope = name.lists.live > 0 || scope && !named.is_empty();
    let word = Clue { named, scope, ..clue(index, Kind::Word, view.lists(term)) };
    [word, name].into_iter()
}

fn clue<'a>(index: &Index, kind: Kind, lists: Lists<'a>) -> Clue<'a> {
    Clue { kind, rarity: rarity(lists.live, index.len()), lists, named: Vec::new(), scope: false }
}

/// Inverse document frequency, above zero.
#[expect(clippy::cast_precision_loss, reason = "only the leading digits of a count matter")]
pub(super) fn rarity(holders: usize, all: usize) -> f32 {
    let (holders, all) = (holders as f32, all as f32);
    (1.0 + (all - holders + 0.5) / (holders + 0.5)).ln()
}
