//! A provider's key: sent, never shown.

use std::fmt;

/// What stands in a text where a key was.
const MASK: &str = "[key]";

/// Keys shorter than this are not searched for in texts: masking them would garble ordinary words.
const SHORTEST_MASKED: usize = 8;

/// A provider's key. Printing it shows nothing of it; only the HTTP client reads it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// A key, without the white space around it; `None` if nothing is left.
    #[must_use]
    pub fn new(key: &str) -> Option<Self> {
        let key = key.trim();
        (!key.is_empty()).then(|| Self(key.to_owned()))
    }

    /// The key in an environment variable, if it is set and not empty.
    #[must_use]
    pub fn from_env(name: &str) -> Option<Self> {
        std::env::var(name).ok().and_then(|value| Self::new(&value))
    }

    /// `text` with every occurrence of the key replaced.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        if self.0.len() < SHORTEST_MASKED { text.to_owned() } else { text.replace(&self.0, MASK) }
    }

    /// The key itself, for the header it travels in.
    #[cfg(feature = "http")]
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Takes from `pending` all text that is certain not to be part of the key, masked. What stays is the longest end
    /// of `pending` that the key begins with.
    #[cfg(feature = "http")]
    pub(crate) fn take_masked(&self, pending: &mut String) -> String {
        let masked = self.mask(pending);
        let held = if self.0.len() < SHORTEST_MASKED { 0 } else { overlap(&masked, &self.0) };
        let keep = masked.len() - held;
        *pending = masked[keep..].to_owned();
        masked[..keep].to_owned()
    }
}

/// The length of the longest proper prefix of `key` that `text` ends with.
#[cfg(feature = "http")]
fn overlap(text: &str, key: &str) -> usize {
    let longest = text.len().min(key.len() - 1);
    (1..=longest).rev().find(|&n| key.is_char_boundary(n) && text.ends_with(&key[..n])).unwrap_or(0)
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_a_key_shows_nothing_of_it() {
        let key = ApiKey::new(" sk-secret-123\n").unwrap();
        assert_eq!(format!("{key:?}"), "ApiKey([redacted])");
        assert_eq!(key.mask("bad key sk-secret-123, sorry"), "bad key [key], sorry");
        assert_eq!(ApiKey::new(" \n"), None);
    }

    #[cfg(feature = "http")]
    #[test]
    fn a_key_split_over_chunks_is_masked() {
        let key = ApiKey::new("sk-secret-123").unwrap();
        for cut in 0.."it is sk-secret-123 sk-sec!".len() {
            let (head, tail) = "it is sk-secret-123 sk-sec!".split_at(cut);
            let mut pending = String::new();
            let mut shown = String::new();
            for chunk in [head, tail] {
                pending.push_str(chunk);
                shown.push_str(&key.take_masked(&mut pending));
            }
            shown.push_str(&pending);
            assert_eq!(shown, "it is [key] sk-sec!", "cut at {cut}");
        }
    }
}
