//! Token counts: a public vocabulary by model family, and a ratio that the provider's reports correct.
//!
//! Counts are kept raw (what the vocabulary says) and calibrated only when they are compared with a window, so that a
//! page is counted once in its life whatever the ratio becomes. Counting remembers words, for speed alone: a count is
//! always the vocabulary's. Ratios are whole thousandths: the same reports give the same ratio everywhere.

mod memo;
mod pieces;

use bpe_openai::{Tokenizer, cl100k_base, o200k_base};
use kernel_types::Tokens;

/// One, in thousandths.
const UNIT: u64 = 1000;
/// Ratios outside this are a misreport, not a tokenizer.
const RATIOS: std::ops::RangeInclusive<u64> = 500..=4000;
/// Estimates below this say more about a chat template than about a tokenizer.
const SMALLEST_SAMPLE: u64 = 64;

/// A public vocabulary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Vocabulary {
    O200k,
    Cl100k,
}

impl Vocabulary {
    fn tokenizer(self) -> &'static Tokenizer {
        match self {
            Self::O200k => o200k_base(),
            Self::Cl100k => cl100k_base(),
        }
    }
}

/// Model names by prefix, the vocabulary to count with, and the ratio to start from in thousandths. The first that fits
/// counts. Models without a public vocabulary start above the mean of what they report, so that the first call fits.
const FAMILIES: &[(&str, Vocabulary, u64)] = &[
    ("gpt-4o", Vocabulary::O200k, 1000),
    ("gpt-4.", Vocabulary::O200k, 1000),
    ("gpt-4", Vocabulary::Cl100k, 1000),
    ("gpt-3.5", Vocabulary::Cl100k, 1000),
    ("gpt-", Vocabulary::O200k, 1000),
    ("chatgpt-", Vocabulary::O200k, 1000),
    ("o1", Vocabulary::O200k, 1000),
    ("o3", Vocabulary::O200k, 1000),
    ("o4", Vocabulary::O200k, 1000),
    ("claude", Vocabulary::O200k, 1200),
    ("llama", Vocabulary::O200k, 1150),
    ("qwen", Vocabulary::O200k, 1150),
    ("mistral", Vocabulary::O200k, 1200),
];
/// A vocabulary of 32,000 to 50,000 entries needs up to a quarter more tokens than `o200k`.
const UNKNOWN: (Vocabulary, u64) = (Vocabulary::O200k, 1250);

/// Counts the tokens of one model's texts.
///
/// ```
/// use kernel_context::TokenCounter;
///
/// let counter = TokenCounter::for_model("gpt-4o");
/// assert_eq!(counter.count("Hello, world!"), 4);
/// assert!(counter.count("上下文窗口就是内存") >= 4);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenCounter {
    vocabulary: Vocabulary,
    start: u64,
}

impl TokenCounter {
    /// The counter for a model's name, with or without its vendor (`openai/gpt-4o`).
    #[must_use]
    pub fn for_model(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model).to_lowercase();
        let known = FAMILIES.iter().find(|(prefix, ..)| name.starts_with(prefix));
        let (vocabulary, start) = known.map_or(UNKNOWN, |(_, vocabulary, start)| (*vocabulary, *start));
        Self { vocabulary, start }
    }

    /// Tokens of `text` in the family's vocabulary, before calibration.
    #[must_use]
    pub fn count(&self, text: &str) -> u64 {
        memo::count(self.vocabulary, text)
    }

    /// The ratio to begin with.
    #[must_use]
    pub fn ratio(&self) -> Ratio {
        Ratio(self.start)
    }

    /// Whether counts of `other` are counts of this one too.
    #[must_use]
    pub fn counts_like(&self, other: &Self) -> bool {
        self.vocabulary == other.vocabulary
    }
}

/// The model's tokens for each token counted, in thousandths.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Ratio(u64);

impl Ratio {
    /// The ratio in thousandths.
    #[must_use]
    pub const fn thousandths(self) -> u64 {
        self.0
    }

    /// The model's tokens for `raw` counted ones, rounded up.
    #[must_use]
    pub const fn apply(self, raw: u64) -> Tokens {
        Tokens(raw.saturating_mul(self.0).div_ceil(UNIT))
    }

    /// The most counted tokens that stay within `window` of the model's.
    #[must_use]
    pub const fn limit(self, window: Tokens) -> u64 {
        let limit = window.0 as u128 * UNIT as u128 / self.0 as u128;
        if limit > u64::MAX as u128 { u64::MAX } else { limit as u64 }
    }

    /// The ratio after the provider counted `reported` where `estimated` were counted: up at once, because a prompt that
    /// is too long is refused; down by a quarter of the way, because one report is not a law. Samples too small to say
    /// anything leave it as it is.
    #[must_use]
    pub fn observe(self, estimated: Tokens, reported: Tokens) -> Self {
        if estimated.0 < SMALLEST_SAMPLE || reported.0 == 0 {
            return self;
        }
        let seen = u128::from(reported.0) * u128::from(UNIT);
        let seen = u64::try_from(seen.div_ceil(u128::from(estimated.0))).unwrap_or(u64::MAX);
        let seen = seen.clamp(*RATIOS.start(), *RATIOS.end());
        Self(if seen >= self.0 { seen } else { (3 * self.0 + seen).div_ceil(4) })
    }

    /// Whether the value is one that [`Ratio::observe`] can give.
    pub(crate) fn is_sane(self) -> bool {
        RATIOS.contains(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_is_not_one_token() {
        let text = "虚拟内存".repeat(1750);
        for model in ["gpt-4o", "gpt-4", "claude-sonnet-4-5", "smollm2-135m"] {
            let tokens = TokenCounter::for_model(model).count(&text);
            assert!((1750..=14_000).contains(&tokens), "{model}: {tokens} tokens for 7,000 characters");
        }
    }

    #[test]
    fn families_have_their_vocabulary() {
        let counter = TokenCounter::for_model;
        assert!(!counter("gpt-4o").counts_like(&counter("gpt-4-turbo")));
        assert!(counter("openai/GPT-5-mini").counts_like(&counter("gpt-4.1")));
        assert_eq!(counter("smollm2-135m").ratio().thousandths(), 1250);
        assert_eq!(counter("claude-sonnet-4-5").ratio().thousandths(), 1200);
    }

    #[test]
    fn a_limit_is_the_most_that_fits() {
        for thousandths in [500, 999, 1000, 1137, 1250, 4000] {
            let ratio = Ratio(thousandths);
            for window in (1..2000).map(Tokens) {
                let limit = ratio.limit(window);
                assert!(
                    ratio.apply(limit) <= window && ratio.apply(limit + 1) > window,
                    "{ratio:?} {window}"
                );
            }
        }
    }

    #[test]
    fn reports_raise_the_ratio_at_once_and_lower_it_slowly() {
        let start = Ratio(1000);
        assert_eq!(start.observe(Tokens(1000), Tokens(1300)), Ratio(1300));
        assert_eq!(Ratio(1200).observe(Tokens(1000), Tokens(1000)), Ratio(1150));
        assert_eq!(start.observe(Tokens(10), Tokens(40)), start, "too small a sample");
        assert_eq!(start.observe(Tokens(1000), Tokens(0)), start, "no report");
        assert_eq!(start.observe(Tokens(1000), Tokens(u64::MAX)), Ratio(4000), "a misreport is clamped");
    }
}
