//! A small world for tests: a kernel in memory with scripted tools and models, and processes that are lists of calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kernel::mediation::{check_store, entries};
use kernel::programs::{OnError, Script, ScriptStep};
use kernel::{Kernel, KernelBuilder, Until};
use kernel_llm::{Cpu, CpuError, DeltaSink, InferRequest, model_info};
use kernel_tools::{Behaviour, ScriptedDriver};
use kernel_types::{
    Answer, Budget, Call, CallResult, Capabilities, Event, InferArgs, Inference, JsonText, ModelInfo,
    NewPage, PageKind, Part, Pid, Pricing, ProcessInfo, ProcessState, Recovery, Seq, Spec, StepNo, SysError,
    TokenUsage, Tokens, ToolCallArgs, ToolMode,
};
use tokio::sync::Notify;

/// What a broken kernel is given before a test calls it hung.
const BOUND: Duration = Duration::from_secs(60);

/// Answers at once; one micro-dollar a token.
pub(crate) const PRICED: &str = "priced";
/// Answers at once; nobody knows its price.
pub(crate) const UNPRICED: &str = "unpriced";
/// Streams [`STREAMED`] and goes silent.
pub(crate) const STREAM: &str = "stream";
/// What it streams.
pub(crate) const STREAMED: &str = "thirty bytes of text to charge.";
/// The tokens that the models report.
pub(crate) const REPORTED: TokenUsage = TokenUsage {
    input: Tokens(20),
    cached: Tokens(0),
    cache_written: Tokens(0),
    written_long: Tokens(0),
    output: Tokens(5),
    estimated: false,
};

struct Models {
    called: Arc<Notify>,
}

#[async_trait]
impl Cpu for Models {
    fn models(&self) -> Vec<ModelInfo> {
        let pricing = Some(Pricing { input: 1_000_000, output: 1_000_000, ..Pricing::default() });
        let priced = |name| ModelInfo { pricing, ..model_info(name) };
        vec![priced(PRICED), ModelInfo { pricing: None, ..model_info(UNPRICED) }, priced(STREAM)]
    }

    fn slots(&self) -> u32 {
        1
    }

    async fn infer(&self, request: InferRequest, sink: &dyn DeltaSink) -> Result<Inference, CpuError> {
        if request.model == STREAM {
            sink.delta(request.key, STREAMED);
            self.called.notify_one();
            std::future::pending::<()>().await;
        }
        let parts = vec![Part::Text("done".into())];
        Ok(Inference { model: request.model, parts, finish: "stop".to_owned(), usage: REPORTED })
    }

    async fn health(&self) -> Result<(), CpuError> {
        Ok(())
    }
}

pub(crate) struct World {
    pub(crate) kernel: Kernel,
    pub(crate) tools: ScriptedDriver,
    /// Told when a model has begun to stream.
    pub(crate) streaming: Arc<Notify>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(adjust: impl FnOnce(KernelBuilder) -> KernelBuilder) -> Self {
        let streaming = Arc::new(Notify::new());
        let tools = ScriptedDriver::new().with("echo", Recovery::Keyed, Behaviour::Echo).with(
            "hang",
            Recovery::Keyed,
            Behaviour::Hang,
        );
        let models = Models { called: Arc::clone(&streaming) };
        let builder = Kernel::builder().driver(tools.clone()).cpu(models).seed(7);
        let kernel = adjust(builder).build().await.unwrap();
        Self { kernel, tools, streaming }
    }

    /// Starts the process that makes these calls, step by step.
    pub(crate) async fn spawn(&self, steps: Vec<Vec<Call>>) -> Pid {
        self.start(script(steps)).await
    }

    pub(crate) async fn limited(&self, steps: Vec<Vec<Call>>, budget: Budget) -> Pid {
        self.start(Spec { budget, ..script(steps) }).await
    }

    pub(crate) async fn start(&self, spec: Spec) -> Pid {
        self.kernel.spawn(spec).await.unwrap()
    }

    pub(crate) async fn run(&self) {
        let run = tokio::time::timeout(BOUND, self.kernel.run_until(Until::Idle)).await;
        run.expect("the kernel hangs").unwrap();
    }

    /// Runs while `meanwhile` does something from outside.
    pub(crate) async fn run_and(&self, meanwhile: impl Future<Output = ()>) {
        tokio::join!(self.run(), meanwhile);
    }

    /// How the calls of a process ended, by step and place.
    pub(crate) async fn results(&self, pid: Pid) -> BTreeMap<(u64, u32), CallResult> {
        let mut results = BTreeMap::new();
        for entry in entries(&*self.kernel.store(), pid).await {
            if let (Event::Outcome { result, .. }, Some(Seq(seq))) = (entry.event, entry.record.call) {
                let StepNo(step) = entry.record.step;
                assert!(results.insert((step, seq), result).is_none(), "call {step}/{seq} ended twice");
            }
        }
        results
    }

    /// How one step's calls ended, in order.
    pub(crate) async fn step(&self, pid: Pid, step: u64) -> Vec<CallResult> {
        self.results(pid)
            .await
            .into_iter()
            .filter(|((at, _), _)| *at == step)
            .map(|(_, result)| result)
            .collect()
    }

    /// Makes these calls in one step of a process of their own.
    pub(crate) async fn make(&self, calls: Vec<Call>) -> Vec<CallResult> {
        let pid = self.spawn(vec![calls]).await;
        self.run().await;
        self.step(pid, 1).await
    }

    /// Makes one call.
    pub(crate) async fn call(&self, call: Call) -> CallResult {
        let mut results = self.make(vec![call]).await;
        assert_eq!(results.len(), 1);
        results.remove(0)
    }

    /// Makes one call that fails.
    pub(crate) async fn refused(&self, call: Call) -> SysError {
        self.call(call).await.unwrap_err()
    }

    pub(crate) async fn info(&self, pid: Pid) -> ProcessInfo {
        self.kernel.process(pid).await.unwrap()
    }

    pub(crate) async fn state(&self, pid: Pid) -> ProcessState {
        self.info(pid).await.state
    }

    /// The pid of the only child of a process, dead or alive.
    pub(crate) async fn child_of(&self, parent: Pid) -> Pid {
        let results = self.results(parent).await;
        let mut pids = results.values().filter_map(|result| match result {
            Ok(Answer::Pid(pid)) => Some(*pid),
            _ => None,
        });
        pids.next().expect("a child was spawned")
    }

    /// Kills what still lives and checks the whole journal.
    pub(crate) async fn end(self) {
        for info in self.kernel.status().await.unwrap() {
            if !matches!(info.state, ProcessState::Exited(_)) {
                self.kernel.signal(info.pid, kernel_types::Signal::Kill).await.unwrap();
            }
        }
        self.run().await;
        check_store(&self.kernel.store()).await;
    }
}

pub(crate) fn script(steps: Vec<Vec<Call>>) -> Spec {
    let step = steps.into_iter().map(|calls| ScriptStep { repeat: 1, calls }).collect();
    Script { on_error: OnError::Continue, step }.spec("test").unwrap()
}

pub(crate) fn spawn(spec: Spec) -> Call {
    Call::Spawn(Box::new(spec))
}

pub(crate) fn tool(name: &str) -> Call {
    Call::ToolCall(ToolCallArgs { tool: name.to_owned(), args: JsonText::empty_object(), timeout: None })
}

pub(crate) fn infer(model: &str) -> Call {
    let model = Some(model.to_owned());
    Call::Infer(InferArgs { model, max_output: Tokens(100), tools: ToolMode::None, ..InferArgs::default() })
}

/// A page for the window.
pub(crate) fn page(text: &str) -> Call {
    Call::PageAlloc { pages: vec![NewPage::text(PageKind::User, text)] }
}

pub(crate) fn put(name: &str, value: &str) -> Call {
    Call::Put { name: name.to_owned(), value: Some(value.to_owned()) }
}

pub(crate) fn get(name: &str) -> Call {
    Call::Get { name: name.to_owned() }
}

/// A receive that waits for ever.
pub(crate) fn receive() -> Call {
    Call::Receive(kernel_types::ReceiveArgs::default())
}

pub(crate) fn holding(capabilities: Capabilities, spec: Spec) -> Spec {
    Spec { capabilities: Some(capabilities), ..spec }
}

/// A kernel with one slot whose model "slow" takes so long, and who was served, in order.
pub(crate) async fn one_slot(takes: Duration) -> (Kernel, Arc<parking_lot::Mutex<Vec<Pid>>>) {
    let served = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let seen = Arc::clone(&served);
    let cpu = kernel_llm::FnCpu::new(model_info("slow"), move |request| {
        seen.lock().push(request.key.pid);
        Ok(kernel_llm::Canned { delay: takes, ..kernel_llm::Canned::text("Yes.") })
    });
    let scheduler = || kernel_sched::Fair::new().with_slack(0);
    (
        Kernel::builder().cpu(cpu.with_slots(1)).scheduler(scheduler).keep_warm(false).build().await.unwrap(),
        served,
    )
}
