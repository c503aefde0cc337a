//! What a prefix cache remembers: hashes of prefixes, and when each was used last.

use std::collections::HashMap;

use super::SegmentId;

/// Expired entries are looked for when there are this many, then when there are twice as many as were left.
const SWEEP: usize = 4096;

/// The segments of a prompt up to one of them.
#[derive(Clone, Copy)]
pub(super) struct Prefix {
    pub(super) hash: u64,
    pub(super) tokens: u64,
}

/// The prefixes of a prompt, the shortest first.
pub(super) fn prefixes(segments: &[(SegmentId, u64)]) -> Vec<Prefix> {
    let grow = |before: &mut Prefix, (id, tokens): &(SegmentId, u64)| {
        let hash = mix(mix(before.hash ^ id.0) ^ tokens);
        *before = Prefix { hash, tokens: before.tokens + tokens };
        Some(*before)
    };
    segments.iter().scan(Prefix { hash: 0, tokens: 0 }, grow).collect()
}

/// SplitMix64: a bijection that spreads each bit (Steele et al., "Fast splittable pseudorandom number generators", 2014).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[derive(Clone, Debug)]
pub(super) struct Entries {
    /// How long what is made now lives without use.
    ttl_ms: u64,
    by_hash: HashMap<u64, Entry>,
    sweep_at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    made_ms: u64,
    used_ms: u64,
    ttl_ms: u64,
}

impl Entry {
    const fn lives(&self, at_ms: u64) -> bool {
        at_ms.saturating_sub(self.used_ms) < self.ttl_ms
    }
}

impl Entries {
    pub(super) fn new(ttl_s: u64) -> Self {
        Self { ttl_ms: ttl_s.saturating_mul(1000), by_hash: HashMap::new(), sweep_at: SWEEP }
    }

    /// What is made from now on lives so long without use.
    pub(super) fn keep_for(&mut self, ttl_s: u64) {
        self.ttl_ms = ttl_s.saturating_mul(1000);
    }

    /// There is an entry that lives and that an earlier request made.
    pub(super) fn is_warm(&self, at_ms: u64, hash: u64) -> bool {
        let entry = self.by_hash.get(&hash);
        entry.is_some_and(|entry| entry.made_ms < at_ms && entry.lives(at_ms))
    }

    /// Uses an entry, or makes it if there is none that lives.
    pub(super) fn touch(&mut self, at_ms: u64, hash: u64) {
        let living = self.by_hash.get(&hash).filter(|entry| entry.lives(at_ms)).copied();
        let made = Entry { made_ms: at_ms, used_ms: at_ms, ttl_ms: self.ttl_ms };
        self.by_hash.insert(hash, Entry { used_ms: at_ms, ..living.unwrap_or(made) });
    }

    /// Forgets what has expired, now and then.
    pub(super) fn sweep(&mut self, at_ms: u64) {
        if self.by_hash.len() < self.sweep_at {
            return;
        }
        self.by_hash.retain(|_, entry| entry.lives(at_ms));
        self.sweep_at = SWEEP.max(2 * self.by_hash.len());
    }
}
