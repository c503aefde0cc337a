//! The simulated workloads: in order, the same for a seed, and shaped as their parameters say.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kernel_context::sim::{
    Event, Kind, LogNormal, Page, PageId, PrefixCache, Report, SegmentId, Shape, Workload,
};
use kernel_types::Catalogue;

const SEED: u64 = 20_261;

fn shapes() -> [(&'static str, Shape); 3] {
    [("tools", Shape::tools()), ("coding", Shape::coding()), ("chat", Shape::chat())]
}

/// One call: what was appended, what it needs, when it is made.
struct Step {
    at_ms: u64,
    pages: Vec<Page>,
    uses: Vec<PageId>,
    output: u64,
}

/// The steps of each agent; the protocol of the events is checked on the way.
fn steps(shape: &Shape, seed: u64) -> Vec<Vec<Step>> {
    let mut agents: Vec<Vec<Step>> = (0..shape.agents).map(|_| Vec::new()).collect();
    let mut opened = BTreeSet::new();
    let mut now = 0;
    let mut events = Workload::new(shape.clone(), seed);
    while let Some(event) = events.next() {
        match event {
            Event::Open { agent, at_ms, pinned } => {
                assert!(at_ms >= now && opened.insert(agent), "agent {agent} opens once and in time");
                assert_eq!(pinned.iter().map(|page| page.tokens).sum::<u64>(), shape.pinned);
                now = at_ms;
            }
            Event::Append { agent, at_ms, pages } => {
                assert!(at_ms >= now && opened.contains(&agent) && !pages.is_empty());
                now = at_ms;
                let Some(Event::Uses { agent: user, ids }) = events.next() else {
                    panic!("an append is used")
                };
                let Some(Event::Call { agent: caller, at_ms: then, output_tokens }) = events.next() else {
                    panic!("pages come before a call")
                };
                assert_eq!((user, caller, then), (agent, agent, at_ms));
                agents[agent].push(Step { at_ms, pages, uses: ids, output: output_tokens });
            }
            other => panic!("{other:?} without an append"),
        }
    }
    assert_eq!(opened.len(), shape.agents);
    agents
}

#[test]
fn a_seed_gives_the_same_events_and_another_seed_others() {
    let events = |seed| Workload::new(Shape { agents: 3, ..Shape::tools() }, seed).collect::<Vec<_>>();
    assert_eq!(events(1), events(1));
    assert_ne!(events(1), events(2));
}

#[test]
fn an_agent_does_the_same_however_many_there_are() {
    let first = |agents| {
        let events = Workload::new(Shape { agents, ..Shape::coding() }, SEED);
        events.filter(|event| matches!(event, Event::Append { agent: 0, .. })).collect::<Vec<_>>()
    };
    assert_eq!(first(1), first(5));
}

#[test]
fn each_call_has_its_pages_and_needs_them() {
    for (name, shape) in shapes() {
        for agent in steps(&shape, SEED) {
            let mut seen = BTreeSet::new();
            let mut said = None;
            for step in &agent {
                let kinds: Vec<Kind> = step.pages.iter().map(|page| page.kind).collect();
                let (last, before) = kinds.split_last().unwrap();
                assert!(matches!(last, Kind::User | Kind::Tool), "{name}: {kinds:?}");
                assert_eq!(before.first().copied(), said.map(|_| Kind::Assistant), "{name}: {kinds:?}");
                assert_eq!(
                    said.unwrap_or(step.pages[0].tokens),
                    step.pages[0].tokens,
                    "{name}: the answer's page"
                );
                said = Some(step.output);
                for page in &step.pages {
                    assert!(seen.insert(page.id), "{name}: {:?} is new", page.id);
                    assert_eq!(page.text.split(' ').count() as u64, page.tokens, "{name}");
                }
                let new: Vec<PageId> = step.pages.iter().map(|page| page.id).collect();
                assert!(step.uses.starts_with(&new), "{name}");
                assert!(step.uses.iter().all(|id| seen.contains(id)), "{name}: only what has been is needed");
                assert_eq!(step.uses.iter().collect::<BTreeSet<_>>().len(), step.uses.len(), "{name}");
            }
        }
    }
}

#[test]
fn sizes_and_counts_are_the_parameters() {
    for (name, shape) in shapes() {
        let agents = steps(&shape, SEED);
        let pages = |kind| {
            let all = agents.iter().flatten().flat_map(|step| &step.pages);
            let mut tokens: Vec<u64> = all.filter(|page| page.kind == kind).map(|page| page.tokens).collect();
            tokens.sort_unstable();
            tokens
        };
        let user = pages(Kind::User);
        assert_eq!(user.len(), shape.agents * shape.tasks, "{name}");
        assert!(user.iter().all(|tokens| shape.user.contains(tokens)), "{name}");
        assert!(pages(Kind::Assistant).iter().all(|tokens| shape.output.contains(tokens)), "{name}");
        let calls = agents.iter().map(Vec::len).sum::<usize>() as u64;
        let tasks = (shape.agents * shape.tasks) as u64;
        assert!(
            (tasks * shape.calls.start()..=tasks * shape.calls.end()).contains(&calls),
            "{name}: {calls}"
        );
        let results = pages(Kind::Tool);
        assert_eq!(
            results.len() as u64,
            calls - tasks,
            "{name}: each call but the last of a task uses a tool"
        );
        if !results.is_empty() {
            check_sizes(name, &results, &shape.result);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn check_sizes(name: &str, sorted: &[u64], size: &LogNormal) {
    let (median, p95) = (sorted[sorted.len() / 2] as f64, sorted[sorted.len() * 95 / 100] as f64);
    assert!((median / size.median - 1.0).abs() < 0.1, "{name}: a median of {median}");
    assert!((p95 / size.p95 - 1.0).abs() < 0.15, "{name}: {p95} at 95 %");
    assert!(sorted[0] >= size.least && sorted[sorted.len() - 1] <= size.most, "{name}");
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn agents_think_as_long_as_they_should() {
    let agents = steps(&Shape::tools(), SEED);
    let gaps: Vec<u64> =
        agents.iter().flat_map(|steps| steps.windows(2).map(|two| two[1].at_ms - two[0].at_ms)).collect();
    assert!(gaps.iter().all(|gap| *gap > 0));
    let mean = gaps.iter().sum::<u64>() as f64 / gaps.len() as f64 / 1000.0;
    assert!((24.0..26.0).contains(&mean), "{mean} s");
    // Of exponentially distributed gaps e^-1 are longer than the mean, and e^-12 longer than five minutes.
    let long = gaps.iter().filter(|gap| **gap > 25_000).count() as f64 / gaps.len() as f64;
    assert!((0.34..0.40).contains(&long), "{long}");
}

/// How many steps back each older page lies that a call needs.
fn distances(steps: &[Step]) -> Vec<usize> {
    let at: HashMap<PageId, usize> = steps
        .iter()
        .enumerate()
        .flat_map(|(n, step)| step.pages.iter().map(move |page| (page.id, n)))
        .collect();
    let older = steps.iter().enumerate().flat_map(|(n, step)| {
        step.uses.iter().skip(step.pages.len()).map(|id| n - at[id]).collect::<Vec<_>>()
    });
    older.collect()
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn needs_are_as_old_as_their_law_says() {
    let agents = steps(&Shape::tools(), SEED);
    let calls = agents.iter().map(Vec::len).sum::<usize>();
    let distances: Vec<usize> = agents.iter().flat_map(|steps| distances(steps)).collect();
    let share = distances.len() as f64 / calls as f64;
    assert!((0.13..0.16).contains(&share), "{share} of the calls need something older");
    for d in [1usize, 3, 10] {
        let beyond =
            distances.iter().filter(|distance| **distance > d).count() as f64 / distances.len() as f64;
        // More than d is d + 1 or more: (d + 1)^-1.2.
        let expected = (d as f64 + 1.0).powf(-1.2);
        assert!((beyond - expected).abs() < 0.04, "{beyond} beyond {d}, not {expected}");
    }
}

#[test]
fn files_and_topics_come_back_after_long_gaps() {
    for (name, shape, far) in [("coding", Shape::coding(), 100), ("chat", Shape::chat(), 50)] {
        let agents = steps(&shape, SEED);
        let distances: Vec<usize> = agents.iter().flat_map(|steps| distances(steps)).collect();
        let calls = agents.iter().map(Vec::len).sum::<usize>();
        let long = distances.iter().filter(|distance| **distance >= far).count();
        println!(
            "{name}: {calls} calls, {} older needs, {long} of them from {far} calls ago or more",
            distances.len()
        );
        assert!(distances.len() * 8 > calls && long * 20 > distances.len(), "{name}");
    }
}

/// Agents that never forget and mark the instructions and the end of the prompt.
fn append_only(shape: &Shape, name: &str) -> Report {
    let mut cache = PrefixCache::new(*Catalogue::built_in().cache(name).unwrap());
    let mut prompts: BTreeMap<usize, Vec<(SegmentId, u64)>> = BTreeMap::new();
    let mut report = Report::new(200_000);
    for event in Workload::new(shape.clone(), SEED) {
        match event {
            Event::Open { agent, pinned: pages, .. } | Event::Append { agent, pages, .. } => {
                let segments = pages.iter().map(|page| (SegmentId(page.id.0), page.tokens));
                prompts.entry(agent).or_default().extend(segments);
            }
            Event::Call { agent, at_ms, output_tokens } => {
                let prompt = &prompts[&agent];
                report.add(&cache.request(at_ms, prompt, &[0, prompt.len() - 1], output_tokens));
            }
            Event::Uses { .. } => {}
        }
    }
    report
}

#[test]
fn what_is_only_appended_to_stays_cached_while_the_cache_lives() {
    for (name, shape) in shapes() {
        let shape = Shape { agents: 4, ..shape };
        for kind in ["anthropic-5m", "anthropic-1h", "openai-gpt5", "deepseek"] {
            let report = append_only(&shape, kind);
            let (cached, plain) =
                (report.cached_share(), report.total.input * 1000 + report.total.output * 5000);
            println!(
                "{name} on {kind}: {} calls, {:.3} cached, {:.3} of plain",
                report.calls,
                cached,
                report.ratio(plain)
            );
            let least = if name == "chat" && !kind.starts_with("deepseek") { 0.5 } else { 0.95 };
            assert!(cached > least, "{name} on {kind}: {cached}");
        }
    }
}
