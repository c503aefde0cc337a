//! What an inference can cost at most, and what it is charged.
//!
//! The count of a prompt is an estimate, a budget is none. Where money or tokens are limited for life, a call holds what no
//! tokenizer exceeds; elsewhere its estimate, so that nobody needs more than that. Where nobody says what a call used, it is
//! charged at the dearest price: what was cancelled for what it streamed, what came to nothing for all that it may have used.
//! Rates, schedulers and the limits of a Cpu go by the estimate there: they are no matter of money.

use std::sync::atomic::Ordering;

use kernel_llm::CpuErrorKind;
use kernel_types::{
    Decision, MicroUsd, ModelInfo, PageView, Part, Prompt, Reservation, Seq, TokenUsage, Tokens,
};

use crate::core::Core;
use crate::device::not_served;
use crate::process::{Process, Ready};

/// Tokens that a provider adds to a prompt, to each part of a message, to the list of tools and to each tool: more than the
/// templates in use take.
const PROMPT: u64 = 128;
const PART: u64 = 24;
const TOOLS: u64 = 640;
const TOOL: u64 = 32;

/// The most that a provider can count a prompt: a token is a byte at least, and a model reads no more than its window.
pub(crate) fn most_input(prompt: &Prompt, estimate: Tokens, window: Tokens) -> Tokens {
    let parts = prompt.messages.iter().flat_map(|message| &message.parts).map(|part| {
        let bytes = match part {
            Part::Text(text) => text.len(),
            Part::ToolCall { id, name, args } => id.len() + name.len() + args.as_str().len(),
            Part::ToolResult { id, text, .. } => id.len() + text.len(),
        };
        bytes as u64 + PART
    });
    let tools = prompt
        .tools
        .iter()
        .map(|tool| (tool.name.len() + tool.description.len() + tool.input.as_str().len()) as u64 + TOOL);
    let list = if prompt.tools.is_empty() { 0 } else { TOOLS };
    Tokens(PROMPT + list + parts.chain(tools).sum::<u64>()).min(window).max(estimate)
}

/// What an inference is charged, and what it used as far as that is known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) paid: TokenUsage,
    pub(crate) seen: TokenUsage,
}

impl Used {
    /// What the provider says.
    pub(crate) const fn reported(usage: TokenUsage) -> Self {
        Self { paid: usage, seen: usage }
    }

    /// A call that was cancelled: its prompt if it was sent, and what it streamed.
    pub(crate) fn cut(process: &Process, seq: Seq) -> Self {
        let Some((ready, streamed)) = sent(process, seq) else { return Self::default() };
        // A token is a byte at least.
        let output = if ready.most_input > ready.view.tokens { streamed } else { streamed.div_ceil(3) };
        let paid = estimated(ready.most_input, Tokens(output).min(ready.max_output));
        Self { paid, seen: seen(ready, streamed) }
    }

    /// A call that was sent and came to nothing: all that it may have used.
    pub(crate) fn lost(process: &Process, seq: Seq) -> Self {
        let Some((ready, streamed)) = sent(process, seq) else { return Self::default() };
        Self { paid: estimated(ready.most_input, ready.max_output), seen: seen(ready, streamed) }
    }

    /// A call that failed like this: nothing where the provider says that it did nothing, and nothing had come.
    pub(crate) fn failed(process: &Process, seq: Seq, kind: CpuErrorKind) -> Self {
        match sent(process, seq) {
            Some((_, streamed)) if streamed > 0 || !not_served(kind) => Self::lost(process, seq),
            _ => Self::default(),
        }
    }

    /// Tokens that a Cpu's limits are told of.
    pub(crate) fn tokens(&self) -> Tokens {
        self.seen.input.saturating_add(self.seen.output)
    }
}

/// A prompt that was sent, and the bytes of text that came of it.
fn sent(process: &Process, seq: Seq) -> Option<(&Ready, u64)> {
    let (running, ready) = (process.running.get(&seq)?, process.prompts.get(&seq)?);
    running.slot?;
    Some((ready, running.streamed.load(Ordering::Relaxed)))
}

fn seen(ready: &Ready, streamed: u64) -> TokenUsage {
    estimated(ready.view.tokens, Tokens(streamed.div_ceil(3)).min(ready.max_output))
}

fn estimated(input: Tokens, output: Tokens) -> TokenUsage {
    TokenUsage { input, output, estimated: true, ..TokenUsage::default() }
}

/// What budgets are charged beyond what was seen to be used.
pub(crate) fn beyond(used: &Used, paid: MicroUsd, seen: MicroUsd) -> Reservation {
    let tokens = used.paid.input.saturating_add(used.paid.output).saturating_sub(used.tokens());
    Reservation { tokens, cost: paid.saturating_sub(seen), ..Reservation::default() }
}

/// The most that an inference can cost; `None` if nobody knows its price.
pub(crate) fn ceiling(input: Tokens, output: Tokens, view: &PageView, model: &ModelInfo) -> Option<MicroUsd> {
    Some(model.pricing?.ceiling(input, output, view.retention))
}

/// What usage costs: at the dearest price if nobody knows whether it read from a cache or wrote to it.
pub(crate) fn charge(usage: &TokenUsage, view: &PageView, model: &ModelInfo) -> MicroUsd {
    let price = |pricing: kernel_types::Pricing| {
        if usage.estimated {
            pricing.ceiling(usage.input, usage.output, view.retention)
        } else {
            pricing.cost(usage)
        }
    };
    model.pricing.map(price).unwrap_or_default()
}

impl Core {
    /// The most that an inference can use. Refused where money is limited and nobody knows its price.
    pub(crate) fn most(&self, process: &Process, ready: &mut Ready) -> Result<Reservation, Decision> {
        let model = &ready.view.model;
        let info = self.parts.models.get(model).map(|served| &served.info);
        ready.most_input = match info.filter(|_| self.limits_spending(process)) {
            Some(info) => most_input(&ready.prompt, ready.view.tokens, info.window),
            None => ready.view.tokens,
        };
        let most = info.and_then(|info| ceiling(ready.most_input, ready.max_output, &ready.view, info));
        if most.is_none() && self.limits_cost(process) {
            let missing = format!("price of {model} (unknown, and there is a limit of cost)");
            return Err(Decision::Deny { missing });
        }
        let tokens = ready.most_input.saturating_add(ready.max_output);
        Ok(Reservation { calls: 1, tokens, cost: most.unwrap_or_default(), tool_calls: 0 })
    }

    /// What an inference is expected to use: of output what the process's answers had on the average, or all that it may have before
    /// the first; of input what is not cached at its plain price.
    pub(crate) fn estimate(&self, process: &Process, index: usize) -> Reservation {
        let Some(ready) = process.prompts.get(&process.image.open[index].seq) else {
            return Reservation { calls: 1, ..Reservation::default() };
        };
        let usage = &process.image.usage;
        let answers = usage.calls.saturating_sub(usage.tool_calls);
        let mean =
            usage.output_tokens.0.checked_div(answers).map_or(ready.max_output, |mean| Tokens(mean.max(1)));
        let output = mean.min(ready.max_output);
        let (input, cached) = (ready.view.tokens, ready.view.expected_cached.min(ready.view.tokens));
        let expected = TokenUsage { input, cached, output, ..TokenUsage::default() };
        let cost = self.price(process, process.image.open[index].seq, &expected);
        Reservation { calls: 1, tokens: input.saturating_add(output), cost, tool_calls: 0 }
    }

    /// Whether money is limited for a process: a model of unknown price is refused then.
    pub(crate) fn limits_cost(&self, process: &Process) -> bool {
        process.image.budget.cost.is_some() || self.ledger.limits_cost(process.account)
    }

    /// Whether money or tokens are limited for life: what it may use is bounded then, not estimated.
    pub(crate) fn limits_spending(&self, process: &Process) -> bool {
        let own = &process.image.budget;
        own.cost.is_some() || own.tokens.is_some() || self.ledger.limits_spending(process.account)
    }

    /// What an inference's usage costs at its model's prices.
    pub(crate) fn price(&self, process: &Process, seq: Seq, usage: &TokenUsage) -> MicroUsd {
        let priced = process.prompts.get(&seq).and_then(|ready| {
            let served = self.parts.models.get(&ready.view.model)?;
            Some(charge(usage, &ready.view, &served.info))
        });
        priced.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use kernel_types::{JsonText, Message, Role, ToolSpec};

    use super::*;

    #[test]
    fn a_prompt_counts_a_token_a_byte_at_most_and_what_wraps_it() {
        let prompt = Prompt::user("ein Wörtchen");
        let bound =
            |prompt: &Prompt, estimate, window| most_input(prompt, Tokens(estimate), Tokens(window)).0;
        assert_eq!(bound(&prompt, 4, 1_000), 128 + 24 + 13);
        assert_eq!(bound(&prompt, 4, 50), 50, "no more than the window");
        assert_eq!(bound(&prompt, 900, 800), 900, "no less than is known of it");
        let call = Part::ToolCall { id: "id".into(), name: "add".into(), args: JsonText::empty_object() };
        let result = Part::ToolResult { id: "id".into(), text: "four".into(), is_error: false };
        let message = |role, part| Message { role, parts: vec![part], breakpoint: false };
        let messages = vec![message(Role::Assistant, call), message(Role::Tool, result)];
        let with_calls = Prompt { messages, ..Prompt::default() };
        assert_eq!(bound(&with_calls, 4, 1_000), 128 + (24 + 7) + (24 + 6));
        let tool = ToolSpec {
            name: "add".to_owned(),
            description: "adds".to_owned(),
            input: JsonText::empty_object(),
            recovery: kernel_types::Recovery::Reread,
            timeout: kernel_types::Millis(1_000),
            reads: Vec::new(),
            writes: Vec::new(),
        };
        let bytes = 3 + 4 + tool.input.as_str().len() as u64;
        let with_tools = Prompt { tools: vec![tool], ..Prompt::default() };
        assert_eq!(bound(&with_tools, 4, 9_000), 128 + 640 + 32 + bytes, "tools");
    }
}
