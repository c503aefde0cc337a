//! What comes in: clients with their calls.

use crate::Micros;

use super::dice::Dice;

/// Tokens of a block of context.
pub(super) const BLOCK: u64 = 512;

/// A call of a model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// When it is made: after the start, for the first of a client; after the end of the one before it for the others of an
    /// agent. Calls of a trace all count from the start.
    pub after: Micros,
    /// Tokens of input.
    pub input: u64,
    /// Tokens of output.
    pub output: u64,
    /// Names the blocks of 512 tokens that the input begins with: equal names are equal contexts.
    pub prefix: Vec<u64>,
}

/// Who makes calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Client {
    /// Its calls, in order.
    pub calls: Vec<Call>,
    /// Each call waits for the end of the one before it.
    pub in_turn: bool,
}

/// All clients.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Load {
    /// In any order.
    pub clients: Vec<Client>,
}

/// A load of agents: they come at random, make calls with a tool's time in between, and go.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Agents {
    /// How many.
    pub agents: usize,
    /// How many come a second: 0.25 is moderate for the default setting, 0.32 is more than it can serve.
    pub rate: f64,
    /// The share of heavy ones.
    pub heavy: f64,
    /// Median of the calls of an agent.
    pub calls: f64,
    /// The same of a heavy one.
    pub heavy_calls: f64,
    /// Median and deviation of the logarithm of a call's output; at most 1,500 tokens.
    pub output: (f64, f64),
}

impl Default for Agents {
    fn default() -> Self {
        Self { agents: 600, rate: 0.25, heavy: 0.1, calls: 5.0, heavy_calls: 25.0, output: (220.0, 0.8) }
    }
}

const MOST_OUTPUT: f64 = 1_500.0;
const MOST_CONTEXT: u64 = 120_000;
const FIRST_CONTEXTS: [u64; 3] = [1_500, 3_000, 6_000];

/// Agents drawn by a seed. A context begins with 1,500, 3,000 or 6,000 tokens and grows with each call by its output and
/// what a tool answers (log-normal, median 500, deviation 0.8), up to 120,000; an agent makes 1 to 120 calls (log-normal,
/// deviation 0.6); tools take log-normal times of median 1 s, deviation 1.2.
#[must_use]
pub fn agents(shape: &Agents, seed: u64) -> Load {
    let mut arrivals = Dice::new(seed, 0);
    let mut now = 0.0;
    let mut client = |number: u64| {
        now += arrivals.exponential(1.0 / shape.rate.max(1e-9));
        agent(shape, number, now, &mut Dice::new(seed, number))
    };
    Load { clients: (1..=shape.agents as u64).map(&mut client).collect() }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "draws are clamped to small positive numbers"
)]
fn agent(shape: &Agents, number: u64, start_s: f64, dice: &mut Dice) -> Client {
    let median = if dice.chance(shape.heavy) { shape.heavy_calls } else { shape.calls };
    let count = dice.log_normal(median, 0.6).round().clamp(1.0, 120.0) as u64;
    let mut context = dice.one_of(&FIRST_CONTEXTS);
    let mut after = start_s;
    let mut calls = Vec::new();
    for _ in 0..count {
        let output = dice.log_normal(shape.output.0, shape.output.1).clamp(1.0, MOST_OUTPUT) as u64;
        let blocks = context / BLOCK;
        let prefix = (0..blocks).map(|block| (number << 32) | block).collect();
        calls.push(Call { after: Micros((after * 1e6) as u64), input: context, output, prefix });
        after = dice.log_normal(1.0, 1.2).min(3_600.0);
        let growth = output + dice.log_normal(500.0, 0.8).clamp(1.0, 50_000.0) as u64;
        context = (context + growth).min(MOST_CONTEXT);
    }
    Client { calls, in_turn: true }
}
