//! Long-term memory on SQLite and on PostgreSQL, 384 numbers a vector, clustered as embeddings of texts are: how long a search takes
//! exactly and by the index, how much of the ten nearest the index finds, what one in a hundred costs by a filter, how
//! fast items are remembered, and how long loading and indexing a namespace takes.
//!
//! Prints percentiles, since a mean hides those who wait. `MEMORY_ITEMS=10000` takes that size alone, `MEMORY_STORE=sqlite`
//! or `postgres` that store.
//!
//! `.ci/services start postgres; eval "$(.ci/services env)"; cargo bench -p benches --bench storage_vectors`

#![expect(clippy::print_stdout, reason = "figures are what it is for")]

use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use tempfile::TempDir;

use kernel_storage::{
    Filter, MemoryItem, MemorySearch, Metadata, PostgresOptions, PostgresStore, Scalar, SearchMode,
    SqliteStore, Vector, Vectors,
};
use kernel_types::Pid;

const SIZES: [usize; 2] = [10_000, 100_000];
const DIMENSION: usize = 384;
const CLUSTERS: usize = 200;
const QUERIES: usize = 300;
const BATCH: usize = 500;
const K: usize = 10;

const SCHEMA: &str = "agentos_bench_vectors";

/// A store to be measured.
enum Memory {
    Sqlite(SqliteStore, TempDir),
    Postgres(PostgresStore),
}

impl Memory {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = SqliteStore::open(folder.path().join("store.db")).await.expect("a temporary folder");
        Self::Sqlite(store, folder)
    }

    async fn postgres() -> Self {
        let url = std::env::var("AGENTOS_TEST_POSTGRES").expect("`.ci/services env` says it");
        let options = PgConnectOptions::from_str(&url).expect("a URL");
        let mut conn = options.disable_statement_logging().connect().await.expect("a server that runs");
        clear(&mut conn).await;
        let settings = "SELECT current_setting('server_version') || ', shared_buffers ' || current_setting('shared_buffers')";
        let settings: String = sqlx::query_scalar(settings).fetch_one(&mut conn).await.expect("a setting");
        println!("PostgreSQL {settings}");
        let store =
            PostgresStore::open(PostgresOptions::new(url).schema(SCHEMA)).await.expect("a server that runs");
        Self::Postgres(store)
    }

    fn vectors(&self) -> &dyn Vectors {
        match self {
            Self::Sqlite(store, _) => store,
            Self::Postgres(store) => store,
        }
    }

    async fn index(&self) {
        let done = match self {
            Self::Sqlite(store, _) => store.index_memory("bench").await,
            Self::Postgres(store) => store.index_memory("bench").await,
        };
        done.expect("a healthy store");
    }

    async fn close(self) {
        match self {
            Self::Sqlite(store, _folder) => store.close().await.expect("a healthy disk"),
            Self::Postgres(store) => {
                store.close().await.expect("a healthy server");
                let url = std::env::var("AGENTOS_TEST_POSTGRES").expect("it was there before");
                let options = PgConnectOptions::from_str(&url).expect("a URL");
                clear(&mut options.connect().await.expect("a server that runs")).await;
            }
        }
    }
}

async fn clear(conn: &mut PgConnection) {
    let drop = format!("DROP SCHEMA IF EXISTS {SCHEMA} CASCADE");
    sqlx::raw_sql(AssertSqlSafe(drop)).execute(conn).await.expect("the right to do it");
}

/// A small generator: the same data in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// About normal, with a deviation of one.
    fn normal(&mut self) -> f32 {
        let sum: f32 = (0..12).map(|_| (self.next() >> 40) as f32 / (1_u32 << 24) as f32).sum();
        sum - 6.0
    }

    fn point(&mut self, centre: &[f32]) -> Vec<f32> {
        centre.iter().map(|value| value + 1.2 * self.normal()).collect()
    }
}

fn item(n: usize, values: Vec<f32>, random: &mut Random) -> MemoryItem {
    let words: Vec<_> = (0..40).map(|_| format!("word{}", random.below(20_000))).collect();
    MemoryItem {
        namespace: "bench".to_owned(),
        id: format!("{n:08}"),
        owner: Pid::INIT,
        text: words.join(" "),
        metadata: Metadata::from([
            ("hundredth".to_owned(), Scalar::Number((n % 100) as f64)),
            ("kind".to_owned(), Scalar::from("note")),
        ]),
        vector: Some(Vector { model: "bench".to_owned(), values }),
    }
}

fn search(values: &[f32], mode: SearchMode) -> MemorySearch {
    MemorySearch {
        namespace: "bench".to_owned(),
        filter: None,
        text: None,
        vector: Some(Vector { model: "bench".to_owned(), values: values.to_vec() }),
        k: K,
        mode,
    }
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)];
    format!("p50 {:>9.3?}  p99 {:>9.3?}  max {:>9.3?}", at(50), at(99), at(100))
}

/// Runs searches one after the other; gives their times and the ids that each found.
async fn run(store: &dyn Vectors, searches: Vec<MemorySearch>) -> (Vec<Duration>, Vec<Vec<String>>) {
    let (mut times, mut found) = (Vec::new(), Vec::new());
    for search in searches {
        let start = Instant::now();
        let hits = store.search(search).await.expect("a healthy store");
        times.push(start.elapsed());
        found.push(hits.into_iter().map(|hit| hit.id).collect());
    }
    (times, found)
}

fn recall(found: &[Vec<String>], truth: &[Vec<String>]) -> f64 {
    let hits =
        |(found, truth): (&Vec<String>, &Vec<String>)| found.iter().filter(|id| truth.contains(id)).count();
    let hits: usize = found.iter().zip(truth).map(hits).sum();
    hits as f64 / truth.iter().map(Vec::len).sum::<usize>() as f64
}

async fn measure(size: usize, name: &str) {
    println!("== {size} x {DIMENSION}, {name}");
    let memory = if name == "sqlite" { Memory::sqlite().await } else { Memory::postgres().await };
    let store = memory.vectors();
    let mut random = Random(7);
    let centres: Vec<Vec<f32>> =
        (0..CLUSTERS).map(|_| (0..DIMENSION).map(|_| random.normal()).collect()).collect();

    let mut spent = Duration::ZERO;
    for batch in 0..size / BATCH {
        let items = (batch * BATCH..(batch + 1) * BATCH).map(|n| {
            let centre = random.below(CLUSTERS);
            let values = random.point(&centres[centre]);
            item(n, values, &mut random)
        });
        let items = items.collect();
        let start = Instant::now();
        store.remember(items).await.expect("a healthy store");
        spent += start.elapsed();
    }
    println!("remember, {BATCH} a call    {:>8.0} items/s", size as f64 / spent.as_secs_f64());

    let queries: Vec<Vec<f32>> = (0..QUERIES)
        .map(|_| {
            let centre = random.below(CLUSTERS);
            random.point(&centres[centre])
        })
        .collect();
    let all = |mode| queries.iter().map(|values| search(values, mode)).collect::<Vec<_>>();

    let start = Instant::now();
    store.search(search(&queries[0], SearchMode::Exact)).await.expect("a healthy store");
    println!("load, at first search    {:>9.3?}", start.elapsed());
    let (times, truth) = run(store, all(SearchMode::Exact)).await;
    println!("exact                    {}", percentiles(times));
    let while_growing: Vec<_> = all(SearchMode::Auto).into_iter().take(50).collect();
    let (times, _) = run(store, while_growing).await;
    println!("auto, index being built  {}", percentiles(times));
    let start = Instant::now();
    memory.index().await;
    println!("index                    {:>9.3?}", start.elapsed());
    for (name, mode) in [("approximate", SearchMode::Approximate), ("auto", SearchMode::Auto)] {
        let (times, found) = run(store, all(mode)).await;
        println!("{name:<24} {}  recall@{K} {:.4}", percentiles(times), recall(&found, &truth));
    }
    let narrow = |mut search: MemorySearch| {
        search.filter = Some(Filter::Equals { field: "hundredth".to_owned(), value: Scalar::Number(42.0) });
        search
    };
    let (times, found) = run(store, all(SearchMode::Auto).into_iter().map(narrow).collect()).await;
    let least = found.iter().map(Vec::len).min().unwrap_or_default();
    println!("auto, 1 % by a filter    {}  at least {least} of {K} found", percentiles(times));
    let half = |mut search: MemorySearch| {
        let field = "hundredth".to_owned();
        search.filter = Some(Filter::Range { field, min: None, max: Some(Scalar::Number(49.0)) });
        search
    };
    let (_, truth) = run(store, all(SearchMode::Exact).into_iter().map(half).collect()).await;
    let (times, found) = run(store, all(SearchMode::Auto).into_iter().map(half).collect()).await;
    println!("auto, 50 % by a filter   {}  recall@{K} {:.4}", percentiles(times), recall(&found, &truth));
    let words = |mut search: MemorySearch| {
        search.text = Some("word1 word2 word3 word4 word5".to_owned());
        search
    };
    let (times, _) = run(store, all(SearchMode::Auto).into_iter().map(words).collect()).await;
    println!("auto, with five words    {}", percentiles(times));

    let mut times = Vec::new();
    for n in 0..200 {
        let centre = random.below(CLUSTERS);
        let values = random.point(&centres[centre]);
        let item = item(size + n, values, &mut random);
        let start = Instant::now();
        store.remember(vec![item]).await.expect("a healthy store");
        times.push(start.elapsed());
    }
    println!("remember, one a call     {}", percentiles(times));
    memory.close().await;
}

fn main() {
    // `cargo test` tries benches out; `cargo bench` says so.
    let trial = !std::env::args().any(|argument| argument == "--bench");
    let only: Option<usize> = std::env::var("MEMORY_ITEMS").ok().and_then(|size| size.parse().ok());
    let sizes = only.or(trial.then_some(2 * BATCH)).map_or(SIZES.to_vec(), |size| vec![size]);
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let store = std::env::var("MEMORY_STORE").ok();
    let stores =
        ["sqlite", "postgres"].into_iter().filter(|name| store.as_deref().is_none_or(|only| only == *name));
    // Where it is only tried out there may be no server.
    let server = std::env::var_os("AGENTOS_TEST_POSTGRES").is_some();
    let stores = stores.filter(|name| !trial || server || *name != "postgres");
    for name in stores {
        for size in &sizes {
            runtime.block_on(measure(*size, name));
        }
    }
}
