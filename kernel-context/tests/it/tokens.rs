//! Counts are the tokenizer's own, whatever is remembered of earlier ones.

use std::path::Path;

use bpe_openai::{Tokenizer, cl100k_base, o200k_base};
use kernel_context::TokenCounter;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

fn vocabularies() -> [(TokenCounter, &'static Tokenizer); 2] {
    [(TokenCounter::for_model("gpt-4o"), o200k_base()), (TokenCounter::for_model("gpt-4"), cl100k_base())]
}

fn check(text: &str) {
    for (counter, tokenizer) in vocabularies() {
        let expected = tokenizer.count(text) as u64;
        assert_eq!(counter.count(text), expected, "{text:?}");
        assert_eq!(counter.count(text), expected, "again: {text:?}");
    }
}

/// Whole files, and pieces of them that begin and end anywhere.
fn check_files(folder: &Path, dice: &mut StdRng) -> usize {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut count = 0;
    for file in files {
        if file.is_dir() {
            count += check_files(&file, dice);
        } else if let Ok(text) = std::fs::read_to_string(&file) {
            check(&text);
            (0..20).for_each(|_| check(anywhere(&text, dice)));
            count += 1;
        }
    }
    count
}

fn anywhere<'a>(text: &'a str, dice: &mut StdRng) -> &'a str {
    let mut end = || text.floor_char_boundary(dice.random_range(0..=text.len()));
    let (one, two) = (end(), end());
    &text[one.min(two)..one.max(two)]
}

#[test]
fn english_is_counted_exactly() {
    let mut dice = StdRng::seed_from_u64(1);
    assert!(check_files(Path::new("/usr/share/common-licenses"), &mut dice) >= 14);
}

#[test]
fn source_code_is_counted_exactly() {
    let mut dice = StdRng::seed_from_u64(2);
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    assert!(check_files(&crates.join("kernel-context/src"), &mut dice) >= 20);
    check_files(&crates.join("kernel-types/src"), &mut dice);
}

/// Words, numbers, signs and white space of many scripts, put together at random: contractions, camel case, long runs.
#[test]
fn random_texts_are_counted_exactly() {
    const PARTS: &str = "the|river|'s|'S|'t|'ll|don't|fooBar|HTTPServer|x|A|ﬁ|naïve|Ünder|上下文|窗口|ひらがな|한국어|Привет|\
        مرحبا|हिन्दी|😀|👩‍👩‍👧|e\u{301}|ǅ|ſ|Ⅻ|٣|²|0|42|12345|3.14|0xFF|::|->|//|/|/*|*/|#|'|\"|\\|_|__|--|...|(|)|{|}|[|];|<>|=|+=|\u{0}|\u{1F}";
    const SPACES: [&str; 12] =
        [" ", " ", " ", "  ", "    ", "\n", "\n\n", "\r\n", "\t", "\u{A0}", "\u{3000}", "\u{85}"];
    let parts: Vec<&str> = PARTS.split('|').collect();
    let seed = 3;
    let mut dice = StdRng::seed_from_u64(seed);
    for _ in 0..5_000 {
        let mut text = String::new();
        for _ in 0..dice.random_range(1..40) {
            text.push_str(parts[dice.random_range(0..parts.len())]);
            if dice.random_range(0..3) > 0 {
                text.push_str(SPACES[dice.random_range(0..SPACES.len())]);
            }
        }
        check(&text);
    }
}

/// Any Unicode characters at all, in few scripts at a time.
#[test]
fn random_characters_are_counted_exactly() {
    let seed = 4;
    let mut dice = StdRng::seed_from_u64(seed);
    for _ in 0..3_000 {
        let top = [0x80, 0x250, 0x3100, 0x1_1000, 0x11_0000][dice.random_range(0..5)];
        let mut text = String::new();
        for _ in 0..dice.random_range(1..80) {
            let below = if dice.random_range(0..2) == 0 { 0x80 } else { top };
            text.extend(char::from_u32(dice.random_range(0..below)));
        }
        check(&text);
    }
}

/// More distinct pieces than the memo has room for, of every length around the longest that it keeps.
#[test]
fn what_was_forgotten_is_counted_again() {
    let seed = 5;
    let mut dice = StdRng::seed_from_u64(seed);
    let words: Vec<String> = (0..40_000)
        .map(|_| (0..dice.random_range(1..20)).map(|_| char::from(dice.random_range(b'a'..=b'z'))).collect())
        .collect();
    check(&words.join(" "));
    check(&words.concat());
    words.iter().rev().take(5_000).for_each(|word| check(word));
}

#[test]
fn threads_count_alike() {
    let text = "Each thread remembers for itself. ".repeat(50);
    let expected = o200k_base().count(text.as_str()) as u64;
    let counter = TokenCounter::for_model("gpt-4o");
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| counter.count(&text))).collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap() == expected));
    });
}
