//! The terms of a text: what retrieval compares.
//!
//! Unicode words in lower case; English ones stemmed; number words as digits (`twelve` is `12`); identifiers also by
//! their parts (`page_fault`, `pageFault`, `GPLv3`); runs of Chinese, Japanese and Korean script as bigrams, because they have no
//! spaces between words.

use std::borrow::Cow;

use rust_stemmers::{Algorithm, Stemmer};

use super::forms::base;
use super::term::{Term, with_memo};
use super::words::{Piece, pieces};

/// Words that say nothing about a text. A query of nothing else keeps them.
const STOP_WORDS: &[&str] = &[
    "a", "about", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because", "been",
    "before", "being", "but", "by", "can", "could", "did", "do", "does", "each", "for", "from", "had", "has",
    "have", "he", "her", "his", "how", "i", "if", "in", "into", "is", "it", "its", "just", "let", "many",
    "may", "me", "might", "more", "most", "much", "must", "my", "no", "not", "of", "on", "one", "or", "our",
    "say", "says", "shall", "she", "should", "so", "some", "such", "tell", "than", "that", "the", "their",
    "them", "then", "there", "these", "they", "this", "those", "to", "under", "us", "was", "we", "were",
    "what", "when", "where", "whether", "which", "while", "who", "whom", "whose", "why", "will", "with",
    "would", "you", "your",
];

/// Number words and the digits they stand for. `one` is too often a pronoun.
const NUMBERS: &[(&str, &str)] = &[
    ("eight", "8"),
    ("eighteen", "18"),
    ("eighty", "80"),
    ("eleven", "11"),
    ("fifteen", "15"),
    ("fifty", "50"),
    ("five", "5"),
    ("forty", "40"),
    ("four", "4"),
    ("fourteen", "14"),
    ("hundred", "100"),
    ("nine", "9"),
    ("nineteen", "19"),
    ("ninety", "90"),
    ("seven", "7"),
    ("seventeen", "17"),
    ("seventy", "70"),
    ("six", "6"),
    ("sixteen", "16"),
    ("sixty", "60"),
    ("ten", "10"),
    ("thirteen", "13"),
    ("thirty", "30"),
    ("thousand", "1000"),
    ("three", "3"),
    ("twelve", "12"),
    ("twenty", "20"),
    ("two", "2"),
];

/// Turns texts into terms. Cheap to make, reusable.
#[derive(Clone)]
pub(crate) struct Analyzer {
    stemmer: std::sync::Arc<Stemmer>,
}

impl Analyzer {
    pub(crate) fn new() -> Self {
        Self { stemmer: std::sync::Arc::new(Stemmer::create(Algorithm::English)) }
    }

    /// Calls `sink` with each term of `text`, in order, repeated ones too.
    pub(crate) fn each(&self, text: &str, mut sink: impl FnMut(&str)) {
        pieces(text, |piece| match piece {
            Piece::Word(word) => self.word(word, &mut sink),
            Piece::Pair(pair) => sink(pair),
        });
    }

    /// Appends the terms of `text` to `out`, in order, repeated ones too.
    pub(super) fn terms(&self, text: &str, out: &mut Vec<Term>) {
        with_memo(|memo| {
            pieces(text, |piece| match piece {
                Piece::Word(word) => memo.term(word, out, |word, sink| self.word(word, sink)),
                Piece::Pair(pair) => out.push(Term::new(pair)),
            });
        });
    }

    fn word(&self, word: &str, sink: &mut (impl FnMut(&str) + ?Sized)) {
        let version =
            word.strip_prefix(['v', 'V']).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let word = version.unwrap_or(word);
        let parts = parts(word);
        if parts.len() > 1 {
            for part in &parts {
                self.single(part, sink);
            }
        }
        self.single(word, sink);
    }

    fn single(&self, word: &str, sink: &mut (impl FnMut(&str) + ?Sized)) {
        let lower = lower(word);
        if lower.starts_with(|c: char| c.is_ascii_digit()) {
            return sink(lower.strip_suffix(".0").unwrap_or(&lower));
        }
        if let Ok(at) = NUMBERS.binary_search_by_key(&&*lower, |(name, _)| name) {
            return sink(NUMBERS[at].1);
        }
        if lower.is_ascii() && !is_stop_word(&lower) {
            return sink(&self.stemmer.stem(base(&lower).unwrap_or(&lower)));
        }
        sink(&lower);
    }
}

/// Whether the word, as a term, tells nothing.
pub(crate) fn is_stop_word(term: &str) -> bool {
    STOP_WORDS.binary_search(&term).is_ok()
}

/// Whether the term is a number.
pub(crate) fn is_number(term: &str) -> bool {
    term.starts_with(|c: char| c.is_ascii_digit())
}

/// Lower case, without a possessive's end.
fn lower(word: &str) -> Cow<'_, str> {
    let word = word.strip_suffix("'s").or_else(|| word.strip_suffix("\u{2019}s")).unwrap_or(word);
    if word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(word.to_lowercase())
    }
}

/// The parts of an identifier: at underscores and inner dots, at humps, and where digits follow letters (a `v` for version
/// dropped). Numbers stay whole.
fn parts(word: &str) -> Vec<&str> {
    if word.bytes().all(|b| b.is_ascii_lowercase()) || word.starts_with(|c: char| c.is_ascii_digit()) {
        return Vec::new();
    }
    let mut parts = Vec::new();
    for piece in word.split(['_', '.', ':']) {
        let mut start = 0;
        let mut before = None;
        for (at, c) in piece.char_indices() {
            let hump = before.is_some_and(|b: char| b.is_lowercase() && c.is_uppercase());
            let version = before.is_some_and(|b: char| b.is_alphabetic() && c.is_ascii_digit());
            if hump || version {
                let part = &piece[start..at];
                let shorter = part.strip_suffix('v').filter(|rest| version && rest.len() > 1);
                parts.push(shorter.unwrap_or(part));
                start = at;
            }
            before = Some(c);
        }
        parts.push(&piece[start..]);
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let mut terms = Vec::new();
        Analyzer::new().each(text, |term| terms.push(term.to_owned()));
        assert_eq!(terms, expected, "{text:?}");
    }

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.is_sorted() && NUMBERS.is_sorted());
    }

    #[test]
    fn words_are_lowered_and_stemmed() {
        check("Distributed electronically", &["distribut", "electron"]);
        check("Straße ÉTÉ", &["straße", "été"]);
        check("licensor's", &["licensor"]);
    }

    #[test]
    fn numbers_have_one_form() {
        check("twelve (12) months, 2.0", &["12", "12", "month", "2"]);
        check("MPL-1.1", &["mpl", "1.1"]);
    }

    #[test]
    fn identifiers_are_found_by_their_parts() {
        check("pageFault", &["page", "fault", "pagefault"]);
        check("self.clockHand", &["self", "clock", "hand", "self.clockhand"]);
        check("v1.1", &["1.1"]);
        check("page_fault", &["page", "fault", "page_fault"]);
        check("GPLv3", &["gpl", "3", "gplv3"]);
    }

    #[test]
    fn cjk_text_becomes_bigrams() {
        check("页面置换 LRU", &["页面", "面置", "置换", "lru"]);
        check("核", &["核"]);
    }
}
