//! Locks between processes, through syscalls.

use std::time::Duration;

use kernel::programs::{OnError, Script, ScriptStep};
use kernel::{Kernel, Until};
use kernel_storage::MemoryStore;
use kernel_types::{
    Answer, Call, ErrorKind, InferArgs, Millis, Pid, Priority, ProcessState, Seq, Signal, Spec, StepNo,
    SysError, Tokens,
};

use crate::world::{World, script};

fn lock(name: &str) -> Call {
    Call::Lock { name: name.to_owned(), timeout: Millis(20_000) }
}

fn unlock(name: &str) -> Call {
    Call::Unlock { name: name.to_owned() }
}

fn sleep(ms: u64) -> Call {
    Call::Sleep { ms: Millis(ms) }
}

/// Goes on when a call fails.
fn tolerant(steps: Vec<Vec<Call>>) -> Spec {
    let step = steps.into_iter().map(|calls| ScriptStep { repeat: 1, calls }).collect();
    Script { on_error: OnError::Continue, step }.spec("script").unwrap()
}

async fn result(world: &World, pid: Pid, step: u64) -> Result<Answer, SysError> {
    world.step(pid, step).await.remove(0)
}

/// When a step's first call was answered, in the order of the journal's times.
async fn at(kernel: &Kernel, pid: Pid, step: u64) -> u64 {
    let records = kernel.store().records(pid, 1, 1024).await.unwrap();
    let of = |record: &&kernel_types::Record| record.step == StepNo(step) && record.call == Some(Seq(0));
    records.iter().rfind(of).expect("the call was answered").at.0
}

#[tokio::test]
async fn one_process_holds_a_lock_at_a_time() {
    let world = World::new().await;
    let first = world.spawn(vec![vec![lock("a")], vec![sleep(60)], vec![unlock("a")], vec![sleep(60)]]).await;
    let second = world.spawn(vec![vec![sleep(10)], vec![lock("a")], vec![unlock("a")]]).await;
    world.run().await;
    let (gave_up, got) = (at(&world.kernel, first, 3).await, at(&world.kernel, second, 2).await);
    assert!(got >= gave_up, "{got} is before {gave_up}");
    assert!(got < gave_up + 50, "at once, not at the end of the first: {gave_up} {got}");
}

#[tokio::test]
async fn who_holds_it_already_who_does_not_hold_it_and_bad_names_are_told_so() {
    let world = World::new().await;
    let steps = vec![
        vec![lock("a")],
        vec![lock("a")],
        vec![unlock("b")],
        vec![lock("")],
        vec![lock(&"x".repeat(257))],
    ];
    let pid = world.start(tolerant(steps)).await;
    world.run().await;
    assert_eq!(result(&world, pid, 1).await, Ok(Answer::Done));
    let kinds = [
        ErrorKind::InvalidArgument,
        ErrorKind::NotFound,
        ErrorKind::InvalidArgument,
        ErrorKind::InvalidArgument,
    ];
    for (step, kind) in (2..).zip(kinds) {
        assert_eq!(result(&world, pid, step).await.map_err(|error| error.kind), Err(kind), "step {step}");
    }
}

#[tokio::test]
async fn a_wait_has_a_deadline() {
    let world = World::new().await;
    world.spawn(vec![vec![lock("a")], vec![sleep(150)]]).await;
    let brief = Call::Lock { name: "a".to_owned(), timeout: Millis(40) };
    let waiter =
        world.start(tolerant(vec![vec![sleep(10)], vec![brief], vec![sleep(150)], vec![lock("a")]])).await;
    world.run().await;
    assert_eq!(result(&world, waiter, 2).await.map_err(|error| error.kind), Err(ErrorKind::Deadline));
    assert_eq!(result(&world, waiter, 4).await, Ok(Answer::Done), "its holder has ended");
}

#[tokio::test]
async fn a_cycle_is_found_and_named() {
    let world = World::new().await;
    let left = vec![vec![lock("a")], vec![sleep(50)], vec![lock("b")], vec![unlock("b")], vec![unlock("a")]];
    let right = vec![vec![lock("b")], vec![sleep(80)], vec![lock("a")], vec![unlock("b")], vec![sleep(50)]];
    let (left, right) = (world.start(tolerant(left)).await, world.start(tolerant(right)).await);
    world.run().await;
    let refused = result(&world, right, 3).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Failed);
    let (left_name, right_name) = (left.to_string(), right.to_string());
    for part in ["deadlock", &left_name, &right_name, "\"a\"", "\"b\""] {
        assert!(refused.message.contains(part), "{part} in {}", refused.message);
    }
    assert_eq!(result(&world, left, 3).await, Ok(Answer::Done), "the other one has what it waited for");
}

#[tokio::test]
async fn a_holder_that_is_killed_gives_up_what_it_held() {
    let world = World::new().await;
    let holder = world.spawn(vec![vec![lock("a"), lock("b")], vec![sleep(60_000)]]).await;
    let waiter = world.spawn(vec![vec![sleep(20)], vec![lock("a")], vec![lock("b")]]).await;
    world
        .run_and(async {
            tokio::time::sleep(Duration::from_millis(80)).await;
            assert_eq!(world.state(waiter).await, ProcessState::Blocked(kernel_types::WaitReason::Lock));
            world.kernel.signal(holder, Signal::Kill).await.unwrap();
        })
        .await;
    assert_eq!(result(&world, waiter, 2).await, Ok(Answer::Done));
    assert_eq!(result(&world, waiter, 3).await, Ok(Answer::Done));
}

#[tokio::test]
async fn a_waiter_that_is_killed_gets_nothing() {
    let world = World::new().await;
    world.spawn(vec![vec![lock("a")], vec![sleep(120)], vec![unlock("a")], vec![sleep(50)]]).await;
    let killed = world.spawn(vec![vec![sleep(10)], vec![lock("a")], vec![sleep(10)]]).await;
    let next = world.spawn(vec![vec![sleep(30)], vec![lock("a")]]).await;
    world
        .run_and(async {
            tokio::time::sleep(Duration::from_millis(70)).await;
            world.kernel.signal(killed, Signal::Kill).await.unwrap();
        })
        .await;
    assert!(result(&world, killed, 2).await.is_err(), "who is killed while it waits gets no lock");
    assert_eq!(result(&world, next, 2).await, Ok(Answer::Done));
}

#[tokio::test]
async fn a_lock_outlives_the_kernel_and_so_does_the_wait_for_it() {
    let store = MemoryStore::new();
    let first = Kernel::builder().store(store.clone()).build().await.unwrap();
    let holder =
        first.spawn(script(vec![vec![lock("a")], vec![sleep(200)], vec![unlock("a")]])).await.unwrap();
    first.run_until(Until::Steps(2)).await.unwrap();
    let waiter = first.spawn(script(vec![vec![lock("a")], vec![sleep(1)]])).await.unwrap();
    first.run_until(Until::Steps(1)).await.unwrap();
    drop(first);
    let second = Kernel::builder().store(store).build().await.unwrap();
    second.recover().await.unwrap();
    let thief = second.spawn(script(vec![vec![lock("a")]])).await.unwrap();
    second.run_until(Until::Idle).await.unwrap();
    for pid in [holder, waiter, thief] {
        assert!(matches!(second.process(pid).await.unwrap().state, ProcessState::Exited(_)));
    }
    let (gave_up, got, last) =
        (at(&second, holder, 3).await, at(&second, waiter, 1).await, at(&second, thief, 1).await);
    assert!(gave_up <= got && got <= last, "{gave_up} {got} {last}");
}

#[tokio::test]
async fn who_waited_longer_than_the_holder_lives_does_not_take_its_lock_at_a_recovery() {
    let store = MemoryStore::new();
    let first = Kernel::builder().store(store.clone()).build().await.unwrap();
    let waiter = first.spawn(script(vec![vec![sleep(40)], vec![lock("a")], vec![sleep(1)]])).await.unwrap();
    let holder =
        first.spawn(script(vec![vec![lock("a")], vec![sleep(700)], vec![unlock("a")]])).await.unwrap();
    tokio::time::timeout(Duration::from_millis(200), first.run_until(Until::Idle)).await.unwrap_err();
    drop(first);
    let second = Kernel::builder().store(store).build().await.unwrap();
    second.recover().await.unwrap();
    second.run_until(Until::Idle).await.unwrap();
    for pid in [holder, waiter] {
        assert!(matches!(second.process(pid).await.unwrap().state, ProcessState::Exited(_)));
    }
    let (gave_up, got) = (at(&second, holder, 3).await, at(&second, waiter, 2).await);
    assert!(gave_up <= got, "{gave_up} {got}");
}

/// The classic inversion: one of low priority holds a lock that an urgent one waits for, and those in between keep the model
/// busy. The holder's call is taken as if it were the urgent one's.
#[tokio::test]
async fn a_holder_is_as_urgent_as_who_waits_for_it() {
    let urgent = Priority::new(20).unwrap();
    let mut places = Vec::new();
    for inherits in [true, false] {
        let (kernel, served) = crate::world::one_slot(Duration::from_millis(10)).await;
        let page = || crate::world::page("Is it so?");
        let think = || Call::Infer(InferArgs { max_output: Tokens(4), ..InferArgs::default() });
        let low = Spec {
            priority: Priority::LOWEST,
            ..script(vec![vec![page(), lock("a")], vec![sleep(60)], vec![think()], vec![unlock("a")]])
        };
        let high = Spec {
            priority: urgent,
            ..script(vec![vec![sleep(20)], vec![lock(if inherits { "a" } else { "b" })]])
        };
        let holder = kernel.spawn(low).await.unwrap();
        kernel.spawn(high).await.unwrap();
        for _ in 0..6 {
            let busy = std::iter::once(vec![page()]).chain((0..6).map(|_| vec![think()])).collect();
            kernel.spawn(script(busy)).await.unwrap();
        }
        kernel.run_until(Until::Idle).await.unwrap();
        let served = served.lock();
        let place = served.iter().position(|pid| *pid == holder).unwrap();
        places.push(place);
        assert_eq!(served.len(), 37);
    }
    assert!(
        places[0] + 10 <= places[1],
        "with an urgent waiter it went {} of 37, without {}",
        places[0],
        places[1]
    );
}

/// A lock that was given up in a step is asked for anew, behind those who wait; alone, it is had again.
#[tokio::test]
async fn a_lock_given_up_and_wanted_in_one_step_goes_to_who_waits_first() {
    for waited_for in [true, false] {
        let world = World::new().await;
        let again = vec![vec![lock("a")], vec![sleep(100)], vec![unlock("a"), lock("a")], vec![unlock("a")]];
        let first = world.start(tolerant(again)).await;
        let second = vec![
            vec![sleep(if waited_for { 20 } else { 400 })],
            vec![lock("a")],
            vec![sleep(80)],
            vec![unlock("a")],
        ];
        let second = world.start(tolerant(second)).await;
        world.run().await;
        let results = world.step(first, 3).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert!(result(&world, first, 4).await.is_ok());
        assert!(result(&world, second, 2).await.is_ok());
        if waited_for {
            let records = world.kernel.store().records(first, 1, 1024).await.unwrap();
            let of = |record: &&kernel_types::Record| record.step == StepNo(3) && record.call == Some(Seq(1));
            let had = records.iter().rfind(of).unwrap().at.0;
            let gave_up = at(&world.kernel, second, 4).await;
            assert!(had >= gave_up, "it waited for the other: {had}, {gave_up}");
        }
        world.end().await;
    }
}

#[tokio::test]
async fn tenants_have_locks_of_their_own() {
    let world = World::new().await;
    let of = |tenant: &str, spec: Spec| Spec { tenant: tenant.to_owned(), ..spec };
    let holder = world.start(of("press", tolerant(vec![vec![lock("a")], vec![sleep(5_000)]]))).await;
    let at_once = |tenant| {
        let lock = Call::Lock { name: "a".to_owned(), timeout: Millis(50) };
        of(tenant, tolerant(vec![vec![sleep(30)], vec![lock.clone()], vec![lock]]))
    };
    let (same, other) = (world.start(at_once("press")).await, world.start(at_once("radio")).await);
    let kill = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.kernel.signal(holder, Signal::Kill).await.unwrap();
    };
    world.run_and(kill).await;
    assert_eq!(result(&world, same, 2).await.unwrap_err().kind, ErrorKind::Deadline, "control");
    assert!(result(&world, other, 2).await.is_ok());
    let said = result(&world, other, 3).await.unwrap_err().message;
    assert!(said.contains(r#"lock "a" already"#), "the name is as it was given: {said}");
    world.end().await;
}
