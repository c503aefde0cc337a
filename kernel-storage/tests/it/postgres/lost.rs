//! Answers that are lost, connections that are cut, and a database that is away: what landed is found out, and nothing
//! lands twice.

use std::str::FromStr;
use std::time::{Duration, Instant};

use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng, TryRng};
use sqlx::postgres::PgConnectOptions;

use kernel_storage::{
    Commit, CommitOutcome, Journal, Mailboxes, PostgresOptions, PostgresStore, StoreErrorKind,
};
use kernel_types::{Epoch, Hash};

use super::place::{Place, admin_url};
use super::proxy::{Mode, Proxy};
use crate::sample::{message, pid, step};
use crate::workload::{Acknowledged, PROCESSES, check, laden};

/// A store behind a proxy, and one that goes straight to it.
struct Behind {
    place: Place,
    proxy: Proxy,
    store: PostgresStore,
    straight: PostgresStore,
}

async fn behind(change: impl Fn(PostgresOptions) -> PostgresOptions) -> Behind {
    let place = Place::new();
    let straight = place.open().await;
    let server = PgConnectOptions::from_str(&admin_url()).unwrap();
    let proxy = Proxy::to(format!("{}:{}", server.get_host(), server.get_port()).parse().unwrap()).await;
    let url = format!(
        "postgres://{}@127.0.0.1:{}/{}",
        server.get_username(),
        proxy.port,
        server.get_database().unwrap()
    );
    let store = PostgresStore::open(change(PostgresOptions::new(url).schema(&place.schema))).await.unwrap();
    Behind { place, proxy, store, straight }
}

/// Lands a first and a second revision, after which all that a further one takes is prepared: what is lost then is lost
/// on the way of the statement itself.
async fn begin(store: &PostgresStore) {
    for revision in 1..=2 {
        assert_eq!(store.commit(vec![rich(revision)]).await.unwrap(), [CommitOutcome::Committed]);
    }
}

fn rich(revision: u64) -> Commit {
    let mut commit = step(pid(1), Epoch(1), revision);
    commit.sent = vec![message(pid(1), revision, pid(2))];
    commit.values = vec![("n".to_owned(), Some(revision.to_string()))];
    commit
}

impl Behind {
    /// Waits until a revision is durable, which its committer may not know.
    async fn landed(&self, revision: u64) {
        for _ in 0..2000 {
            let row = self.straight.agent(pid(1)).await.unwrap();
            if row.is_some_and(|row| row.revision == revision) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("revision {revision} did not land");
    }

    /// That many revisions are there, each once.
    async fn whole(&self, revision: u64) {
        assert_eq!(self.straight.agent(pid(1)).await.unwrap().unwrap(), rich(revision).row);
        let records = self.straight.records(pid(1), 1, 100).await.unwrap();
        assert!(records.iter().map(|record| record.number).eq(1..=revision));
        let mail = self.straight.inbox(pid(2)).await.unwrap();
        assert!(mail.iter().map(|mail| mail.id.number).eq(1..=revision));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_lost_after_the_commit_is_found_out() {
    let behind = behind(|options| options).await;
    begin(&behind.store).await;
    for revision in 3..=5 {
        behind.proxy.set(Mode::LoseAnswers);
        let store = behind.store.clone();
        let commit = tokio::spawn(async move { store.commit(vec![rich(revision)]).await });
        behind.landed(revision).await;
        behind.proxy.set(Mode::Pass);
        behind.proxy.cut();
        assert_eq!(commit.await.unwrap().unwrap(), [CommitOutcome::Committed], "revision {revision}");
    }
    behind.whole(5).await;
    assert_eq!(behind.store.commit(vec![rich(5)]).await.unwrap(), [CommitOutcome::Already]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_lost_before_the_commit_is_sent_again() {
    let behind = behind(|options| options).await;
    begin(&behind.store).await;
    behind.proxy.set(Mode::LoseRequests);
    let store = behind.store.clone();
    let commit = tokio::spawn(async move { store.commit(vec![rich(3)]).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!commit.is_finished());
    behind.proxy.set(Mode::Pass);
    behind.proxy.cut();
    assert_eq!(commit.await.unwrap().unwrap(), [CommitOutcome::Committed]);
    behind.whole(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_cannot_be_found_out_is_unknown_and_committing_again_tells() {
    let behind = behind(|options| options.patience(Duration::from_millis(300))).await;
    begin(&behind.store).await;
    behind.proxy.set(Mode::LoseAnswers);
    let store = behind.store.clone();
    let commit = tokio::spawn(async move { store.commit(vec![rich(3)]).await });
    behind.landed(3).await;
    behind.proxy.set(Mode::Refuse);
    behind.proxy.cut();
    let error = commit.await.unwrap().unwrap_err();
    assert!(error.commit_unknown(), "{error}");
    // Nothing was sent while the way was closed, and that is known.
    let error = behind.store.commit(vec![rich(4)]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    let error = behind.store.agent(pid(1)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    behind.proxy.set(Mode::Pass);
    assert_eq!(behind.store.commit(vec![rich(3)]).await.unwrap(), [CommitOutcome::Already]);
    assert_eq!(behind.store.commit(vec![rich(4)]).await.unwrap(), [CommitOutcome::Committed]);
    behind.whole(4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_is_silent_is_given_up_within_a_lease() {
    let behind = behind(|options| options.write_timeout(Duration::from_millis(300))).await;
    begin(&behind.store).await;
    behind.proxy.set(Mode::LoseAnswers);
    let began = Instant::now();
    let error = behind.store.commit(vec![rich(3)]).await.unwrap_err();
    assert!(error.commit_unknown(), "{error}");
    assert!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
    behind.proxy.set(Mode::Pass);
    behind.proxy.cut();
    assert_eq!(behind.store.commit(vec![rich(3)]).await.unwrap(), [CommitOutcome::Already]);
    behind.whole(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_for_a_moment_is_no_error() {
    let behind = behind(|options| options).await;
    begin(&behind.store).await;
    behind.proxy.set(Mode::Refuse);
    behind.proxy.cut();
    let (writer, reader) = (behind.store.clone(), behind.store.clone());
    let commit = tokio::spawn(async move { writer.commit(vec![rich(3)]).await });
    let read = tokio::spawn(async move { reader.agent(pid(1)).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    behind.proxy.set(Mode::Pass);
    assert_eq!(commit.await.unwrap().unwrap(), [CommitOutcome::Committed]);
    assert!(read.await.unwrap().unwrap().is_some());
    behind.whole(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_answers_are_waited_for() {
    let behind = behind(|options| options).await;
    behind.proxy.set(Mode::Delay(Duration::from_millis(80)));
    for revision in 1..=3 {
        assert_eq!(behind.store.commit(vec![rich(revision)]).await.unwrap(), [CommitOutcome::Committed]);
    }
    behind.whole(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_cut_at_random_lose_nothing_and_write_nothing_twice() {
    let seed = std::env::var("AGENTOS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| SysRng.try_next_u64().unwrap());
    println!("AGENTOS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let behind = behind(|options| options).await;
    let end = Instant::now() + Duration::from_secs(4);
    let tasks: Vec<_> = (0..PROCESSES)
        .map(|n| {
            let store = behind.store.clone();
            tokio::spawn(async move {
                let (mut revision, mut head) = (0, Hash::ZERO);
                while Instant::now() < end {
                    let next = laden(n, Epoch(1), revision + 1, head);
                    match store.commit(vec![next.clone()]).await {
                        Ok(answers) => {
                            let answer = &answers[0];
                            assert!(
                                matches!(answer, CommitOutcome::Committed | CommitOutcome::Already),
                                "AGENTOS_SEED={seed} {n} at {revision}: {answer:?}"
                            );
                            (revision, head) = (revision + 1, next.row.head);
                        }
                        Err(error) => assert_eq!(error.retry(), kernel_types::Retry::Now, "{error}"),
                    }
                }
                revision
            })
        })
        .collect();
    let mut cuts = 0;
    while Instant::now() < end {
        let modes = [Mode::Pass, Mode::Pass, Mode::LoseAnswers, Mode::LoseRequests, Mode::Refuse];
        behind.proxy.set(modes[random.random_range(0..modes.len())]);
        tokio::time::sleep(Duration::from_millis(random.random_range(1..40))).await;
        behind.proxy.cut();
        cuts += 1;
        behind.proxy.set(Mode::Pass);
        tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await;
    }
    let mut acknowledged = Acknowledged::new();
    for (n, task) in (0..).zip(tasks) {
        acknowledged.insert(n, task.await.unwrap());
    }
    // What was sent last and given up may land late.
    tokio::time::sleep(Duration::from_millis(300)).await;
    check(&behind.straight, &acknowledged).await;
    for (n, revision) in &acknowledged {
        let there = behind.straight.agent(pid(*n)).await.unwrap().map_or(0, |row| row.revision);
        assert!(there <= revision + 1, "AGENTOS_SEED={seed} {n}: {there}, not {revision}");
    }
    let total: u64 = acknowledged.values().sum();
    assert!(total > 0, "some commits were acknowledged");
    println!("{total} commits through {cuts} cuts, schema {}", behind.place.schema);
}
