//! Whole kernels on a store that fails, simulated: one thread, a paused clock, everything by a seed.
//!
//! Actors in a ring send each other numbered messages, call a tool, fork and wait, while the store delays and reorders batches,
//! loses answers with and without effect, and is away; and while kernels are dropped and others take over, so that what the
//! old ones had on its way lands late and is fenced or in conflict. In the end each message was taken once and in order, each call ended
//! once, the chains hold, and everything is as it would have been without a fault.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use kernel::mediation::{check_store, entries};
use kernel::{Clock, Input, Kernel, Program, ProgramError, ProgramFactory, Saved, Step, Until, process_info};
use kernel_storage::{
    Arrival, Blobs, Commit, CommitOutcome, Journal, Mailboxes, MemoryStore, Store, StoreError,
    StoreErrorKind, Version,
};
use kernel_tools::{CallContext, Driver, ToolError, ToolOutput};
use kernel_types::{
    AgentRow, Answer, BlobHash, Call, Epoch, Event, ExitStatus, JsonText, Mail, MailBody, Millis, Pid,
    ProcessState, ReceiveArgs, Record, Recovery, Reply, SendArgs, Spec, Timestamp, ToolCallArgs,
    ToolCallRequest, ToolSpec, WaitArgs,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

const ACTORS: usize = 3;
const MESSAGES: u64 = 5;
const ROUNDS: u32 = 3;

#[test]
fn whatever_the_store_does_the_end_is_the_same() {
    let soak = std::env::var_os("AGENTOS_SOAK").is_some();
    let seeds = if soak { 100_000 } else { 1_000 };
    let first: u64 = std::env::var("AGENTOS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let seeds = if std::env::var_os("AGENTOS_SEED").is_some() { 1 } else { seeds };
    let expected = simulate(first, false).0;
    let sums: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    let next = AtomicU64::new(first);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return;
            }
            let run = std::panic::catch_unwind(|| simulate(seed, true));
            let Ok((end, faults)) = run else { panic!("AGENTOS_SEED={seed} fails") };
            assert_eq!(end, expected, "AGENTOS_SEED={seed}: another end than without faults");
            let mut sums = sums.lock();
            faults.into_iter().for_each(|(name, count)| *sums.entry(name).or_default() += count);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let sums = sums.into_inner();
    println!("{seeds} seeds from {first}: {sums:?}");
    for fault in
        ["delayed", "unknown, landed", "unknown, lost", "away", "fenced or in conflict", "kernels dropped"]
    {
        assert!(
            seeds == 1 || sums.get(fault).is_some_and(|count| *count > 0),
            "no commit was {fault}: {sums:?}"
        );
    }
}

/// The same seed gives the same faults, kernel after kernel.
#[test]
fn a_seed_repeats_itself() {
    for seed in 1..20 {
        assert_eq!(simulate(seed, true), simulate(seed, true), "seed {seed}");
    }
}

/// How processes ended, by name; and what was done to them.
type Ended = (BTreeMap<String, Vec<ExitStatus>>, BTreeMap<&'static str, u64>);

fn simulate(seed: u64, faults: bool) -> Ended {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(run(seed, faults))
}

async fn run(seed: u64, faults: bool) -> Ended {
    let store = Shaky::new(seed);
    let tool = Counting { keys: Arc::default(), store: store.clone() };
    let build = async |number: u64| {
        let builder =
            Kernel::builder().store(store.clone()).driver(tool.clone()).program("actor", ActorFactory);
        let builder =
            builder.clock(Paused::new()).seed(seed.wrapping_mul(31).wrapping_add(number)).simulated();
        builder.build().await
    };
    let mut kernel = build(0).await.unwrap();
    let mut actors = Vec::new();
    for number in 0..ACTORS {
        let spec = Spec { name: format!("actor {number}"), program: "actor".to_owned(), ..Spec::default() };
        actors.push(kernel.spawn(spec).await.unwrap());
    }
    for (number, actor) in actors.iter().enumerate() {
        kernel.send(*actor, actors[(number + 1) % ACTORS].to_string()).await.unwrap();
    }
    store.fail(faults);
    for number in 1..60 {
        // Some kernels are dropped in the middle of things; the last are let be.
        let lives = if faults && number < 4 { store.below(600) } else { 600_000 };
        let idle = kernel.run_until(Until::Idle);
        let over = tokio::time::timeout(Duration::from_millis(lives), idle).await;
        if let Ok(ran) = over {
            ran.expect("the kernel runs");
            let live = store.inner.agents(None, true, 100).await.unwrap();
            if live.is_empty() {
                break;
            }
        }
        store.count("kernels dropped");
        drop(kernel);
        assert!(number < 50, "nothing goes on: {:?}", states(&store.inner).await);
        kernel = loop {
            let next = match build(number).await {
                Ok(next) => next.recover().await.map(|_| next),
                Err(error) => Err(error),
            };
            match next {
                Ok(next) => break next,
                Err(error) => assert_ne!(error.retry(), kernel_types::Retry::Never, "{error}"),
            }
        };
    }
    store.fail(false);
    drop(kernel);
    // What dropped kernels had on its way lands now or never.
    tokio::time::sleep(Duration::from_secs(10)).await;
    check(&store, &tool, &actors).await
}

async fn states(store: &MemoryStore) -> Vec<ProcessState> {
    let rows = store.agents(None, false, 100).await.unwrap();
    rows.iter().map(|row| process_info(row).unwrap().state).collect()
}

async fn check(store: &Shaky, tool: &Counting, actors: &[Pid]) -> Ended {
    let all: Arc<dyn Store> = Arc::new(store.inner.clone());
    check_store(&all).await;
    let mut ended: BTreeMap<String, Vec<ExitStatus>> = BTreeMap::new();
    let mut called = BTreeSet::new();
    for row in store.inner.agents(None, false, 100).await.unwrap() {
        let info = process_info(&row).unwrap();
        let ProcessState::Exited(status) = info.state else { panic!("{} is {}", info.name, info.state) };
        ended.entry(info.name).or_default().push(status);
        let mut taken = Vec::new();
        for entry in entries(&*all, row.pid).await {
            match entry.event {
                Event::Outcome { result: Ok(Answer::Message(mail)), .. } => match mail.body {
                    MailBody::Message(body) => taken.push(body),
                    other => panic!("{other:?}"),
                },
                Event::Outcome { result: Ok(Answer::Tool(_)), .. } => {
                    let seq = entry.record.call.expect("an outcome is of a call");
                    called.insert(format!("{}/{}/{seq}", row.pid, entry.record.step));
                }
                _ => {}
            }
        }
        if actors.contains(&row.pid) {
            let numbers = taken[1..].iter().map(|body| body.parse::<u64>().expect("a number"));
            assert!(numbers.eq(1..=MESSAGES), "each once and in order: {taken:?}");
        }
    }
    ended.values_mut().for_each(|all| all.sort_by_key(|status| format!("{status:?}")));
    assert_eq!(*tool.keys.lock(), called, "a call that was answered was made, and the others were not");
    (ended, store.state.lock().counts.clone())
}

/// Time as the runtime has it.
struct Paused(tokio::time::Instant);

impl Paused {
    fn new() -> Self {
        Self(tokio::time::Instant::now())
    }
}

impl Clock for Paused {
    fn wall(&self) -> Timestamp {
        Timestamp(1_700_000_000_000 + u64::try_from(self.0.elapsed().as_millis()).unwrap())
    }
    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A store in memory that fails by a seed.
#[derive(Clone)]
struct Shaky {
    inner: MemoryStore,
    state: Arc<Mutex<Shakes>>,
}

struct Shakes {
    random: fastrand::Rng,
    on: bool,
    /// It is away until then.
    away: Option<tokio::time::Instant>,
    counts: BTreeMap<&'static str, u64>,
}

impl Shaky {
    fn new(seed: u64) -> Self {
        let state =
            Shakes { random: fastrand::Rng::with_seed(seed), on: false, away: None, counts: BTreeMap::new() };
        Self { inner: MemoryStore::new(), state: Arc::new(Mutex::new(state)) }
    }

    fn fail(&self, on: bool) {
        self.state.lock().on = on;
    }

    fn below(&self, limit: u64) -> u64 {
        self.state.lock().random.u64(0..limit)
    }

    fn count(&self, what: &'static str) {
        *self.state.lock().counts.entry(what).or_default() += 1;
    }

    /// One of a hundred numbers, or none where nothing fails.
    fn dice(&self) -> Option<u64> {
        let mut state = self.state.lock();
        state.on.then(|| state.random.u64(0..100))
    }

    async fn delay(&self, most: u64) {
        if self.dice().is_some_and(|dice| dice < 50) {
            self.count("delayed");
            let wait = self.below(most);
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }

    /// Every operation but commits: late, or not at all.
    async fn shake(&self, operation: &'static str) -> Result<(), StoreError> {
        self.delay(20).await;
        let now = tokio::time::Instant::now();
        let away = {
            let mut state = self.state.lock();
            if state.on && state.random.u64(0..200) == 0 {
                let wait = state.random.u64(1..2_000);
                state.away = Some(now + Duration::from_millis(wait));
            }
            state.on && state.away.is_some_and(|until| now < until)
        };
        if away {
            self.count("away");
            return Err(StoreError::new(StoreErrorKind::Unavailable, operation, "away, by the seed"));
        }
        Ok(())
    }
}

#[async_trait]
impl Journal for Shaky {
    async fn claim(&self) -> Result<Epoch, StoreError> {
        self.shake("claim").await?;
        self.inner.claim().await
    }
    async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        self.shake("commit").await?;
        self.delay(80).await;
        let lost = |message| StoreError::new(StoreErrorKind::CommitUnknown, "commit", message);
        match self.dice() {
            Some(0..8) => {
                self.count("unknown, lost");
                return Err(lost("lost, by the seed"));
            }
            Some(8..16) => {
                self.count("unknown, landed");
                self.inner.commit(batch).await?;
                self.delay(80).await;
                return Err(lost("landed, by the seed"));
            }
            _ => {}
        }
        let outcomes = self.inner.commit(batch).await?;
        let others = |outcome: &&CommitOutcome| {
            matches!(outcome, CommitOutcome::Fenced { .. } | CommitOutcome::Conflict { .. })
        };
        outcomes.iter().filter(others).for_each(|_| self.count("fenced or in conflict"));
        self.delay(80).await;
        Ok(outcomes)
    }
    async fn agent(&self, pid: Pid) -> Result<Option<AgentRow>, StoreError> {
        self.shake("agent").await?;
        self.inner.agent(pid).await
    }
    async fn agents(
        &self,
        after: Option<Pid>,
        live: bool,
        limit: usize,
    ) -> Result<Vec<AgentRow>, StoreError> {
        self.shake("agents").await?;
        self.inner.agents(after, live, limit).await
    }
    async fn records(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.shake("records").await?;
        self.inner.records(pid, from, limit).await
    }
    async fn values(&self, pid: Pid) -> Result<Vec<(String, String)>, StoreError> {
        self.shake("values").await?;
        self.inner.values(pid).await
    }
    async fn as_of(&self, pid: Pid, records: u64) -> Result<Option<Version>, StoreError> {
        self.shake("as_of").await?;
        self.inner.as_of(pid, records).await
    }
}

#[async_trait]
impl Blobs for Shaky {
    async fn blobs(&self, hashes: &[BlobHash]) -> Result<Vec<Option<Arc<[u8]>>>, StoreError> {
        self.shake("blobs").await?;
        self.inner.blobs(hashes).await
    }
    async fn list_blobs(&self, after: Option<BlobHash>, limit: usize) -> Result<Vec<BlobHash>, StoreError> {
        self.inner.list_blobs(after, limit).await
    }
    async fn sweep(&self) -> Result<u64, StoreError> {
        self.inner.sweep().await
    }
}

#[async_trait]
impl Mailboxes for Shaky {
    async fn post(&self, mail: Vec<Mail>) -> Result<(), StoreError> {
        self.shake("post").await?;
        self.inner.post(mail).await
    }
    async fn inbox(&self, pid: Pid) -> Result<Vec<Mail>, StoreError> {
        self.shake("inbox").await?;
        self.inner.inbox(pid).await
    }
    async fn arrivals(&self, after: Arrival, limit: usize) -> Result<Vec<(Arrival, Mail)>, StoreError> {
        self.shake("arrivals").await?;
        let found = self.inner.arrivals(after, limit).await;
        self.delay(80).await;
        found
    }
}

/// A tool that works once for a key.
#[derive(Clone)]
struct Counting {
    keys: Arc<Mutex<BTreeSet<String>>>,
    store: Shaky,
}

#[async_trait]
impl Driver for Counting {
    fn tools(&self) -> Vec<ToolSpec> {
        vec![ToolSpec {
            name: "count".to_owned(),
            description: "counts its calls".to_owned(),
            input: JsonText::parse(r#"{"type":"object"}"#).unwrap(),
            recovery: Recovery::Keyed,
            timeout: Millis(60_000),
            reads: Vec::new(),
            writes: Vec::new(),
        }]
    }

    async fn call(&self, request: &ToolCallRequest, _: &CallContext) -> Result<ToolOutput, ToolError> {
        self.keys.lock().insert(request.key.to_string());
        self.store.delay(200).await;
        Ok(ToolOutput::ok(JsonText::empty_object(), "counted"))
    }
}

struct ActorFactory;

#[derive(Default, Serialize, Deserialize)]
struct Actor {
    peer: Option<Pid>,
    sent: u64,
    received: u64,
    rounds: u32,
    forked: bool,
    is_fork: bool,
    waited: bool,
}

impl ProgramFactory for ActorFactory {
    fn start(&self, _: &Spec) -> Result<Box<dyn Program>, ProgramError> {
        Ok(Box::new(Actor::default()))
    }
    fn load(&self, saved: &Saved) -> Result<Box<dyn Program>, ProgramError> {
        saved.read::<Actor>(1).map(|actor| Box::new(actor) as Box<dyn Program>)
    }
}

impl Actor {
    fn take(&mut self, reply: Reply) -> Result<(), String> {
        match reply.result {
            Ok(Answer::Message(mail)) => {
                let MailBody::Message(body) = mail.body else { return Err("not a message".to_owned()) };
                if self.peer.is_none() {
                    self.peer = Some(body.parse().map_err(|_| format!("no pid: {body}"))?);
                    return Ok(());
                }
                self.received += 1;
                if body == self.received.to_string() {
                    Ok(())
                } else {
                    Err(format!("{body} as {}", self.received))
                }
            }
            Ok(Answer::Tool(_)) => {
                self.rounds += 1;
                Ok(())
            }
            Ok(Answer::Forked { .. }) => {
                self.is_fork = true;
                Ok(())
            }
            Ok(Answer::Exited { status: ExitStatus::Ok(_), .. }) => {
                self.waited = true;
                Ok(())
            }
            Ok(Answer::Done | Answer::Pid(_) | Answer::Time(_)) => Ok(()),
            Err(error) if error.kind == kernel_types::ErrorKind::Deadline => Ok(()),
            // Its peer is being loaded again: it went to nobody.
            Err(error) if error.kind == kernel_types::ErrorKind::Busy && reply.key.seq.0 == 0 => {
                self.sent -= 1;
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    }

    fn tool() -> Call {
        let args = JsonText::empty_object();
        Call::ToolCall(ToolCallArgs { tool: "count".to_owned(), args, timeout: None })
    }

    fn next(&mut self) -> Step {
        let Some(peer) = self.peer else { return Step::call(Call::Receive(ReceiveArgs::default())) };
        if self.is_fork && self.rounds > ROUNDS {
            return Step::Exit(ExitStatus::Ok(format!("a fork after {}", self.received)));
        }
        if self.is_fork {
            return Step::call(Self::tool());
        }
        if self.waited {
            return Step::Exit(ExitStatus::Ok(format!("{} {}", self.received, self.rounds)));
        }
        if self.sent < MESSAGES {
            self.sent += 1;
            let send = Call::Send(SendArgs { to: peer, body: self.sent.to_string() });
            let at_once = ReceiveArgs { from: None, timeout: Some(Millis(0)) };
            let mut calls = vec![send, Call::Receive(at_once)];
            calls.extend((self.rounds < ROUNDS).then(Self::tool));
            return Step::Calls(calls);
        }
        if self.received < MESSAGES {
            return Step::call(Call::Receive(ReceiveArgs::default()));
        }
        if !self.forked {
            self.forked = true;
            return Step::Calls(vec![Call::Fork, Call::Now]);
        }
        Step::call(Call::Wait(WaitArgs::default()))
    }
}

impl Program for Actor {
    fn step(&mut self, input: Input) -> Step {
        if let Input::Replies(replies) = input
            && let Some(why) = replies.into_iter().find_map(|reply| self.take(reply).err())
        {
            return Step::Exit(ExitStatus::Failed(why));
        }
        self.next()
    }
    fn save(&self) -> Result<Saved, ProgramError> {
        Saved::of(1, self)
    }
}
