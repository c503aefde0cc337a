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
            ascii_words(run, &mut sink);
        } else {
            // A space ends every word.
            run.split([' ', '\n']).for_each(|part| words(part, &mut sink));
        }
    }
}

fn words<'a>(text: &'a str, sink: &mut impl FnMut(Piece<'a>)) {
    if text.is_ascii() {
        ascii_words(text, sink);
    } else {
        text.unicode_words().for_each(|word| sink(Piece::Word(word)));
    }
}

/// What the rules of Unicode come to in ASCII: nearly all text is, and then this is several times faster.
fn ascii_words<'a>(text: &'a str, sink: &mut impl FnMut(Piece<'a>)) {
    let bytes = text.as_bytes();
    let core = |from: usize| {
        bytes[from..].iter().position(|byte| !is_core(*byte)).map_or(bytes.len(), |end| from + end)
    };
    let mut start = 0;
    while start < bytes.len() {
        let mut end = core(start);
        if end == start {
            start += 1;
            continue;
        }
        while is_infix(&bytes[end - 1..]) {
            end = core(end + 1);
        }
        let word = &text[start..end];
        if bytes[start] != b'_' || !word.trim_start_matches('_').is_empty() {
            sink(Piece::Word(word));
        }
        start = end + 1;
    }
}

/// Letters, digits and underscores.
fn is_core(byte: u8) -> bool {
    const CORE: [bool; 256] = {
        let mut core = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            core[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_';
            byte += 1;
        }
        core
    };
    CORE[usize::from(byte)]
}

/// Whether the second byte joins the ones beside it: `can't`, `self.page`, `3.5`, `1,000`.
fn is_infix(bytes: &[u8]) -> bool {
    let [before, byte, after, ..] = bytes else { return false };
    let digits = before.is_ascii_digit() && after.is_ascii_digit();
    let letters = before.is_ascii_alphabetic() && after.is_ascii_alphabetic();
    digits && matches!(byte, b'.' | b',' | b';' | b'\'') || letters && matches!(byte, b'\'' | b'.' | b':')
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
    fn words_of_ascii_are_those_of_unicode() {
        let mut random = 1_u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..12 {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push(char::from(b"ab9Z__..::,;''  -\n\"7"[(random >> 33) as usize % 20]));
            }
            let mut found = Vec::new();
            ascii_words(&text, &mut |piece| found.push(piece));
            assert_eq!(found, text.unicode_words().map(Piece::Word).collect::<Vec<_>>(), "{text:?}");
        }
    }

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
