//! A query taken apart: its words, its dates, and what it asks for.

use super::dates::Date;
use super::term::Term;
use super::terms::{Analyzer, is_stop_word};

/// The worth of the days after a date, nearest first: what happened on a day is often told on the next ones.
const LATER: [f32; 7] = [0.7, 0.5, 0.4, 0.3, 0.3, 0.3, 0.3];

/// Words after which a name says where to look, not what for: `under the Mozilla Public License`.
const SCOPES: &[&str] = &["in", "of", "per", "under"];

/// How a question asks for a number.
const ASKS_NUMBER: &[&str] = &[
    "how many",
    "how much",
    "how long",
    "how old",
    "how often",
    "how soon",
    "how far",
    "percent",
    "what year",
    "which year",
    "what time",
];

/// A term of a query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct QueryTerm {
    pub(super) text: String,
    /// It only names the document that is asked about.
    pub(super) scope: bool,
}

/// A query as terms.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) words: Vec<Word>,
    /// It asks for a number.
    pub(super) number: bool,
    /// Terms of dates, each with its worth from 0 to 1.
    pub(super) dates: Vec<(Term, f32)>,
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
        let words = query_terms(&Analyzer::new(), text).into_iter();
        let words = words.map(|word| Word { term: Term::new(&word.text), scope: word.scope }).collect();
        let mut dates: Vec<(Term, f32)> = Vec::new();
        for (term, worth) in Date::all(text).iter().flat_map(date) {
            match dates.iter_mut().find(|(known, _)| *known == term) {
                Some((_, known)) => *known = known.max(worth),
                None => dates.push((term, worth)),
            }
        }
        Self { words, dates, number: asks_number(text) }
    }
}

fn date(date: &Date) -> impl Iterator<Item = (Term, f32)> {
    let later = date.days_after(LATER.len()).zip(LATER);
    date.terms().map(|term| (term, 1.0)).chain(later)
}

/// The distinct terms of a query, in order, stop words left out unless there is nothing else.
pub(super) fn query_terms(analyzer: &Analyzer, text: &str) -> Vec<QueryTerm> {
    let mut terms: Vec<QueryTerm> = Vec::new();
    for (word, scope) in scoped_words(text) {
        analyzer.each(word, |term| match terms.iter_mut().find(|known| known.text == term) {
            Some(known) => known.scope &= scope,
            None => terms.push(QueryTerm { text: term.to_owned(), scope }),
        });
    }
    if terms.iter().any(|term| !is_stop_word(&term.text)) {
        terms.retain(|term| !is_stop_word(&term.text));
    }
    if terms.iter().all(|term| term.scope) {
        terms.iter_mut().for_each(|term| term.scope = false);
    }
    terms
}

/// The words of a query, each with whether it is part of a name that follows a preposition. Words of scripts without
/// spaces stay together in one piece, which does no harm to bigrams.
fn scoped_words(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut after_preposition = false;
    let mut scope = false;
    text.split_whitespace().map(move |word| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let name = bare.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit());
        let link = matches!(bare, "the" | "a" | "an" | "version");
        scope = name && (scope || after_preposition) || scope && link;
        after_preposition = SCOPES.contains(&bare) || after_preposition && link;
        let ends = word.ends_with([',', ';', ':', '?', '!']);
        let scoped = scope;
        scope &= !ends;
        after_preposition &= !ends;
        (word, scoped)
    })
}

/// Whether a question asks for a number.
pub(super) fn asks_number(question: &str) -> bool {
    let lower = question.to_lowercase();
    ASKS_NUMBER.iter().any(|phrase| lower.contains(phrase))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_leaves_out_what_says_nothing() {
        let query = |text: &str| {
            query_terms(&Analyzer::new(), text).into_iter().map(|term| term.text).collect::<Vec<_>>()
        };
        assert_eq!(
            query("For how many months is the source of the source kept?"),
            ["month", "sourc", "keep"]
        );
        assert_eq!(query("to be or not to be"), ["to", "be", "or", "not"]);
        assert!(query("?!").is_empty());
    }

    #[test]
    fn a_query_says_where_to_look() {
        let scope = |text: &str| {
            let terms = query_terms(&Analyzer::new(), text).into_iter();
            terms.filter(|term| term.scope).map(|term| term.text).collect::<Vec<_>>()
        };
        assert_eq!(
            scope("How long, under the Mozilla Public License 2.0, is it kept?"),
            ["mozilla", "public", "licens", "2"]
        );
        assert_eq!(scope("What does Package mean in the Artistic License?"), ["artist", "licens"]);
        assert_eq!(scope("What does Package mean in a package?"), [""; 0]);
        assert_eq!(scope("in Rust"), [""; 0], "nothing else is asked");
    }
}
