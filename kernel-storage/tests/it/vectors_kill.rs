//! A memory whose process is killed at any moment has all that was acknowledged, and no call by halves.
//!
//! The test binary runs itself as the victim: it remembers and forgets without end, and says on its standard output
//! what was answered.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::Stdio;

use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng, TryRng};

use kernel_storage::{MemoryItem, MemorySearch, Metadata, SearchMode, SqliteStore, Vector, Vectors};

use crate::sample::pid;

const STORE: &str = "KERNEL_STORAGE_MEMORY_VICTIM";
/// Items of one call.
const TOGETHER: usize = 5;

/// What call `n` remembers.
fn items(n: usize) -> Vec<MemoryItem> {
    let one = |part: usize| MemoryItem {
        namespace: "n".to_owned(),
        id: format!("{n:06} {part}"),
        owner: pid(1),
        text: format!("call{n} {}", "word ".repeat(100)),
        metadata: Metadata::new(),
        vector: Some(Vector { model: "m".to_owned(), values: vec![n as f32 + 1.0, part as f32, 1.0] }),
    };
    (0..TOGETHER).map(one).collect()
}

fn ids(n: usize) -> Vec<String> {
    items(n).into_iter().map(|item| item.id).collect()
}

/// Not a test of its own: the victim's part. Call `n` remembers its items and, if it is even, forgets those of the one
/// before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test of this file"]
async fn victim() {
    let path = PathBuf::from(std::env::var_os(STORE).expect("run by the test of this file"));
    let store = SqliteStore::open(path).await.unwrap();
    let first = next(&store).await;
    for n in first.. {
        store.remember(items(n)).await.unwrap();
        if n % 2 == 0 && n > first {
            store.forget("n", &ids(n - 1)).await.unwrap();
        }
        // One write a line: a kill cuts between lines or within the last.
        std::io::stdout().write_all(format!("\nACK {n} .\n").as_bytes()).unwrap();
    }
}

/// The call after the last one that left something.
async fn next(store: &SqliteStore) -> usize {
    let items = store.items("n", None, usize::MAX).await.unwrap();
    items.last().map_or(0, |item| call(&item.id) + 1)
}

fn call(id: &str) -> usize {
    id.split_once(' ').unwrap().0.parse().unwrap()
}

#[tokio::test]
async fn an_acknowledged_memory_survives_kills_at_random_moments() {
    let rounds = if std::env::var_os("AGENTOS_SOAK").is_some() { 200 } else { 10 };
    let seed = std::env::var("AGENTOS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| SysRng.try_next_u64().unwrap());
    println!("AGENTOS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut total = 0;
    for round in 0..rounds {
        let first = {
            let store = SqliteStore::open(&path).await.unwrap();
            let first = next(&store).await;
            store.close().await.unwrap();
            first
        };
        let acknowledged = killed_after(&path, random.random_range(1..60));
        total += acknowledged.len();
        let store = SqliteStore::open(&path).await.unwrap();
        let stored = store.items("n", None, usize::MAX).await.unwrap();
        let last = acknowledged.last().copied();
        for n in acknowledged {
            let there = stored.iter().filter(|item| call(&item.id) == n).count();
            // Forgotten by the next call, if that was answered; by halves never.
            let forgotten = n % 2 == 1 && last > Some(n);
            let maybe = n % 2 == 1 && last == Some(n);
            let fits = if forgotten { there == 0 } else { there == TOGETHER || (maybe && there == 0) };
            assert!(fits, "AGENTOS_SEED={seed} round {round}: {there} items of call {n}");
        }
        let mut calls: Vec<usize> = stored.iter().map(|item| call(&item.id)).collect();
        calls.dedup();
        assert_eq!(
            stored.len(),
            calls.len() * TOGETHER,
            "AGENTOS_SEED={seed} round {round}: no call by halves"
        );
        // What is found is what is stored.
        let search = MemorySearch {
            namespace: "n".to_owned(),
            filter: None,
            text: Some("word".to_owned()),
            vector: Some(Vector { model: "m".to_owned(), values: vec![1.0, 1.0, 1.0] }),
            k: usize::MAX,
            mode: SearchMode::Exact,
        };
        let mut found: Vec<_> = store.search(search).await.unwrap().into_iter().map(|hit| hit.id).collect();
        found.sort_unstable();
        assert!(found.iter().eq(stored.iter().map(|item| &item.id)), "AGENTOS_SEED={seed} round {round}");
        assert!(calls.last().is_some_and(|last| *last >= first), "round {round}: it went on");
        store.close().await.unwrap();
    }
    println!("{rounds} kills, {total} calls acknowledged");
}

/// Starts a victim, kills it as `kill -9` does after so many acknowledgements, and gives all that it had said.
fn killed_after(path: &std::path::Path, lines: usize) -> Vec<usize> {
    #[expect(clippy::disallowed_methods, reason = "this very program, as its own victim")]
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "vectors_kill::victim", "--ignored", "--nocapture"]).env(STORE, path);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said = said.filter_map(|line| line.strip_prefix("ACK ")?.strip_suffix(" .")?.parse().ok());
    let mut acknowledged: Vec<usize> = said.by_ref().take(lines).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(acknowledged.len(), lines, "the victim died by itself");
    acknowledged.extend(said);
    acknowledged
}
