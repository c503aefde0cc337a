//! Laws of limits over whole runs: sums over trees that live and die, rates as a provider sees them, schedules that come again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kernel::{Kernel, KernelBuilder, ManualClock, Quota, Until};
use kernel_llm::{Cpu, CpuError, CpuErrorKind, DeltaSink, InferRequest, model_info};
use kernel_storage::{Journal, MemoryStore};
use kernel_types::{
    Budget, Call, Inference, MicroUsd, Millis, ModelInfo, Part, Pid, Pricing, ProcessInfo, RateLimit,
    RateUnit, Signal, Spec, Timestamp, TokenUsage, Tokens, WaitArgs,
};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::paid::{page, steps, think};

/// Answers as a seed says: late, more tokens than expected, not at all; and knows what it did.
#[derive(Clone)]
struct Fickle {
    rng: Arc<Mutex<StdRng>>,
    /// Of each call that was begun, whose, and what the provider takes for it.
    served: Arc<Mutex<Vec<(Pid, u64)>>>,
    /// The highest count of a prompt.
    most: u64,
    fails: bool,
}

impl Fickle {
    fn new(seed: u64, most: u64, fails: bool) -> Self {
        let rng = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        Self { rng, served: Arc::default(), most, fails }
    }

    fn taken(&self) -> u64 {
        self.served.lock().iter().map(|(_, tokens)| tokens).sum()
    }
}

#[async_trait]
impl Cpu for Fickle {
    fn models(&self) -> Vec<ModelInfo> {
        let pricing = Some(Pricing { input: 1_000_000, output: 1_000_000, ..Pricing::default() });
        vec![ModelInfo { pricing, ..model_info("m") }]
    }

    fn slots(&self) -> u32 {
        4
    }

    async fn infer(&self, request: InferRequest, _: &dyn DeltaSink) -> Result<Inference, CpuError> {
        let (input, output, fate) = {
            let mut rng = self.rng.lock();
            let (input, output) = (rng.random_range(20..=self.most), rng.random_range(1..=10));
            (input, output, if self.fails { rng.random_range(0..10) } else { 9 })
        };
        // What was asked is paid for, whatever becomes of the answer.
        let at = {
            let mut served = self.served.lock();
            served.push((request.key.pid, input + output));
            served.len() - 1
        };
        match fate {
            0 => {
                self.served.lock()[at].1 = 0;
                return Err(CpuError::new(CpuErrorKind::Unreachable, "fickle", "no luck"));
            }
            1 => return Err(CpuError::new(CpuErrorKind::Timeout, "fickle", "no luck")),
            2 => std::future::pending::<()>().await,
            3 | 4 => tokio::time::sleep(Duration::from_millis(3)).await,
            _ => {}
        }
        let usage = TokenUsage { input: Tokens(input), output: Tokens(output), ..TokenUsage::default() };
        let parts = vec![Part::Text("Yes.".into())];
        Ok(Inference { model: request.model, parts, usage, finish: "stop".to_owned() })
    }

    async fn health(&self) -> Result<(), CpuError> {
        Ok(())
    }
}

/// A process with children that have children; all think.
fn tree(depth: u32, width: usize) -> Spec {
    let mut all = vec![vec![page()], vec![think()]];
    if depth > 0 {
        all.push((0..width).map(|_| Call::Spawn(Box::new(tree(depth - 1, width)))).collect());
    }
    all.extend(vec![vec![think()]; 4]);
    if depth > 0 {
        all.push(vec![Call::Wait(WaitArgs { timeout: Some(Millis(40)), ..WaitArgs::default() }); width]);
    }
    let step = all.into_iter().map(|calls| kernel::programs::ScriptStep { repeat: 1, calls }).collect();
    kernel::programs::Script { on_error: kernel::programs::OnError::Continue, step }.spec("tree").unwrap()
}

/// What all processes of a store spent.
async fn spent(store: &MemoryStore) -> (u64, u64, u64) {
    let rows = store.agents(None, false, 1024).await.unwrap();
    let infos = rows.iter().map(|row| kernel::process_info(row).unwrap());
    infos.fold((0, 0, 0), |(calls, tokens, cost), ProcessInfo { usage, .. }| {
        (calls + usage.calls, tokens + usage.tokens().0, cost + usage.cost.0)
    })
}

/// Whatever is killed, cut off and taken over: what a tree spent, as its rows and as the provider say, is within its root's budget.
#[tokio::test(flavor = "multi_thread")]
async fn a_tree_never_spends_more_than_its_root_has() {
    for seed in 0..12 {
        let mut dice = StdRng::seed_from_u64(seed);
        let (store, cpu) = (MemoryStore::new(), Fickle::new(seed, 1_600, true));
        let limit = [30_000, 60_000, 120_000][seed as usize % 3];
        let budget = if seed % 2 == 0 {
            Budget { cost: Some(MicroUsd(limit)), calls: Some(40), ..Budget::default() }
        } else {
            Budget { tokens: Some(Tokens(limit)), calls: Some(40), ..Budget::default() }
        };
        let limits =
            kernel::Limits { infer: Duration::from_millis(60), attempts: 3, ..kernel::Limits::default() };
        let build =
            || Kernel::builder().store(store.clone()).cpu(cpu.clone()).keep_warm(false).limits(limits);
        let mut kernel = build().build().await.unwrap();
        kernel.spawn(Spec { budget, ..tree(2, 2) }).await.unwrap();
        for round in 0..6 {
            let run = kernel.run_until(Until::Idle);
            drop(tokio::time::timeout(Duration::from_millis(dice.random_range(5..120)), run).await);
            check(&store, &cpu, limit, seed).await;
            if let Some(info) = kernel.status().await.unwrap().get(dice.random_range(1..6)) {
                let signal = if dice.random_range(0..3) == 0 { Signal::Kill } else { Signal::Stop };
                kernel.signal(info.pid, signal).await.unwrap();
                kernel.signal(info.pid, Signal::Cont).await.unwrap();
            }
            if round % 2 == 1 {
                drop(kernel);
                kernel = build().build().await.unwrap();
                kernel.recover().await.unwrap();
            }
        }
        let run = tokio::time::timeout(Duration::from_secs(60), kernel.run_until(Until::Idle)).await;
        run.expect("it ends").unwrap();
        check(&store, &cpu, limit, seed).await;
        assert!(cpu.taken() > 0, "seed {seed}");
    }
}

async fn check(store: &MemoryStore, cpu: &Fickle, limit: u64, seed: u64) {
    let (calls, tokens, cost) = spent(store).await;
    assert!(calls <= 40, "seed {seed}: {calls} calls");
    assert!(tokens.max(cost) <= limit, "seed {seed}: {tokens} tokens, {cost} of {limit}");
    assert!(cpu.taken() <= limit, "seed {seed}: the provider took {} of {limit}", cpu.taken());
}

/// A rate of tokens through the whole kernel: in no span of time more goes out than the burst, what the rate gives in it, and what the
/// calls in flight were estimated wrong by.
#[tokio::test]
async fn a_rate_is_overspent_by_the_errors_of_calls_in_flight_at_most() {
    const AGENTS: u64 = 6;
    let cpu = Fickle::new(3, 900, false);
    let rate = RateLimit::new(RateUnit::Tokens, 20_000, Millis(1_000)).unwrap().with_burst(2_000);
    let kernel = Kernel::builder().cpu(cpu.clone()).keep_warm(false);
    let kernel =
        kernel.tenant("press", Quota { rates: vec![rate], ..Quota::default() }).build().await.unwrap();
    for _ in 0..AGENTS {
        let think = std::iter::once(vec![page()]).chain(std::iter::repeat_n(vec![think()], 20));
        kernel.spawn(Spec { tenant: "press".to_owned(), ..steps(think.collect()) }).await.unwrap();
    }
    let start = std::time::Instant::now();
    let mut seen: Vec<(f64, u64)> = Vec::new();
    let watch = async {
        loop {
            let now = start.elapsed().as_secs_f64();
            seen.push((now, cpu.taken()));
            if cpu.served.lock().len() as u64 == AGENTS * 20 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let (run, ()) = tokio::join!(kernel.run_until(Until::Idle), watch);
    run.unwrap();
    // A call is one of the largest at most, and expected to be nothing at least.
    let errors = AGENTS * 910;
    for (at, (from, before)) in seen.iter().enumerate() {
        for (to, after) in &seen[at..] {
            let most = 2_000.0 + 20_000.0 * (to - from + 0.02) + errors as f64;
            let taken = (after - before) as f64;
            assert!(taken <= most, "{taken} tokens from {from:.3} s to {to:.3} s, {most:.0} at most");
        }
    }
    let (took, all) = (start.elapsed().as_secs_f64(), cpu.taken() as f64);
    assert!(took >= (all - 2_000.0 - errors as f64) / 20_000.0, "{all} tokens in {took:.2} s");
    assert!(took <= 2.0 + 1.5 * all / 20_000.0, "and the rate is used: {all} tokens in {took:.2} s");
}

/// The records of all processes of a run, without what is random by intent.
async fn journal(seed: u64, kernel_seed: u64) -> BTreeMap<Pid, Vec<(u64, String)>> {
    let (store, cpu) = (MemoryStore::new(), Fickle::new(seed, 900, false));
    let clock = ManualClock::new(Timestamp(1_700_000_000_000));
    let rate = RateLimit::new(RateUnit::Calls, 5, Millis(1_000)).unwrap().with_burst(1);
    let builder: KernelBuilder =
        Kernel::builder().store(store.clone()).cpu(cpu).clock(clock).seed(kernel_seed);
    let builder = builder.tenant("press", Quota { rates: vec![rate], ..Quota::default() });
    let kernel = builder.keep_warm(false).build().await.unwrap();
    for number in 0..30_u64 {
        let nap = Call::Sleep { ms: Millis(number * 7 % 40) };
        let all = vec![vec![page()], vec![think()], vec![nap], vec![think()], vec![think()]];
        let tenant = if number % 3 == 0 { "press" } else { "radio" };
        let priority = kernel_types::Priority::new((number % 5 * 20) as u8).unwrap();
        kernel.spawn(Spec { tenant: tenant.to_owned(), priority, ..steps(all) }).await.unwrap();
    }
    kernel.run_until(Until::Idle).await.unwrap();
    let mut all = BTreeMap::new();
    for row in store.agents(None, false, 1024).await.unwrap() {
        let entries = kernel::mediation::entries(&store, row.pid).await;
        let lines = entries.into_iter().map(|entry| (entry.record.at.0, format!("{:?}", entry.event)));
        all.insert(row.pid, lines.collect());
    }
    all
}

/// The same seed, the same parts and the same times: the same schedule, to the record.
#[tokio::test]
async fn one_seed_gives_one_schedule_through_the_whole_kernel() {
    let (first, again, other) = (journal(1, 7).await, journal(1, 7).await, journal(1, 8).await);
    assert_eq!(first.len(), 30);
    for ((pid, lines), (same, others)) in first.iter().zip(&again) {
        assert_eq!((pid, lines), (same, others));
    }
    assert_ne!(first, other, "another seed names its processes differently");
}
