//! What a provider's cache is expected to have of a prompt, and what is to be said where it had less. Pure functions.
//!
//! A prompt is a chain of segments; the cache has a prefix of it. Two things are known before a call: what the pager says is
//! unchanged since the last one, and which segments are. They differ only if the pager is wrong, and then the cache shows it:
//! it has less than was promised.
//!
//! A pager's counts are estimates, but the provider counted the prompt before: what was sent is scaled to its count. So where a
//! window only grew, what is expected is exact.

use kernel_types::{CacheModel, Message, PageNo, Retention, Role, Timestamp, Tokens};

use crate::{Rendered, Segment};

/// Fewer tokens than this are never missed: a chat template and the borders between texts account for them.
const FEW: u64 = 64;
/// Nor is a smaller part of what was expected, in percent: tokens are estimated, if well.
const SMALL_PERCENT: u64 = 5;

/// A prompt that was sent, or is about to be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SentPrompt {
    /// Identifies what is sent before the segments: the model and its tools.
    pub lead: u64,
    /// What that takes.
    pub lead_tokens: Tokens,
    /// Its segments, one for each part of each message.
    pub segments: Vec<Segment>,
    /// Which of them the model is the author of.
    pub by_model: Vec<bool>,
    /// After which segments a breakpoint lies, ascending.
    pub breakpoints: Vec<usize>,
    /// How long the provider is to keep its prefixes.
    pub retention: Retention,
    /// When the provider got it: its cache counts from the start of a request.
    pub at: Timestamp,
    /// What the provider counted, once it answered; zero until then.
    pub reported: Tokens,
    /// What the model answered, once it did.
    pub answer: Tokens,
}

impl SentPrompt {
    /// A rendered window behind `lead`.
    #[must_use]
    pub fn new(rendered: &Rendered, lead: u64, lead_tokens: Tokens, at: Timestamp) -> Self {
        let ends = rendered.messages.iter().scan(0, |end, message| {
            *end += message.parts.len();
            Some((*end, message))
        });
        let authors =
            |message: &Message| std::iter::repeat_n(message.role == Role::Assistant, message.parts.len());
        Self {
            lead,
            lead_tokens,
            segments: rendered.segments.clone(),
            by_model: rendered.messages.iter().flat_map(authors).collect(),
            breakpoints: ends.filter(|(_, message)| message.breakpoint).map(|(end, _)| end - 1).collect(),
            retention: rendered.retention,
            at,
            reported: Tokens::ZERO,
            answer: Tokens::ZERO,
        }
    }

    /// How many of its segments are those of another prompt, from the first on.
    fn unchanged_since(&self, before: &Self) -> usize {
        let same = self.segments.iter().zip(&before.segments).take_while(|(a, b)| a.id == b.id);
        if self.lead == before.lead { same.count() } else { 0 }
    }

    /// Tokens up to the end of so many segments, lead included, as the pager counts.
    fn prefix(&self, segments: usize) -> Tokens {
        let segments = self.segments.iter().take(segments);
        self.lead_tokens.saturating_add(segments.map(|segment| segment.tokens).sum())
    }

    /// The same as the provider counts, if it did.
    fn counted(&self, segments: usize) -> Tokens {
        let (part, whole) = (self.prefix(segments).0, self.prefix(self.segments.len()).0);
        if self.reported == Tokens::ZERO || whole == 0 {
            return Tokens(part);
        }
        let scaled = u128::from(part) * u128::from(self.reported.0) / u128::from(whole);
        Tokens(u64::try_from(scaled).unwrap_or(u64::MAX))
    }
}

/// What a cache is expected to have of a prompt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExpectedCache {
    /// Tokens that it has.
    pub tokens: Tokens,
    /// Segments that are as in the prompt before.
    pub unchanged: usize,
    /// Segments behind those that the model itself wrote in answer to the prompt before, if the cache keeps answers.
    pub answered: usize,
    /// The pager promised that more is unchanged than is.
    pub broken: bool,
}

/// What the cache has of `now` if `before` was sent to the same provider, and the pager says that `stable` tokens of the
/// segments are unchanged since. Nothing without a prompt before, and once the cache has forgotten it.
#[must_use]
pub fn expected_cache(
    before: Option<&SentPrompt>,
    now: &SentPrompt,
    stable: Tokens,
    cache: &CacheModel,
) -> ExpectedCache {
    let Some(before) = before else { return ExpectedCache::default() };
    let unchanged = now.unchanged_since(before);
    let kept_ms = cache.kept(before.retention).ttl_s.saturating_mul(1000);
    let is_cold = now.at.0.saturating_sub(before.at.0) >= kept_ms;
    if is_cold || now.lead != before.lead {
        return ExpectedCache { unchanged, ..ExpectedCache::default() };
    }
    let promised = if stable > Tokens::ZERO { now.lead_tokens.saturating_add(stable) } else { Tokens::ZERO };
    let missing = promised.saturating_sub(now.prefix(unchanged));
    let answered = if cache.answers { answered(before, now, unchanged) } else { 0 };
    let tokens = if cache.is_explicit() {
        found(before, now, unchanged, cache).map_or(Tokens::ZERO, |segments| before.counted(segments))
    } else if unchanged == 0 {
        Tokens::ZERO
    } else {
        let answer = if answered > 0 { before.answer } else { Tokens::ZERO };
        // The last token of a prompt is always computed: it says what comes next.
        let last = u64::from(unchanged + answered == now.segments.len());
        before.counted(unchanged).saturating_add(answer).saturating_sub(Tokens(last))
    };
    let tokens = cache.cacheable(tokens.saturating_add(missing));
    ExpectedCache { tokens, unchanged, answered, broken: missing > Tokens::ZERO }
}

/// Segments of the longest entry that a breakpoint finds: entries end at the breakpoints of the prompt before.
fn found(before: &SentPrompt, now: &SentPrompt, unchanged: usize, cache: &CacheModel) -> Option<usize> {
    let reaches =
        |entry: usize| now.breakpoints.iter().any(|at| *at >= entry && at - entry < cache.look_back as usize);
    let entries = before.breakpoints.iter().copied().filter(|entry| *entry < unchanged && reaches(*entry));
    entries.max().map(|entry| entry + 1)
}

/// Segments that continue the whole prompt before and were written by the model.
fn answered(before: &SentPrompt, now: &SentPrompt, unchanged: usize) -> usize {
    if unchanged < before.segments.len() {
        return 0;
    }
    now.by_model.iter().skip(unchanged).take_while(|by_model| **by_model).count()
}

/// Why a cache had less than was expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CacheMiss {
    /// The prompt is not what the pager said it would be, from this segment on.
    Changed {
        /// Its place, from 0.
        segment: usize,
        /// The page, if it is one.
        page: Option<PageNo>,
    },
    /// The prompt is as it should be: the provider did not use its cache.
    Unused,
}

/// Whether the provider read clearly less of `now` from its cache than was expected, and why.
#[must_use]
pub fn cache_miss(now: &SentPrompt, expected: &ExpectedCache, reported: Tokens) -> Option<CacheMiss> {
    let missing = expected.tokens.saturating_sub(reported).0;
    if missing <= FEW.max(expected.tokens.0 * SMALL_PERCENT / 100) {
        return None;
    }
    if !expected.broken {
        return Some(CacheMiss::Unused);
    }
    let page = now.segments.get(expected.unchanged).and_then(|segment| segment.page);
    Some(CacheMiss::Changed { segment: expected.unchanged, page })
}

#[cfg(test)]
mod tests {
    use kernel_types::Catalogue;

    use super::*;

    fn cache(name: &str) -> CacheModel {
        *Catalogue::built_in().cache(name).expect("in the catalogue")
    }

    /// Segments of 100 tokens.
    fn prompt(ids: &[u64], breakpoints: &[usize], at_s: u64) -> SentPrompt {
        let segment = |id: &u64| Segment { id: *id, tokens: Tokens(100), page: Some(PageNo(*id)) };
        SentPrompt {
            lead: 1,
            lead_tokens: Tokens(50),
            segments: ids.iter().map(segment).collect(),
            by_model: ids.iter().map(|id| id % 10 == 9).collect(),
            breakpoints: breakpoints.to_vec(),
            retention: Retention::Short,
            at: Timestamp(at_s * 1000),
            reported: Tokens::ZERO,
            answer: Tokens(80),
        }
    }

    #[track_caller]
    fn check(name: &str, before: &SentPrompt, now: &SentPrompt, stable: u64, expected: u64) {
        let found = expected_cache(Some(before), now, Tokens(stable), &cache(name));
        assert_eq!(found.tokens, Tokens(expected), "{found:?}");
    }

    #[test]
    fn an_implicit_cache_has_the_unchanged_prefix() {
        let before = prompt(&[1, 2, 3], &[], 0);
        check("llamacpp", &before, &prompt(&[1, 2, 3, 4], &[], 1), 300, 350);
        check("llamacpp", &before, &prompt(&[1, 2, 4], &[], 1), 200, 250);
        check("llamacpp", &before, &prompt(&[1, 2, 3], &[], 1), 300, 349);
        check("llamacpp", &before, &prompt(&[1, 2, 3, 4], &[], 100_000), 300, 0);
        check("vllm", &before, &prompt(&[1, 2, 3, 4], &[], 1), 300, 336);
        check("openai-gpt5", &before, &prompt(&[1, 2, 3, 4], &[], 1), 300, 0);
        let other = SentPrompt { lead: 2, ..prompt(&[1, 2, 3, 4], &[], 1) };
        check("llamacpp", &before, &other, 300, 0);
        assert_eq!(expected_cache(None, &before, Tokens(300), &cache("llamacpp")), ExpectedCache::default());
    }

    #[test]
    fn what_the_provider_counted_is_better_than_an_estimate() {
        let before = SentPrompt { reported: Tokens(300), ..prompt(&[1, 2, 3], &[2], 0) };
        let now = prompt(&[1, 2, 3, 4], &[3], 1);
        check("llamacpp", &before, &now, 300, 300);
        check("llamacpp", &before, &prompt(&[1, 2, 4], &[], 1), 200, 250 * 300 / 350);
        check("llamacpp", &before, &prompt(&[1, 2, 3, 9, 4], &[], 1), 300, 380);
    }

    #[test]
    fn an_answer_is_cached_where_the_cache_keeps_answers() {
        let before = prompt(&[1, 2, 3], &[], 0);
        let now = prompt(&[1, 2, 3, 9, 4], &[], 1);
        check("llamacpp", &before, &now, 300, 350 + 80);
        check("vllm", &before, &now, 300, 416);
        let gemini = CacheModel { answers: false, ..cache("llamacpp") };
        assert_eq!(expected_cache(Some(&before), &now, Tokens(300), &gemini).tokens, Tokens(350));
        // Behind something that changed there is no answer to continue.
        check("llamacpp", &before, &prompt(&[1, 2, 9, 4], &[], 1), 200, 250);
    }

    #[test]
    fn an_explicit_cache_has_what_a_breakpoint_finds() {
        let many: Vec<u64> = (10..40).map(|n| n * 10).collect();
        let before = prompt(&many[..15], &[5, 14], 0);
        check("anthropic-5m", &before, &prompt(&many[..20], &[19], 1), 1500, 1550);
        check("anthropic-5m", &before, &prompt(&many[..30], &[29], 1), 1500, 1550);
        // 21 positions from the end of the new prompt.
        let far: Vec<u64> = (10..60).map(|n| n * 10).collect();
        check("anthropic-5m", &before, &prompt(&far[..35], &[34], 1), 1500, 0);
        check("anthropic-5m", &before, &prompt(&far[..35], &[14, 34], 1), 1500, 1550);
        check("anthropic-5m", &before, &prompt(&many[..20], &[19], 299), 1500, 1550);
        check("anthropic-5m", &before, &prompt(&many[..20], &[19], 300), 1500, 0);
        let long = SentPrompt { retention: Retention::Long, ..before };
        check("anthropic-5m", &long, &prompt(&many[..20], &[19], 3599), 1500, 1550);
        check("anthropic-5m", &long, &prompt(&many[..20], &[19], 3600), 1500, 0);
    }

    #[test]
    fn a_miss_names_the_first_segment_that_differs() {
        let model = cache("llamacpp");
        let before = prompt(&[1, 2, 3, 4], &[], 0);
        let miss = |now: &SentPrompt, stable: u64, reported: u64| {
            let expected = expected_cache(Some(&before), now, Tokens(stable), &model);
            cache_miss(now, &expected, Tokens(reported))
        };
        let grown = prompt(&[1, 2, 3, 4, 5], &[], 1);
        assert_eq!(miss(&grown, 400, 450), None);
        assert_eq!(miss(&grown, 400, 386), None, "64 tokens are few");
        assert_eq!(miss(&grown, 400, 385), Some(CacheMiss::Unused));
        // Declared by the pager: nothing is missed.
        let compacted = prompt(&[1, 7, 4, 5], &[], 1);
        assert_eq!(miss(&compacted, 100, 150), None);
        // Not declared.
        let page = Some(PageNo(7));
        assert_eq!(miss(&compacted, 400, 150), Some(CacheMiss::Changed { segment: 1, page }));
        assert_eq!(miss(&prompt(&[1, 2, 3, 4, 9, 5], &[], 1), 400, 0), Some(CacheMiss::Unused));
    }
}
