//! Laws of tools and models that misbehave: exactly one answer, and the kernel goes on.

use std::time::Duration;

use kernel_types::{Budget, Call, CallResult, Capabilities, ErrorKind, Pid, Signal, StepNo};

use super::Assemble;
use super::probe::Behaviour;
use super::rig::{Rig, tool};
use super::sample::{infer, window};
use crate::Limits;

/// What is put to the test.
#[derive(Clone, Copy)]
enum Device {
    Tool,
    Model,
}

/// Deadlines short enough for a test, where the behaviour ends with one. The laws replace the kernel's limits.
fn limits(behaviour: Behaviour) -> Limits {
    let soon = Duration::from_millis(400);
    let all = Limits::default();
    match behaviour {
        Behaviour::Hang => Limits { infer: soon, tool: soon, ..all },
        Behaviour::Block => Limits { step: soon, ..all },
        Behaviour::BlockLater => Limits { step: soon, infer: soon, tool: soon, ..all },
        _ => all,
    }
}

impl Device {
    /// A process whose second step calls the device.
    async fn caller(self, rig: &Rig, behaviour: Behaviour) -> Pid {
        let call = match self {
            Self::Tool => tool(behaviour.name()),
            Self::Model => infer(behaviour),
        };
        rig.spawn(vec![vec![window()], vec![call], vec![Call::Now]], Capabilities::all(), Budget::default())
            .await
    }

    fn arrived(self, rig: &Rig, pid: Pid) -> usize {
        match self {
            Self::Tool => rig.seen.tool_calls(pid),
            Self::Model => rig.seen.inferences(pid),
        }
    }
}

async fn outcome(rig: &Rig, pid: Pid) -> CallResult {
    let trace = rig.call(pid, StepNo(2), 0).await;
    let (decision, result) = trace.once("the call of the device");
    assert!(decision.is_allow(), "the call is allowed: {decision:?}");
    result.clone()
}

/// The call is answered once, with this error, and both its process and another one go on while the device still holds
/// on to what it took.
async fn answered_once(make: &impl Assemble, device: Device, behaviour: Behaviour, expected: ErrorKind) {
    let rig = Rig::with(make, |builder| builder.limits(limits(behaviour))).await;
    let pid = device.caller(&rig, behaviour).await;
    let bystander = rig.bystander().await;
    rig.run().await;
    let result = outcome(&rig, pid).await;
    let error = result.expect_err("a device that misbehaves is an error");
    assert_eq!(error.kind, expected, "{behaviour:?}: {error}");
    assert_eq!(device.arrived(&rig, pid), 1, "{behaviour:?}: the device is called once");
    rig.ended_well(pid, "the process that called the device").await;
    rig.ended_well(bystander, "another process").await;
    let usage = rig.kernel.process(pid).await.expect("the process is known").usage;
    assert_eq!(usage.calls, 1, "{behaviour:?}: the call is charged once");
    rig.finish().await;
}

/// A signal withdraws the call: one answer, and the device's future is dropped.
async fn cancelled_once(make: &impl Assemble, device: Device) {
    for signal in [Signal::Term, Signal::Kill] {
        let rig = Rig::new(make).await;
        let pid = device.caller(&rig, Behaviour::Hang).await;
        tokio::join!(rig.run(), async {
            rig.seen.called.notified().await;
            rig.kernel.signal(pid, signal).await.expect("a signal can be posted");
        });
        let error = outcome(&rig, pid).await.expect_err("a call that was withdrawn is an error");
        assert_eq!(error.kind, ErrorKind::Cancelled, "{signal}: {error}");
        assert_eq!(device.arrived(&rig, pid), 1, "{signal}: the device is called once");
        // The runtime drops what is aborted on a thread of its own, perhaps after the answer.
        let dropped = async {
            while rig.seen.in_flight() > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        let dropped = tokio::time::timeout(std::time::Duration::from_secs(5), dropped).await;
        assert!(dropped.is_ok(), "{signal}: the device's future is dropped");
        rig.finish().await;
    }
}

macro_rules! laws {
    ($($(#[$doc:meta])* $name:ident: $device:ident, $behaviour:ident, $error:ident;)*) => {
        $(
            $(#[$doc])*
            pub async fn $name(make: &impl Assemble) {
                answered_once(make, Device::$device, Behaviour::$behaviour, ErrorKind::$error).await;
            }
        )*
    };
}

laws! {
    /// A tool that fails: its error.
    a_tool_that_fails_is_answered_once: Tool, Fail, Failed;
    /// A tool that panics when it is called: `Faulted`.
    a_tool_that_panics_is_answered_once: Tool, Panic, Faulted;
    /// A tool that panics on the way: `Faulted`.
    a_tool_that_panics_later_is_answered_once: Tool, PanicLater, Faulted;
    /// A tool that never answers: `Deadline`.
    a_tool_that_hangs_is_answered_once: Tool, Hang, Deadline;
    /// A tool that blocks the thread that calls it: `Deadline`, and the kernel goes on while it blocks.
    a_tool_that_blocks_is_answered_once: Tool, Block, Deadline;
    /// A tool that blocks a thread on the way: `Deadline`, and the kernel goes on while it blocks.
    a_tool_that_blocks_later_is_answered_once: Tool, BlockLater, Deadline;
    /// A model that fails: its error.
    a_model_that_fails_is_answered_once: Model, Fail, Failed;
    /// A model that panics when it is called: `Faulted`.
    a_model_that_panics_is_answered_once: Model, Panic, Faulted;
    /// A model that panics on the way: `Faulted`.
    a_model_that_panics_later_is_answered_once: Model, PanicLater, Faulted;
    /// A model that never answers: `Deadline`.
    a_model_that_hangs_is_answered_once: Model, Hang, Deadline;
    /// A model that blocks the thread that calls it: `Deadline`, and the kernel goes on while it blocks.
    a_model_that_blocks_is_answered_once: Model, Block, Deadline;
    /// A model that blocks a thread on the way: `Deadline`, and the kernel goes on while it blocks.
    a_model_that_blocks_later_is_answered_once: Model, BlockLater, Deadline;
}

/// A tool whose call a signal withdraws: `Cancelled`, and its future is dropped.
pub async fn a_tool_that_is_cancelled_is_answered_once(make: &impl Assemble) {
    cancelled_once(make, Device::Tool).await;
}

/// A model whose call a signal withdraws: `Cancelled`, and its future is dropped.
pub async fn a_model_that_is_cancelled_is_answered_once(make: &impl Assemble) {
    cancelled_once(make, Device::Model).await;
}
