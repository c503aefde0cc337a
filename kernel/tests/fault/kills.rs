//! A worker with a model and two tools, killed while it prepares, commits, starts and takes outcomes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use kernel_storage::{SqliteStore, Vectors};
use kernel_types::{Answer, Decision, ErrorKind, Event, ExitStatus, SyscallNo};

use crate::family::{Random, Started, kills, left, seed};
use crate::marks::{Marks, Phase};
use crate::work::{Counters, distinct};

const ROUNDS: u32 = 40;
/// Bytes, about, that say of a commit that it was acknowledged.
const ACKNOWLEDGED: u64 = 100;

#[tokio::test]
async fn killed_at_any_moment_nothing_acknowledged_is_lost_and_no_unsafe_call_happens_twice() {
    let wanted = kills(50, 500);
    let mut random = Random(seed());
    let mut hits: BTreeMap<String, u64> = BTreeMap::new();
    let mut interrupted = 0;
    while hits.values().sum::<u64>() < wanted {
        let folder = tempfile::tempdir().expect("a folder");
        let scenario = format!("worker {ROUNDS}");
        let left_to_do = wanted - hits.values().sum::<u64>();
        kill_until(folder.path(), &scenario, &mut random, &mut hits, left_to_do.min(25));
        interrupted += check(folder.path()).await;
    }
    println!("kills by phase: {hits:?}; calls reported interrupted: {interrupted}");
    for phase in Phase::ALL {
        assert!(hits.contains_key(&format!("{phase:?}")), "no kill hit {phase:?}: {hits:?}");
    }
}

/// Starts the child, kills it at seeded moments, so often or until it is done; then lets it finish.
pub(crate) fn kill_until(
    folder: &Path,
    scenario: &str,
    random: &mut Random,
    hits: &mut BTreeMap<String, u64>,
    most: u64,
) {
    for _ in 0..most {
        if !kill_once(folder, scenario, random, hits) {
            return;
        }
    }
    Started::start(folder, scenario).finish();
}

/// Starts the child and kills it at a seeded moment; `false` if it was done before.
pub(crate) fn kill_once(
    folder: &Path,
    scenario: &str,
    random: &mut Random,
    hits: &mut BTreeMap<String, u64>,
) -> bool {
    let marks = Marks::open(&folder.join("marks"));
    let mut child = Started::start(folder, scenario);
    if !child.wait_ready() {
        child.finish();
        return false;
    }
    let phase = Phase::ALL[random.below(4) as usize];
    // How far it comes is counted in commits: a slow machine is killed as far on as a fast one.
    let acknowledged = || std::fs::metadata(folder.join("acknowledged")).map_or(0, |file| file.len());
    let far_enough = acknowledged() + random.below(8) * ACKNOWLEDGED;
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline && acknowledged() < far_enough {
        if child.ended() {
            child.finish();
            return false;
        }
    }
    let moment = Instant::now() + Duration::from_micros(random.below(4_000));
    while Instant::now() < deadline && (Instant::now() < moment || marks.get() != Some(phase)) {
        if child.ended() {
            child.finish();
            return false;
        }
    }
    child.kill();
    let hit = marks.get().map_or_else(|| "Prepare".to_owned(), |phase| format!("{phase:?}"));
    *hits.entry(hit).or_default() += 1;
    true
}

/// Checks a finished worker against its journal; says how many calls came back as interrupted.
async fn check(folder: &Path) -> usize {
    let left = left(folder).await;
    let keyed = Counters::calls(folder, "count_keyed");
    let once = Counters::calls(folder, "count_unsafe");
    let mut interrupted = 0;
    let mut told = BTreeSet::new();
    let mut journal: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (pid, records) in &left.records {
        let mut outcomes: BTreeMap<_, Vec<&Event>> = BTreeMap::new();
        for (record, event) in records {
            if matches!(event, Event::Outcome { .. }) {
                outcomes.entry((record.step, record.call)).or_default().push(event);
            }
        }
        let intents: BTreeSet<_> = records
            .iter()
            .filter(|(_, event)| matches!(event, Event::Intent { .. }))
            .map(|(record, _)| (record.step, record.call))
            .collect();
        assert!(outcomes.keys().all(|place| intents.contains(place)), "an outcome has no intent");
        for (record, event) in records {
            let Event::Intent { call, no, decision, .. } = event else { continue };
            assert_eq!(*decision, Decision::Allow);
            let ends = outcomes.get(&(record.step, record.call)).map_or(0, Vec::len);
            assert_eq!(ends, 1, "call {}/{}/{:?} has {ends} outcomes", pid, record.step, record.call);
            if *no == SyscallNo::Remember {
                told.extend(remembered(outcomes[&(record.step, record.call)][0]));
            }
            if *no != SyscallNo::ToolCall {
                continue;
            }
            let kernel_types::Call::ToolCall(args) = call else { panic!("a tool_call holds its arguments") };
            let key = format!("{pid}/{}/{}", record.step, record.call.expect("an intent belongs to a call"));
            let tool = if args.tool == "count_keyed" { "count_keyed" } else { "count_unsafe" };
            let Some([Event::Outcome { result, .. }]) =
                outcomes.get(&(record.step, record.call)).map(|list| {
                    let [one] = list[..] else { panic!("one outcome") };
                    [one]
                })
            else {
                panic!("an outcome")
            };
            let lost = result.as_ref().is_err_and(|error| error.kind == ErrorKind::Interrupted);
            interrupted += usize::from(lost);
            assert!(!lost || tool == "count_unsafe", "a keyed call is issued again, not interrupted");
            if !lost {
                journal.entry(tool).or_default().insert(key);
            } else {
                journal.entry("lost").or_default().insert(key);
            }
        }
    }
    assert_eq!(told.len(), ROUNDS as usize, "each fact has an id of its own");
    assert_eq!(memories(folder).await, told, "what was remembered is there once");
    let none = BTreeSet::new();
    let known = |name: &str| {
        journal.get(name).unwrap_or(&none).iter().map(String::as_str).collect::<BTreeSet<&str>>()
    };
    assert_eq!(distinct(&keyed), known("count_keyed"), "the keyed tool saw exactly the journal's keys");
    assert_eq!(once.len(), distinct(&once).len(), "the unsafe tool saw a call twice");
    let (answered, lost) = (known("count_unsafe"), known("lost"));
    assert!(answered.is_subset(&distinct(&once)), "an answered unsafe call was never made");
    assert!(
        distinct(&once).iter().all(|key| answered.contains(key) || lost.contains(key)),
        "the unsafe tool saw a call that has no intent"
    );
    let ended = left.records.values().flatten().find_map(|(_, event)| match event {
        Event::Exited { status: ExitStatus::Ok(count) } => Some(count.clone()),
        _ => None,
    });
    assert_eq!(ended.as_deref(), Some(interrupted.to_string().as_str()), "the program was told of each");
    interrupted
}

/// The id that a `remember` answered.
fn remembered(outcome: &Event) -> Option<String> {
    match outcome {
        Event::Outcome { result: Ok(Answer::Remembered { id }), .. } => Some(id.clone()),
        other => panic!("a remember ended as {other:?}"),
    }
}

/// The ids of all that is remembered in a store.
async fn memories(folder: &Path) -> BTreeSet<String> {
    let store = SqliteStore::open(folder.join("kernel.db")).await.expect("the store opens");
    let mut ids = BTreeSet::new();
    for namespace in store.namespaces(None, 100).await.expect("reads") {
        let items = store.items(&namespace, None, 1000).await.expect("reads");
        ids.extend(items.into_iter().map(|item| item.id));
    }
    ids
}
