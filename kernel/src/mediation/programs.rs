//! Laws of programs that break their contract: they are stopped, the others go on.

use std::time::Duration;

use kernel_types::{ExitStatus, ProcessState, Spec};

use super::Assemble;
use super::hostile::Vice;
use super::journal::calls;
use super::rig::{HOSTILE, Rig};
use crate::Limits;

/// The process ends as `Faulted`, in words that hold `why`, made no call, and another process goes on.
async fn faulted(make: &impl Assemble, vice: Vice, why: &str) {
    // Short only where it is the subject: printing a panic's backtrace may take longer on a busy machine.
    let step = if matches!(vice, Vice::Loops) { Duration::from_millis(400) } else { Limits::default().step };
    let limits = Limits { step, ..Limits::default() };
    let rig = Rig::with(make, |builder| builder.limits(limits)).await;
    let spec = Spec { program: HOSTILE.to_owned(), task: vice.task(), ..Spec::default() };
    let pid = rig.kernel.spawn(spec).await.expect("a hostile program spawns");
    let bystander = rig.bystander().await;
    rig.run().await;
    let state = rig.state(pid).await;
    let ProcessState::Exited(ExitStatus::Faulted(reason)) = state else { panic!("{vice:?}: {state:?}") };
    assert!(reason.contains(why), "{vice:?}: {reason:?} does not say {why:?}");
    assert!(calls(&rig.journal(pid).await).is_empty(), "{vice:?}: no call of the step was made");
    rig.ended_well(bystander, "another process").await;
    rig.finish().await;
}

/// A program whose step does not return is stopped within `Limits::step`; the law replaces the kernel's limits.
pub async fn a_program_that_loops_is_stopped(make: &impl Assemble) {
    faulted(make, Vice::Loops, "did not return").await;
}

/// A program whose step panics is stopped.
pub async fn a_program_that_panics_is_stopped(make: &impl Assemble) {
    faulted(make, Vice::Panics, "panicked").await;
}

/// A program whose state does not save, or panics when saved, is stopped before its calls are made.
pub async fn a_program_that_does_not_save_is_stopped(make: &impl Assemble) {
    faulted(make, Vice::Unsaved, "does not save").await;
    faulted(make, Vice::PanicsInSave, "panicked").await;
}

/// A step that makes no call and does not exit would never be resumed: a fault.
pub async fn a_step_without_calls_is_a_fault(make: &impl Assemble) {
    faulted(make, Vice::Silent, "no call").await;
}

/// A step with more calls than the limit is a fault, and none of them is made.
pub async fn a_step_with_too_many_calls_is_a_fault(make: &impl Assemble) {
    faulted(make, Vice::Greedy(Limits::default().calls_per_step + 1), "limit").await;
}
