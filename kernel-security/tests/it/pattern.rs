//! Patterns and paths.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use kernel_security::{covers, matches, normal_path, path_within};

#[test]
fn a_star_is_any_text_and_all_else_is_itself() {
    let cases = [
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("*", "anything/at all", true),
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "a", true),
        ("a*", "ba", false),
        ("*a", "bca", true),
        ("*a", "ab", false),
        ("a*a", "a", false),
        ("a*a", "aa", true),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "a-c-b", false),
        ("**", "x", true),
        ("a**b", "ab", true),
        ("*.rs", "lib.rs", true),
        ("ab*ba", "aba", false),
        ("?", "x", false),
        ("[a-z]", "b", false),
        ("A", "a", false),
        ("é*", "ecole", false),
        ("é*", "étude", true),
    ];
    for (pattern, text, expected) in cases {
        assert_eq!(matches(pattern, text), expected, "{pattern:?} on {text:?}");
    }
}

#[test]
fn hostile_patterns_take_linear_time() {
    let pattern = format!("{}b", "a*".repeat(50_000));
    let text = "a".repeat(200_000);
    let start = Instant::now();
    assert!(!matches(&pattern, &text));
    assert!(matches(&pattern, &format!("{text}b")));
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
}

#[test]
fn covering_is_as_wide_as_it_may_be() {
    let cases = [
        ("*", "*", true),
        ("*", "a*b", true),
        ("a*", "a*", true),
        ("a*", "ab*", true),
        ("ab*", "a*", false),
        ("a*c", "a*b*c", true),
        ("a*b*c", "a*c", false),
        ("a", "*", false),
        ("*a*", "bab", true),
        ("a**", "a*", true),
    ];
    for (parent, child, expected) in cases {
        assert_eq!(covers(parent, child), expected, "{parent:?} covers {child:?}");
    }
}

/// The obvious definition, exponential and plain.
fn matches_naively(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|at| matches_naively(rest, &text[at..])),
        Some((byte, rest)) => {
            text.split_first().is_some_and(|(first, text)| first == byte && matches_naively(rest, text))
        }
    }
}

fn settings(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(settings(4000))]

    #[test]
    fn matching_agrees_with_its_definition(pattern in "[ab*]{0,7}", text in "[ab]{0,8}") {
        prop_assert_eq!(matches(&pattern, &text), matches_naively(pattern.as_bytes(), text.as_bytes()));
    }

    #[test]
    fn what_covers_matches_all_that_is_covered(
        parent in "[ab*]{0,6}", child in "[ab*]{0,6}", fill in prop::collection::vec("[abc]{0,3}", 6),
    ) {
        let mut fills = fill.iter();
        let text: String = child.chars().map(|c| match c {
            '*' => fills.next().cloned().unwrap_or_default(),
            c => c.to_string(),
        }).collect();
        prop_assert!(matches(&child, &text));
        if covers(&parent, &child) {
            prop_assert!(matches(&parent, &text), "{parent:?} covers {child:?} but not {text:?}");
        }
        // Exact: a text that only a star can match tells the two apart.
        if !covers(&parent, &child) {
            let telling = child.replace('*', "\u{1}");
            prop_assert!(!matches(&parent, &telling));
        }
    }

    #[test]
    fn a_path_within_stays_within(granted in "[ab./*]{0,6}", path in "[ab./]{0,9}") {
        if path_within(&granted, &path) {
            let normal = normal_path(&path).expect("only paths of the workspace are within");
            prop_assert!(!normal.split('/').any(|segment| segment == ".."));
            prop_assert!(!path.starts_with('/'));
            let (dotted, below) = (format!("./{path}"), format!("./{path}/below"));
            prop_assert!(path_within(&granted, &normal) && path_within(&granted, &dotted));
            prop_assert!(path_within(&granted, &below), "a folder covers what lies in it");
        }
    }
}

#[test]
fn paths_are_compared_in_normal_form() {
    let cases = [
        (".", "a/b", true),
        (".", ".", true),
        (".", "", true),
        ("./", "a", true),
        ("", "a", false),
        ("", "", false),
        ("docs", "docs", true),
        ("docs", "docs/a/b.md", true),
        ("docs/", "./docs//a", true),
        ("docs", "docs-private/a", false),
        ("docs", ".", false),
        ("docs/a.md", "docs", false),
        ("docs/*.md", "docs/a.md", true),
        ("docs/*.md", "docs/a.txt", false),
        ("*.md", "docs/a.md", true),
        ("*", ".", true),
        ("docs/*", "docs", false),
    ];
    for (granted, path, expected) in cases {
        assert_eq!(path_within(granted, path), expected, "{granted:?} covers {path:?}");
    }
}

#[test]
fn no_grant_reaches_out_of_the_workspace() {
    for granted in [".", "*", "/", "/etc", "..", "../*", "docs"] {
        for path in ["..", "../x", "docs/../../x", "docs/../docs/x", "/etc/passwd", "/", "//x", "docs/\0"] {
            assert!(!path_within(granted, path), "{granted:?} covers {path:?}");
        }
    }
    // The positive control.
    assert!(path_within("docs", "docs/..x/...") && path_within("*", "etc/passwd"));
}
