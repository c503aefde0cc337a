//! Cutting into pages: nothing is lost, nothing is too large, blank pages only where they must be.

use kernel_tools::{Piece, split_pages};
use proptest::prelude::*;

const LONGEST_LINE: usize = 2_000;
const LONGEST_PAGE: usize = 3_000;

/// The laws that hold for every text.
fn check(text: &str) -> Vec<Piece> {
    let pieces = split_pages(text);
    let mut at = 0;
    let lines: Vec<usize> = text
        .split_inclusive('\n')
        .scan(0, |at, line| {
            let start = *at;
            *at += line.len();
            Some(start)
        })
        .collect();
    let line_of = |byte: usize| u32::try_from(lines.partition_point(|start| *start <= byte)).unwrap();
    for piece in &pieces {
        assert_eq!(piece.range.start, at, "consecutive");
        assert!(!piece.range.is_empty());
        at = piece.range.end;
        let body = &text[piece.range.clone()];
        assert_eq!(piece.first_line, line_of(piece.range.start));
        assert_eq!(piece.last_line, line_of(piece.range.end - 1));
        assert!(body.len() <= LONGEST_PAGE, "{} bytes", body.len());
        assert!(body.trim().len() <= LONGEST_LINE, "{} bytes", body.len());
        if body.trim().is_empty() && !text.trim().is_empty() {
            assert!(blank_around(text, piece) > 1_000, "a blank page in {text:?}");
        }
        check_lines_are_whole(text, piece);
    }
    assert_eq!(at, text.len(), "complete");
    pieces
}

/// A page of more than one line holds all of each, blanks at its borders aside.
fn check_lines_are_whole(text: &str, piece: &Piece) {
    let body = &text[piece.range.clone()];
    let within = body.trim();
    if within.is_empty() {
        return;
    }
    let start = piece.range.start + body.len() - body.trim_start().len();
    let end = start + within.len();
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[end..].find('\n').map_or(text.len(), |at| end + at);
    let whole = text[line_start..start].trim().is_empty() && text[end..line_end].trim().is_empty();
    assert!(whole || !within.contains('\n'), "a page of several lines is cut within one");
    assert!(
        whole || line_end - line_start >= LONGEST_LINE,
        "a line of {} bytes is cut",
        line_end - line_start
    );
}

/// How many bytes of blanks a blank piece lies in.
fn blank_around(text: &str, piece: &Piece) -> usize {
    let before = &text[..piece.range.start];
    let after = &text[piece.range.end..];
    piece.range.len() + before.len() - before.trim_end().len() + after.len() - after.trim_start().len()
}

fn a_line() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[a-zäß ]{0,120}",
        3 => Just(String::new()),
        1 => "#{1,3} [a-z]{1,20}",
        1 => " {0,40}",
        1 => "[a-zß漢 ]{900,2600}",
        1 => "[é]{1500,3500}",
        1 => Just(" ".repeat(2_500)),
    ]
}

fn a_text() -> impl Strategy<Value = String> {
    let line =
        (a_line(), prop_oneof![5 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\n\n\n"), 1 => Just("\r")]);
    let run = (0..2_500usize).prop_map(|n| "\n".repeat(n));
    (prop::collection::vec(line, 0..60), run, any::<bool>()).prop_map(|(lines, run, blank_first)| {
        let text: String = lines.into_iter().flat_map(|(line, end)| [line, end.to_owned()]).collect();
        if blank_first { run + &text } else { text.clone() + &run + &text }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pages_together_are_the_text(text in a_text()) {
        check(&text);
    }

    #[test]
    fn any_text_can_be_cut(text in any::<String>()) {
        check(&text);
    }
}

#[test]
fn no_text_no_pages() {
    assert!(split_pages("").is_empty());
}

#[test]
fn a_short_text_is_one_page() {
    let pieces = check("# One\r\n\r\nA line.");
    assert_eq!(pieces, [Piece { first_line: 1, last_line: 3, range: 0..16 }]);
}

#[test]
fn a_blank_text_is_kept() {
    assert_eq!(check("\n \n\n").len(), 1);
    assert_eq!(check(&"\n".repeat(10_000)).len(), 4);
}

#[test]
fn pages_are_of_middling_size() {
    let text = "All work and no play makes Jack a dull boy.\n".repeat(1_000);
    let pieces = check(&text);
    let (rest, most) = (pieces.last().unwrap(), &pieces[..pieces.len() - 1]);
    assert!(most.iter().all(|piece| (900..=1_000).contains(&piece.range.len())), "{pieces:?}");
    assert!(rest.range.len() >= 200);
}

#[test]
fn a_cut_is_made_at_a_paragraph_and_rather_at_a_heading() {
    let line = "Some words that fill a line of text until it is long enough.\n";
    let paragraphs = format!("{}\n{}", line.repeat(12), line.repeat(12));
    assert_eq!(check(&paragraphs)[1].first_line, 14);
    let with_heading = format!("{}# Heading\n{}\n{}", line.repeat(10), line.repeat(4), line.repeat(12));
    assert_eq!(check(&with_heading)[1].first_line, 11);
}

#[test]
fn a_very_long_line_is_cut_between_characters() {
    let text = format!("short\n{}\nshort\n", "漢字".repeat(2_000));
    let pieces = check(&text);
    let parts: Vec<_> = pieces.iter().filter(|piece| piece.first_line == 2).collect();
    assert!(parts.len() >= 6 && parts.iter().all(|piece| piece.last_line == 2), "{pieces:?}");
    let words = "word ".repeat(1_000);
    assert!(check(&words).iter().all(|piece| words[piece.range.clone()].ends_with(' ')));
}

#[test]
fn blank_lines_join_the_text_before_them() {
    let text = format!("{}{}{}", "x".repeat(1_990), "\n".repeat(900), "y".repeat(1_990));
    assert_eq!(check(&text).len(), 2);
}
