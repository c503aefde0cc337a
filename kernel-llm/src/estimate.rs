//! Token counts without a tokenizer: what a provider that reports no usage is charged, and what the simulated ones report.
//!
//! A rule of thumb, good to about a quarter for English prose and code: four ASCII characters a token, two of other
//! alphabets, one for each ideograph. The count of a prefix never exceeds that of the whole.

use kernel_types::{Part, Prompt, Tokens};

/// Quarters of a token that a character counts.
fn quarters(c: char) -> u64 {
    match c {
        '\0'..='\x7f' => 1,
        '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'.. => 4,
        _ => 2,
    }
}

/// The estimated tokens of a text.
#[must_use]
pub fn estimate_text(text: &str) -> Tokens {
    Tokens(text.chars().map(quarters).sum::<u64>().div_ceil(4))
}

/// The estimated tokens of a prompt, tools included.
#[must_use]
pub fn estimate_prompt(prompt: &Prompt) -> Tokens {
    estimate_text(&flatten(prompt))
}

/// The longest beginning of `text` of at most `limit` tokens.
pub(crate) fn truncate(text: &str, limit: Tokens) -> &str {
    let mut left = limit.0.saturating_mul(4);
    for (at, c) in text.char_indices() {
        match left.checked_sub(quarters(c)) {
            Some(rest) => left = rest,
            None => return &text[..at],
        }
    }
    text
}

/// The estimated tokens of the beginning that two texts share.
pub(crate) fn common_prefix(a: &str, b: &str) -> Tokens {
    let differs = a.bytes().zip(b.bytes()).position(|(x, y)| x != y);
    let end = a.floor_char_boundary(differs.unwrap_or(a.len().min(b.len())));
    Tokens(a[..end].chars().map(quarters).sum::<u64>() / 4)
}

/// A prompt as one text, in the order in which models see it.
pub(crate) fn flatten(prompt: &Prompt) -> String {
    let mut out = String::new();
    for tool in &prompt.tools {
        for piece in ["<tool>", &tool.name, " ", &tool.description, " ", tool.input.as_str(), "\n"] {
            out.push_str(piece);
        }
    }
    for message in &prompt.messages {
        out.push_str(match message.role {
            kernel_types::Role::System => "<system>",
            kernel_types::Role::User => "<user>",
            kernel_types::Role::Assistant => "<assistant>",
            kernel_types::Role::Tool => "<result>",
        });
        for part in &message.parts {
            match part {
                Part::Text(text) | Part::ToolResult { text, .. } => out.push_str(text),
                Part::ToolCall { name, args, .. } => {
                    out.push_str(name);
                    out.push_str(args.as_str());
                }
            }
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ideographs_count_one_token_each() {
        assert_eq!(estimate_text(&"中".repeat(7000)), Tokens(7000));
        assert_eq!(estimate_text("four and twenty blackbirds"), Tokens(7));
        assert_eq!(estimate_text(""), Tokens(0));
    }

    #[test]
    fn a_truncated_text_fits_and_is_the_longest_that_does() {
        let text = "aé中b, and so on";
        for limit in 0..8 {
            let cut = truncate(text, Tokens(limit));
            assert!(estimate_text(cut) <= Tokens(limit));
            let longer = text[cut.len()..].chars().next().map(|c| format!("{cut}{c}"));
            assert!(longer.is_none_or(|longer| estimate_text(&longer) > Tokens(limit)));
        }
    }

    #[test]
    fn a_shared_prefix_never_counts_more_than_either_text() {
        assert_eq!(common_prefix("abcdefgh", "abcdefXX"), Tokens(1));
        assert_eq!(common_prefix("same", "same"), Tokens(1));
        assert_eq!(common_prefix("x", "y"), Tokens(0));
    }
}
