//! Committed steps a second: the memory store, SQLite, and beside it the floor of SQLite in the same run.
//!
//! A typical step: an agent row with an image of 400 bytes and three records of about 300. The floor is a commit of
//! one small row through the same driver with the same settings, one at a time: what the disk and SQLite ask for
//! before this project adds anything.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use tokio::runtime::Runtime;

use kernel_storage::{Commit, CommitOutcome, Journal, MemoryStore, SqliteStore};
use kernel_types::{AgentRow, Epoch, Hash, Pid, Record, Seq, StepNo, Timestamp};

const CLIENTS: u64 = 512;
const RECORDS: u64 = 3;

/// A process that steps and steps.
struct Process {
    row: AgentRow,
}

impl Process {
    fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let pid = Pid::from_parts(1_700_000_000_000, u128::from(LAST.fetch_add(1, Ordering::Relaxed)));
        let row = AgentRow {
            pid,
            parent: Pid::INIT,
            epoch: Epoch(1),
            revision: 0,
            records: 0,
            head: Hash::ZERO,
            exited: false,
            image: vec![7; 400],
            seal: Hash::ZERO,
        };
        Self { row }
    }

    fn step(&mut self) -> Commit {
        let first = self.row.records + 1;
        let records = (first..first + RECORDS).map(|number| self.record(number)).collect();
        self.row.revision += 1;
        self.row.records += RECORDS;
        Commit {
            row: self.row.clone(),
            records,
            values: vec![],
            consumed: vec![],
            sent: vec![],
            blobs: vec![],
        }
    }

    fn record(&self, number: u64) -> Record {
        Record {
            pid: self.row.pid,
            number,
            step: StepNo(self.row.revision),
            call: Some(Seq(0)),
            kind: 3,
            at: Timestamp(1_700_000_000_000),
            salt: [3; 16],
            body: Some("x".repeat(300)),
            blob: None,
            body_hash: Hash::ZERO,
            hash: Hash::ZERO,
        }
    }
}

fn landed(answers: &[CommitOutcome]) {
    assert!(answers.iter().all(|answer| *answer == CommitOutcome::Committed), "{answers:?}");
}

/// Time of the commits alone: making steps is the kernel's work, not the store's.
async fn single(store: &impl Journal, commits: u64) -> Duration {
    let mut process = Process::new();
    let mut spent = Duration::ZERO;
    for _ in 0..commits {
        let step = process.step();
        let start = Instant::now();
        landed(&store.commit(vec![step]).await.expect("a healthy store"));
        spent += start.elapsed();
    }
    spent
}

/// Many processes at once, each with its own commit calls, until `commits` landed in all.
async fn concurrent<S: Journal + Clone + 'static>(store: &S, commits: u64) -> Duration {
    let start = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let share = commits / CLIENTS + u64::from(client < commits % CLIENTS);
            let store = store.clone();
            tokio::spawn(async move {
                let mut process = Process::new();
                for _ in 0..share {
                    landed(&store.commit(vec![process.step()]).await.expect("a healthy store"));
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("no client panics");
    }
    start.elapsed()
}

async fn floor_connection(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging();
    let mut conn = options.connect().await.expect("a temporary folder");
    let table = "CREATE TABLE floor (id INTEGER PRIMARY KEY, body TEXT)";
    sqlx::query(table).execute(&mut conn).await.expect("a new database");
    conn
}

fn storage(c: &mut Criterion) {
    let runtime = Runtime::new().expect("threads");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let memory = MemoryStore::new;
    let sqlite =
        runtime.block_on(SqliteStore::open(folder.path().join("store.db"))).expect("a temporary folder");
    let mut floor = runtime.block_on(floor_connection(&folder.path().join("floor.db")));

    let mut group = c.benchmark_group("storage/commit");
    group.throughput(Throughput::Elements(1)).sample_size(10).measurement_time(Duration::from_secs(3));
    group.bench_function(BenchmarkId::new("memory", 1), |b| {
        b.to_async(&runtime).iter_custom(|n| async move { single(&memory(), n).await });
    });
    group.bench_function(BenchmarkId::new("memory", CLIENTS), |b| {
        b.to_async(&runtime).iter_custom(|n| async move { concurrent(&memory(), n).await });
    });
    group.bench_function(BenchmarkId::new("sqlite_floor_one_row", 1), |b| {
        b.iter_custom(|n| {
            runtime.block_on(async {
                let start = Instant::now();
                for _ in 0..n {
                    let insert = sqlx::query("INSERT INTO floor (body) VALUES ('x')");
                    insert.execute(&mut floor).await.expect("a healthy disk");
                }
                start.elapsed()
            })
        });
    });
    group.bench_function(BenchmarkId::new("sqlite", 1), |b| {
        b.to_async(&runtime).iter_custom(|n| single(&sqlite, n));
    });
    group.bench_function(BenchmarkId::new("sqlite", CLIENTS), |b| {
        b.to_async(&runtime).iter_custom(|n| concurrent(&sqlite, n));
    });
    group.finish();
    runtime.block_on(floor.close()).expect("a healthy disk");
    runtime.block_on(sqlite.close()).expect("a healthy disk");
}

criterion_group!(benches, storage);
criterion_main!(benches);
