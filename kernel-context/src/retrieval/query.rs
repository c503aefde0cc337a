//! What is asked: a query taken apart.

use kernel_types::PageNo;

use super::dates::Date;
use super::embedding::Embedding;
use super::term::Term;
use super::terms::{Analyzer, asks_number};

/// What to look for in an [`Index`](super::Index).
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// In words.
    pub text: &'a str,
    /// What the embedding model of the pages makes of it, if there is one.
    pub embedding: Option<&'a Embedding>,
    /// The most pages to find. It bounds the work too: a page costs nine tokens or more, so a budget of tokens says it.
    pub limit: usize,
}

/// A page that fits a query.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Hit {
    /// Its number.
    pub page: PageNo,
    /// How well it fits, above zero; comparable within one answer only.
    pub score: f32,
}

/// A query as terms.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) words: Vec<Word>,
    /// It asks for a number.
    pub(super) number: bool,
    /// Terms of dates, each with its worth from 0 to 1.
    pub(super) marks: Vec<(Term, f32)>,
}

/// A word of a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word {
    pub(super) term: Term,
    /// It may only say where to look.
    pub(super) scope: bool,
}

impl Question {
    pub(super) fn new(text: &str) -> Self {
        let words = Analyzer::new().query(text).into_iter();
        let words = words.map(|word| Word { term: Term::new(&word.text), scope: word.scope }).collect();
        let mut marks: Vec<(Term, f32)> = Vec::new();
        for (term, worth) in Date::all(text).iter().flat_map(date) {
            match marks.iter_mut().find(|(known, _)| *known == term) {
                Some((_, known)) => *known = known.max(worth),
                None => marks.push((term, worth)),
            }
        }
        Self { words, marks, number: asks_number(text) }
    }
}

/// The worth of the days after a date, nearest first: what happened on a day is often told on the next ones.
const LATER: [f32; 7] = [0.7, 0.5, 0.4, 0.3, 0.3, 0.3, 0.3];

fn date(date: &Date) -> impl Iterator<Item = (Term, f32)> {
    let later = date.days_after(LATER.len()).zip(LATER);
    date.terms().map(|term| (term, 1.0)).chain(later)
}
