//! The words of a text, and what they are worth.
//!
//! Words are those of Unicode (UAX 29) in lower case: no stems, no list of words to leave out, no language. Every
//! store of this crate that counts words itself does it here.

use std::collections::BTreeMap;

use unicode_segmentation::UnicodeSegmentation;

/// Words are told apart by this many bytes; what is longer is no word of a language.
const LONGEST: usize = 128;

/// How soon it stops to matter how often a word stands in a text.
pub(crate) const K1: f64 = 1.2;
/// How much the length of a text matters.
pub(crate) const B: f64 = 0.75;

/// The words of a text, each with how often it stands there.
pub(crate) fn words(text: &str) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for word in text.unicode_words() {
        let mut word = word.to_lowercase();
        word.truncate(word.floor_char_boundary(LONGEST));
        *counts.entry(word).or_default() += 1;
    }
    counts
}

/// How many words a text has, each counted as often as it stands there.
pub(crate) fn length(words: &BTreeMap<String, u32>) -> u32 {
    words.values().fold(0, |sum, count| sum.saturating_add(*count))
}

/// What is known of all the texts of a namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Corpus {
    /// How many texts.
    pub(crate) texts: u64,
    /// Their words.
    pub(crate) words: u64,
}

impl Corpus {
    /// What a word is worth that stands `count` times in a text of `length` words, and in `holders` texts: BM25 as in
    /// Robertson and Zaragoza, *The Probabilistic Relevance Framework* (2009), with an inverse document frequency that
    /// is never negative.
    #[expect(clippy::cast_precision_loss, reason = "only the leading digits of counts matter")]
    pub(crate) fn worth(&self, holders: u64, count: u32, length: u32) -> f64 {
        let (texts, holders, count) = (self.texts as f64, holders as f64, f64::from(count));
        let rarity = (1.0 + (texts - holders + 0.5) / (holders + 0.5)).ln();
        let average = (self.words as f64 / texts.max(1.0)).max(1.0);
        let saturation = count + K1 * (1.0 - B + B * f64::from(length) / average);
        rarity * count * (K1 + 1.0) / saturation
    }
}

#[cfg(test)]
mod tests {
    use super::{Corpus, length, words};

    fn check(text: &str, expected: &[(&str, u32)]) {
        let found: Vec<_> = words(text).into_iter().collect();
        let expected: Vec<_> = expected.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn words_are_those_of_unicode_in_lower_case() {
        check("The cat, the CAT.", &[("cat", 2), ("the", 2)]);
        check("can't 3.14 x\0y", &[("3.14", 1), ("can't", 1), ("x", 1), ("y", 1)]);
        check("中文 Straße", &[("straße", 1), ("中", 1), ("文", 1)]);
        check(" \0 ?! ", &[]);
    }

    #[test]
    fn a_word_of_any_length_is_cut_at_a_character() {
        let long = "é".repeat(1000);
        let found: Vec<_> = words(&long).into_keys().collect();
        assert_eq!(found, ["é".repeat(64)]);
        assert_eq!(length(&words("a b a")), 3);
    }

    #[test]
    fn rare_words_in_short_texts_are_worth_more() {
        let corpus = Corpus { texts: 100, words: 1000 };
        assert!(corpus.worth(1, 1, 10) > corpus.worth(50, 1, 10));
        assert!(corpus.worth(1, 2, 10) > corpus.worth(1, 1, 10));
        assert!(corpus.worth(1, 1, 5) > corpus.worth(1, 1, 50));
        assert!(corpus.worth(100, 1, 10) > 0.0);
        // ln(1 + 99.5 / 1.5) for a text of the mean length that holds it once.
        assert!((corpus.worth(1, 1, 10) - (1.0_f64 + 99.5 / 1.5).ln()).abs() < 1e-12);
    }
}
