//! One provider's prefix cache, as its documentation describes it, shared by all agents of an account.
//!
//! A prompt is a row of segments (content blocks); the same id with the same tokens is the same text. Requests have to
//! come in the order of their times.
//!
//! # Explicit caches
//!
//! Where a [`CacheModel`] has breakpoints. The rules are Anthropic's (platform.claude.com/docs, "Prompt caching"); GPT-5.6
//! and later follow them with other numbers (developers.openai.com, "Prompt caching"):
//!
//! - "Cache writes happen only at your breakpoint": an entry is the chained hash of all segments up to a breakpoint, made
//!   at each breakpoint whose prefix has at least `min_prefix` tokens.
//! - "Cache reads look backward for entries that prior requests wrote": at most `look_back` positions are searched for
//!   each breakpoint, "counting the breakpoint itself as the first". The longest entry found by any breakpoint is read.
//! - What lies between that entry and the last breakpoint is written, the rest is plain input.
//! - "The cache is refreshed for no additional cost each time the cached content is used": the entry that was read and
//!   those at the breakpoints live for another `ttl_s`, measured from the start of the request. Entries
//!   keep the time to live that they were written with ("ttl": "1h").
//! - A request has at most `breakpoints` of them; of more, the last ones count (GPT-5.6: "up to the latest four").
//!
//! # Implicit caches
//!
//! Everything else. Each prefix of an earlier request can be read, in lengths of `min_prefix` and whole steps from there
//! (OpenAI before GPT-5.6: "the longest prefix of a prompt that has been previously computed, starting at 1,024 tokens
//! and increasing in 128-token increments"; vLLM: whole blocks; llama.cpp: any length). What a later request could read
//! and this one did not is written, which most providers price like plain input.
//!
//! # Both
//!
//! "A cache entry only becomes available after the first response begins": requests at the same millisecond do not see
//! each other's entries. Entries live for less than `ttl_s` after their last use. Not modelled: hits that fail for other
//! reasons (another machine, eviction under load), a slot of llama.cpp that another prompt takes, and runs of tool calls
//! that Anthropic counts as one position.

use kernel_types::{CacheModel, Retention, TokenUsage, Tokens};

use super::entries::{Entries, Prefix, prefixes};

/// Names a piece of text; equal ids are equal text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct SegmentId(pub u64);

/// What one request was billed, in tokens; `input` is the sum of `cached`, `written` and `plain`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bill {
    /// All tokens of the prompt.
    pub input: u64,
    /// Those read from the cache.
    pub cached: u64,
    /// Those written to it.
    pub written: u64,
    /// Those neither read nor written.
    pub plain: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// What it costs, in thousandths of a plain input token.
    pub units: u64,
}

/// A prefix cache over time.
#[derive(Clone, Debug)]
pub struct PrefixCache {
    model: CacheModel,
    entries: Entries,
}

impl Bill {
    pub(super) fn add(&mut self, other: &Self) {
        self.input += other.input;
        self.cached += other.cached;
        self.written += other.written;
        self.plain += other.plain;
        self.output += other.output;
        self.units += other.units;
    }
}

impl PrefixCache {
    /// An empty cache of that kind.
    #[must_use]
    pub fn new(model: CacheModel) -> Self {
        Self { model, entries: Entries::new(model.ttl_s) }
    }

    /// The kind of cache.
    #[must_use]
    pub fn model(&self) -> &CacheModel {
        &self.model
    }

    /// Sends a prompt of segments with their tokens at `at_ms` and gets an answer of `output` tokens. `breakpoints` are
    /// the indices of the segments that end with one, in any order; implicit caches ignore them, and so does everybody
    /// those outside the prompt.
    pub fn request(
        &mut self,
        at_ms: u64,
        segments: &[(SegmentId, u64)],
        breakpoints: &[usize],
        output: u64,
    ) -> Bill {
        self.request_kept(at_ms, segments, breakpoints, output, Retention::Short)
    }

    /// The same, and what is written is kept for so long, where the provider offers that.
    pub fn request_kept(
        &mut self,
        at_ms: u64,
        segments: &[(SegmentId, u64)],
        breakpoints: &[usize],
        output: u64,
        retention: Retention,
    ) -> Bill {
        self.entries.keep_for(self.model.kept(retention).ttl_s);
        self.entries.sweep(at_ms);
        let prefixes = prefixes(segments);
        let input = prefixes.last().map_or(0, |all| all.tokens);
        let (cached, written) = if self.model.is_explicit() {
            self.explicit(at_ms, &prefixes, &self.marks(breakpoints, prefixes.len()))
        } else {
            self.implicit(at_ms, &prefixes)
        };
        let usage = TokenUsage {
            input: Tokens(input),
            cached: Tokens(cached),
            cache_written: Tokens(written),
            written_long: Tokens(if retention == Retention::Long { written } else { 0 }),
            output: Tokens(output),
            estimated: false,
        };
        let plain = input - cached - written;
        Bill { input, cached, written, plain, output, units: self.model.units(&usage) }
    }

    /// Tokens read and written, with entries at `marks` only.
    fn explicit(&mut self, at_ms: u64, prefixes: &[Prefix], marks: &[usize]) -> (u64, u64) {
        let reach = self.model.look_back.max(1) as usize - 1;
        let searched = marks.iter().flat_map(|mark| mark.saturating_sub(reach)..=*mark);
        let hit = searched.filter(|index| self.entries.is_warm(at_ms, prefixes[*index].hash)).max();
        let cached = hit.map_or(0, |index| self.cacheable(prefixes[index]));
        let end = marks.last().map_or(0, |index| self.cacheable(prefixes[*index]));
        for index in marks.iter().copied().chain(hit) {
            if self.cacheable(prefixes[index]) > 0 {
                self.entries.touch(at_ms, prefixes[index].hash);
            }
        }
        (cached, end.saturating_sub(cached))
    }

    /// Tokens read and written, with an entry for every prefix.
    fn implicit(&mut self, at_ms: u64, prefixes: &[Prefix]) -> (u64, u64) {
        let hit = prefixes.iter().rfind(|prefix| self.entries.is_warm(at_ms, prefix.hash));
        let cached = hit.map_or(0, |prefix| self.cacheable(*prefix));
        let end = prefixes.last().map_or(0, |all| self.cacheable(*all));
        prefixes.iter().for_each(|prefix| self.entries.touch(at_ms, prefix.hash));
        (cached, end.saturating_sub(cached))
    }

    /// The breakpoints that count, in order.
    fn marks(&self, breakpoints: &[usize], segments: usize) -> Vec<usize> {
        let mut marks: Vec<usize> = breakpoints.iter().copied().filter(|index| *index < segments).collect();
        marks.sort_unstable();
        marks.dedup();
        marks.split_off(marks.len().saturating_sub(self.model.breakpoints as usize))
    }

    fn cacheable(&self, prefix: Prefix) -> u64 {
        self.model.cacheable(Tokens(prefix.tokens)).0
    }
}
