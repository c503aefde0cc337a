//! Where the words of a text are: Unicode word boundaries (UAX #29), and pairs of characters in scripts without spaces.

use unicode_segmentation::UnicodeSegmentation;

/// A stretch of text that is compared as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Piece<'a> {
    /// A word, as it is written.
    Word(&'a str),
    /// One or two characters of Chinese, Japanese or Korean.
    Pair(&'a str),
}

/// Calls `sink` with each piece of `text`, in order.
pub(super) fn pieces<'a>(text: &'a str, mut sink: impl FnMut(Piece<'a>)) {
    for (run, cjk) in runs(text) {
        if cjk {
            pairs(run, &mut sink);
        } else if run.is_ascii() {
            run.unicode_words().for_each(|word| sink(Piece::Word(word)));
        } else {
            // A space ends every word, and pieces of plain ASCII are found faster.
            let parts = run.split_inclusive([' ', '\n']);
            parts.flat_map(UnicodeSegmentation::unicode_words).for_each(|word| sink(Piece::Word(word)));
        }
    }
}

/// Splits text where its script changes between CJK and everything else.
fn runs(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let cjk = is_cjk(rest.chars().next()?);
        let end = if cjk {
            rest.find(|c| !is_cjk(c))
        } else if rest.is_ascii() {
            None
        } else {
            rest.find(is_cjk)
        };
        let (run, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        Some((run, cjk))
    })
}

/// Han, Kana and Hangul.
fn is_cjk(c: char) -> bool {
    matches!(c, '\u{3041}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7AF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{323AF}')
}

/// Each pair of neighbouring characters; a lone one by itself.
fn pairs<'a>(run: &'a str, sink: &mut impl FnMut(Piece<'a>)) {
    let starts = run.char_indices().map(|(at, _)| at);
    let ends = run.char_indices().map(|(at, c)| at + c.len_utf8()).skip(1);
    let mut lone = true;
    for (start, end) in starts.zip(ends) {
        lone = false;
        sink(Piece::Pair(&run[start..end]));
    }
    if lone {
        sink(Piece::Pair(run));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixed_text_has_the_words_of_its_parts() {
        let mut found = Vec::new();
        pieces("It\u{2019}s LRU\u{2014}page 页面置换 核.\nÉté 3.5", |piece| found.push(piece));
        let words = ["It\u{2019}s", "LRU", "page"].map(Piece::Word).into_iter();
        let pairs = ["页面", "面置", "置换", "核"].map(Piece::Pair);
        let rest = ["Été", "3.5"].map(Piece::Word);
        assert_eq!(found, words.chain(pairs).chain(rest).collect::<Vec<_>>());
    }
}
