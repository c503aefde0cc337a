//! Recorded traces: one JSON object a line.

use std::collections::HashMap;

use serde::Deserialize;
use thiserror::Error;

use crate::Micros;

use super::load::{Call, Client, Load};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    at_ms: u64,
    client: serde_json::Value,
    input_tokens: u64,
    output_tokens: u64,
    #[serde(default)]
    prefix_blocks: Vec<serde_json::Value>,
}

/// What is no trace.
#[derive(Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BrokenTrace {
    /// A line that is not a call.
    #[error("line {line}: {why}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// There is no call in it: nothing to measure.
    #[error("no calls: a trace has at least one line")]
    Empty,
}

/// The most tokens a call may have: more is a mistake.
const MOST_TOKENS: u64 = 100_000_000;
/// The latest that a call may be made, in milliseconds: 31,700 years after whatever they count from.
const MOST_MS: u64 = 1_000_000_000_000_000;

/// Reads `{"at_ms","client","input_tokens","output_tokens","prefix_blocks":[..]}` a line; clients and blocks are named by
/// numbers or texts. Empty lines are left out. Time counts from the earliest call: `at_ms` may as well be the time of day.
///
/// # Errors
/// [`BrokenTrace`] names the first line that does not say this, or says that there is none.
pub fn parse(text: &str) -> Result<Load, BrokenTrace> {
    let mut clients: HashMap<String, usize> = HashMap::new();
    let mut blocks: HashMap<String, u64> = HashMap::new();
    let mut load = Load::default();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let broken = |why: String| BrokenTrace::Line { line: at + 1, why };
        let line: Line = serde_json::from_str(line).map_err(|error| broken(reason(&error)))?;
        for (name, value, most) in [
            ("at_ms", line.at_ms, MOST_MS),
            ("input_tokens", line.input_tokens, MOST_TOKENS),
            ("output_tokens", line.output_tokens, MOST_TOKENS),
        ] {
            if value > most {
                return Err(broken(format!("{name} of {value} exceeds the limit of {most}")));
            }
        }
        let name = |value: &serde_json::Value, what: &str| match value {
            serde_json::Value::String(text) => Ok(text.clone()),
            serde_json::Value::Number(number) => Ok(number.to_string()),
            other => Err(broken(format!("{what} is named by a number or a text, not {other}"))),
        };
        let known = clients.len();
        let client = *clients.entry(name(&line.client, "a client")?).or_insert(known);
        if client == load.clients.len() {
            load.clients.push(Client { calls: Vec::new(), in_turn: false });
        }
        let mut prefix = Vec::with_capacity(line.prefix_blocks.len());
        for block in &line.prefix_blocks {
            let known = blocks.len() as u64;
            prefix.push(*blocks.entry(name(block, "a block")?).or_insert(known));
        }
        load.clients[client].calls.push(Call {
            after: Micros(line.at_ms * 1000),
            input: line.input_tokens,
            output: line.output_tokens,
            prefix,
        });
    }
    let calls = || load.clients.iter().flat_map(|client| &client.calls);
    let first = calls().map(|call| call.after).min().ok_or(BrokenTrace::Empty)?;
    for call in load.clients.iter_mut().flat_map(|client| &mut client.calls) {
        call.after = Micros(call.after.since(first).0);
    }
    Ok(load)
}

/// What the parser says, without the number that a line has by itself: always 1.
fn reason(error: &serde_json::Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let whole = error.to_string();
    match whole.strip_suffix(&place) {
        Some(why) => format!("{why} at column {}", error.column()),
        None => whole,
    }
}
