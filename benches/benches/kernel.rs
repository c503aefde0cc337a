//! What a step costs from program to durable record: committed steps with a device call, local calls, inferences, and the
//! same on SQLite beside the one-row commit that bounds it.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Executor};
use tokio::runtime::Runtime;

use kernel::{Input, Kernel, KernelBuilder, Program, ProgramError, ProgramFactory, Saved, Step, Until};
use kernel_llm::{Canned, FnCpu, model_info};
use kernel_storage::SqliteStore;
use kernel_tools::{CallContext, Driver, ToolError, ToolOutput};
use kernel_types::{
    Call, ExitStatus, InferArgs, JsonText, Millis, NewPage, PageKind, Recovery, Spec, ToolCallArgs,
    ToolCallRequest, ToolSpec,
};

const PROCESSES: u64 = 1_000;

/// Steps of each process in one measurement.
const ROUNDS: u64 = 10;

/// Makes the same calls in every step, for ever.
struct Looper {
    first: Vec<Call>,
    calls: Vec<Call>,
}

impl Program for Looper {
    fn step(&mut self, input: Input) -> Step {
        match input {
            Input::Start(_) if !self.first.is_empty() => Step::Calls(self.first.clone()),
            Input::Signal(signal) => Step::Exit(ExitStatus::Killed(signal)),
            _ => Step::Calls(self.calls.clone()),
        }
    }

    fn save(&self) -> Result<Saved, ProgramError> {
        Saved::of(1, &())
    }
}

/// Makes loopers: calls of the first step, calls of every further one.
#[derive(Clone)]
struct Loopers {
    first: Vec<Call>,
    calls: Vec<Call>,
}

impl ProgramFactory for Loopers {
    fn start(&self, _: &Spec) -> Result<Box<dyn Program>, ProgramError> {
        Ok(Box::new(Looper { first: self.first.clone(), calls: self.calls.clone() }))
    }

    fn load(&self, _: &Saved) -> Result<Box<dyn Program>, ProgramError> {
        self.start(&Spec::default())
    }
}

/// A device that does nothing, at once.
struct Noop;

#[async_trait]
impl Driver for Noop {
    fn tools(&self) -> Vec<ToolSpec> {
        vec![ToolSpec {
            name: "noop".to_owned(),
            description: "does nothing".to_owned(),
            input: JsonText::parse(r#"{"type":"object"}"#).expect("valid"),
            recovery: Recovery::Reread,
            timeout: Millis(1000),
            reads: Vec::new(),
            writes: Vec::new(),
        }]
    }

    async fn call(&self, _: &ToolCallRequest, _: &CallContext) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::ok(JsonText::empty_object(), ""))
    }
}

fn noop_call() -> Call {
    Call::ToolCall(ToolCallArgs { tool: "noop".to_owned(), args: JsonText::empty_object(), timeout: None })
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// A kernel of `processes` loopers, each past its first step.
async fn warm(builder: KernelBuilder, program: Loopers, processes: u64) -> Kernel {
    let kernel = builder.program("looper", program).seed(1).build().await.expect("the parts fit");
    for _ in 0..processes {
        let spec = Spec { program: "looper".to_owned(), ..Spec::default() };
        kernel.spawn(spec).await.expect("spawned");
    }
    kernel.run_until(Until::Steps(processes)).await.expect("the first steps");
    kernel
}

/// How long `steps` steps take.
async fn time(kernel: &Kernel, steps: u64) -> Duration {
    let start = Instant::now();
    let made = kernel.run_until(Until::Steps(steps)).await.expect("the store works");
    assert_eq!(made, steps, "every step was made");
    start.elapsed()
}

/// Measures on a kernel of its own each time: a store in memory keeps every record.
fn measure(runtime: &Runtime, iterations: u64, steps: u64, make: impl AsyncFn() -> Kernel) -> Duration {
    runtime.block_on(async {
        let mut total = Duration::ZERO;
        for _ in 0..iterations {
            let kernel = make().await;
            total += time(&kernel, steps).await;
        }
        total
    })
}

fn steps_in_memory(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("kernel/memory");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    let program = Loopers { first: Vec::new(), calls: vec![noop_call()] };
    group.throughput(Throughput::Elements(PROCESSES * ROUNDS));
    group.bench_function("committed steps, one device call each, 1000 processes", |b| {
        b.iter_custom(|iterations| {
            measure(&runtime, iterations, PROCESSES * ROUNDS, async || {
                warm(Kernel::builder().driver(Noop), program.clone(), PROCESSES).await
            })
        });
    });
    let program = Loopers { first: Vec::new(), calls: vec![Call::Now; 64] };
    group.throughput(Throughput::Elements(64 * 200));
    group.bench_function("local calls, 64 a step, one process", |b| {
        b.iter_custom(|iterations| {
            measure(&runtime, iterations, 200, async || warm(Kernel::builder(), program.clone(), 1).await)
        });
    });
    group.finish();
}

fn inference(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("kernel/infer");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    let page = NewPage::text(PageKind::User, "What is the answer?").pinned();
    let program = Loopers {
        first: vec![Call::PageAlloc { pages: vec![page] }],
        calls: vec![Call::Infer(InferArgs::default())],
    };
    const INFERENCES: u64 = 500;
    group.throughput(Throughput::Elements(INFERENCES));
    group.bench_function("one agent, a model that answers at once", |b| {
        b.iter_custom(|iterations| {
            measure(&runtime, iterations, INFERENCES, async || {
                let cpu = FnCpu::new(model_info("instant"), |_| Ok(Canned::text("42")));
                warm(Kernel::builder().cpu(cpu), program.clone(), 1).await
            })
        });
    });
    group.finish();
}

fn steps_on_sqlite(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("kernel/sqlite");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    group.throughput(Throughput::Elements(1));
    group.bench_function("floor: one row a commit", |b| {
        b.iter_custom(|iterations| runtime.block_on(one_row_commits(iterations)));
    });
    let program = Loopers { first: Vec::new(), calls: vec![noop_call()] };
    for (name, processes, steps) in
        [("steps, one process", 1, 50), ("steps, 1000 processes", PROCESSES, PROCESSES)]
    {
        group.throughput(Throughput::Elements(steps));
        group.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                runtime.block_on(async {
                    let folder = tempfile::tempdir().expect("a folder");
                    let store = SqliteStore::open(folder.path().join("kernel.db")).await.expect("opens");
                    let builder = Kernel::builder().store(store).driver(Noop);
                    let kernel = warm(builder, program.clone(), processes).await;
                    let mut total = Duration::ZERO;
                    for _ in 0..iterations {
                        total += time(&kernel, steps).await;
                    }
                    kernel.shutdown().await.expect("all is durable");
                    total
                })
            });
        });
    }
    group.finish();
}

/// The least that a durable step can cost here: the same settings, one small row, one commit.
async fn one_row_commits(rows: u64) -> Duration {
    let folder = tempfile::tempdir().expect("a folder");
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join("floor.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = options.connect().await.expect("opens");
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)").await.expect("a table");
    let start = Instant::now();
    for _ in 0..rows {
        connection.execute("INSERT INTO t (body) VALUES ('row')").await.expect("a row");
    }
    start.elapsed()
}

criterion_group!(benches, steps_in_memory, inference, steps_on_sqlite);
criterion_main!(benches);
