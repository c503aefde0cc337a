//! Text of an exact length: each word is one token of the public vocabularies, so that a pager that counts for itself
//! comes to the same number.

const WORDS: [&str; 32] = [
    "river", "stone", "window", "city", "letter", "summer", "engine", "market", "silver", "forest", "bridge",
    "star", "signal", "paper", "field", "light", "kernel", "process", "memory", "prompt", "prefix", "token",
    "cache", "budget", "table", "number", "music", "water", "house", "train", "color", "story",
];

/// `tokens` words. The first three name the page among the first 32,768 of its agent, the others repeat and are noise.
pub(super) fn text(number: u64, tokens: u64) -> String {
    let name = [number, number >> 5, number >> 10];
    let noise = |word: u64| (number ^ (word << 7)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 59;
    let mut text = String::new();
    for word in 0..tokens {
        let index = usize::try_from(word).ok().and_then(|word| name.get(word).copied());
        let index = index.unwrap_or_else(|| noise(word)) % WORDS.len() as u64;
        if word > 0 {
            text.push(' ');
        }
        text.push_str(WORDS[usize::try_from(index).unwrap_or(0)]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenCounter;

    #[test]
    fn a_text_has_as_many_tokens_as_it_says() {
        for model in ["gpt-4o", "gpt-4"] {
            let counter = TokenCounter::for_model(model);
            for (number, tokens) in (0..200).zip((0..200).map(|n| n * 7 % 100)) {
                assert_eq!(
                    counter.count(&text(number, tokens)),
                    tokens,
                    "{model}: {:?}",
                    text(number, tokens)
                );
            }
        }
    }

    #[test]
    fn pages_have_names_of_their_own() {
        let name = |number| text(number, 3);
        let names: std::collections::BTreeSet<String> = (0..32_768).map(name).collect();
        assert_eq!(names.len(), 32_768);
    }
}
