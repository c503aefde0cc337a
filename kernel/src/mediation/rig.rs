//! The rig: a kernel with the parts under test and the suite's own devices and programs beside them.

use std::sync::Arc;
use std::time::Duration;

use kernel_storage::Store;
use kernel_types::{
    Budget, Call, Capabilities, Decision, ErrorKind, ExitStatus, Pid, ProcessState, Seq, Signal, Spec,
    StepNo, SyscallNo,
};

use super::Assemble;
use super::hostile::HostileFactory;
use super::journal::{CallTrace, Entry, calls, check_store, entries};
use super::probe::{ProbeCpu, ProbeDriver, Seen};
use super::sample::Sample;
use crate::programs::{Script, ScriptFactory, ScriptStep};
use crate::{Kernel, KernelBuilder, Until};

/// Within this every call must have ended, on a slow machine too. A bound for broken kernels, not a time waited.
const BOUND: Duration = Duration::from_secs(60);

pub(super) const SCRIPT: &str = "mediation-script";
pub(super) const HOSTILE: &str = "mediation-hostile";

pub(super) struct Rig {
    pub(super) kernel: Kernel,
    pub(super) seen: Arc<Seen>,
}

impl Rig {
    pub(super) async fn new(make: &impl Assemble) -> Self {
        Self::with(make, |builder| builder).await
    }

    /// `adjust` has the last word.
    pub(super) async fn with(
        make: &impl Assemble,
        adjust: impl FnOnce(KernelBuilder) -> KernelBuilder,
    ) -> Self {
        let seen = Arc::new(Seen::default());
        let builder = make(Kernel::builder()).await;
        let builder = builder
            .driver(ProbeDriver(Arc::clone(&seen)))
            .cpu(ProbeCpu(Arc::clone(&seen)))
            .program(SCRIPT, ScriptFactory)
            .program(HOSTILE, HostileFactory(Arc::clone(&seen)));
        let kernel = adjust(builder).build().await.expect("the kernel assembles");
        Self { kernel, seen }
    }

    pub(super) async fn spawn(
        &self,
        steps: Vec<Vec<Call>>,
        capabilities: Capabilities,
        budget: Budget,
    ) -> Pid {
        let spec = Spec { capabilities: Some(capabilities), budget, ..script(steps) };
        self.kernel.spawn(spec).await.expect("a script spawns")
    }

    /// A process that waits for a message that never comes, to be sent to and signalled.
    pub(super) async fn peer(&self) -> Pid {
        self.spawn(vec![vec![park()]], Capabilities::all(), Budget::default()).await
    }

    /// A process that does a little of everything and ends well, whatever goes wrong beside it.
    pub(super) async fn bystander(&self) -> Pid {
        let answer = super::probe::Behaviour::Answer;
        let step = vec![
            Call::Now,
            Call::Put { name: "n".to_owned(), value: Some("1".to_owned()) },
            tool(answer.name()),
        ];
        self.spawn(vec![step; 5], Capabilities::all(), Budget::default()).await
    }

    /// Starts the process of a sample, with what must be there for it to make sense.
    pub(super) async fn start(&self, sample: &Sample, capabilities: Capabilities, budget: Budget) -> Pid {
        let pid = self.spawn(sample.steps(), capabilities, budget).await;
        if sample.call.number() == SyscallNo::Receive {
            self.kernel.send(pid, "hello").await.expect("a message can be posted");
        }
        pid
    }

    /// Runs until nothing can go on by itself.
    pub(super) async fn run(&self) {
        let run = tokio::time::timeout(BOUND, self.kernel.run_until(Until::Idle));
        run.await.unwrap_or_else(|_| panic!("a call did not end within {BOUND:?}")).expect("the kernel runs");
    }

    pub(super) fn store(&self) -> Arc<dyn Store> {
        self.kernel.store()
    }

    pub(super) async fn journal(&self, pid: Pid) -> Vec<Entry> {
        entries(&*self.store(), pid).await
    }

    /// What the journal says of one call.
    pub(super) async fn call(&self, pid: Pid, step: StepNo, seq: u32) -> CallTrace {
        calls(&self.journal(pid).await).remove(&(step, Seq(seq))).unwrap_or_default()
    }

    pub(super) async fn state(&self, pid: Pid) -> ProcessState {
        self.kernel.process(pid).await.expect("the process is known").state
    }

    /// The process must have ended well.
    pub(super) async fn ended_well(&self, pid: Pid, what: &str) {
        let state = self.state(pid).await;
        assert!(matches!(state, ProcessState::Exited(ExitStatus::Ok(_))), "{what}: {state:?}");
    }

    /// The call of a sample must have been refused: by such a decision, with such an error, without effect.
    pub(super) async fn refused(
        &self,
        pid: Pid,
        sample: &Sample,
        kind: ErrorKind,
        by: impl Fn(&Decision) -> bool,
    ) {
        let what = sample.name();
        let trace = self.call(pid, sample.step(), 0).await;
        let (decision, result) = trace.once(&what);
        assert!(by(decision), "{what}: decided {decision:?}");
        let error =
            result.as_ref().err().unwrap_or_else(|| panic!("{what}: refused, and answered {result:?}"));
        assert_eq!(error.kind, kind, "{what}: {error}");
        assert_eq!(sample.effects(self, pid).await, 0, "{what}: refused, and had an effect");
        let usage = self.kernel.process(pid).await.expect("the process is known").usage;
        assert_eq!((usage.calls, usage.tokens().0, usage.cost.0), (0, 0, 0), "{what}: refused, and charged");
    }

    /// Ends everything, then checks the whole store.
    pub(super) async fn finish(self) {
        self.seen.gate.open();
        for info in self.kernel.status().await.expect("the kernel answers") {
            if !matches!(info.state, ProcessState::Exited(_)) {
                self.kernel.signal(info.pid, Signal::Kill).await.expect("a signal can be posted");
            }
        }
        self.run().await;
        for info in self.kernel.status().await.expect("the kernel answers") {
            assert!(
                matches!(info.state, ProcessState::Exited(_)),
                "{} outlives a kill: {:?}",
                info.name,
                info.state
            );
        }
        check_store(&self.store()).await;
    }
}

impl Drop for Rig {
    /// A law that fails must not leave threads behind.
    fn drop(&mut self) {
        self.seen.gate.open();
    }
}

/// The process that makes these calls, step by step, and goes on when one fails.
pub(super) fn script(steps: Vec<Vec<Call>>) -> Spec {
    let step = steps.into_iter().map(|calls| ScriptStep { repeat: 1, calls }).collect();
    let script = Script { on_error: crate::programs::OnError::Continue, step };
    Spec { program: SCRIPT.to_owned(), ..script.spec("mediation").expect("calls are plain data") }
}

/// Waits for a message that never comes.
pub(super) fn park() -> Call {
    Call::Receive(kernel_types::ReceiveArgs { from: Some(Pid::INIT), timeout: None })
}

pub(super) fn tool(name: &str) -> Call {
    Call::ToolCall(kernel_types::ToolCallArgs {
        tool: name.to_owned(),
        args: kernel_types::JsonText::empty_object(),
        timeout: None,
    })
}
