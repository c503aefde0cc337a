//! What all simulated models share: streaming, token counts, a prefix cache.

use std::collections::VecDeque;
use std::time::Duration;

use kernel_types::{Inference, ModelInfo, Part, TokenUsage, Tokens};
use parking_lot::Mutex;

use super::Canned;
use crate::estimate::{common_prefix, estimate_text, flatten, truncate};
use crate::{CpuError, CpuErrorKind, DeltaSink, InferRequest};

/// How many prompts the simulated cache remembers.
const CACHED_PROMPTS: usize = 8;

/// Waits; not at all for no delay, where a timer would wait for its next tick.
pub(super) async fn pause(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

/// A prompt as the model sees it.
pub(super) struct Seen {
    text: String,
    tokens: Tokens,
}

/// Turns prepared answers into inferences. Counts are estimates of the texts, equal for equal texts, and are reported as
/// the provider's own: this is the provider.
#[derive(Debug)]
pub(super) struct Simulator {
    pub(super) model: ModelInfo,
    /// Characters a delta; 0 sends a text in one.
    pub(super) chunk: usize,
    recent: Mutex<VecDeque<String>>,
}

impl Simulator {
    pub(super) fn new(model: ModelInfo, chunk: usize) -> Self {
        Self { model, chunk, recent: Mutex::default() }
    }

    /// Reads the prompt as the model would see it; refuses what a provider would refuse.
    pub(super) fn read(&self, request: &InferRequest) -> Result<Seen, CpuError> {
        let name = &self.model.name;
        if request.model != *name {
            let message = format!("no model {:?} here, only {name:?}", request.model);
            return Err(CpuError::new(CpuErrorKind::UnknownModel, name, message));
        }
        let text = flatten(&request.prompt);
        let tokens = estimate_text(&text);
        if tokens > self.model.window {
            let message =
                format!("prompt of {tokens} tokens exceeds the window of {} tokens", self.model.window);
            return Err(CpuError::new(CpuErrorKind::TooLong, name, message));
        }
        Ok(Seen { text, tokens })
    }

    /// Says `canned` as the answer to `request`, at most as much of it as asked for.
    pub(super) async fn say(
        &self,
        request: &InferRequest,
        seen: Seen,
        canned: &Canned,
        sink: &dyn DeltaSink,
    ) -> Inference {
        pause(canned.delay).await;
        let (input, cached) = (seen.tokens, self.cached(seen));
        let text = truncate(&canned.text, request.max_output);
        self.stream(request, text, sink).await;

        let mut output = estimate_text(text);
        let mut parts = Vec::new();
        if !text.is_empty() {
            parts.push(Part::Text(text.into()));
        }
        let mut complete = text.len() == canned.text.len();
        for (n, (name, args)) in canned.tools.iter().enumerate() {
            let size = estimate_text(name).saturating_add(estimate_text(args.as_str()));
            complete &= output.saturating_add(size) <= request.max_output;
            if !complete {
                break;
            }
            output = output.saturating_add(size);
            let id = format!("call_{}_{}_{n}", request.key.step, request.key.seq);
            parts.push(Part::ToolCall { id, name: name.clone(), args: args.clone() });
        }
        let finish = match (complete, canned.tools.is_empty()) {
            (false, _) => "length",
            (true, false) => "tool_calls",
            (true, true) => "stop",
        };
        let usage = TokenUsage { input, cached, output, ..TokenUsage::default() };
        Inference { model: self.model.name.clone(), parts, finish: finish.to_owned(), usage }
    }

    async fn stream(&self, request: &InferRequest, text: &str, sink: &dyn DeltaSink) {
        let mut rest = text;
        while !rest.is_empty() {
            let cut = rest.char_indices().nth(self.chunk).filter(|_| self.chunk > 0);
            let (delta, tail) = rest.split_at(cut.map_or(rest.len(), |(at, _)| at));
            sink.delta(request.key, delta);
            rest = tail;
            tokio::task::yield_now().await;
        }
    }

    /// How many tokens of a prompt are cached; all of it is from now on. As with real providers the last token is always
    /// computed.
    fn cached(&self, seen: Seen) -> Tokens {
        let mut recent = self.recent.lock();
        let cached = recent.iter().map(|old| common_prefix(old, &seen.text)).max().unwrap_or_default();
        recent.retain(|old| *old != seen.text);
        recent.push_back(seen.text);
        if recent.len() > CACHED_PROMPTS {
            recent.pop_front();
        }
        cached.min(seen.tokens.saturating_sub(Tokens(1)))
    }
}
