//! Limits above processes: tenants, the system, rates of a subtree, wall time, children, tool calls, countable things.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use kernel::programs::{Script, ScriptStep};
use kernel::{Kernel, KernelBuilder, Quota, Until};
use kernel_llm::{Canned, Cpu, CpuError, DeltaSink, FnCpu, InferRequest, model_info};
use kernel_storage::MemoryStore;
use kernel_tools::{Behaviour, ScriptedDriver, ToolOutput};
use kernel_types::{
    Budget, Call, Event, ExitStatus, InferArgs, Inference, JsonText, LimitName, MicroUsd, Millis, ModelInfo,
    NewPage, PageKind, Part, Pid, Pricing, ProcessState, RateLimit, RateUnit, Recovery, Spec, SuspendReason,
    TokenUsage, Tokens, WaitArgs, WaitCause,
};

use crate::world::{self, World};

/// What a call of the model uses, at a micro-dollar a token.
const USED: u64 = 25;

fn kernel() -> KernelBuilder {
    Kernel::builder().cpu(Priced).keep_warm(false)
}

/// Answers at once and says what it used.
struct Priced;

#[async_trait]
impl Cpu for Priced {
    fn models(&self) -> Vec<ModelInfo> {
        let pricing = Some(Pricing { input: 1_000_000, output: 1_000_000, ..Pricing::default() });
        vec![ModelInfo { pricing, ..model_info("m") }]
    }

    fn slots(&self) -> u32 {
        4
    }

    async fn infer(&self, request: InferRequest, _: &dyn DeltaSink) -> Result<Inference, CpuError> {
        let usage = TokenUsage { input: Tokens(20), output: Tokens(5), ..TokenUsage::default() };
        let part = Part::Text("Yes.".into());
        Ok(Inference { model: request.model, parts: vec![part], usage, finish: "stop".to_owned() })
    }

    async fn health(&self) -> Result<(), CpuError> {
        Ok(())
    }
}

fn think() -> Call {
    Call::Infer(InferArgs { max_output: Tokens(10), ..InferArgs::default() })
}

fn steps(steps: &[(u32, Vec<Call>)]) -> Spec {
    let step = steps.iter().map(|(repeat, calls)| ScriptStep { repeat: *repeat, calls: calls.clone() });
    Script { step: step.collect(), ..Script::default() }.spec("script").unwrap()
}

/// Thinks so often.
fn thinker(calls: u32) -> Spec {
    let page = NewPage::text(PageKind::User, "Is it so?");
    steps(&[(1, vec![Call::PageAlloc { pages: vec![page] }]), (calls, vec![think()])])
}

fn of(tenant: &str, spec: Spec) -> Spec {
    Spec { tenant: tenant.to_owned(), ..spec }
}

fn cost(limit: u64) -> Quota {
    Quota { budget: Budget { cost: Some(MicroUsd(limit)), ..Budget::default() }, rates: Vec::new() }
}

async fn state(kernel: &Kernel, pid: Pid) -> ProcessState {
    kernel.process(pid).await.unwrap().state
}

async fn ended_well(kernel: &Kernel, pid: Pid) {
    let state = state(kernel, pid).await;
    assert!(matches!(state, ProcessState::Exited(ExitStatus::Ok(_))), "{state:?}");
}

fn done() -> ToolOutput {
    ToolOutput::ok(JsonText::empty_object(), "done")
}

fn suspended(limit: LimitName) -> ProcessState {
    ProcessState::Suspended(SuspendReason::Limit(limit))
}

#[tokio::test]
async fn a_tenant_never_spends_more_than_it_has_and_goes_on_with_a_grant() {
    let kernel = kernel().tenant("press", cost(1_400)).build().await.unwrap();
    let mut pids = Vec::new();
    for _ in 0..4 {
        pids.push(kernel.spawn(of("press", thinker(10))).await.unwrap());
    }
    let other = kernel.spawn(of("radio", thinker(10))).await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    let spent = kernel.spent(Some("press")).await.unwrap().unwrap().cost.0;
    assert!(
        (200..=1_400).contains(&spent),
        "no more than there is, and all but what one call may need: {spent}"
    );
    for pid in &pids {
        assert_eq!(state(&kernel, *pid).await, suspended(LimitName::TenantCost));
    }
    ended_well(&kernel, other).await;
    assert_eq!(kernel.spent(Some("radio")).await.unwrap(), None, "it has no limits of its own");

    let more = Budget { cost: Some(MicroUsd(10_000)), ..Budget::default() };
    assert!(kernel.grant_above(Some("radio"), more).await.is_err());
    kernel.grant_above(Some("press"), more).await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    for pid in pids {
        ended_well(&kernel, pid).await;
    }
    assert_eq!(kernel.spent(Some("press")).await.unwrap().unwrap().cost, MicroUsd(40 * USED));
    assert_eq!(
        kernel.spent(None).await.unwrap().unwrap().cost,
        MicroUsd(50 * USED),
        "the system is charged too"
    );
}

#[tokio::test]
async fn what_the_store_knows_was_spent_counts() {
    let store = MemoryStore::new();
    let first = kernel().store(store.clone()).build().await.unwrap();
    first.spawn(thinker(10)).await.unwrap();
    first.run_until(Until::Idle).await.unwrap();
    first.shutdown().await.unwrap();
    let second = kernel().store(store).quota(cost(10 * USED + 30)).build().await.unwrap();
    assert_eq!(second.spent(None).await.unwrap().unwrap().cost, MicroUsd(10 * USED));
    let pid = second.spawn(thinker(10)).await.unwrap();
    second.run_until(Until::Idle).await.unwrap();
    assert_eq!(state(&second, pid).await, suspended(LimitName::SystemCost));
    assert!(second.spent(None).await.unwrap().unwrap().cost <= MicroUsd(10 * USED + 30));
}

#[tokio::test]
async fn a_model_without_a_price_is_refused_where_money_is_limited_above() {
    let cpu = FnCpu::new(ModelInfo { pricing: None, ..model_info("m") }, |_| Ok(Canned::text("Yes.")));
    let kernel = Kernel::builder().cpu(cpu).tenant("press", cost(1_000_000)).build().await.unwrap();
    let pid = kernel.spawn(of("press", thinker(1))).await.unwrap();
    let free = kernel.spawn(thinker(1)).await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    let failed = state(&kernel, pid).await;
    assert!(
        matches!(&failed, ProcessState::Exited(ExitStatus::Failed(why)) if why.contains("price of m")),
        "{failed:?}"
    );
    ended_well(&kernel, free).await;
}

/// How long it took, and what the journal says calls waited for a rate.
async fn timed(kernel: &Kernel, pids: &[Pid]) -> (Duration, Duration) {
    let start = Instant::now();
    kernel.run_until(Until::Idle).await.unwrap();
    let took = start.elapsed();
    let mut waited = Millis::ZERO;
    let store = kernel.store();
    for pid in pids {
        ended_well(kernel, *pid).await;
        for record in store.records(*pid, 1, 1024).await.unwrap() {
            if let Some(Event::Outcome { causes, .. }) =
                kernel::event_of(&*store, Some(&record)).await.unwrap()
            {
                let rates = causes.iter().filter(|waited| waited.cause == WaitCause::Rate);
                waited = waited.saturating_add(rates.map(|waited| waited.ms).sum());
            }
        }
    }
    (took, waited.into())
}

#[tokio::test]
async fn a_process_and_those_below_it_share_a_rate_and_others_do_not_wait() {
    let kernel = kernel().build().await.unwrap();
    let rate = RateLimit::new(RateUnit::Calls, 20, Millis(1_000)).unwrap().with_burst(2);
    let child = Spec { name: "child".to_owned(), ..thinker(5) };
    let spawn = Call::Spawn(Box::new(child));
    let page = NewPage::text(PageKind::User, "Is it so?");
    let parent = steps(&[
        (1, vec![Call::PageAlloc { pages: vec![page] }, spawn.clone(), spawn]),
        (5, vec![think()]),
        (2, vec![Call::Wait(WaitArgs::default())]),
    ]);
    let parent = kernel.spawn(Spec { rates: vec![rate], ..parent }).await.unwrap();
    let free = kernel.spawn(thinker(50)).await.unwrap();
    let (took, waited) = timed(&kernel, &[parent]).await;
    // 15 calls at 20 a second, 2 of them at once.
    assert!(took >= Duration::from_millis(640), "{took:?}");
    assert!(took < Duration::from_millis(5_000), "{took:?}");
    assert!(waited >= Duration::from_millis(100), "the parent's share of the waiting: {waited:?}");
    ended_well(&kernel, free).await;
    let info = kernel.process(free).await.unwrap();
    assert!(info.waited < Millis(300), "nobody holds a slot that waits for a rate: {:?}", info.waited);
}

#[tokio::test]
async fn the_system_and_tenants_keep_their_rates() {
    let per_second = |amount| RateLimit::new(RateUnit::Calls, amount, Millis(1_000)).unwrap().with_burst(1);
    let rated = |amount| Quota { rates: vec![per_second(amount)], ..Quota::default() };
    let kernel = kernel().quota(rated(40)).tenant("press", rated(10)).build().await.unwrap();
    let mut pids = Vec::new();
    for tenant in ["press", "press", "radio", "radio"] {
        pids.push(kernel.spawn(of(tenant, thinker(6))).await.unwrap());
    }
    let (took, waited) = timed(&kernel, &pids).await;
    // The tenant's 12 calls at 10 a second.
    assert!(took >= Duration::from_millis(1_090), "{took:?}");
    assert!(took < Duration::from_millis(6_000), "{took:?}");
    assert!(waited >= Duration::from_millis(1_000), "{waited:?}");
}

/// What an answer may be at most it hardly ever is: with that held, the tenth call would wait for a minute.
#[tokio::test]
async fn a_rate_holds_what_a_call_is_expected_to_use() {
    let kernel = kernel().build().await.unwrap();
    let rate = RateLimit::new(RateUnit::Tokens, 4_200, Millis(3_600_000)).unwrap().with_burst(4_200);
    let long = Call::Infer(InferArgs { max_output: Tokens(4_000), ..InferArgs::default() });
    let page = NewPage::text(PageKind::User, "Is it so?");
    let thinker = steps(&[(1, vec![Call::PageAlloc { pages: vec![page] }]), (20, vec![long])]);
    let pid = kernel.spawn(Spec { rates: vec![rate], ..thinker }).await.unwrap();
    let run = tokio::time::timeout(Duration::from_secs(20), timed(&kernel, &[pid])).await;
    let (_, waited) = run.expect("nothing waits for the rate");
    assert!(waited < Duration::from_millis(500), "{waited:?}");
}

#[tokio::test]
async fn one_that_waits_for_a_rate_can_be_killed_and_holds_nobody_up() {
    let rate = RateLimit::new(RateUnit::Calls, 2, Millis(1_000)).unwrap().with_burst(1);
    let kernel =
        kernel().tenant("press", Quota { rates: vec![rate], ..Quota::default() }).build().await.unwrap();
    let mut pids = Vec::new();
    for _ in 0..5 {
        pids.push(kernel.spawn(of("press", thinker(1))).await.unwrap());
    }
    let killer = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        for pid in &pids {
            if matches!(state(&kernel, *pid).await, ProcessState::Blocked(_)) {
                kernel.signal(*pid, kernel_types::Signal::Kill).await.unwrap();
            }
        }
        kernel.spawn(of("press", thinker(1))).await.unwrap()
    };
    let (run, last) = tokio::join!(kernel.run_until(Until::Idle), killer);
    run.unwrap();
    // The run may have been over before the last one was there.
    kernel.run_until(Until::Idle).await.unwrap();
    ended_well(&kernel, last).await;
    let ends = kernel.status().await.unwrap();
    assert!(ends.iter().all(|info| matches!(info.state, ProcessState::Exited(_))), "{ends:?}");
    let spent = kernel.spent(Some("press")).await.unwrap().unwrap();
    assert_eq!(spent.tokens, Tokens(2 * USED), "one before, one after");
}

#[tokio::test]
async fn wall_time_suspends_and_cancels_what_is_in_flight() {
    let world = World::new().await;
    let budget = Budget { wall_time: Some(Millis(1_500)), ..Budget::default() };
    let pid =
        world.limited(vec![vec![world::page("Is it so?")], vec![world::infer(world::STREAM)]], budget).await;
    let start = Instant::now();
    world.run().await;
    assert!(start.elapsed() >= Duration::from_millis(1_400));
    let info = world.kernel.process(pid).await.unwrap();
    assert_eq!(info.state, suspended(LimitName::WallTime));
    assert!(info.usage.wall_time >= Millis(1_500), "{:?}", info.usage);
    assert_eq!(info.usage.calls, 1, "the call was cancelled and is charged");
    assert!(info.usage.tokens() > Tokens(10), "for what it streamed: {:?}", info.usage);
    // While it is suspended its time does not run.
    let before = info.usage.wall_time;
    tokio::time::sleep(Duration::from_millis(60)).await;
    world.kernel.grant(pid, Budget { wall_time: Some(Millis(100)), ..Budget::default() }).await.unwrap();
    world.run().await;
    let info = world.kernel.process(pid).await.unwrap();
    assert!(info.usage.wall_time.0 < before.0 + 300, "{:?}", info.usage);
}

#[tokio::test]
async fn who_is_out_of_time_can_still_be_asked_to_end() {
    let world = World::new().await;
    let budget = Budget { wall_time: Some(Millis(100)), ..Budget::default() };
    let pid = world.limited(vec![vec![world::receive()]], budget).await;
    let meanwhile = async {
        while world.state(pid).await != suspended(LimitName::WallTime) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        world.kernel.signal(pid, kernel_types::Signal::Term).await.unwrap();
    };
    world.run_and(meanwhile).await;
    world.run().await;
    let state = world.state(pid).await;
    assert!(matches!(state, ProcessState::Exited(ExitStatus::Killed(_))), "{state:?}");
}

#[tokio::test]
async fn a_child_gets_no_time_that_its_parent_has_used() {
    let kernel = kernel().build().await.unwrap();
    let time = |ms| Budget { wall_time: Some(Millis(ms)), ..Budget::default() };
    let child = |ms| Spec { budget: time(ms), ..steps(&[(1, vec![Call::Now])]) };
    for (asked, expected) in [(1_800, Some(suspended(LimitName::WallTime))), (100, None)] {
        let spawn = Call::Spawn(Box::new(child(asked)));
        let parent = steps(&[(1, vec![Call::Sleep { ms: Millis(400) }]), (1, vec![spawn])]);
        let pid = kernel.spawn(Spec { budget: time(2_000), ..parent }).await.unwrap();
        kernel.run_until(Until::Idle).await.unwrap();
        match expected {
            Some(expected) => assert_eq!(state(&kernel, pid).await, expected),
            None => ended_well(&kernel, pid).await,
        }
    }
}

#[tokio::test]
async fn tool_calls_and_children_have_limits_of_their_own() {
    let kernel = kernel()
        .driver(ScriptedDriver::new().with("work", Recovery::Reread, Behaviour::Answer(done())))
        .build()
        .await
        .unwrap();
    let budget = Budget { tool_calls: Some(2), ..Budget::default() };
    let pid = kernel.spawn(Spec { budget, ..steps(&[(3, vec![world::tool("work")])]) }).await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    assert_eq!(state(&kernel, pid).await, suspended(LimitName::ToolCalls));
    kernel.grant(pid, Budget { tool_calls: Some(5), ..Budget::default() }).await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    ended_well(&kernel, pid).await;

    let child = || Call::Spawn(Box::new(steps(&[(1, vec![Call::Sleep { ms: Millis(50) }])])));
    let wait = || Call::Wait(WaitArgs::default());
    let limited = |spec| Spec { budget: Budget { children: Some(2), ..Budget::default() }, ..spec };
    let within = limited(steps(&[
        (1, vec![child(), child()]),
        (2, vec![wait()]),
        (1, vec![child()]),
        (1, vec![wait()]),
    ]));
    let beyond = limited(steps(&[(1, vec![child(), child(), child()])]));
    let (within, beyond) = (kernel.spawn(within).await.unwrap(), kernel.spawn(beyond).await.unwrap());
    kernel.run_until(Until::Idle).await.unwrap();
    ended_well(&kernel, within).await;
    let failed = state(&kernel, beyond).await;
    assert!(
        matches!(&failed, ProcessState::Exited(ExitStatus::Failed(why)) if why.contains("children")),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_tool_runs_as_often_at_a_time_as_it_has_slots() {
    let slow = ScriptedDriver::new().with("slow", Recovery::Reread, Behaviour::Slow(Millis(100), done()));
    let kernel = kernel().driver(slow).tool_slots("slow", 2).build().await.unwrap();
    let mut pids = Vec::new();
    for _ in 0..6 {
        pids.push(kernel.spawn(steps(&[(1, vec![world::tool("slow")])])).await.unwrap());
    }
    let start = Instant::now();
    kernel.run_until(Until::Idle).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(290), "three rounds of two: {:?}", start.elapsed());
    for pid in pids {
        ended_well(&kernel, pid).await;
    }
}

#[tokio::test]
async fn what_needs_more_than_there_is_is_said_when_the_kernel_is_built() {
    let error = kernel().resource("gpu", 8).model_needs("m", "gpu", 9).build().await.err().unwrap();
    assert_eq!(error.to_string(), "model \"m\" needs 9 of \"gpu\", there is 8");
    let error = kernel().tool_needs("work", "licence", 1).build().await.err().unwrap();
    assert_eq!(error.to_string(), "tool \"work\" needs 1 of \"licence\", there is 0");
    let twice = kernel().resource("gpu", 8).model_needs("m", "gpu", 5).model_needs("m", "gpu", 4);
    let error = twice.build().await.err().unwrap();
    assert_eq!(error.to_string(), "model \"m\" needs 9 of \"gpu\", there is 8");
    let kernel = kernel().resource("gpu", 8).model_needs("m", "gpu", 8).build().await.unwrap();
    for _ in 0..3 {
        kernel.spawn(thinker(2)).await.unwrap();
    }
    kernel.run_until(Until::Idle).await.unwrap();
    for info in kernel.status().await.unwrap() {
        ended_well(&kernel, info.pid).await;
    }
}

#[tokio::test]
async fn a_child_works_for_its_parents_tenant() {
    let kernel = kernel().tenant("press", cost(5_000)).build().await.unwrap();
    let child = |tenant| Call::Spawn(Box::new(of(tenant, thinker(2))));
    let own = kernel
        .spawn(of("press", steps(&[(1, vec![child("")]), (1, vec![Call::Wait(WaitArgs::default())])])))
        .await
        .unwrap();
    let other = kernel.spawn(of("press", steps(&[(1, vec![child("radio")])]))).await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    ended_well(&kernel, own).await;
    assert_eq!(kernel.spent(Some("press")).await.unwrap().unwrap().cost, MicroUsd(2 * USED));
    let failed = state(&kernel, other).await;
    assert!(
        matches!(&failed, ProcessState::Exited(ExitStatus::Failed(why)) if why.contains("tenant")),
        "{failed:?}"
    );
}

/// A rate of nothing is a mistake and not taken for no rate.
#[tokio::test]
async fn a_rate_that_lets_nothing_through_is_refused() {
    let kernel = kernel().build().await.unwrap();
    let sound = RateLimit { unit: RateUnit::Calls, amount: 10, per: Millis(1_000), burst: 10 };
    for rate in [
        RateLimit { amount: 0, ..sound },
        RateLimit { per: Millis(0), ..sound },
        RateLimit { burst: 0, ..sound },
    ] {
        let error = kernel.spawn(Spec { rates: vec![rate], ..thinker(1) }).await.unwrap_err();
        assert!(error.to_string().contains("lets nothing through"), "{error}");
    }
    let pid = kernel.spawn(Spec { rates: vec![sound], ..thinker(1) }).await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    ended_well(&kernel, pid).await;
}

/// Whoever sets the wall's clock takes no time from anybody.
#[tokio::test]
async fn wall_time_is_not_what_the_clock_on_the_wall_says() {
    for day in [1_700_086_400_000, 1_699_913_600_000] {
        let clock = kernel::ManualClock::new(kernel_types::Timestamp(1_700_000_000_000));
        let kernel = kernel().clock(clock.clone()).build().await.unwrap();
        let budget = Budget { wall_time: Some(Millis(10_000)), ..Budget::default() };
        let spec = steps(&[
            (2, vec![Call::Sleep { ms: Millis(1) }]),
            (1, vec![Call::Sleep { ms: Millis(3_600_000) }]),
        ]);
        let pid = kernel.spawn(Spec { budget, ..spec }).await.unwrap();
        kernel.run_until(Until::Steps(1)).await.unwrap();
        clock.set_wall(kernel_types::Timestamp(day));
        let run = tokio::time::timeout(Duration::from_secs(20), kernel.run_until(Until::Idle));
        run.await.expect("its time passes").unwrap();
        assert_eq!(state(&kernel, pid).await, suspended(LimitName::WallTime));
        let used = kernel.process(pid).await.unwrap().usage.wall_time;
        assert!((10_000..10_100).contains(&used.0), "{used}");
    }
}
