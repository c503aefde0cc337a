//! What a simulation shows.

use std::collections::{BTreeMap, BTreeSet};

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
/// when it ends. A window costs nothing by itself: where no call ends nobody is served, and the difference is none.
fn differences(clients: usize, done: &[Done]) -> (Option<f64>, Option<f64>) {
    let mut served: BTreeMap<u64, BTreeMap<usize, f64>> = BTreeMap::new();
    for call in done {
        let window = served.entry(call.ended / WINDOW).or_default();
        *window.entry(call.client).or_default() += service(call);
    }
    let (mut windows, mut most, mut sum) = (0_u64, 0.0_f64, 0.0);
    let mut backlogged = BTreeSet::new();
    let mut changes = changes(clients, done).into_iter().peekable();
    while let Some((from, change)) = changes.next() {
        match change {
            Change::Comes(client) => backlogged.insert(client),
            Change::Goes(client) => backlogged.remove(&client),
        };
        let until = changes.peek().map_or(from, |(window, _)| *window);
        if backlogged.len() < 2 || until == from {
            continue;
        }
        windows += until - from;
        for served in served.range(from..until).map(|(_, served)| served) {
            let known = served.iter().filter(|(client, _)| backlogged.contains(client));
            let known: Vec<f64> = known.map(|(_, service)| *service).collect();
            let least = if known.len() < backlogged.len() { 0.0 } else { f64::MAX };
            let least = known.iter().copied().fold(least, f64::min);
            let difference = known.iter().copied().fold(0.0, f64::max) - least;
            (most, sum) = (most.max(difference), sum + difference);
        }
    }
    let compared = (windows > 0).then_some(windows as f64);
    (compared.map(|_| most), compared.map(|windows| sum / windows))
}

/// A client wants to be served all the time from a window on, or does so no more.
enum Change {
    Comes(usize),
    Goes(usize),
}

/// All of these, in order of the windows.
fn changes(clients: usize, done: &[Done]) -> Vec<(u64, Change)> {
    let mut spans: Vec<Vec<(u64, u64)>> = vec![Vec::new(); clients];
    for call in done {
        spans[call.client].push((call.made, call.ended));
    }
    let mut changes = Vec::new();
    for (client, spans) in spans.into_iter().enumerate() {
        for (from, to) in joined(spans) {
            let (first, end) = (from.div_ceil(WINDOW), to / WINDOW);
            if first < end {
                changes.extend([(first, Change::Comes(client)), (end, Change::Goes(client))]);
            }
        }
    }
    // Who goes before who comes: a client may do both in one window.
    changes.sort_by_key(|(window, change)| (*window, matches!(change, Change::Comes(_))));
    changes
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

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Every window by itself, every client in it.
    fn each_by_itself(clients: usize, done: &[Done]) -> (Option<f64>, Option<f64>) {
        let mut differences = Vec::new();
        for window in 0..=done.iter().map(|call| call.ended / WINDOW).max().unwrap_or(0) {
            let wants = |client: &usize| {
                let of = done.iter().filter(|call| call.client == *client);
                let spans = joined(of.map(|call| (call.made, call.ended)).collect());
                spans.iter().any(|(from, to)| *from <= window * WINDOW && (window + 1) * WINDOW <= *to)
            };
            let served = |client: usize| {
                let of = done.iter().filter(|call| call.client == client && call.ended / WINDOW == window);
                of.map(service).sum::<f64>()
            };
            let served: Vec<f64> = (0..clients).filter(wants).map(served).collect();
            if served.len() > 1 {
                let most = served.iter().copied().fold(0.0, f64::max);
                differences.push(most - served.iter().copied().fold(f64::MAX, f64::min));
            }
        }
        let most = differences.iter().copied().reduce(f64::max);
        (most, most.map(|_| differences.iter().sum::<f64>() / differences.len() as f64))
    }

    #[test]
    fn windows_are_as_if_each_was_looked_at() {
        const CLIENTS: usize = 4;
        let mut compared = 0;
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut draw = |below: u64| random.random_range(0..below);
            let calls = 1 + draw(60);
            let done = (0..calls).map(|_| {
                let made = draw(20 * WINDOW);
                let made = if draw(3) == 0 { made / WINDOW * WINDOW } else { made };
                let ended = made + draw(6) * WINDOW / (1 + draw(3));
                let (client, input, output) =
                    (usize::try_from(draw(CLIENTS as u64)).expect("few"), draw(1_000), draw(100));
                Done { client, made, started: made, ended, input, cached: 0, output }
            });
            let done: Vec<Done> = done.collect();
            let found = differences(CLIENTS, &done);
            assert_eq!(found, each_by_itself(CLIENTS, &done), "seed {seed}");
            compared += u32::from(found.0.is_some_and(|most| most > 0.0));
        }
        assert!(compared > 100, "most must have something to compare: {compared}");
    }
}
