//! A server that is stopped in the middle and started again: nothing that was acknowledged is lost, nothing is there by
//! halves, and the store goes on by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng, TryRng};

use kernel_storage::{CommitOutcome, Journal, PostgresStore};
use kernel_types::{Epoch, Hash, Retry};

use super::server::Server;
use crate::sample::pid;
use crate::workload::{PROCESSES, check, laden};

struct Load {
    over: AtomicBool,
    /// Acknowledged revisions of each process.
    acknowledged: Vec<AtomicU64>,
    unknown: AtomicU64,
    away: AtomicU64,
}

async fn commit_until_over(store: PostgresStore, load: Arc<Load>, n: u64) {
    let mine = &load.acknowledged[usize::try_from(n).unwrap()];
    let mut head = Hash::ZERO;
    while !load.over.load(Ordering::Relaxed) {
        let revision = mine.load(Ordering::Relaxed) + 1;
        let next = laden(n, Epoch(1), revision, head);
        match store.commit(vec![next.clone()]).await {
            Ok(answers) => {
                let landed = matches!(answers[0], CommitOutcome::Committed | CommitOutcome::Already);
                assert!(landed, "{n} at {revision}: {:?}", answers[0]);
                mine.store(revision, Ordering::Relaxed);
                head = next.row.head;
            }
            Err(error) => {
                assert_eq!(error.retry(), Retry::Now, "{error}");
                let count = if error.commit_unknown() { &load.unknown } else { &load.away };
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Load {
    fn total(&self) -> u64 {
        self.acknowledged.iter().map(|revision| revision.load(Ordering::Relaxed)).sum()
    }

    /// How long it takes until something more is acknowledged.
    async fn resumes(&self) -> Duration {
        let (began, before) = (Instant::now(), self.total());
        while self.total() == before {
            assert!(began.elapsed() < Duration::from_secs(20), "the store does not go on");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        began.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_under_load_loses_nothing_that_was_acknowledged() {
    let rounds = if std::env::var_os("AGENTOS_SOAK").is_some() { 20 } else { 3 };
    let seed = std::env::var("AGENTOS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| SysRng.try_next_u64().unwrap());
    println!("AGENTOS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = tokio::task::spawn_blocking(Server::new).await.unwrap();
    let store = PostgresStore::open(server.url()).await.unwrap();
    let load = Arc::new(Load {
        over: AtomicBool::new(false),
        acknowledged: (0..PROCESSES).map(|_| AtomicU64::new(0)).collect(),
        unknown: AtomicU64::new(0),
        away: AtomicU64::new(0),
    });
    let tasks: Vec<_> = (0..PROCESSES)
        .map(|n| tokio::spawn(commit_until_over(store.clone(), Arc::clone(&load), n)))
        .collect();
    for round in 0..rounds {
        load.resumes().await;
        tokio::time::sleep(Duration::from_millis(random.random_range(50..400))).await;
        let down = Duration::from_millis([0, 200, 1500][round % 3]);
        server = tokio::task::spawn_blocking(move || {
            server.crash();
            std::thread::sleep(down);
            server.start();
            server
        })
        .await
        .unwrap();
        let resumed = load.resumes().await;
        println!("round {round}: {} commits, goes on {resumed:?} after the server does", load.total());
        assert!(resumed < Duration::from_secs(5), "it took {resumed:?}");
    }
    load.over.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    let acknowledged: HashMap<u64, u64> =
        (0..).zip(load.acknowledged.iter().map(|revision| revision.load(Ordering::Relaxed))).collect();
    check(&store, &acknowledged).await;
    for (n, revision) in acknowledged {
        let there = store.agent(pid(n)).await.unwrap().map_or(0, |row| row.revision);
        assert!(there <= revision + 1, "AGENTOS_SEED={seed} {n}: {there}, not {revision}");
    }
    println!(
        "{rounds} crashes, {} commits, {} answers unknown, {} refused for want of a server",
        load.total(),
        load.unknown.load(Ordering::Relaxed),
        load.away.load(Ordering::Relaxed)
    );
    store.close().await.unwrap();
}
