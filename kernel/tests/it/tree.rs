//! Parents, children and orphans.

use kernel_types::{
    Answer, Budget, Call, Capabilities, ErrorKind, ExitStatus, MicroUsd, Millis, Pid, ProcessState, Signal,
    Spec, SysError, Tokens, ToolGrant, WaitArgs,
};

use crate::world::{World, holding, put, receive, script, spawn, tool};

fn wait() -> Call {
    Call::Wait(WaitArgs::default())
}

fn exits(words: &str) -> Spec {
    script(vec![vec![Call::Exit(ExitStatus::Ok(words.to_owned()))]])
}

#[tokio::test]
async fn a_parent_waits_for_its_child_and_reaps_it_once() {
    let world = World::new().await;
    let parent = world.spawn(vec![vec![spawn(exits("done"))], vec![wait()], vec![wait()]]).await;
    world.run().await;
    let child = world.child_of(parent).await;
    assert_eq!(world.info(child).await.parent, parent);
    let status = ExitStatus::Ok("done".to_owned());
    assert_eq!(world.step(parent, 2).await, [Ok(Answer::Exited { pid: child, status })]);
    let again = world.step(parent, 3).await.remove(0).unwrap_err();
    assert_eq!(again.kind, ErrorKind::NotFound, "no child is left: {again}");
    world.end().await;
}

#[tokio::test]
async fn children_are_reaped_as_they_end() {
    let world = World::new().await;
    let slow = script(vec![vec![Call::Sleep { ms: Millis(60) }]]);
    let parent =
        world.spawn(vec![vec![spawn(slow), spawn(exits("quick"))], vec![wait()], vec![wait()]]).await;
    world.run().await;
    let spawned: Vec<Pid> = world.step(parent, 1).await.into_iter().map(pid_of).collect();
    let first = world.step(parent, 2).await.remove(0);
    let second = world.step(parent, 3).await.remove(0);
    assert_eq!((reaped(first), reaped(second)), (spawned[1], spawned[0]));
    world.end().await;
}

fn pid_of(result: Result<Answer, SysError>) -> Pid {
    match result {
        Ok(Answer::Pid(pid)) => pid,
        other => panic!("{other:?}"),
    }
}

fn reaped(result: Result<Answer, SysError>) -> Pid {
    match result {
        Ok(Answer::Exited { pid, .. }) => pid,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_wait_ends_at_its_deadline_and_knows_whose_child_it_is() {
    let world = World::new().await;
    let stranger = world.spawn(vec![vec![receive()]]).await;
    let wait_for = |pid, ms| Call::Wait(WaitArgs { pid, timeout: Some(Millis(ms)) });
    let parked = script(vec![vec![receive()]]);
    let steps = vec![
        vec![spawn(parked)],
        vec![wait_for(None, 20)],
        vec![wait_for(None, 0)],
        vec![wait_for(Some(stranger), 20)],
    ];
    let parent = world.spawn(steps).await;
    world.run().await;
    for (step, kind) in [(2, ErrorKind::Deadline), (3, ErrorKind::Deadline), (4, ErrorKind::NotFound)] {
        assert_eq!(world.step(parent, step).await.remove(0).unwrap_err().kind, kind, "step {step}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_child_that_was_killed_is_reaped_as_killed() {
    let world = World::new().await;
    let parent = world.spawn(vec![vec![spawn(script(vec![vec![receive()]]))], vec![wait()]]).await;
    world.run().await;
    let child = world.child_of(parent).await;
    world.kernel.signal(child, Signal::Kill).await.unwrap();
    world.run().await;
    let status = ExitStatus::Killed(Signal::Kill);
    assert_eq!(world.step(parent, 2).await, [Ok(Answer::Exited { pid: child, status })]);
    world.end().await;
}

#[tokio::test]
async fn orphans_go_to_init_and_go_on() {
    let world = World::new().await;
    let child = script(vec![vec![receive()], vec![put("after", "1")]]);
    let parent = world.spawn(vec![vec![spawn(child)]]).await;
    world.run().await;
    let orphan = world.child_of(parent).await;
    assert!(matches!(world.state(parent).await, ProcessState::Exited(_)));
    assert_eq!(world.info(orphan).await.parent, Pid::INIT);
    let row = world.kernel.store().agent(orphan).await.unwrap().unwrap();
    assert_eq!(row.parent, Pid::INIT, "the store knows it too");
    world.kernel.send(orphan, "go on").await.unwrap();
    world.run().await;
    assert!(matches!(world.state(orphan).await, ProcessState::Exited(ExitStatus::Ok(_))));
    world.end().await;
}

#[tokio::test]
async fn a_child_may_not_have_more_than_its_parent() {
    let world = World::new().await;
    let echo_only = Capabilities {
        tools: vec![ToolGrant { tool: "echo".to_owned(), ..ToolGrant::default() }],
        read: vec!["docs".to_owned()],
        ..Capabilities::all()
    };
    let greedy = [
        Capabilities::all(),
        Capabilities { read: vec![".".to_owned()], ..echo_only.clone() },
        Capabilities {
            tools: vec![ToolGrant { tool: "hang".to_owned(), ..ToolGrant::default() }],
            ..echo_only.clone()
        },
    ];
    for wanted in greedy {
        let child = holding(wanted, exits("never"));
        let parent = world.start(holding(echo_only.clone(), script(vec![vec![spawn(child)]]))).await;
        world.run().await;
        let error = world.step(parent, 1).await.remove(0).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    }
    let count = world.kernel.status().await.unwrap().len();
    assert_eq!(count, 3, "no child came into being");
    // The positive control: the same or less is granted.
    let less = Capabilities { read: vec!["docs/en".to_owned()], ..echo_only.clone() };
    for wanted in [echo_only.clone(), less] {
        let child = holding(wanted, exits("done"));
        let parent =
            world.start(holding(echo_only.clone(), script(vec![vec![spawn(child)], vec![wait()]]))).await;
        world.run().await;
        assert!(world.step(parent, 2).await[0].is_ok());
    }
    world.end().await;
}

#[tokio::test]
async fn a_child_without_capabilities_of_its_own_has_its_parents() {
    let world = World::new().await;
    let no_tools = Capabilities { tools: Vec::new(), ..Capabilities::all() };
    let child = script(vec![vec![tool("echo")]]);
    let parent = world.start(holding(no_tools, script(vec![vec![spawn(child)], vec![wait()]]))).await;
    world.run().await;
    let child = world.child_of(parent).await;
    assert_eq!(world.step(child, 1).await.remove(0).unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(world.tools.calls_of("echo"), 0);
    world.end().await;
}

#[tokio::test]
async fn a_spawn_that_cannot_start_is_an_error_and_costs_nothing() {
    let world = World::new().await;
    let budget = Budget { calls: Some(4), ..Budget::default() };
    let unknown = Spec { program: "no-such-program".to_owned(), budget, ..Spec::default() };
    let malformed = Spec { program: "script".to_owned(), task: "= not toml".to_owned(), ..Spec::default() };
    let parent = world
        .limited(vec![vec![spawn(unknown), spawn(malformed)]], Budget { calls: Some(10), ..budget })
        .await;
    world.run().await;
    for result in world.step(parent, 1).await {
        assert_eq!(result.unwrap_err().kind, ErrorKind::InvalidArgument);
    }
    assert_eq!(world.info(parent).await.budget.calls, Some(10));
    world.end().await;
}

#[tokio::test]
async fn a_childs_limits_come_out_of_its_parents_and_what_is_left_goes_back() {
    let world = World::new().await;
    let of = |calls| Budget { calls: Some(calls), ..Budget::default() };
    let child = Spec { budget: of(6), ..script(vec![vec![tool("echo"), tool("echo")]]) };
    let parent = world.limited(vec![vec![spawn(child)], vec![receive()], vec![wait()]], of(10)).await;
    world.run().await;
    assert_eq!(world.info(parent).await.budget.calls, Some(4), "6 of 10 are the child's");
    world.kernel.send(parent, "reap").await.unwrap();
    world.run().await;
    assert_eq!(world.info(parent).await.budget.calls, Some(8), "the child used 2 of its 6");
    world.end().await;
}

#[tokio::test]
async fn a_child_gets_half_of_a_limit_it_does_not_ask_for_and_never_more_than_is_left() {
    let world = World::new().await;
    let limits = Budget {
        calls: Some(8),
        tokens: Some(Tokens(800)),
        cost: Some(MicroUsd(80)),
        steps: Some(40),
        ..Budget::default()
    };
    let parked = script(vec![vec![receive()]]);
    let too_much =
        Spec { budget: Budget { tokens: Some(Tokens(401)), ..Budget::default() }, ..parked.clone() };
    let parent = world.limited(vec![vec![spawn(parked)], vec![spawn(too_much)]], limits).await;
    world.run().await;
    let child = world.info(world.child_of(parent).await).await.budget;
    assert_eq!((child.calls, child.tokens, child.cost), (Some(4), Some(Tokens(400)), Some(MicroUsd(40))));
    let error = world.step(parent, 2).await.remove(0).unwrap_err();
    assert_eq!(error.kind, ErrorKind::QuotaExceeded, "{error}");
    world.end().await;
}
