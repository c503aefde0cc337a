//! A model at a micro-dollar a token that does as it is told, and processes that think with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use kernel::programs::{Script, ScriptStep};
use kernel::{Kernel, Quota};
use kernel_llm::{Cpu, CpuError, CpuErrorKind, DeltaSink, InferRequest, model_info};
use kernel_types::{
    Budget, Call, ExitStatus, InferArgs, Inference, LimitName, MicroUsd, Millis, ModelInfo, NewPage,
    PageKind, Part, Pid, Pricing, ProcessState, Reservation, Spec, SuspendReason, TokenUsage, Tokens,
};

/// What a call uses that is answered.
pub(crate) const USED: u64 = 25;

/// What a call comes to.
#[derive(Clone)]
pub(crate) enum Act {
    Answer(Duration),
    Fail(CpuErrorKind, Option<Millis>),
    Hang,
}

pub(crate) const AT_ONCE: Act = Act::Answer(Duration::ZERO);

/// The model.
#[derive(Clone)]
pub(crate) struct Paid {
    name: &'static str,
    pricing: Option<Pricing>,
    slots: u32,
    input: u64,
    act: Arc<dyn Fn(u32) -> Act + Send + Sync>,
    calls: Arc<AtomicU32>,
}

impl Paid {
    /// What each call comes to, by its number.
    pub(crate) fn new(name: &'static str, act: impl Fn(u32) -> Act + Send + Sync + 'static) -> Self {
        let pricing = Some(Pricing { input: 1_000_000, output: 1_000_000, ..Pricing::default() });
        Self { name, pricing, slots: 8, input: 20, act: Arc::new(act), calls: Arc::default() }
    }

    pub(crate) fn unpriced(self) -> Self {
        Self { pricing: None, ..self }
    }

    pub(crate) fn with_slots(self, slots: u32) -> Self {
        Self { slots, ..self }
    }

    /// Counts each prompt as so many tokens.
    pub(crate) fn counting(self, input: u64) -> Self {
        Self { input, ..self }
    }

    /// Calls that were begun.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Waits for so many calls.
    pub(crate) async fn called(&self, times: u32) {
        while self.calls() < times {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[async_trait]
impl Cpu for Paid {
    fn models(&self) -> Vec<ModelInfo> {
        vec![ModelInfo { pricing: self.pricing, ..model_info(self.name) }]
    }

    fn slots(&self) -> u32 {
        self.slots
    }

    async fn infer(&self, request: InferRequest, _: &dyn DeltaSink) -> Result<Inference, CpuError> {
        match (self.act)(self.calls.fetch_add(1, Ordering::Relaxed)) {
            Act::Answer(takes) => tokio::time::sleep(takes).await,
            Act::Fail(kind, pause) => {
                return Err(CpuError::new(kind, "paid", "as it was told").retry_after(pause));
            }
            Act::Hang => std::future::pending::<()>().await,
        }
        let usage = TokenUsage { input: Tokens(self.input), output: Tokens(5), ..TokenUsage::default() };
        let part = Part::Text("Yes.".into());
        Ok(Inference { model: request.model, parts: vec![part], usage, finish: "stop".to_owned() })
    }

    async fn health(&self) -> Result<(), CpuError> {
        Ok(())
    }
}

pub(crate) fn think() -> Call {
    Call::Infer(InferArgs { max_output: Tokens(10), ..InferArgs::default() })
}

/// A page of some 400 tokens.
pub(crate) fn page() -> Call {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(40);
    Call::PageAlloc { pages: vec![NewPage::text(PageKind::User, text)] }
}

pub(crate) fn steps(steps: Vec<Vec<Call>>) -> Spec {
    let step = steps.into_iter().map(|calls| ScriptStep { repeat: 1, calls });
    Script { step: step.collect(), ..Script::default() }.spec("script").unwrap()
}

/// Thinks so often about a page.
pub(crate) fn thinker(calls: usize) -> Spec {
    steps(std::iter::once(vec![page()]).chain(std::iter::repeat_n(vec![think()], calls)).collect())
}

pub(crate) fn of(tenant: &str, spec: Spec) -> Spec {
    Spec { tenant: tenant.to_owned(), ..spec }
}

pub(crate) fn with_model(model: &str, spec: Spec) -> Spec {
    Spec { model: Some(model.to_owned()), ..spec }
}

pub(crate) fn cost(limit: u64) -> Quota {
    Quota { budget: Budget { cost: Some(MicroUsd(limit)), ..Budget::default() }, rates: Vec::new() }
}

pub(crate) async fn state(kernel: &Kernel, pid: Pid) -> ProcessState {
    kernel.process(pid).await.unwrap().state
}

pub(crate) async fn ended_well(kernel: &Kernel, pid: Pid) {
    let state = state(kernel, pid).await;
    assert!(matches!(state, ProcessState::Exited(ExitStatus::Ok(_))), "{state:?}");
}

pub(crate) fn suspended(limit: LimitName) -> ProcessState {
    ProcessState::Suspended(SuspendReason::Limit(limit))
}

/// What all processes spent together.
pub(crate) async fn spent(kernel: &Kernel) -> Reservation {
    kernel.spent(None).await.unwrap().unwrap()
}

/// What the only limit above processes has left.
pub(crate) async fn left(kernel: &Kernel) -> u64 {
    kernel.snapshot().await.unwrap().limits[0].left
}
