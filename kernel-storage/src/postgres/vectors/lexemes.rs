//! Words as the text search of PostgreSQL keeps them.
//!
//! The words are ours ([`words`](crate::vectors::words)), so that all stores agree about what one is. A lexeme is a word behind the
//! number of its namespace, so that the index keeps namespaces apart; its one place says how often the word stands in
//! the text.

use std::collections::BTreeMap;
use std::fmt::Write;

/// The last place that a lexeme may have: a word that stands there more often counts no more.
const LAST_PLACE: u32 = 16_383;
/// A vector of words has less than 1 MB: the lexemes, and some bytes for the place of each.
const PART: usize = 512 << 10;
/// The bytes of a lexeme's place, with what is left free before it.
const OVERHEAD: usize = 8;
/// So many words are asked for in one query.
const ASKED: usize = 1000;

/// The texts of the vectors of words, at least one.
pub(super) fn parts(space: i64, counts: &BTreeMap<String, u32>) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut bytes = 0;
    for (word, count) in counts {
        let lexeme = lexeme(space, word);
        bytes += lexeme.len() + OVERHEAD;
        if bytes > PART {
            parts.push(String::new());
            bytes = lexeme.len() + OVERHEAD;
        }
        let part = parts.last_mut().expect("there is one from the beginning on");
        quote(part, &lexeme);
        write!(part, ":{} ", (*count).min(LAST_PLACE)).expect("a text takes what is written to it");
    }
    parts
}

/// Queries that match what has one of the words.
#[derive(Default, Debug)]
pub(super) struct Asked {
    pub(super) queries: Vec<String>,
    /// The lexemes of all of them.
    pub(super) lexemes: Vec<String>,
}

/// How the words of a text are asked for.
pub(super) fn asked(space: i64, counts: &BTreeMap<String, u32>) -> Asked {
    let mut asked = Asked::default();
    let words: Vec<&String> = counts.keys().collect();
    for words in words.chunks(ASKED) {
        let mut query = String::new();
        for word in words {
            let lexeme = lexeme(space, word);
            if !query.is_empty() {
                query.push_str(" | ");
            }
            quote(&mut query, &lexeme);
            asked.lexemes.push(lexeme);
        }
        asked.queries.push(query);
    }
    asked
}

fn lexeme(space: i64, word: &str) -> String {
    format!("{space} {word}")
}

fn quote(text: &mut String, lexeme: &str) {
    text.push('\'');
    for c in lexeme.chars() {
        if matches!(c, '\'' | '\\') {
            text.push(c);
        }
        text.push(c);
    }
    text.push('\'');
}

#[cfg(test)]
mod tests {
    use super::{asked, parts};
    use crate::vectors::words;

    #[test]
    fn words_are_quoted_and_counted() {
        assert_eq!(parts(7, &words("don't stop don't")), ["'7 don''t':2 '7 stop':1 "]);
        assert_eq!(parts(7, &words("?!")), [""]);
        assert_eq!(parts(7, &[("a\\'b".to_owned(), 99_999)].into()), ["'7 a\\\\''b':16383 "]);
        let asked = asked(7, &words("don't stop"));
        assert_eq!(asked.queries, ["'7 don''t' | '7 stop'"]);
        assert_eq!(asked.lexemes, ["7 don't", "7 stop"]);
    }

    #[test]
    fn many_words_are_divided_and_none_is_lost() {
        let text: Vec<String> = (0..100_000).map(|n| format!("word{n}")).collect();
        let counts = words(&text.join(" "));
        let parts = parts(1, &counts);
        assert!(parts.len() > 1 && parts.iter().all(|part| part.len() < 1 << 20), "{}", parts.len());
        assert_eq!(parts.iter().map(|part| part.matches(':').count()).sum::<usize>(), 100_000);
        let asked = asked(1, &counts);
        assert_eq!((asked.queries.len(), asked.lexemes.len()), (100, 100_000));
    }
}
