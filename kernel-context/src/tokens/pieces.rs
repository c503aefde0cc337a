//! Where a text can be cut so that the counts of its pieces add up to its own.
//!
//! A tokenizer splits a text by a pattern and counts each match for itself. So counts add up wherever a match ends in the
//! whole text, and the piece before it splits like the same part of the whole. The patterns of `cl100k_base` and
//! `o200k_base` (`bpe-openai` has them) promise both at these places, all of them next to ASCII characters on both sides:
//!
//! - After a letter, before anything but a letter or an apostrophe: within a match only letters, marks (none is ASCII) and
//!   a contraction (`'s`) follow letters.
//! - After a digit, before anything but a digit, and after each third digit: digits match by threes from the first.
//! - After signs (whatever is neither letter, digit nor white space) before a digit or a blank: a run of signs matches
//!   with line breaks at most.
//! - After signs before a letter, if the run has two or follows a space: only a single sign without a space before it
//!   matches with the letters. After a line break a run is left alone: `o200k_base` may match its first slashes with
//!   what is before the break.
//! - After the last line break of white space, unless a slash follows: white space matches up to there.
//! - Before the last of two or more blanks after that: all but the last match for themselves; and the last one does if a
//!   digit follows.
//!
//! White space is cut only if an ASCII character ends it, because how it matches depends on what comes next. Pieces hold
//! for the two patterns; a test compares their splits with those of the whole.

const LETTER: u8 = 0;
const DIGIT: u8 = 1;
const APOSTROPHE: u8 = 2;
const SIGN: u8 = 3;
/// Not ASCII.
const OTHER: u8 = 4;
const BLANK: u8 = 5;
const BREAK: u8 = 6;

/// The class of each byte.
const CLASSES: [u8; 256] = {
    let mut classes = [OTHER; 256];
    let mut byte = 0;
    while byte < 128 {
        classes[byte as usize] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' => LETTER,
            b'0'..=b'9' => DIGIT,
            b'\'' => APOSTROPHE,
            b' ' | b'\t' | 0x0B | 0x0C => BLANK,
            b'\n' | b'\r' => BREAK,
            _ => SIGN,
        };
        byte += 1;
    }
    classes
};

/// What the characters so far say about a cut before the next one that is no white space.
#[derive(Clone, Copy)]
#[repr(u8)]
enum State {
    Letter,
    /// After one, two or three digits of a match.
    One,
    Two,
    Three,
    /// After digits that a character outside ASCII may belong to.
    Digits,
    /// After a sign that may match with letters.
    Open,
    /// After signs that do not match with letters.
    Closed,
    /// After signs that may have begun before a line break.
    Tainted,
    /// After a space.
    Space,
    /// After a line break.
    Break,
    /// At the beginning, and after other blanks.
    Start,
    /// After a character that is not ASCII.
    Other,
}

/// For a state, the next one after a byte of the classes up to [`OTHER`], and whether to cut before that byte.
const STEPS: [[(State, bool); 5]; 12] = {
    use State::{Closed, Digits, Letter, One, Open, Other, Tainted, Three, Two};
    const OUT: (State, bool) = (Other, false);
    [
        [(Letter, false), (One, true), (Open, false), (Open, true), OUT],
        [(Letter, true), (Two, false), (Open, true), (Open, true), OUT],
        [(Letter, true), (Three, false), (Open, true), (Open, true), OUT],
        [(Letter, true), (One, true), (Open, true), (Open, true), OUT],
        [(Letter, true), (Digits, false), (Open, true), (Open, true), OUT],
        [(Letter, false), (One, true), (Closed, false), (Closed, false), OUT],
        [(Letter, true), (One, true), (Closed, false), (Closed, false), OUT],
        [(Letter, false), (One, true), (Tainted, false), (Tainted, false), OUT],
        [(Letter, false), (One, false), (Closed, false), (Closed, false), OUT],
        [(Letter, false), (One, false), (Tainted, false), (Tainted, false), OUT],
        [(Letter, false), (One, false), (Open, false), (Open, false), OUT],
        [(Letter, false), (Digits, false), (Open, false), (Open, false), OUT],
    ]
};

/// Calls `piece` with the start and the end of each piece, in order; together they are the text.
pub(super) fn each(text: &str, mut piece: impl FnMut(usize, usize)) {
    let bytes = text.as_bytes();
    let (mut start, mut at, mut state) = (0, 0, State::Start);
    let mut cut = |end: usize| {
        if end > start {
            piece(start, end);
            start = end;
        }
    };
    while let Some(byte) = bytes.get(at) {
        let class = CLASSES[usize::from(*byte)];
        if class < BLANK {
            let (next, cuts) = STEPS[state as usize][usize::from(class)];
            if cuts {
                cut(at);
            }
            state = next;
            at += 1;
            if class == OTHER {
                at += bytes[at..].iter().take_while(|byte| !byte.is_ascii()).count();
            }
            continue;
        }
        if ends_before_space(state, class) {
            cut(at);
        }
        let space = Space::from(bytes, at);
        at = space.end;
        state = space.state;
        space.cuts().into_iter().flatten().for_each(&mut cut);
    }
    cut(bytes.len());
}

fn ends_before_space(state: State, class: u8) -> bool {
    match state {
        State::Letter | State::One | State::Two | State::Three | State::Digits => true,
        State::Open | State::Closed | State::Tainted => class == BLANK,
        State::Space | State::Break | State::Start | State::Other => false,
    }
}

/// A run of ASCII white space.
struct Space {
    /// Behind the last line break.
    line: Option<usize>,
    /// Where the blanks after that begin.
    blanks: usize,
    end: usize,
    /// The class of what ends it, if anything.
    next: Option<u8>,
    state: State,
}

impl Space {
    fn from(bytes: &[u8], start: usize) -> Self {
        let (mut line, mut end) = (None, start);
        let next = loop {
            match bytes.get(end).map(|byte| CLASSES[usize::from(*byte)]) {
                Some(BREAK) => line = Some(end + 1),
                Some(BLANK) => {}
                next => break next,
            }
            end += 1;
        };
        // A slash right behind a line break may belong to what is before it.
        let slash = line == Some(end) && bytes.get(end) == Some(&b'/');
        let state = match bytes[end - 1] {
            b' ' => State::Space,
            _ if slash => State::Break,
            _ => State::Start,
        };
        let blanks = line.unwrap_or(start);
        Self { line: line.filter(|_| !slash), blanks, end, next, state }
    }

    fn cuts(&self) -> [Option<usize>; 3] {
        if self.next.is_none_or(|class| class == OTHER) {
            return [None; 3];
        }
        let long = self.end - self.blanks >= 2;
        let digit = self.next == Some(DIGIT) && (long || self.line.is_some());
        [self.line, long.then(|| self.end - 1), digit.then_some(self.end)]
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::tokens::Vocabulary;

    const VOCABULARIES: [Vocabulary; 2] = [Vocabulary::O200k, Vocabulary::Cl100k];

    fn pieces(text: &str) -> Vec<&str> {
        let mut pieces = Vec::new();
        each(text, |start, end| pieces.push(&text[start..end]));
        pieces
    }

    /// The pieces are the text, and split like it.
    fn check(text: &str) {
        let pieces = pieces(text);
        assert_eq!(pieces.concat(), text);
        for vocabulary in VOCABULARIES {
            let tokenizer = vocabulary.tokenizer();
            let whole = tokenizer.split(text);
            let parts = pieces.iter().flat_map(|piece| tokenizer.split(piece));
            assert!(whole.eq(parts), "{vocabulary:?}: {text:?} in {pieces:?}");
        }
    }

    #[test]
    fn words_and_signs_are_cut() {
        let check = |text: &str, expected: &[&str]| assert_eq!(pieces(text), expected);
        check("the river runs.", &["the", " river", " runs", "."]);
        check("don't go", &["don't", " go"]);
        check("a::b.c(d)", &["a", "::", "b", ".c", "(d", ")"]);
        check("x = 10;\n\n    let y", &["x", " =", " 10", ";\n\n", "   ", " let", " y"]);
        check("12345  67", &["123", "45", " ", " ", "67"]);
        check("x;\n//y", &["x", ";\n//y"]);
        check("für 上下文", &["für", " 上下文"]);
        check("", &[]);
    }

    /// One of each kind that the patterns tell apart.
    const ALPHABET: [char; 12] = ['s', 'A', '1', '\'', '(', '/', ' ', '\t', '\n', 'é', '\u{A0}', '\u{301}'];

    #[test]
    fn every_text_of_five_characters_splits_like_its_pieces() {
        for length in 1..=5u32 {
            for number in 0..ALPHABET.len().pow(length) {
                let letter = |place: u32| ALPHABET[number / ALPHABET.len().pow(place) % ALPHABET.len()];
                check(&(0..length).map(letter).collect::<String>());
            }
        }
    }

    #[test]
    fn random_texts_split_like_their_pieces() {
        let seed = 77;
        let mut dice = StdRng::seed_from_u64(seed);
        let more =
            "stTRElvmdxyzÄßſK中文ⅣǅأّI0٣²_-\"#.;:{}<>=\r\u{B}\u{C}\u{85}\u{2028}\u{3000}\u{200D}😀\0\u{1F}";
        let more: Vec<char> = ALPHABET.into_iter().chain(more.chars()).collect();
        for _ in 0..20_000 {
            let length = dice.random_range(1..60);
            // Few kinds at a time make long runs likely.
            let kinds: Vec<char> =
                (0..dice.random_range(2..8)).map(|_| more[dice.random_range(0..more.len())]).collect();
            check(&(0..length).map(|_| kinds[dice.random_range(0..kinds.len())]).collect::<String>());
        }
    }
}
