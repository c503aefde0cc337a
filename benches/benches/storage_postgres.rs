//! Committed steps a second on PostgreSQL, beside the floor of the same server in the same run.
//!
//! A step: an agent row with an image of 400 bytes, three records of about 300, one message consumed and one sent. The
//! floor is an autocommit insert of one small row through the same driver, with one client and with 32. The disk of a
//! machine may be ten times slower a minute later, so the two take turns, and what counts is the ratio.
//!
//! `eval "$(.ci/services env)"; .ci/services start postgres; cargo bench -p benches --bench storage_postgres`

use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use kernel_storage::{Commit, CommitOutcome, Journal, PostgresOptions, PostgresStore};
use kernel_types::{AgentRow, Epoch, Hash, Mail, MailBody, MailId, Pid, Record, Seq, StepNo, Timestamp};

const RECORDS: u64 = 3;
const AGENTS: u64 = 512;
const FLOOR_CLIENTS: u64 = 32;
/// How often each of the two is measured.
const TURNS: u32 = 8;
const SCHEMA: &str = "agentos_bench";

/// A process that steps and steps, writing to itself.
struct Process {
    row: AgentRow,
}

impl Process {
    fn new() -> Self {
        let row = AgentRow {
            pid: Pid::fresh(),
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
        let id = |number| MailId { sender: self.row.pid, number };
        let sent = Mail {
            id: id(self.row.revision),
            to: self.row.pid,
            body: MailBody::Message("y".repeat(100)),
            sent_at: Timestamp(1_700_000_000_000),
        };
        Commit {
            row: self.row.clone(),
            records,
            values: vec![],
            consumed: vec![id(self.row.revision - 1)],
            sent: vec![sent],
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

/// So many clients at once for so long: steps a second, and the 99th percentile of a step.
async fn steps(store: &PostgresStore, clients: u64, time: Duration) -> Result<(f64, Duration)> {
    let began = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut process = Process::new();
                let mut times = Vec::new();
                while began.elapsed() < time {
                    let step = process.step();
                    let start = Instant::now();
                    let answers = store.commit(vec![step]).await?;
                    ensure!(answers == [CommitOutcome::Committed], "{answers:?}");
                    times.push(start.elapsed());
                }
                Ok(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    Ok((rate, p99))
}

/// So many clients that insert one row at a time: rows a second.
async fn floor(options: &PgConnectOptions, clients: u64, time: Duration) -> Result<f64> {
    let mut conns = Vec::new();
    for _ in 0..clients {
        conns.push(options.connect().await?);
    }
    let began = Instant::now();
    let tasks: Vec<_> = conns
        .into_iter()
        .map(|mut conn: PgConnection| {
            tokio::spawn(async move {
                let mut rows = 0_u64;
                let insert = format!("INSERT INTO {SCHEMA}_floor (body) VALUES ('x')");
                while began.elapsed() < time {
                    sqlx::query(AssertSqlSafe(insert.as_str())).execute(&mut conn).await?;
                    rows += 1;
                }
                conn.close().await?;
                Ok::<_, sqlx::Error>(rows)
            })
        })
        .collect();
    let mut rows = 0;
    for task in tasks {
        rows += task.await??;
    }
    Ok(rows as f64 / began.elapsed().as_secs_f64())
}

/// A measurement in turns with its floor.
#[expect(clippy::print_stdout, reason = "what a bench is for")]
async fn compare(
    store: &PostgresStore,
    options: &PgConnectOptions,
    agents: u64,
    clients: u64,
    time: Duration,
) -> Result<()> {
    let (mut rows, mut rates, mut worst) = (0.0, 0.0, Duration::ZERO);
    for _ in 0..TURNS {
        rows += floor(options, clients, time).await? / f64::from(TURNS);
        let (rate, p99) = steps(store, agents, time).await?;
        rates += rate / f64::from(TURNS);
        worst = worst.max(p99);
    }
    println!(
        "postgres, {agents} agents: {rates:.0} steps/s, p99 at most {worst:.1?}; one-row inserts of {clients} \
         clients: {rows:.0}/s; ratio {:.2}",
        rates / rows
    );
    Ok(())
}

async fn run(url: String, time: Duration) -> Result<()> {
    let options = PgConnectOptions::from_str(&url)?.disable_statement_logging();
    let mut admin = options.connect().await.context("the test server: .ci/services start postgres")?;
    let fresh = format!(
        "DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; DROP TABLE IF EXISTS {SCHEMA}_floor; \
         CREATE TABLE {SCHEMA}_floor (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text)"
    );
    sqlx::raw_sql(AssertSqlSafe(fresh)).execute(&mut admin).await?;
    let store = PostgresStore::open(PostgresOptions::new(url).schema(SCHEMA)).await?;
    for (agents, clients) in [(1, 1), (FLOOR_CLIENTS, FLOOR_CLIENTS), (AGENTS, FLOOR_CLIENTS)] {
        compare(&store, &options, agents, clients, time).await?;
    }
    store.close().await?;
    let gone = format!("DROP SCHEMA {SCHEMA} CASCADE; DROP TABLE {SCHEMA}_floor");
    sqlx::raw_sql(AssertSqlSafe(gone)).execute(&mut admin).await?;
    Ok(admin.close().await?)
}

#[expect(clippy::print_stdout, reason = "what a bench is for")]
fn main() -> Result<()> {
    let measures = std::env::args().any(|argument| argument == "--bench");
    let Ok(url) = std::env::var("AGENTOS_TEST_POSTGRES") else {
        ensure!(!measures, "AGENTOS_TEST_POSTGRES names no server: .ci/services start postgres");
        println!("no server to run once on");
        return Ok(());
    };
    let time = Duration::from_millis(if measures { 700 } else { 20 });
    tokio::runtime::Runtime::new()?.block_on(run(url, time))
}
