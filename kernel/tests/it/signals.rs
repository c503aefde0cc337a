//! What each signal does in each state.

use kernel::programs::Script;
use kernel_types::{
    Answer, Budget, Call, CallResult, ErrorKind, ExitStatus, LimitName, Millis, Pid, ProcessState, Signal,
    SuspendReason, Tokens, WaitReason,
};

use crate::world::{PRICED, STREAM, STREAMED, World, infer, page, put, receive, spawn, tool};

/// A state to signal a process in.
#[derive(Clone, Copy, Debug)]
enum At {
    /// Spawned, never stepped.
    Ready,
    /// A model streams.
    Llm,
    /// The slot of the model is another's.
    Slot,
    Tool,
    Message,
    Timer,
    Child,
    /// Stopped before.
    Stopped,
    /// Its calls are spent.
    Spent,
    /// Its steps are spent.
    NoSteps,
}

const ALL: [At; 10] = [
    At::Ready,
    At::Llm,
    At::Slot,
    At::Tool,
    At::Message,
    At::Timer,
    At::Child,
    At::Stopped,
    At::Spent,
    At::NoSteps,
];

impl At {
    fn steps(self) -> Vec<Vec<Call>> {
        let parked = crate::world::script(vec![vec![receive()]]);
        let blocks = match self {
            Self::Llm => vec![infer(STREAM)],
            Self::Slot => vec![infer(PRICED)],
            Self::Tool => vec![tool("hang")],
            Self::Timer => vec![Call::Sleep { ms: Millis(3_600_000) }],
            Self::Child => vec![Call::Wait(kernel_types::WaitArgs::default())],
            Self::Spent => vec![tool("echo")],
            Self::Ready | Self::NoSteps => vec![put("first", "1")],
            Self::Message | Self::Stopped => vec![receive()],
        };
        let setup = if matches!(self, Self::Child) { spawn(parked) } else { page("hello") };
        let steps = vec![vec![setup], blocks, vec![put("after", "1")]];
        if matches!(self, Self::Ready) { steps[1..].to_vec() } else { steps }
    }

    fn budget(self) -> Budget {
        match self {
            Self::Spent => Budget { calls: Some(0), ..Budget::default() },
            Self::NoSteps => Budget { steps: Some(1), ..Budget::default() },
            _ => Budget::default(),
        }
    }

    fn expected(self) -> ProcessState {
        match self {
            Self::Ready => ProcessState::Ready,
            Self::Llm | Self::Slot => ProcessState::Blocked(WaitReason::Llm),
            Self::Tool => ProcessState::Blocked(WaitReason::Tool),
            Self::Message => ProcessState::Blocked(WaitReason::Message),
            Self::Timer => ProcessState::Blocked(WaitReason::Timer),
            Self::Child => ProcessState::Blocked(WaitReason::Child),
            Self::Stopped => ProcessState::Suspended(SuspendReason::Stopped),
            Self::Spent => ProcessState::Suspended(SuspendReason::Limit(LimitName::Calls)),
            Self::NoSteps => ProcessState::Suspended(SuspendReason::Limit(LimitName::Steps)),
        }
    }
}

/// Brings a process into the state and leaves the rest to `then`, while the kernel runs.
async fn bring(world: &World, at: At, then: impl AsyncFn(Pid)) -> Pid {
    if matches!(at, At::Slot) {
        // Takes the only slot and keeps it.
        world.spawn(vec![vec![page("hello")], vec![infer(STREAM)]]).await;
    }
    let pid = world.limited(at.steps(), at.budget()).await;
    if matches!(at, At::Ready) {
        assert_eq!(world.state(pid).await, at.expected());
        then(pid).await;
        world.run().await;
        return pid;
    }
    world
        .run_and(async {
            let mut stopped = false;
            while world.state(pid).await != at.expected() {
                if matches!(at, At::Stopped)
                    && !stopped
                    && world.state(pid).await == ProcessState::Blocked(WaitReason::Message)
                {
                    world.kernel.signal(pid, Signal::Stop).await.unwrap();
                    stopped = true;
                }
                tokio::task::yield_now().await;
            }
            if matches!(at, At::Llm | At::Slot) {
                world.streaming.notified().await;
            }
            then(pid).await;
            end_others(world, pid, at).await;
        })
        .await;
    // A kernel whose processes all wait for the outside is idle: the run may have been over before the signal.
    world.run().await;
    pid
}

/// Lets the run come to its end: what keeps the slot is not what the test is about.
async fn end_others(world: &World, pid: Pid, at: At) {
    if matches!(at, At::Slot) {
        for info in world.kernel.status().await.unwrap() {
            if info.pid != pid && !matches!(info.state, ProcessState::Exited(_)) {
                world.kernel.signal(info.pid, Signal::Kill).await.unwrap();
            }
        }
    }
}

async fn went_on(world: &World, pid: Pid) -> bool {
    let values = world.kernel.store().values(pid).await.unwrap();
    values.iter().any(|(name, _)| name == "after")
}

/// The call that the process was blocked on, if it was.
async fn blocked_call(world: &World, pid: Pid) -> Option<CallResult> {
    world.results(pid).await.remove(&(2, 0))
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_ends_a_process_in_every_state() {
    for at in ALL {
        let world = World::new().await;
        let pid = bring(&world, at, async |pid| world.kernel.signal(pid, Signal::Kill).await.unwrap()).await;
        assert_eq!(world.state(pid).await, ProcessState::Exited(ExitStatus::Killed(Signal::Kill)), "{at:?}");
        assert!(!went_on(&world, pid).await, "{at:?}: no step after KILL");
        assert_eq!(world.tools.in_flight(), 0, "{at:?}: what was in flight is dropped");
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn term_is_handed_to_the_program_in_every_state() {
    for at in ALL {
        let world = World::new().await;
        let pid = bring(&world, at, async |pid| world.kernel.signal(pid, Signal::Term).await.unwrap()).await;
        // The program `script` ends when it gets TERM; one with no step left is ended by the kernel.
        assert_eq!(world.state(pid).await, ProcessState::Exited(ExitStatus::Killed(Signal::Term)), "{at:?}");
        assert!(!went_on(&world, pid).await, "{at:?}");
        if let ProcessState::Blocked(reason) = at.expected() {
            let error = blocked_call(&world, pid).await.unwrap().unwrap_err();
            assert_eq!(error.kind, ErrorKind::Cancelled, "blocked on {reason:?}: {error}");
        }
        if matches!(at, At::NoSteps) {
            assert_eq!(
                world.info(pid).await.usage.steps,
                1,
                "a spent budget is not overspent to say goodbye"
            );
        }
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_sets_aside_and_cont_goes_on() {
    for at in [At::Ready, At::Message, At::Child, At::Llm, At::Slot, At::Stopped] {
        let world = World::new().await;
        let pid = bring(&world, at, async |pid| world.kernel.signal(pid, Signal::Stop).await.unwrap()).await;
        assert_eq!(world.state(pid).await, ProcessState::Suspended(SuspendReason::Stopped), "{at:?}");
        assert!(!went_on(&world, pid).await, "{at:?}: no step while stopped");
        world.kernel.send(pid, "a message").await.unwrap();
        world.run().await;
        assert_eq!(
            world.state(pid).await,
            ProcessState::Suspended(SuspendReason::Stopped),
            "{at:?}: mail does not wake it"
        );
        if matches!(at, At::Child) {
            let child = world.child_of(pid).await;
            world.kernel.signal(child, Signal::Kill).await.unwrap();
        }
        world.kernel.signal(pid, Signal::Cont).await.unwrap();
        world.run().await;
        assert!(went_on(&world, pid).await, "{at:?}: goes on after CONT, {:?}", world.state(pid).await);
        if matches!(at, At::Llm | At::Slot) {
            let error = blocked_call(&world, pid).await.unwrap().unwrap_err();
            let again = (error.kind, error.retry);
            assert_eq!(again, (ErrorKind::Cancelled, kernel_types::Retry::Now), "{at:?}: it may ask again");
        }
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_in_flight_is_not_cancelled_by_stop() {
    let world = World::new().await;
    let slow = kernel_tools::ToolOutput::ok(kernel_types::JsonText::default(), "slow");
    world.tools.set_behaviour("hang", kernel_tools::Behaviour::Slow(Millis(200), slow));
    let pid =
        bring(&world, At::Tool, async |pid| world.kernel.signal(pid, Signal::Stop).await.unwrap()).await;
    assert_eq!(world.state(pid).await, ProcessState::Suspended(SuspendReason::Stopped));
    assert!(
        matches!(blocked_call(&world, pid).await, Some(Ok(Answer::Tool(_)))),
        "the tool's answer is kept"
    );
    world.kernel.signal(pid, Signal::Cont).await.unwrap();
    world.run().await;
    assert!(went_on(&world, pid).await);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_does_not_hide_a_limit_and_cont_does_not_lift_one() {
    for at in [At::Spent, At::NoSteps] {
        let world = World::new().await;
        let pid = bring(&world, at, async |pid| world.kernel.signal(pid, Signal::Stop).await.unwrap()).await;
        assert_eq!(world.state(pid).await, at.expected());
        world.kernel.signal(pid, Signal::Cont).await.unwrap();
        world.run().await;
        assert_eq!(world.state(pid).await, at.expected());
        assert!(!went_on(&world, pid).await);
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cont_changes_nothing_in_a_process_that_was_not_stopped() {
    for at in [At::Message, At::Child] {
        let world = World::new().await;
        let pid = bring(&world, at, async |pid| world.kernel.signal(pid, Signal::Cont).await.unwrap()).await;
        assert_eq!(world.state(pid).await, at.expected(), "{at:?}");
        assert!(blocked_call(&world, pid).await.is_none(), "{at:?}: it still waits");
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inference_that_was_cancelled_is_charged_for_what_it_streamed() {
    for signal in [Signal::Term, Signal::Stop, Signal::Kill] {
        let world = World::new().await;
        let pid = bring(&world, At::Llm, async |pid| world.kernel.signal(pid, signal).await.unwrap()).await;
        let usage = world.info(pid).await.usage;
        let output = Tokens((STREAMED.len() as u64).div_ceil(3));
        assert_eq!((usage.calls, usage.output_tokens), (1, output), "{signal}");
        assert!(usage.input_tokens > Tokens::ZERO, "{signal}: the prompt was sent");
        assert_eq!(usage.cost.0, usage.tokens().0, "{signal}: one micro-dollar a token");
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inference_that_never_got_its_slot_costs_no_tokens() {
    let world = World::new().await;
    let pid =
        bring(&world, At::Slot, async |pid| world.kernel.signal(pid, Signal::Kill).await.unwrap()).await;
    let usage = world.info(pid).await.usage;
    assert_eq!((usage.tokens(), usage.cost.0), (Tokens::ZERO, 0));
    world.end().await;
}

#[tokio::test]
async fn a_parent_signals_its_child_without_further_rights() {
    let world = World::new().await;
    let no_peers = kernel_types::Capabilities { peers: Vec::new(), ..kernel_types::Capabilities::all() };
    let stranger = world.spawn(vec![vec![receive()]]).await;
    let kill =
        Script::once(vec![Call::Signal { pid: stranger, signal: Signal::Kill }]).spec("killer").unwrap();
    let killer = world.start(crate::world::holding(no_peers, kill)).await;
    world.run().await;
    assert_eq!(world.step(killer, 1).await.remove(0).unwrap_err().kind, ErrorKind::Denied);
    assert_eq!(world.state(stranger).await, ProcessState::Blocked(WaitReason::Message));
    let gone = world.refused(Call::Signal { pid: Pid::fresh(), signal: Signal::Kill }).await;
    assert_eq!(gone.kind, ErrorKind::NotFound);
    assert!(world.call(Call::Signal { pid: stranger, signal: Signal::Kill }).await.is_ok());
    assert_eq!(world.state(stranger).await, ProcessState::Exited(ExitStatus::Killed(Signal::Kill)));
    world.end().await;
}
