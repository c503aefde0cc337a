//! Going on from an earlier moment: forks, going back, names of moments.

use std::sync::Arc;
use std::time::Duration;

use kernel::mediation::entries;
use kernel::{KernelError, Moment, StoredSpace, Until, checkpoint, checkpoints, moment};
use kernel_context::{MemorySwap, PagerConfig, Replacement};
use kernel_storage::{Commit, CommitOutcome, MemoryStore, SqliteStore, Store, StoreError, Version};
use kernel_types::{
    AgentRow, Answer, Budget, Call, ErrorKind, Event, ExitStatus, Hash, MicroUsd, Pid, ProcessState, Record,
    Signal, Spec, StepNo,
};

use crate::world::{PRICED, STREAM, World, get, infer, page, put, receive, script, tool};

const STEPS: u64 = 6;

/// Each step has a page, a value and an inference.
fn story() -> Spec {
    let step = |n: u64| vec![page(&format!("Chapter {n}.")), put("n", &n.to_string()), infer(PRICED)];
    script((1..=STEPS).map(step).collect())
}

async fn on(store: &Arc<dyn Store>) -> World {
    let store = Arc::clone(store);
    World::with(|builder| builder.store(store)).await
}

/// The stores that keep versions, the folder of the second.
async fn stores() -> (Vec<Arc<dyn Store>>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(folder.path().join("agents.db")).await.unwrap();
    (vec![Arc::new(MemoryStore::new()), Arc::new(sqlite)], folder)
}

/// What the last commit of a step says of its state: of the program, of the page table.
async fn state(store: &dyn Store, pid: Pid, step: u64) -> (Hash, Hash) {
    let ends = entries(store, pid).await.into_iter().filter(|entry| entry.record.step == StepNo(step));
    let states = ends.filter_map(|entry| match entry.event {
        Event::Step { program, pages, .. } => Some((program, pages)),
        _ => None,
    });
    states.last().expect("a step ends with a commit")
}

/// The hash of the prompt that a step showed to its model.
async fn prompt(store: &dyn Store, pid: Pid, step: u64) -> Hash {
    let views = entries(store, pid).await.into_iter().filter(|entry| entry.record.step == StepNo(step));
    let mut views = views.filter_map(|entry| match entry.event {
        Event::Intent { view: Some(view), .. } => Some(view.prompt),
        _ => None,
    });
    views.next().expect("the step asked a model")
}

async fn values(store: &dyn Store, pid: Pid) -> Vec<(String, String)> {
    store.values(pid).await.unwrap()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn config(kernel_window: u64) -> PagerConfig {
    PagerConfig {
        model: PRICED.to_owned(),
        window: kernel_types::Tokens(kernel_window),
        cache: kernel_types::CacheModel::default(),
        keep_warm: false,
    }
}

#[tokio::test]
async fn a_fork_has_the_state_the_pages_and_the_values_of_any_step() {
    let (stores, _folder) = stores().await;
    for store in stores {
        let world = on(&store).await;
        let pid = world.start(story()).await;
        world.run().await;
        let whole = world.results(pid).await;
        for step in 1..=STEPS {
            let at = Moment::Step(StepNo(step));
            let fork = world.kernel.fork(pid, &at, Some("again")).await.unwrap();
            assert_eq!((fork.at.pid, fork.at.step), (pid, StepNo(step)));
            assert_eq!(state(&*store, fork.pid, step).await, state(&*store, pid, step).await);
            assert_eq!(values(&*store, fork.pid).await, [pair("n", &step.to_string())]);
            assert_eq!(world.kernel.resume(fork.pid).await.unwrap(), [fork.pid]);
            world.run().await;
            let info = world.info(fork.pid).await;
            assert_eq!(info.name, "again");
            assert!(matches!(info.state, ProcessState::Exited(ExitStatus::Ok(_))), "{:?}", info.state);
            assert_eq!(info.usage.calls, STEPS - step, "it calls for the steps that were left");
            let later = world.results(fork.pid).await;
            let expected = whole.iter().filter(|((at, _), _)| *at > step);
            assert!(later.iter().eq(expected), "step {step}: {later:?}");
            for next in step + 1..=STEPS {
                assert_eq!(prompt(&*store, fork.pid, next).await, prompt(&*store, pid, next).await);
            }
        }
        assert_eq!(world.results(pid).await, whole, "nothing of it reached the one it was forked from");
        world.end().await;
    }
}

#[tokio::test]
async fn the_pages_of_a_moment_render_the_prompt_of_its_step() {
    let (stores, _folder) = stores().await;
    for store in stores {
        let world = on(&store).await;
        let pid = world.start(story()).await;
        world.run().await;
        for step in 1..=STEPS {
            let at = Moment::Step(StepNo(step));
            let config = config(8192);
            let pagers = Replacement::default();
            let space = StoredSpace::read_at(&*store, pid, &at, &pagers, &config).await.unwrap();
            assert_eq!(space.pager().count() as u64, step);
            let mut swap = MemorySwap::default();
            for status in space.pager().pages() {
                let body = store.blobs(&[status.body]).await.unwrap().remove(0).unwrap();
                swap.insert(std::str::from_utf8(&body).unwrap());
            }
            let rendered = space.pager().render(&swap).unwrap();
            let shown = kernel_types::Prompt { messages: rendered.messages, ..Default::default() };
            assert_eq!(shown.hash(), prompt(&*store, pid, step).await, "step {step}");
        }
        world.end().await;
    }
}

#[tokio::test]
async fn what_was_in_flight_is_made_anew_where_that_is_safe() {
    let world = World::new().await;
    let thinks = world.spawn(vec![vec![page("A page."), infer(STREAM)], vec![Call::Now]]).await;
    let works = world.spawn(vec![vec![tool("hang"), receive()], vec![Call::Now]]).await;
    let mut forks = Vec::new();
    tokio::select! {
        () = world.run() => panic!("it hangs"),
        () = async {
            world.streaming.notified().await;
            forks.push(world.kernel.fork(thinks, &Moment::Now, None).await.unwrap().pid);
            forks.push(world.kernel.fork(works, &Moment::Now, None).await.unwrap().pid);
        } => {}
    }
    let store = world.kernel.store();
    world.kernel.signal(thinks, Signal::Kill).await.unwrap();
    world.kernel.signal(works, Signal::Kill).await.unwrap();
    for fork in &forks {
        world.kernel.resume(*fork).await.unwrap();
    }
    tokio::select! {
        () = world.run() => panic!("the model streams for ever"),
        () = world.streaming.notified() => {}
    }
    // The model was asked once more, on behalf of the fork, under an intent of its own.
    let asked = entries(&*store, forks[0]).await;
    assert_eq!(asked.iter().filter(|entry| matches!(entry.event, Event::Intent { .. })).count(), 1);
    // Nobody knows what the tool did for the other; the receive waits on.
    world.kernel.send(forks[1], "hello").await.unwrap();
    world.kernel.signal(forks[0], Signal::Kill).await.unwrap();
    world.run().await;
    let told = entries(&*store, forks[1]).await.into_iter().find_map(|entry| match entry.event {
        Event::Forked { results, .. } => Some(results),
        _ => None,
    });
    let told = told.expect("it says what it is a fork of");
    assert_eq!(told[0].clone().unwrap().unwrap_err().kind, ErrorKind::Interrupted);
    assert_eq!(told[1], None);
    assert!(matches!(world.step(forks[1], 1).await[..], [Ok(Answer::Message(_))]));
    assert!(matches!(world.state(forks[1]).await, ProcessState::Exited(ExitStatus::Ok(_))));
    world.end().await;
}

#[tokio::test]
async fn a_process_goes_back_and_what_it_spent_stays_spent() {
    let (stores, _folder) = stores().await;
    for store in stores {
        let world = on(&store).await;
        let mut spec = story();
        spec.budget = Budget { cost: Some(MicroUsd(1_000_000)), ..Budget::default() };
        let pid = world.start(spec).await;
        world.kernel.run_until(Until::Steps(5)).await.unwrap();
        let before = world.info(pid).await.usage;
        assert_eq!(values(&*store, pid).await, [pair("n", "5")]);
        let at = Moment::Step(StepNo(2));
        let back = world.kernel.restore(pid, &at).await.unwrap();
        assert_eq!((back.pid, back.at.step), (pid, StepNo(2)));
        assert_eq!(values(&*store, pid).await, [pair("n", "2")]);
        assert_eq!(state(&*store, pid, 6).await, state(&*store, pid, 2).await, "under a step of its own");
        world.kernel.resume(pid).await.unwrap();
        world.run().await;
        let info = world.info(pid).await;
        assert!(matches!(info.state, ProcessState::Exited(ExitStatus::Ok(_))), "{:?}", info.state);
        assert_eq!(info.usage.calls, before.calls + STEPS - 2, "steps 3 to 6 were made again");
        assert_eq!(prompt(&*store, pid, 7).await, prompt(&*store, pid, 3).await);
        assert_eq!(values(&*store, pid).await, [pair("n", &STEPS.to_string())]);
        // Both pasts are there.
        for (step, n) in [(4, "4"), (6, "2"), (7, "3"), (8, "4")] {
            let fork = world.kernel.fork(pid, &Moment::Step(StepNo(step)), None).await.unwrap();
            assert_eq!(values(&*store, fork.pid).await, [pair("n", n)], "step {step}");
        }
        let ended = world.kernel.restore(pid, &at).await.unwrap_err();
        assert!(ended.to_string().contains("fork it"), "{ended}");
        world.end().await;
    }
}

#[tokio::test]
async fn going_back_ends_what_is_in_flight() {
    let world = World::with(|builder| builder.quota(crate::paid::cost(1_000_000))).await;
    let steps = vec![vec![page("A page."), infer(PRICED)], vec![infer(STREAM)], vec![Call::Now]];
    let pid = world.spawn(steps).await;
    tokio::select! {
        () = world.run() => panic!("it hangs"),
        () = world.streaming.notified() => {}
    }
    world.kernel.restore(pid, &Moment::Step(StepNo(1))).await.unwrap();
    let cut = world.step(pid, 2).await;
    assert_eq!(cut[0].clone().unwrap_err().kind, ErrorKind::Cancelled);
    let usage = kernel::process_info(&world.kernel.store().agent(pid).await.unwrap().unwrap()).unwrap().usage;
    assert_eq!(usage.calls, 2, "the lost call is charged");
    let spent = world.kernel.spent(None).await.unwrap().unwrap();
    assert_eq!((spent.calls, spent.cost), (usage.calls, usage.cost), "to those above it too");
    world.kernel.resume(pid).await.unwrap();
    tokio::select! {
        () = world.run() => panic!("it hangs again"),
        () = world.streaming.notified() => {}
    }
    world.kernel.signal(pid, Signal::Kill).await.unwrap();
    world.run().await;
    world.end().await;
}

#[tokio::test]
async fn moments_get_names_from_the_program_and_from_outside() {
    let world = World::new().await;
    let store = world.kernel.store();
    let name = |name: &str| Call::Checkpoint { name: name.to_owned() };
    let steps = vec![
        vec![put("n", "1"), name("start")],
        vec![put("n", "2"), infer(PRICED), page("A page.")],
        vec![put("n", "3"), name("end")],
        vec![receive()],
    ];
    let pid = world.spawn(steps).await;
    world.run().await;
    let known = checkpoints(&*store, pid).await.unwrap();
    let named: Vec<_> = known.iter().map(|(name, at)| (name.as_str(), at.step.0)).collect();
    assert_eq!(named, [("start", 1), ("end", 3)]);
    // From outside, beside the kernel: at once for who looks, and taken by the process.
    let at = checkpoint(&*store, pid, "middle", &Moment::Step(StepNo(2))).await.unwrap();
    assert_eq!(at.step, StepNo(2));
    assert_eq!(moment(&*store, pid, &Moment::Checkpoint("middle".to_owned())).await.unwrap(), at);
    for (name, n) in [("start", "1"), ("middle", "2"), ("end", "3")] {
        let at = Moment::Checkpoint(name.to_owned());
        let fork = world.kernel.fork(pid, &at, None).await.unwrap();
        assert_eq!(values(&*store, fork.pid).await, [pair("n", n)]);
        let inherited = checkpoints(&*store, fork.pid).await.unwrap();
        assert!(inherited.iter().all(|(_, at)| at.pid == pid));
    }
    let back = world.kernel.restore(pid, &Moment::Checkpoint("start".to_owned())).await.unwrap();
    assert_eq!(back.at.step, StepNo(1));
    let told = entries(&*store, pid).await.into_iter().find_map(|entry| match entry.event {
        Event::Restored { results, .. } => Some(results),
        _ => None,
    });
    let restored = Some(Ok(Answer::Restored { from: StepNo(4) }));
    assert_eq!(told.unwrap(), [Some(Ok(Answer::Done)), restored], "the program is told");
    world.kernel.resume(pid).await.unwrap();
    world.run().await;
    let named: Vec<_> = checkpoints(&*store, pid).await.unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(named, ["start", "middle", "end"], "names stay, and move with the program");
    world.end().await;
}

#[tokio::test]
async fn a_fork_of_a_fork_reaches_what_both_inherited() {
    let world = World::new().await;
    let store = world.kernel.store();
    let pid = world.start(story()).await;
    world.run().await;
    let first = world.kernel.fork(pid, &Moment::Step(StepNo(4)), None).await.unwrap().pid;
    world.kernel.resume(first).await.unwrap();
    world.kernel.run_until(Until::Steps(1)).await.unwrap();
    let second = world.kernel.fork(first, &Moment::Step(StepNo(5)), None).await.unwrap();
    assert_eq!(second.at.pid, first);
    for (step, of) in [(2, pid), (4, pid), (5, first)] {
        let third = world.kernel.fork(second.pid, &Moment::Step(StepNo(step)), None).await.unwrap();
        assert_eq!((third.at.pid, third.at.step), (of, StepNo(step)));
        assert_eq!(values(&*store, third.pid).await, [pair("n", &step.to_string())]);
        world.kernel.resume(third.pid).await.unwrap();
    }
    world.kernel.resume(second.pid).await.unwrap();
    world.run().await;
    assert_eq!(prompt(&*store, second.pid, 6).await, prompt(&*store, pid, 6).await);
    world.end().await;
}

#[tokio::test]
async fn an_ended_process_is_forked_as_it_was_before_it_ended() {
    let world = World::new().await;
    let pid =
        world.spawn(vec![vec![put("n", "1"), infer(PRICED), page("A page.")], vec![get("n"), receive()]]);
    let pid = pid.await;
    world.run().await;
    world.kernel.signal(pid, Signal::Kill).await.unwrap();
    world.run().await;
    let fork = world.kernel.fork(pid, &Moment::Now, None).await.unwrap();
    world.kernel.resume(fork.pid).await.unwrap();
    world.kernel.send(fork.pid, "go on").await.unwrap();
    world.run().await;
    assert!(matches!(world.state(fork.pid).await, ProcessState::Exited(ExitStatus::Ok(_))));
    world.end().await;
}

#[tokio::test]
async fn bad_moments_get_one_clear_error_and_make_nothing() {
    let world = World::new().await;
    let store = world.kernel.store();
    let pid = world.spawn(vec![vec![put("n", "1"), receive()]]).await;
    world.run().await;
    let rows = store.agents(None, false, 100).await.unwrap();
    let refused =
        |result: Result<_, KernelError>| result.map(|_: kernel::Resumable| ()).unwrap_err().to_string();
    let named = Moment::Checkpoint("never".to_owned());
    assert!(refused(world.kernel.fork(pid, &named, None).await).contains("it has none"));
    assert!(refused(world.kernel.restore(pid, &named).await).contains("no checkpoint \"never\""));
    let late = refused(world.kernel.fork(pid, &Moment::Step(StepNo(99)), None).await);
    assert!(late.contains("has made 1 steps so far"), "{late}");
    let nobody = Pid::fresh();
    assert!(refused(world.kernel.fork(nobody, &Moment::Now, None).await).contains("no process"));
    for name in ["", "7", "now", "a\nb", &"x".repeat(65)] {
        let error = checkpoint(&*store, pid, name, &Moment::Now).await.unwrap_err();
        assert!(error.to_string().contains("a checkpoint's name"), "{error}");
        let error = world.refused(Call::Checkpoint { name: name.to_owned() }).await;
        assert_eq!(error.kind, ErrorKind::InvalidArgument);
    }
    let after = store.agents(None, false, 100).await.unwrap();
    assert_eq!(after.iter().find(|row| row.pid == pid), rows.iter().find(|row| row.pid == pid));
    world.kernel.send(pid, "go on").await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), world.kernel.run_until(Until::Idle))
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(world.state(pid).await, ProcessState::Exited(_)), "it runs on");
    world.end().await;
}

#[tokio::test]
async fn a_fork_without_a_kernel_is_run_by_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agents.db");
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).await.unwrap());
    let world = on(&store).await;
    let pid = world.start(story()).await;
    world.run().await;
    world.kernel.shutdown().await.unwrap();
    let fork = kernel::fork(&*store, pid, &Moment::Step(StepNo(3)), None).await.unwrap();
    let world = on(&store).await;
    assert_eq!(world.kernel.recover().await.unwrap(), [fork.pid]);
    world.run().await;
    assert_eq!(world.info(fork.pid).await.usage.calls, STEPS - 3);
    world.end().await;
}

/// Before its first step a program has saved nothing: it begins anew, under steps that it had not made yet.
#[tokio::test]
async fn a_process_goes_back_to_before_its_first_step() {
    let (stores, _folder) = stores().await;
    for store in stores {
        let world = on(&store).await;
        let pid = world.spawn(vec![vec![put("n", "1")], vec![receive()], vec![get("n")]]).await;
        world.run().await;
        world.kernel.restore(pid, &Moment::Step(StepNo(0))).await.unwrap();
        assert_eq!(values(&*store, pid).await, []);
        drop(world);
        let world = on(&store).await;
        world.kernel.resume(pid).await.unwrap();
        world.run().await;
        assert_eq!(values(&*store, pid).await, [pair("n", "1")], "it made its first step again");
        world.kernel.send(pid, "go on").await.unwrap();
        world.run().await;
        assert!(matches!(world.state(pid).await, ProcessState::Exited(ExitStatus::Ok(_))));
        world.end().await;
    }
}

/// Who went back and is loaded again still knows the children that go on meanwhile.
#[tokio::test]
async fn who_goes_back_knows_its_children() {
    let world = World::new().await;
    let child = script(vec![vec![receive()]]);
    let wait = Call::Wait(kernel_types::WaitArgs::default());
    let pid = world.spawn(vec![vec![crate::world::spawn(child)], vec![receive()], vec![wait]]).await;
    world.run().await;
    let child = world.child_of(pid).await;
    world.kernel.restore(pid, &Moment::Now).await.unwrap();
    world.kernel.resume(pid).await.unwrap();
    world.run().await;
    world.kernel.send(pid, "go on").await.unwrap();
    world.kernel.send(child, "go on").await.unwrap();
    world.run().await;
    let results = world.results(pid).await;
    let waited = results.values().next_back().unwrap();
    assert!(matches!(waited, Ok(Answer::Exited { pid, .. }) if *pid == child), "{results:?}");
    world.end().await;
}

/// Never commits the first row of a child.
#[derive(Clone)]
struct Childless {
    store: MemoryStore,
}

#[async_trait::async_trait]
impl kernel_storage::Journal for Childless {
    async fn claim(&self) -> Result<kernel_types::Epoch, StoreError> {
        self.store.claim().await
    }
    async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        if batch.iter().any(|commit| commit.row.revision == 1 && commit.row.parent != Pid::INIT) {
            std::future::pending::<()>().await;
        }
        self.store.commit(batch).await
    }
    async fn agent(&self, pid: Pid) -> Result<Option<AgentRow>, StoreError> {
        self.store.agent(pid).await
    }
    async fn agents(
        &self,
        after: Option<Pid>,
        live: bool,
        limit: usize,
    ) -> Result<Vec<AgentRow>, StoreError> {
        self.store.agents(after, live, limit).await
    }
    async fn records(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.store.records(pid, from, limit).await
    }
    async fn values(&self, pid: Pid) -> Result<Vec<(String, String)>, StoreError> {
        self.store.values(pid).await
    }
    async fn as_of(&self, pid: Pid, records: u64) -> Result<Option<Version>, StoreError> {
        self.store.as_of(pid, records).await
    }
}

kernel_storage::delegate_store!(Childless, store);

/// A `fork` that was in flight made nobody: who goes back to it made the call, and does not take itself for its own fork. A fork
/// of that moment is one.
#[tokio::test]
async fn who_goes_back_to_a_fork_is_not_the_fork() {
    let store = MemoryStore::new();
    let childless = Childless { store: store.clone() };
    let world = World::with(|builder| builder.store(childless)).await;
    let pid = world.spawn(vec![vec![Call::Fork], vec![Call::Now]]).await;
    let open = async {
        let made = |entry: &kernel::mediation::Entry| matches!(entry.event, Event::Intent { .. });
        while !entries(&store, pid).await.iter().any(made) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = world.run() => panic!("the fork ended"),
        () = open => {}
    }
    drop(world);
    let fork = kernel::fork(&store, pid, &Moment::Now, None).await.unwrap();
    kernel::restore(&store, pid, &Moment::Now).await.unwrap();
    let told = async |pid: Pid| {
        entries(&store, pid).await.into_iter().find_map(|entry| match entry.event {
            Event::Restored { results, .. } | Event::Forked { results, .. } => Some(results),
            _ => None,
        })
    };
    let back = told(pid).await.unwrap();
    assert_eq!(back[0].as_ref().unwrap().as_ref().unwrap_err().kind, ErrorKind::Interrupted);
    assert_eq!(told(fork.pid).await.unwrap(), [Some(Ok(Answer::Forked { from: pid }))]);
}
