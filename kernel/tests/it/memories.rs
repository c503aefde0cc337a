//! Long-term memory: what is found, by whom, and that neither a crash nor a recovery asks for it twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use kernel::mediation::entries;
use kernel::{KernelBuilder, Limits};
use kernel_llm::{EmbedError, Embedder};
use kernel_storage::{
    MemoryHit, MemoryItem, MemorySearch, MemoryStore, SqliteStore, StoreError, StoreErrorKind, Vectors,
};
use kernel_types::{
    Answer, Call, CallResult, Capabilities, ErrorKind, Event, Importance, JsonText, Memory, MemoryQuery, Pid,
    RememberArgs, Retry, Spec, SyscallNo,
};
use parking_lot::Mutex;

use crate::scratch::behind_a_queue;
use crate::world::{World, receive, script};

fn remember(namespace: &str, text: &str) -> Call {
    with(namespace, text, "{}", 0.5)
}

fn with(namespace: &str, text: &str, metadata: &str, importance: f64) -> Call {
    Call::Remember(RememberArgs {
        namespace: namespace.to_owned(),
        text: text.to_owned(),
        importance: Importance::new(importance).unwrap(),
        metadata: JsonText::parse(metadata).unwrap(),
    })
}

fn query(namespace: &str, text: &str) -> MemoryQuery {
    MemoryQuery {
        namespace: namespace.to_owned(),
        text: text.to_owned(),
        limit: 10,
        ..MemoryQuery::default()
    }
}

fn search(namespace: &str, text: &str) -> Call {
    Call::Search(query(namespace, text))
}

fn found(result: &CallResult) -> Vec<Memory> {
    match result {
        Ok(Answer::Memories(found)) => found.clone(),
        other => panic!("{other:?}"),
    }
}

fn texts(result: &CallResult) -> Vec<String> {
    found(result).into_iter().map(|memory| memory.text).collect()
}

/// How a memory behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Fine,
    /// Writes land and the answer never comes.
    Mute,
    Away,
    Panics,
}

/// A memory that counts and fails on demand.
#[derive(Clone)]
struct Moody {
    inner: MemoryStore,
    mood: Arc<Mutex<Mood>>,
    asked: Arc<AtomicUsize>,
}

impl Moody {
    fn new(mood: Mood) -> Self {
        Self { inner: MemoryStore::new(), mood: Arc::new(Mutex::new(mood)), asked: Arc::default() }
    }

    async fn behave(&self) -> Result<(), StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mood = *self.mood.lock();
        match mood {
            Mood::Fine => Ok(()),
            Mood::Mute => std::future::pending().await,
            Mood::Away => Err(StoreError::new(StoreErrorKind::Unavailable, "memory", "away, as asked")),
            Mood::Panics => panic!("the memory panics, as asked"),
        }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Vectors for Moody {
    async fn remember(&self, items: Vec<MemoryItem>) -> Result<(), StoreError> {
        if *self.mood.lock() == Mood::Mute {
            self.inner.remember(items.clone()).await?;
        }
        self.behave().await?;
        self.inner.remember(items).await
    }
    async fn forget(&self, namespace: &str, ids: &[String]) -> Result<u64, StoreError> {
        self.inner.forget(namespace, ids).await
    }
    async fn search(&self, search: MemorySearch) -> Result<Vec<MemoryHit>, StoreError> {
        self.behave().await?;
        self.inner.search(search).await
    }
    async fn items(
        &self,
        namespace: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<MemoryItem>, StoreError> {
        self.inner.items(namespace, after, limit).await
    }
    async fn namespaces(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, StoreError> {
        self.inner.namespaces(after, limit).await
    }
    async fn count(&self, namespace: &str) -> Result<u64, StoreError> {
        self.inner.count(namespace).await
    }
}

async fn everything(memory: &dyn Vectors) -> Vec<MemoryItem> {
    let mut all = Vec::new();
    for namespace in memory.namespaces(None, 100).await.unwrap() {
        all.extend(memory.items(&namespace, None, 100).await.unwrap());
    }
    all
}

/// What one process remembered another finds, with all that it said of it; on each store that keeps memories by itself.
#[tokio::test]
async fn what_is_remembered_is_found_by_those_who_come_later() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(folder.path().join("agents.db")).await.unwrap();
    let worlds: [World; 3] = [
        World::new().await,
        World::with(|builder: KernelBuilder| builder.store(MemoryStore::new())).await,
        World::with(|builder: KernelBuilder| builder.store(sqlite)).await,
    ];
    for world in worlds {
        let metadata = r#"{"kind":"trip","year":2009,"done":true}"#;
        let steps = vec![vec![
            with("facts", "The ferry to Hydra leaves at noon.", metadata, 0.9),
            with("facts", "The ferry from Hydra is late.", r#"{"kind":"trip","year":2011}"#, 0.1),
            with("facts", "Bread is baked at six.", "{}", 0.5),
        ]];
        let pid = world.spawn(steps).await;
        world.run().await;
        let ids: Vec<String> = world
            .step(pid, 1)
            .await
            .into_iter()
            .map(|result| match result {
                Ok(Answer::Remembered { id }) => id,
                other => panic!("{other:?}"),
            })
            .collect();
        let filtered = |filter: &str| {
            let filter = JsonText::parse(filter).unwrap();
            Call::Search(MemoryQuery { filter, ..query("facts", "ferry") })
        };
        let important = MemoryQuery { importance: Importance::new(0.9), ..query("facts", "ferry") };
        let results = world
            .make(vec![
                search("facts", "at noon, a ferry?"),
                filtered(r#"{"kind":"trip","year":{"max":2010}}"#),
                filtered(r#"{"year":[2011,2012]}"#),
                Call::Search(important),
                Call::Search(MemoryQuery { limit: 1, ..query("facts", "ferry") }),
                search("facts", "goats"),
                search("fiction", "ferry"),
            ])
            .await;
        let best = found(&results[0]);
        assert_eq!((best[0].text.as_str(), best[0].by), ("The ferry to Hydra leaves at noon.", pid));
        assert_eq!(best[0].id, ids[0]);
        assert_eq!(best[0].metadata, JsonText::parse(metadata).unwrap());
        assert_eq!(best[0].importance, Importance::new(0.9).unwrap());
        assert!(best.windows(2).all(|pair| pair[0].score >= pair[1].score), "{best:?}");
        assert_eq!(texts(&results[1]), ["The ferry to Hydra leaves at noon."]);
        assert_eq!(texts(&results[2]), ["The ferry from Hydra is late."]);
        assert_eq!(texts(&results[3]), ["The ferry to Hydra leaves at noon."]);
        assert_eq!(found(&results[4]).len(), 1);
        assert_eq!((found(&results[5]), found(&results[6])), (Vec::new(), Vec::new()));
        let at = best[0].at;
        let since = |since| Call::Search(MemoryQuery { since: Some(since), ..query("facts", "noon") });
        let before = kernel_types::Timestamp(at.0 - 1);
        let results = world.make(vec![since(at), since(before)]).await;
        assert_eq!((found(&results[0]).len(), found(&results[1]).len()), (0, 1), "kept after");
        world.end().await;
    }
}

#[tokio::test]
async fn no_tenant_and_no_other_process_finds_what_is_not_its_own() {
    let world = World::new().await;
    let of = |tenant: &str, steps| Spec { tenant: tenant.to_owned(), ..script(steps) };
    let own = vec![remember("facts", "the key of press"), remember("self", "the key of mine")];
    let one = world.start(of("press", vec![own, vec![search("self", "key")]])).await;
    world.run().await;
    assert_eq!(texts(&world.step(one, 2).await[0]), ["the key of mine"]);
    let namespace = format!("{one}");
    let look = vec![search("facts", "key"), search("self", "key"), search(&namespace, "key")];
    let same = world.start(of("press", vec![look.clone()])).await;
    let other = world.start(of("shop", vec![look])).await;
    world.run().await;
    let all = |results: Vec<CallResult>| results.iter().map(texts).collect::<Vec<_>>();
    let nothing: [&str; 0] = [];
    assert_eq!(
        all(world.step(same, 1).await),
        [vec!["the key of press"], nothing.to_vec(), nothing.to_vec()]
    );
    assert_eq!(all(world.step(other, 1).await), [nothing; 3]);
    world.end().await;
}

#[tokio::test]
async fn arguments_are_bounded_and_refused_by_name() {
    let world = World::new().await;
    let limit = |limit| Call::Search(MemoryQuery { limit, ..query("facts", "x") });
    let filter = JsonText::parse(r#"{"year":{"above":1}}"#).unwrap();
    let wrong = [
        remember("", "x"),
        remember(&"n".repeat(257), "x"),
        remember("facts", " \n"),
        remember("facts", &"x".repeat((256 << 10) + 1)),
        with("facts", "x", r#"{"a":[1]}"#, 0.5),
        with("facts", "x", r#"{"kernel.at":1}"#, 0.5),
        search("", "x"),
        search("facts", " "),
        limit(0),
        limit(101),
        Call::Search(MemoryQuery { filter, ..query("facts", "x") }),
    ];
    for call in wrong {
        let shown = format!("{call:?}").chars().take(90).collect::<String>();
        let error = world.refused(call).await;
        assert_eq!(error.kind, ErrorKind::InvalidArgument, "{shown}: {error}");
    }
    assert!(everything(&*world.kernel.memory().unwrap()).await.is_empty(), "and nothing was kept");
    world.end().await;
}

#[tokio::test]
async fn an_answer_is_small_however_much_is_found() {
    let world = World::new().await;
    let long = |n: u32| remember("facts", &format!("whale {n} {}", "blubber ".repeat(30_000)));
    let pid = world.spawn((0..8).map(|n| vec![long(n)]).collect()).await;
    world.run().await;
    assert!(world.results(pid).await.values().all(Result::is_ok));
    let all = world.call(search("facts", "whale")).await;
    assert_eq!(found(&all).len(), 4, "four of 240 kB fit into 1 MB");
    world.end().await;
}

#[tokio::test]
async fn without_the_capability_nothing_is_kept_or_found() {
    let world = World::new().await;
    let capabilities =
        |calls: &str| Some(Capabilities { calls: vec![calls.to_owned()], ..Capabilities::all() });
    let both = vec![vec![remember("facts", "a key"), search("facts", "key")]];
    let none = world.start(Spec { capabilities: capabilities("put"), ..script(both.clone()) }).await;
    world.run().await;
    for result in world.step(none, 1).await {
        assert_eq!(result.unwrap_err().kind, ErrorKind::Denied);
    }
    assert!(everything(&*world.kernel.memory().unwrap()).await.is_empty());
    let control = world.start(Spec { capabilities: capabilities("*"), ..script(both) }).await;
    world.run().await;
    assert!(world.step(control, 1).await.iter().all(Result::is_ok));
    world.end().await;
}

#[tokio::test]
async fn a_kernel_without_a_memory_says_so() {
    let world = World::with(|builder| builder.store(behind_a_queue(MemoryStore::new()))).await;
    let results = world.make(vec![Call::Probe, remember("facts", "x"), search("facts", "x")]).await;
    let Ok(Answer::Probe { calls, .. }) = &results[0] else { panic!("{results:?}") };
    assert!(!calls.contains(&SyscallNo::Remember) && !calls.contains(&SyscallNo::Search));
    for result in &results[1..] {
        assert_eq!(result.as_ref().unwrap_err().kind, ErrorKind::Unsupported);
    }
    world.end().await;
}

#[tokio::test]
async fn a_recovery_answers_from_the_journal_and_asks_nobody() {
    let (store, memory) = (MemoryStore::new(), Moody::new(Mood::Fine));
    let on = async || World::with(|b| b.store(store.clone()).memory(memory.clone())).await;
    let world = on().await;
    let steps =
        vec![vec![remember("facts", "a key")], vec![search("facts", "key"), receive()], vec![Call::Now]];
    let pid = world.spawn(steps).await;
    world.run().await;
    drop(world);
    assert_eq!(memory.asked(), 2);
    memory
        .inner
        .forget(&everything(&memory).await[0].namespace.clone(), &[everything(&memory).await[0].id.clone()])
        .await
        .unwrap();
    let world = on().await;
    world.kernel.recover().await.unwrap();
    world.kernel.send(pid, "go on").await.unwrap();
    world.run().await;
    assert_eq!(memory.asked(), 2, "what was found then is in the journal");
    assert_eq!(texts(&world.step(pid, 2).await[0]), ["a key"], "also what is forgotten since");
    world.end().await;
}

#[tokio::test]
async fn what_was_in_flight_at_a_crash_is_made_again_and_kept_once() {
    let (store, memory) = (MemoryStore::new(), Moody::new(Mood::Mute));
    let on = async || World::with(|b| b.store(store.clone()).memory(memory.clone())).await;
    let world = on().await;
    let pid = world.spawn(vec![vec![remember("facts", "a key"), search("facts", "key")]]).await;
    tokio::select! {
        () = world.run() => panic!("it hangs"),
        () = async { while memory.asked() < 2 { tokio::time::sleep(Duration::from_millis(2)).await } } => {}
    }
    drop(world);
    assert_eq!(everything(&memory).await.len(), 1, "the write landed");
    *memory.mood.lock() = Mood::Fine;
    let world = on().await;
    world.kernel.recover().await.unwrap();
    world.run().await;
    let kept = everything(&memory).await;
    assert_eq!(kept.len(), 1, "under the same id");
    let results = world.step(pid, 1).await;
    assert_eq!(results[0], Ok(Answer::Remembered { id: kept[0].id.clone() }));
    assert_eq!(texts(&results[1]), ["a key"]);
    let attempts = entries(&*world.kernel.store(), pid).await.into_iter();
    let attempts = attempts.filter(|entry| matches!(entry.event, Event::Attempt { number: 2, .. })).count();
    assert_eq!(attempts, 2, "each attempt is on record");
    world.end().await;
}

#[tokio::test]
async fn while_the_memory_is_away_calls_wait_and_then_go_on() {
    let memory = Moody::new(Mood::Away);
    let world = World::with(|builder| builder.memory(memory.clone())).await;
    let pid = world.spawn(vec![vec![remember("facts", "a key")], vec![search("facts", "key")]]).await;
    let mut back = None;
    world
        .run_and(async {
            while memory.asked() < 3 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            *memory.mood.lock() = Mood::Fine;
            back = Some(std::time::Instant::now());
        })
        .await;
    assert!(back.unwrap().elapsed() < Duration::from_secs(1), "it goes on within a second");
    assert_eq!(texts(&world.step(pid, 2).await[0]), ["a key"]);
    world.end().await;
}

#[tokio::test]
async fn a_memory_that_stays_away_hangs_or_panics_is_answered_once() {
    let short = Duration::from_millis(60);
    let limits = Limits { store_patience: short, embed: short, step: short * 5, ..Limits::default() };
    for (mood, kind) in [
        (Mood::Away, ErrorKind::Unavailable),
        (Mood::Mute, ErrorKind::Deadline),
        (Mood::Panics, ErrorKind::Faulted),
    ] {
        let memory = Moody::new(mood);
        // Printing a panic's backtrace may take longer.
        let limits = if mood == Mood::Panics { Limits::default() } else { limits };
        let world = World::with(|builder| builder.memory(memory.clone()).limits(limits)).await;
        let error = world.refused(search("facts", "key")).await;
        assert_eq!(error.kind, kind, "{error}");
        if mood == Mood::Away {
            assert_eq!(error.retry, Retry::Now);
        }
        world.end().await;
    }
}

/// Knows two directions: the sea, and all else.
struct Nautical;

impl Embedder for Nautical {
    fn model(&self) -> &str {
        "nautical@2"
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let about = |text: &&str| {
            assert!(!text.contains("panic"), "the embedder panics, as asked");
            let at_sea = ["ferry", "ship", "boat"].iter().any(|word| text.contains(word));
            if at_sea { vec![1.0, 0.1] } else { vec![0.1, 1.0] }
        };
        Ok(texts.iter().map(about).collect())
    }
}

#[tokio::test]
async fn with_an_embedder_what_means_the_same_is_found_and_vectors_name_their_model() {
    let world = World::with(|builder| builder.embedder(Nautical)).await;
    let results = world
        .make(vec![
            remember("facts", "the ferry leaves at noon"),
            remember("facts", "bread is baked at six"),
            remember("facts", "do not panic"),
        ])
        .await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    let results = world.make(vec![search("facts", "any ship?"), search("facts", "panic")]).await;
    assert_eq!(texts(&results[0])[0], "the ferry leaves at noon");
    assert_eq!(texts(&results[1]), ["do not panic"], "by words alone where the embedder fails");
    let kept = everything(&*world.kernel.memory().unwrap()).await;
    let models: Vec<_> =
        kept.iter().map(|item| item.vector.as_ref().map(|vector| vector.model.as_str())).collect();
    assert_eq!(models, [Some("nautical@2"), Some("nautical@2"), None]);
    world.end().await;
}

#[tokio::test]
async fn a_fork_does_not_remember_what_its_origin_does() {
    let memory = Moody::new(Mood::Mute);
    let world = World::with(|builder| builder.memory(memory.clone())).await;
    let pid = world.spawn(vec![vec![remember("facts", "a key")], vec![Call::Now]]).await;
    let mut fork = None;
    tokio::select! {
        () = world.run() => panic!("it hangs"),
        () = async {
            while memory.asked() < 1 { tokio::time::sleep(Duration::from_millis(2)).await }
            fork = Some(world.kernel.fork(pid, &kernel::Moment::Now, None).await.unwrap().pid);
        } => {}
    }
    let fork: Pid = fork.unwrap();
    world.kernel.resume(fork).await.unwrap();
    tokio::time::timeout(Duration::from_millis(300), world.kernel.run_until(kernel::Until::Idle)).await.ok();
    assert_eq!(everything(&memory).await.len(), 1, "one fact, kept by the origin");
    let told = entries(&*world.kernel.store(), fork).await.into_iter().find_map(|entry| match entry.event {
        Event::Forked { results, .. } => results[0].clone(),
        _ => None,
    });
    assert_eq!(told.unwrap().unwrap_err().kind, ErrorKind::Interrupted);
    world.end().await;
}
