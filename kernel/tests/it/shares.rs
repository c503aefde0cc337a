//! Who gets the slots of a model that more want than it has: shares by weight, one for a whole family, the warm first.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kernel::{Kernel, KernelBuilder, Until};
use kernel_llm::{Cpu, CpuError, DeltaSink, InferRequest, model_info};
use kernel_sched::Fair;
use kernel_types::{
    CacheModel, Call, ErrorKind, InferArgs, Inference, ModelInfo, NewPage, PageKind, Part, Pid, Priority,
    ProcessState, Spec, TokenUsage, Tokens, ToolMode, WaitArgs,
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::world::{World, receive, script};

/// One slot. An answer comes when the test says so, and each costs the same.
#[derive(Clone)]
struct Queue {
    served: Arc<Mutex<Vec<Pid>>>,
    ready: Arc<Semaphore>,
    cached: bool,
}

impl Queue {
    fn new(cached: bool) -> Self {
        Self { served: Arc::default(), ready: Arc::new(Semaphore::new(0)), cached }
    }

    /// How many of the first `count` calls were made by one of these.
    fn of_first(&self, count: usize, pids: &[Pid]) -> usize {
        let served = self.served.lock();
        assert!(served.len() >= count, "{} calls", served.len());
        served[..count].iter().filter(|pid| pids.contains(pid)).count()
    }
}

#[async_trait]
impl Cpu for Queue {
    fn models(&self) -> Vec<ModelInfo> {
        let cache = CacheModel { min_prefix: Tokens(1), ttl_s: 300, ..CacheModel::default() };
        vec![ModelInfo {
            cache: if self.cached { cache } else { CacheModel::default() },
            ..model_info("queue")
        }]
    }

    fn slots(&self) -> u32 {
        1
    }

    async fn infer(&self, request: InferRequest, _: &dyn DeltaSink) -> Result<Inference, CpuError> {
        self.served.lock().push(request.key.pid);
        self.ready.acquire().await.expect("open").forget();
        let usage = TokenUsage { input: Tokens(1_000), output: Tokens(1), ..TokenUsage::default() };
        let parts = vec![Part::Text("Yes.".into())];
        Ok(Inference { model: request.model, parts, finish: "stop".to_owned(), usage })
    }

    async fn health(&self) -> Result<(), CpuError> {
        Ok(())
    }
}

fn page(tokens: usize) -> Call {
    Call::PageAlloc { pages: vec![NewPage::text(PageKind::User, "so it goes ".repeat(tokens / 3))] }
}

fn infer() -> Call {
    Call::Infer(InferArgs { max_output: Tokens(1), tools: ToolMode::None, ..InferArgs::default() })
}

/// Reads a page and infers so many times.
fn busy(calls: usize, priority: u8) -> Spec {
    let mut steps = vec![vec![page(900), infer()]];
    steps.resize(calls, vec![infer()]);
    Spec { priority: Priority::new(priority).unwrap(), ..script(steps) }
}

async fn kernel(queue: &Queue, adjust: impl FnOnce(KernelBuilder) -> KernelBuilder) -> Kernel {
    adjust(Kernel::builder().cpu(queue.clone()).keep_warm(false).seed(7)).build().await.unwrap()
}

/// Answers one call after the other, each when all who could want the next slot are waiting for it.
async fn run(kernel: &Kernel, queue: &Queue, calls: usize) {
    let feed = async {
        for answered in 0..calls {
            let patience = std::time::Instant::now() + Duration::from_secs(30);
            while queue.served.lock().len() <= answered {
                assert!(std::time::Instant::now() < patience, "no call after {answered}");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            settled(kernel).await;
            queue.ready.add_permits(1);
        }
    };
    let (run, ()) = tokio::join!(kernel.run_until(Until::Idle), feed);
    run.unwrap();
}

/// Waits until no process is between two calls.
async fn settled(kernel: &Kernel) {
    loop {
        let busy = kernel
            .status()
            .await
            .unwrap()
            .into_iter()
            .any(|info| !matches!(info.state, ProcessState::Blocked(_) | ProcessState::Exited(_)));
        if !busy {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_process_that_splits_itself_gains_nothing() {
    let queue = Queue::new(false);
    let kernel = kernel(&queue, |builder| builder).await;
    let spawns: Vec<Call> = (0..4).map(|_| Call::Spawn(Box::new(busy(10, 50)))).collect();
    let waits = (0..4).map(|_| vec![Call::Wait(WaitArgs::default())]);
    let many = kernel.spawn(script([vec![spawns], waits.collect::<Vec<_>>()].concat())).await.unwrap();
    let one = kernel.spawn(busy(20, 50)).await.unwrap();
    run(&kernel, &queue, 60).await;
    let of_one = queue.of_first(30, &[one]);
    assert!((13..=17).contains(&of_one), "{of_one} of 30 beside four children of {many}");
}

#[tokio::test]
async fn who_is_more_urgent_has_a_larger_share_also_from_now_on() {
    let queue = Queue::new(false);
    let kernel = kernel(&queue, |builder| builder).await;
    let twice = kernel.spawn(busy(40, 40)).await.unwrap();
    let once = kernel.spawn(busy(40, 50)).await.unwrap();
    run(&kernel, &queue, 80).await;
    let share = queue.of_first(30, &[twice]);
    assert!((18..=22).contains(&share), "{share} of 30 at twice the weight of {once}");

    let queue = Queue::new(false);
    let kernel = self::kernel(&queue, |builder| builder).await;
    let changed = kernel.spawn(busy(40, 50)).await.unwrap();
    let _other = kernel.spawn(busy(40, 50)).await.unwrap();
    kernel.set_priority(changed, Priority::new(30).unwrap()).await.unwrap();
    run(&kernel, &queue, 80).await;
    let share = queue.of_first(30, &[changed]);
    assert!((22..=26).contains(&share), "{share} of 30 at four times the weight");
    assert_eq!(kernel.process(changed).await.unwrap().priority.value(), 30);
}

#[tokio::test]
async fn who_is_in_the_cache_goes_on_within_the_slack() {
    for (slack, runs) in [(20_000, 1..8), (0, 12..40)] {
        let queue = Queue::new(true);
        let kernel = kernel(&queue, |builder| builder.scheduler(move || Fair::new().with_slack(slack))).await;
        for _ in 0..2 {
            kernel.spawn(busy(20, 50)).await.unwrap();
        }
        run(&kernel, &queue, 40).await;
        let served = queue.served.lock();
        let changes = served.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(runs.contains(&changes), "slack {slack}: {changes} changes of process in {served:?}");
    }
}

#[tokio::test]
async fn a_process_makes_others_less_urgent_and_none_more_than_itself() {
    let level = |level| Priority::new(level).unwrap();
    let world = World::new().await;
    let target = world.spawn(vec![vec![receive()]]).await;
    let more = world.refused(Call::SetPriority { pid: target, priority: level(49) }).await;
    assert_eq!(more.kind, ErrorKind::Denied, "the caller has 50: {more}");
    let gone = world.refused(Call::SetPriority { pid: Pid::fresh(), priority: level(60) }).await;
    assert_eq!(gone.kind, ErrorKind::NotFound);
    assert_eq!(world.kernel.process(target).await.unwrap().priority, level(50));
    world.call(Call::SetPriority { pid: target, priority: level(60) }).await.unwrap();
    assert_eq!(world.kernel.process(target).await.unwrap().priority, level(60));
    world.end().await;
}
