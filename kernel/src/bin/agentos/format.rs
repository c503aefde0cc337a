//! Quantities and lists as people read them.

use std::time::{Duration, SystemTime};

use indicatif::HumanCount;
use kernel_types::{Millis, PageNo, Timestamp};

/// The most page ranges that are listed.
const MOST_RANGES: usize = 6;

/// `1,893`.
pub(crate) fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// `1 page`, `2 pages`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `850 ms`, `4.2 s`, `3 min 5 s`.
pub(crate) fn span(span: Millis) -> String {
    match span.0 {
        ms @ 0..1_000 => format!("{ms} ms"),
        ms @ 1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        ms => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
    }
}

/// `2026-05-01T09:30:00.125Z`.
pub(crate) fn time(at: Timestamp) -> String {
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + Duration::from_millis(at.0)).to_string()
}

/// `page 17`, `pages 17-42, 45`.
pub(crate) fn pages(pages: &[PageNo]) -> String {
    let mut sorted: Vec<u64> = pages.iter().map(|page| page.0).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for page in &sorted {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *page => *last = *page,
            _ => ranges.push((*page, *page)),
        }
    }
    let shown = ranges.iter().take(MOST_RANGES);
    let mut text: Vec<String> = shown
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    let more: u64 = ranges.iter().skip(MOST_RANGES).map(|(first, last)| last - first + 1).sum();
    if more > 0 {
        text.push(format!("and {} more", count(more)));
    }
    format!("{} {}", if sorted.len() == 1 { "page" } else { "pages" }, text.join(", "))
}

/// A text without what a terminal would act on: control characters, and marks that turn the direction of writing.
pub(crate) fn plain(text: &str) -> String {
    let acts = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if acts(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The beginning of a text, in one line, without what a terminal would act on.
pub(crate) fn clipped(text: &str, length: usize) -> String {
    let line = plain(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    if line.chars().count() <= length {
        return line;
    }
    line.chars().take(length.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_listed_as_ranges() {
        let check = |numbers: &[u64], expected: &str| {
            assert_eq!(pages(&numbers.iter().copied().map(PageNo).collect::<Vec<_>>()), expected);
        };
        check(&[17], "page 17");
        check(&[19, 17, 18, 45], "pages 17-19, 45");
        check(&[1, 3, 5, 7, 9, 11, 13, 14], "pages 1, 3, 5, 7, 9, 11, and 2 more");
    }

    #[test]
    fn quantities_are_short() {
        assert_eq!(
            (span(Millis(850)), span(Millis(4_260)), span(Millis(185_000))),
            ("850 ms".into(), "4.2 s".into(), "3 min 5 s".into())
        );
        assert_eq!(time(Timestamp(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(clipped("one two\nthree", 9), "one two …");
        assert_eq!(clipped("a\u{1b}[31m\tb\0", 9), "a\u{fffd}[31m b\u{fffd}");
        assert_eq!((counted(1, "page"), counted(1_200, "page")), ("1 page".into(), "1,200 pages".into()));
    }
}
