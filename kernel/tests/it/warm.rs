//! Keep-warm pings: sent where they pay, through the gate, charged, on record, and in nobody's way.
//!
//! Kernel and provider share a clock that jumps when all wait: the provider forgets after one second of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use kernel::mediation::{Entry, check_store, entries};
use kernel::{Clock, Kernel, KernelBuilder, ManualClock, Quota, Until};
use kernel_context::Change;
use kernel_llm::{Cpu, CpuError, DeltaSink, InferRequest, model_info};
use kernel_storage::{MemoryStore, Store};
use kernel_types::{
    Answer, Budget, CacheModel, Call, CallResult, Decision, ErrorKind, Event, InferArgs, Inference,
    LimitName, LongCache, MicroUsd, Millis, ModelInfo, NewPage, PageKind, Part, Pid, Pricing, Prompt,
    RateLimit, RateUnit, Retention, Seq, Spec, Timestamp, TokenUsage, Tokens, ToolMode,
};
use parking_lot::Mutex;

use crate::world::{receive, script};

/// Tokens that the provider counts in every prompt.
const INPUT: u64 = 1_000;
/// A wait that outlasts its memory of one second, but not that of a ping.
const WAIT: Millis = Millis(1_300);
/// A ping is due before this, and its prompt forgotten after.
const DUE: Duration = Duration::from_millis(950);
const PRICES: Pricing = Pricing {
    input: 1_000_000,
    output: 5_000_000,
    cache_read: 100_000,
    cache_write: 1_250_000,
    cache_write_long: Some(2_000_000),
};

#[derive(Default)]
struct Seen {
    /// When each request came, what it asked for, and whether it was a ping.
    requests: Vec<(Timestamp, Prompt, bool)>,
}

/// Real time that is enough for anything that is going to happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// Real time in which something that is due at once would be seen to happen.
const SOON: Duration = Duration::from_millis(100);

/// A provider that caches whole prompts for a second.
#[derive(Clone)]
struct Provider {
    seen: Arc<Mutex<Seen>>,
    clock: ManualClock,
    /// Pings are never answered.
    hangs: bool,
    /// It keeps prefixes for an hour if asked.
    long: bool,
    /// It caches nothing, whatever it says of itself.
    lies: bool,
    /// How long an answer takes.
    takes: Duration,
    /// Requests it serves at once, beside the first.
    more_slots: u32,
}

impl Default for Provider {
    fn default() -> Self {
        let clock = ManualClock::new(Timestamp(1_700_000_000_000));
        let (hangs, long, lies) = (false, false, false);
        Self { seen: Arc::default(), clock, hangs, long, lies, takes: Duration::ZERO, more_slots: 0 }
    }
}

impl Provider {
    fn pings(&self) -> usize {
        self.seen.lock().requests.iter().filter(|(_, _, ping)| *ping).count()
    }

    fn requests(&self) -> usize {
        self.seen.lock().requests.len()
    }

    /// Waits for so many pings.
    async fn pinged(&self, times: usize) {
        let patience = Instant::now() + PATIENCE;
        while self.pings() < times {
            assert!(Instant::now() < patience, "{} pings, not {times}", self.pings());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[async_trait]
impl Cpu for Provider {
    fn models(&self) -> Vec<ModelInfo> {
        let cache = CacheModel {
            min_prefix: Tokens(1),
            ttl_s: 1,
            breakpoints: 4,
            look_back: 20,
            long: self.long.then_some(LongCache { ttl_s: 3_600, write: 2_000 }),
            ..CacheModel::default()
        };
        vec![ModelInfo { pricing: Some(PRICES), cache: cache.priced(&PRICES), ..model_info("warm") }]
    }

    fn slots(&self) -> u32 {
        1 + self.more_slots
    }

    async fn infer(&self, request: InferRequest, _: &dyn DeltaSink) -> Result<Inference, CpuError> {
        let ping = request.key.seq.is_ping();
        let now = self.clock.wall();
        let warm = {
            let mut seen = self.seen.lock();
            let last = seen.requests.last().map(|(at, _, _)| *at);
            seen.requests.push((now, (*request.prompt).clone(), ping));
            assert_eq!(ping, request.max_output == Tokens(1));
            last.is_some_and(|last| now.since(last) < Millis(1_000))
        };
        if ping && self.hangs {
            std::future::pending::<()>().await;
        }
        self.clock.advance(self.takes);
        tokio::time::sleep(self.takes).await;
        let (cached, written) = if warm && !self.lies { (INPUT, 0) } else { (0, INPUT) };
        let usage = TokenUsage {
            input: Tokens(INPUT),
            cached: Tokens(cached),
            cache_written: Tokens(written),
            output: Tokens(1),
            ..TokenUsage::default()
        };
        let parts = vec![Part::Text("Yes.".into())];
        Ok(Inference { model: request.model, parts, finish: "stop".to_owned(), usage })
    }

    async fn health(&self) -> Result<(), CpuError> {
        Ok(())
    }
}

async fn kernel(
    provider: &Provider,
    store: &MemoryStore,
    adjust: impl FnOnce(KernelBuilder) -> KernelBuilder,
) -> Kernel {
    let builder =
        Kernel::builder().store(store.clone()).cpu(provider.clone()).clock(provider.clock.clone()).seed(7);
    adjust(builder).build().await.unwrap()
}

fn infer() -> Call {
    Call::Infer(InferArgs { max_output: Tokens(100), tools: ToolMode::None, ..InferArgs::default() })
}

fn sleep() -> Call {
    Call::Sleep { ms: WAIT }
}

/// A page, an inference, and what comes after.
fn thinks(then: Vec<Vec<Call>>) -> Spec {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(40);
    let page = Call::PageAlloc { pages: vec![NewPage::text(PageKind::User, text)] };
    let mut steps = vec![vec![page, infer()]];
    steps.extend(then);
    script(steps)
}

/// A process ends, though a ping hangs.
async fn ends(kernel: &Kernel, pid: Pid) {
    let began = Instant::now();
    while kernel.exit_status(pid).await.unwrap().is_none() {
        assert!(began.elapsed() < PATIENCE, "it waits for a ping");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A pinged call: what the gate decided, and how it ended.
async fn pings(store: &MemoryStore, pid: Pid) -> Vec<(Decision, Option<(CallResult, MicroUsd)>)> {
    let mut found = std::collections::BTreeMap::new();
    for Entry { record, event } in entries(store, pid).await {
        let place = (record.step, record.call);
        match event {
            Event::Intent { decision, .. } if record.call.is_some_and(Seq::is_ping) => {
                assert!(found.insert(place, (decision, None)).is_none(), "one intent a ping");
            }
            Event::Outcome { result, cost, .. } if record.call.is_some_and(Seq::is_ping) => {
                let ended = found.get_mut(&place).map(|(_, ended)| ended.replace((result, cost)));
                assert_eq!(ended, Some(None), "one outcome after its intent");
            }
            _ => {}
        }
    }
    found.into_values().collect()
}

async fn audited(store: &MemoryStore) {
    let store: Arc<dyn Store> = Arc::new(store.clone());
    check_store(&store).await;
}

async fn changes(store: &MemoryStore, pid: Pid) -> Vec<Change> {
    let of = |entry: Entry| match entry.event {
        Event::Pages { changes } => changes.read::<Vec<Change>>().unwrap(),
        _ => Vec::new(),
    };
    entries(store, pid).await.into_iter().flat_map(of).collect()
}

#[tokio::test]
async fn a_sleeper_s_prompt_is_sent_again_before_it_is_forgotten() {
    for on in [true, false] {
        let (provider, store) = (Provider::default(), MemoryStore::new());
        let kernel = kernel(&provider, &store, |builder| builder.keep_warm(on)).await;
        let pid = kernel.spawn(thinks(vec![vec![sleep()], vec![infer()]])).await.unwrap();
        kernel.run_until(Until::Idle).await.unwrap();
        let found = pings(&store, pid).await;
        assert_eq!((found.len(), provider.pings()), (usize::from(on), usize::from(on)));
        let usage = kernel.process(pid).await.unwrap().usage;
        assert_eq!(usage.calls, 2, "a ping is no call of the program");
        // Written, read by the ping, read; or written twice. Answers take a token each.
        let (write, read, output) = (1_250, 100, 5);
        let expected = if on { write + 2 * read + 3 * output } else { 2 * (write + output) };
        assert_eq!((usage.cost, usage.input_tokens.0), (MicroUsd(expected), INPUT * (2 + u64::from(on))));
        let warmed = changes(&store, pid).await.iter().filter(|c| matches!(c, Change::Warmed { .. })).count();
        assert_eq!(warmed, usize::from(on));
        if let Some((decision, ended)) = found.first() {
            assert_eq!(*decision, Decision::Allow);
            let Some((Ok(Answer::Inference(inference)), cost)) = ended else { panic!("{ended:?}") };
            assert_eq!((inference.usage.cached, *cost), (Tokens(INPUT), MicroUsd(read + output)));
            let seen = provider.seen.lock();
            assert_eq!(seen.requests[0].1, seen.requests[1].1, "byte for byte");
        }
        audited(&store).await;
    }
}

#[tokio::test]
async fn a_wait_without_end_is_pinged_as_earlier_gaps_say_and_holds_no_run_up() {
    let (provider, store) = (Provider::default(), MemoryStore::new());
    let kernel = kernel(&provider, &store, |builder| builder).await;
    // Twice away for 1.3 seconds; the third time, who knows.
    let away =
        vec![vec![sleep()], vec![infer()], vec![sleep()], vec![infer()], vec![receive()], vec![infer()]];
    let pid = kernel.spawn(thinks(away)).await.unwrap();
    // Nobody comes back to this one: it knows no gaps.
    let other = kernel.spawn(thinks(vec![vec![receive()]])).await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    let before = provider.pings();
    assert!(before >= 2, "one in each sleep: {before}");
    provider.clock.advance(DUE);
    provider.pinged(before + 1).await;
    provider.clock.advance(DUE);
    tokio::time::sleep(SOON).await;
    assert_eq!(provider.pings(), before + 1, "no gap was longer than one ping bridges");
    assert_eq!(pings(&store, pid).await.len(), before + 1);
    assert_eq!(pings(&store, other).await.len(), 0);
    kernel.send(pid, "go on").await.unwrap();
    kernel.send(other, "go on").await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    assert!(kernel.exit_status(pid).await.unwrap().is_some());
    audited(&store).await;
}

#[tokio::test]
async fn prefixes_are_kept_for_longer_where_their_agent_is_often_away() {
    for long in [true, false] {
        let (provider, store) = (Provider { long, ..Provider::default() }, MemoryStore::new());
        let kernel = kernel(&provider, &store, |builder| builder.keep_warm(false)).await;
        let busy = vec![vec![infer()]; 30];
        let away = (0..3).flat_map(|_| [vec![sleep()], vec![infer()]]).collect();
        let pid = kernel.spawn(thinks([busy, away].concat())).await.unwrap();
        kernel.run_until(Until::Idle).await.unwrap();
        let asked: Vec<Retention> =
            provider.seen.lock().requests.iter().map(|(_, prompt, _)| prompt.retention).collect();
        let (last, before) = asked.split_last().unwrap();
        assert_eq!((asked.len(), before[..30].contains(&Retention::Long)), (34, false));
        assert_eq!(*last, if long { Retention::Long } else { Retention::Short }, "{asked:?}");
        let views = entries(&store, pid).await.into_iter().filter_map(|entry| match entry.event {
            Event::Intent { view, .. } => view.map(|view| view.retention),
            _ => None,
        });
        assert_eq!(views.collect::<Vec<_>>(), asked, "what is asked for is on record");
    }
}

#[tokio::test]
async fn a_provider_that_caches_nothing_is_not_asked_twice() {
    for lies in [true, false] {
        let (provider, store) = (Provider { lies, ..Provider::default() }, MemoryStore::new());
        let kernel = kernel(&provider, &store, |builder| builder).await;
        kernel.spawn(thinks(vec![vec![Call::Sleep { ms: Millis(2_500) }]])).await.unwrap();
        kernel.run_until(Until::Idle).await.unwrap();
        assert_eq!(provider.pings(), if lies { 1 } else { 2 });
        audited(&store).await;
    }
}

#[tokio::test]
async fn a_kernel_that_is_paused_sends_no_pings() {
    let (provider, store) = (Provider::default(), MemoryStore::new());
    let kernel = kernel(&provider, &store, |builder| builder).await;
    kernel.spawn(thinks(vec![vec![sleep()], vec![infer()]])).await.unwrap();
    kernel.run_until(Until::Steps(2)).await.unwrap();
    provider.clock.advance(DUE);
    tokio::time::sleep(SOON).await;
    assert_eq!((provider.requests(), provider.pings()), (1, 0));
}

#[tokio::test]
async fn who_goes_on_and_who_wants_the_slot_ends_a_ping() {
    let provider = Provider { hangs: true, ..Provider::default() };
    for by_mail in [true, false] {
        let (provider, store) = (Provider { seen: Arc::default(), ..provider.clone() }, MemoryStore::new());
        let kernel = kernel(&provider, &store, |builder| builder).await;
        let sleeper = thinks(vec![vec![Call::Sleep { ms: Millis(2_500) }], vec![infer()]]);
        let pid = kernel.spawn(sleeper).await.unwrap();
        let meanwhile = async {
            provider.pinged(1).await;
            if by_mail {
                kernel.signal(pid, kernel_types::Signal::Term).await.unwrap();
            } else {
                let other = kernel.spawn(thinks(vec![])).await.unwrap();
                ends(&kernel, other).await;
            }
        };
        let (run, ()) = tokio::join!(kernel.run_until(Until::Idle), meanwhile);
        run.unwrap();
        let found = pings(&store, pid).await;
        let [(Decision::Allow, Some((Err(error), cost)))] = &found[..] else { panic!("{found:?}") };
        assert_eq!(error.kind, ErrorKind::Cancelled);
        assert!(*cost > MicroUsd(0), "what was sent is charged: {cost}");
        assert!(kernel.exit_status(pid).await.unwrap().is_some());
        kernel.shutdown().await.unwrap();
        audited(&store).await;
    }
}

#[tokio::test]
async fn a_ping_gives_way_where_more_want_slots_than_are_free() {
    let takes = Duration::from_millis(300);
    let provider = Provider { hangs: true, more_slots: 1, takes, ..Provider::default() };
    let store = MemoryStore::new();
    let kernel = kernel(&provider, &store, |builder| builder).await;
    let sleeper = thinks(vec![vec![Call::Sleep { ms: Millis(2_500) }]]);
    let pid = kernel.spawn(sleeper).await.unwrap();
    let meanwhile = async {
        provider.pinged(1).await;
        let both = async { tokio::join!(kernel.spawn(thinks(vec![])), kernel.spawn(thinks(vec![]))) };
        let (one, two) = both.await;
        ends(&kernel, one.unwrap()).await;
        ends(&kernel, two.unwrap()).await;
    };
    let (run, ()) = tokio::join!(kernel.run_until(Until::Idle), meanwhile);
    run.unwrap();
    assert!(matches!(&pings(&store, pid).await[..], [(Decision::Allow, Some(_))]));
    kernel.shutdown().await.unwrap();
    audited(&store).await;
}

#[tokio::test]
async fn a_budget_that_has_no_room_for_it_refuses_a_ping_and_nothing_else() {
    let away = || thinks(vec![vec![sleep()], vec![infer()]]);
    for room in [true, false] {
        let (provider, store) = (Provider::default(), MemoryStore::new());
        let kernel = kernel(&provider, &store, |builder| builder).await;
        // A call uses 1,001 tokens and holds some 2,050. After the first, 2,500 would do for a ping, but then not for the second
        // call.
        let budget = Budget { tokens: Some(Tokens(if room { 6_000 } else { 3_500 })), ..Budget::default() };
        let pid = kernel.spawn(Spec { budget, ..away() }).await.unwrap();
        kernel.run_until(Until::Idle).await.unwrap();
        let found = pings(&store, pid).await;
        assert_eq!((found.len(), provider.pings()), (1, usize::from(room)), "{found:?}");
        let (decision, Some((result, cost))) = &found[0] else { panic!("{found:?}") };
        if !room {
            assert!(matches!(decision, Decision::OverQuota { .. }), "{decision:?}");
            assert_eq!(result.as_ref().unwrap_err().kind, ErrorKind::QuotaExceeded);
            assert_eq!(*cost, MicroUsd(0));
        }
        assert_eq!(provider.requests() - provider.pings(), 2, "the process is not suspended for a ping");
        audited(&store).await;
    }
}

#[tokio::test]
async fn a_ping_is_spent_on_the_limits_above_like_a_call() {
    for room in [true, false] {
        let (provider, store) = (Provider::default(), MemoryStore::new());
        // As with a budget of its own: 2,500 would do for the ping, but not for the second call beside it.
        let budget = Budget { tokens: Some(Tokens(if room { 6_000 } else { 3_500 })), ..Budget::default() };
        let quota = Quota { budget, ..Quota::default() };
        let kernel = kernel(&provider, &store, |builder| builder.quota(quota)).await;
        let pid = kernel.spawn(thinks(vec![vec![sleep()], vec![infer()]])).await.unwrap();
        kernel.run_until(Until::Idle).await.unwrap();
        let found = pings(&store, pid).await;
        assert_eq!((found.len(), provider.pings()), (1, usize::from(room)), "{found:?}");
        if !room {
            let limit = LimitName::SystemTokens;
            assert!(
                matches!(found[0].0, Decision::OverQuota { limit: hit, .. } if hit == limit),
                "{found:?}"
            );
        }
        assert!(kernel.exit_status(pid).await.unwrap().is_some());
        let usage = kernel.process(pid).await.unwrap().usage;
        let spent = kernel.spent(None).await.unwrap().unwrap();
        assert_eq!((spent.calls, spent.tokens, spent.cost), (usage.calls, usage.tokens(), usage.cost));
        audited(&store).await;
    }
}

#[tokio::test]
async fn a_ping_takes_of_rates_and_is_not_sent_before_its_time() {
    for amount in [1_000_000, 1_600] {
        let (provider, store) = (Provider::default(), MemoryStore::new());
        let rate = RateLimit::new(RateUnit::Tokens, amount, Millis(3_600_000)).unwrap().with_burst(amount);
        let quota = Quota { rates: vec![rate], ..Quota::default() };
        let kernel = kernel(&provider, &store, |builder| builder.quota(quota)).await;
        let pid = kernel.spawn(thinks(vec![vec![sleep()]])).await.unwrap();
        kernel.run_until(Until::Idle).await.unwrap();
        let sent = usize::from(amount > 1_600);
        assert_eq!((provider.pings(), pings(&store, pid).await.len()), (sent, sent));
    }
}

#[tokio::test]
async fn a_ping_holds_what_its_model_needs_until_a_call_does() {
    let provider = Provider { hangs: true, more_slots: 1, ..Provider::default() };
    let store = MemoryStore::new();
    let needs = |builder: KernelBuilder| builder.resource("gpu", 1).model_needs("warm", "gpu", 1);
    let kernel = kernel(&provider, &store, needs).await;
    let sleeper = thinks(vec![vec![Call::Sleep { ms: Millis(4_000) }]]);
    let pid = kernel.spawn(sleeper).await.unwrap();
    let meanwhile = async {
        provider.pinged(1).await;
        let other = kernel.spawn(thinks(vec![])).await.unwrap();
        ends(&kernel, other).await;
    };
    let (run, ()) = tokio::join!(kernel.run_until(Until::Idle), meanwhile);
    run.unwrap();
    let found = pings(&store, pid).await;
    let [(Decision::Allow, Some((Err(error), _)))] = &found[..] else { panic!("{found:?}") };
    assert!(error.message.contains("what it holds is needed"), "{error}");
}

#[tokio::test]
async fn a_ping_in_flight_at_a_power_cut_is_charged_and_not_sent_again() {
    let (provider, store) = (Provider { hangs: true, ..Provider::default() }, MemoryStore::new());
    let pid = {
        let kernel = kernel(&provider, &store, |builder| builder).await;
        let sleeper = thinks(vec![vec![Call::Sleep { ms: Millis(2_500) }], vec![infer()]]);
        let pid = kernel.spawn(sleeper).await.unwrap();
        tokio::select! {
            _ = kernel.run_until(Until::Idle) => panic!("it sleeps"),
            () = provider.pinged(1) => {}
        }
        pid
    };
    let found = pings(&store, pid).await;
    assert!(matches!(&found[..], [(Decision::Allow, None)]), "open: {found:?}");
    let before = changes(&store, pid).await;
    let many = Quota { budget: Budget { calls: Some(1_000), ..Budget::default() }, ..Quota::default() };
    let kernel = kernel(&provider, &store, |builder| builder.quota(many)).await;
    kernel.recover().await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    assert_eq!((provider.pings(), provider.requests()), (1, 3), "sent once");
    let found = pings(&store, pid).await;
    let [(Decision::Allow, Some((Err(error), cost)))] = &found[..] else { panic!("{found:?}") };
    assert_eq!(error.kind, ErrorKind::Interrupted);
    // Its prompt at the price of writing it, and a token.
    assert!(*cost > MicroUsd(300 * 5 / 4), "{cost}");
    let usage = kernel.process(pid).await.unwrap().usage;
    assert_eq!((usage.calls, usage.cost), (2, MicroUsd(2 * (1_250 + 5) + cost.0)));
    assert_eq!(kernel.spent(None).await.unwrap().unwrap().cost, usage.cost, "above too, and once");
    assert!(!before.iter().any(|change| matches!(change, Change::Warmed { .. })));
    audited(&store).await;
}

#[tokio::test]
async fn a_prompt_is_warm_from_when_it_was_sent() {
    let takes = Duration::from_millis(400);
    let (provider, store) = (Provider { takes, ..Provider::default() }, MemoryStore::new());
    let kernel = kernel(&provider, &store, |builder| builder).await;
    let pid = kernel.spawn(thinks(vec![])).await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    let all = entries(&store, pid).await;
    let sent = changes(&store, pid).await.into_iter().find_map(|change| match change {
        Change::Rendered { at, .. } => Some(at),
        _ => None,
    });
    let answered = all
        .iter()
        .find(|entry| matches!(&entry.event, Event::Outcome { result: Ok(Answer::Inference(_)), .. }));
    let took = answered.unwrap().record.at.since(sent.unwrap());
    assert_eq!(took, Millis::from(takes), "dated when it was sent, not when it was answered");
}
