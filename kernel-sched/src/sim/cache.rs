//! The prefix cache of one slot: the contexts it served last, for as long as they live.

use super::load::BLOCK;

/// A context that was served: the names of its blocks.
#[derive(Clone, Debug)]
struct Context {
    client: usize,
    blocks: Vec<u64>,
    /// Tokens that lie in the cache: the last block may be short.
    tokens: u64,
    used: u64,
}

/// Least recently used contexts leave first.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    contexts: Vec<Context>,
    most: usize,
    blocks: Option<usize>,
    ttl: u64,
}

impl Cache {
    pub(super) fn new(most: usize, blocks: Option<usize>, ttl: u64) -> Self {
        Self { contexts: Vec::new(), most, blocks, ttl }
    }

    /// How many tokens of an input that begins with these blocks are in the cache.
    pub(super) fn cached(&self, prefix: &[u64], input: u64, now: u64) -> u64 {
        let alive = self.contexts.iter().filter(|known| now - known.used <= self.ttl);
        let shared = alive.map(|known| {
            let same = known.blocks.iter().zip(prefix).take_while(|(a, b)| a == b).count();
            if same > 0 && same == known.blocks.len() { known.tokens } else { same as u64 * BLOCK }
        });
        shared.max().unwrap_or(0).min(input)
    }

    /// Serves a call: what it found. From then on its context is there, in place of those that it goes on from.
    pub(super) fn serve(&mut self, client: usize, prefix: &[u64], input: u64, now: u64) -> u64 {
        let found = self.cached(prefix, input, now);
        self.contexts.retain(|known| now - known.used <= self.ttl && !prefix.starts_with(&known.blocks));
        if !prefix.is_empty() {
            let tokens = prefix.len() as u64 * BLOCK;
            self.contexts.push(Context { client, blocks: prefix.to_vec(), tokens, used: now });
        }
        let size = |contexts: &[Context]| contexts.iter().map(|known| known.blocks.len()).sum::<usize>();
        while self.contexts.len() > self.most || self.blocks.is_some_and(|most| size(&self.contexts) > most) {
            self.contexts.remove(0);
        }
        found
    }

    /// A call ended: its context is used until now, and holds so many tokens if the conversation goes on from all of it.
    pub(super) fn touch(&mut self, prefix: &[u64], whole: Option<u64>, now: u64) {
        if let Some(at) = self.contexts.iter().position(|known| known.blocks == prefix) {
            let mut known = self.contexts.remove(at);
            (known.used, known.tokens) = (now, whole.unwrap_or(known.tokens));
            self.contexts.push(known);
        }
    }

    /// The clients whose contexts are alive.
    pub(super) fn clients(&self, now: u64) -> impl Iterator<Item = usize> {
        self.contexts.iter().filter(move |known| now - known.used <= self.ttl).map(|known| known.client)
    }
}
