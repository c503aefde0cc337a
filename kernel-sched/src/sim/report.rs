//! What a simulation shows.

use serde::Serialize;

use super::load::Load;

/// A call that was served; times in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) client: usize,
    pub(super) made: u64,
    pub(super) started: u64,
    pub(super) ended: u64,
    pub(super) input: u64,
    pub(super) cached: u64,
    pub(super) output: u64,
}

/// The figures of one run. Completion is the time from an agent's first call to the end of its last; of a trace, from when
/// each call was made to its end.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// The policy.
    pub policy: &'static str,
    /// Calls served.
    pub requests: usize,
    /// Input and output tokens a second, from the first call to the last end.
    pub throughput_tokens_s: f64,
    /// Mean completion.
    pub mean_completion_s: f64,
    /// Median.
    pub p50_completion_s: f64,
    /// 95th percentile.
    pub p95_completion_s: f64,
    /// 99th percentile.
    pub p99_completion_s: f64,
    /// The longest that a call waited for a slot.
    pub worst_wait_s: f64,
    /// The share of input tokens that came from a cache.
    pub cache_hit_rate: f64,
    /// Jain's fairness index of the clients' service per second of their stay: 1 is equal.
    pub jain: f64,
    /// Over windows of 60 s: the service (input and twice the output) of the most and of the least served client, of those who
    /// wanted to be served all the time; the largest difference, null if in no window there were two of these,
    pub max_service_difference: Option<f64>,
    /// and the mean one.
    pub mean_service_difference: Option<f64>,
}

const WINDOW: u64 = 60_000_000;

impl Report {
    pub(super) fn new(policy: &'static str, load: &Load, done: Vec<Done>) -> Self {
        let mut completions = completions(load, &done);
        completions.sort_unstable_by(f64::total_cmp);
        let tokens: u64 = done.iter().map(|call| call.input + call.output).sum();
        let input: u64 = done.iter().map(|call| call.input).sum();
        let cached: u64 = done.iter().map(|call| call.cached).sum();
        let first = done.iter().map(|call| call.made).min().unwrap_or(0);
        let last = done.iter().map(|call| call.ended).max().unwrap_or(0);
        let (max_service_difference, mean_service_difference) = differences(load.clients.len(), &done);
        Self {
            policy,
            requests: done.len(),
            throughput_tokens_s: ratio(tokens as f64, seconds(last - first)),
            mean_completion_s: ratio(completions.iter().sum(), completions.len() as f64),
            p50_completion_s: at(&completions, 0.5),
            p95_completion_s: at(&completions, 0.95),
            p99_completion_s: at(&completions, 0.99),
            worst_wait_s: seconds(done.iter().map(|call| call.started - call.made).max().unwrap_or(0)),
            cache_hit_rate: ratio(cached as f64, input as f64),
            jain: jain(load.clients.len(), &done),
            max_service_difference,
            mean_service_difference,
        }
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// The value below which a share of the sorted values lies (nearest rank).
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length is one")]
fn at(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(0.0)
}

fn completions(load: &Load, done: &[Done]) -> Vec<f64> {
    let mut stays = vec![None; load.clients.len()];
    let mut all = Vec::new();
    for call in done {
        if load.clients[call.client].in_turn {
            stretch(&mut stays[call.client], call);
        } else {
            all.push(seconds(call.ended - call.made));
        }
    }
    all.extend(stays.into_iter().flatten().map(|(made, ended)| seconds(ended - made)));
    all
}

fn stretch(stay: &mut Option<(u64, u64)>, call: &Done) {
    let (made, ended) = stay.get_or_insert((call.made, call.ended));
    (*made, *ended) = ((*made).min(call.made), (*ended).max(call.ended));
}

fn service(call: &Done) -> f64 {
    call.input as f64 + 2.0 * call.output as f64
}

fn jain(clients: usize, done: &[Done]) -> f64 {
    let mut stays = vec![None; clients];
    let mut served = vec![0.0; clients];
    for call in done {
        stretch(&mut stays[call.client], call);
        served[call.client] += service(call);
    }
    let rates = stays.iter().zip(&served).filter_map(|(stay, served)| {
        let (made, ended) = (*stay)?;
        Some(ratio(*served, seconds(ended - made)))
    });
    let (count, sum, squares) = rates.fold((0.0, 0.0, 0.0), |(count, sum, squares), rate| {
        (count + 1.0, sum + rate, squares + rate * rate)
    });
    ratio(sum * sum, count * squares)
}

/// The largest and the mean difference of service in windows of a minute, if any has two clients to compare. A call is served
/// when it ends.
fn differences(clients: usize, done: &[Done]) -> (Option<f64>, Option<f64>) {
    let mut spans: Vec<Vec<(u64, u64)>> = vec![Vec::new(); clients];
    for call in done {
        spans[call.client].push((call.made, call.ended));
    }
    spans.iter_mut().for_each(|spans| *spans = joined(std::mem::take(spans)));
    let last = done.iter().map(|call| call.ended).max().unwrap_or(0);
    let windows = usize::try_from(last / WINDOW + 1).unwrap_or(0);
    let mut served = vec![Vec::new(); windows];
    for call in done {
        served[usize::try_from(call.ended / WINDOW).unwrap_or(0)].push((call.client, service(call)));
    }
    let mut backlogged: Vec<Vec<usize>> = vec![Vec::new(); windows];
    for (client, spans) in spans.iter().enumerate() {
        for (from, to) in spans {
            for window in from.div_ceil(WINDOW)..to / WINDOW {
                backlogged[usize::try_from(window).unwrap_or(0)].push(client);
            }
        }
    }
    let mut differences = Vec::new();
    for (served, backlogged) in served.iter().zip(&backlogged) {
        let mut sums = vec![None; clients];
        backlogged.iter().for_each(|client| sums[*client] = Some(0.0));
        for (client, service) in served {
            if let Some(sum) = &mut sums[*client] {
                *sum += service;
            }
        }
        let known = || sums.iter().flatten().copied();
        if backlogged.len() > 1 {
            differences.push(known().fold(0.0, f64::max) - known().fold(f64::MAX, f64::min));
        }
    }
    let most = differences.iter().copied().reduce(f64::max);
    (most, most.map(|_| differences.iter().sum::<f64>() / differences.len() as f64))
}

/// Spans that touch become one.
fn joined(mut spans: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    spans.sort_unstable();
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (from, to) in spans {
        match joined.last_mut() {
            Some((_, end)) if from <= *end => *end = (*end).max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}
