//! The suite's own devices: tools and models that count who called them and misbehave on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use kernel_llm::{Cpu, CpuError, CpuErrorKind, DeltaSink, InferRequest};
use kernel_tools::{CallContext, Driver, HostExec, ToolError, ToolErrorKind, ToolOutput};
use kernel_types::{
    CacheModel, CallKey, Inference, JsonText, Millis, ModelInfo, Part, Pid, Pricing, Recovery, TokenUsage,
    Tokens, ToolCallRequest, ToolSpec,
};
use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

/// How a device behaves when it is called. Its name is that of the tool and of the model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Behaviour {
    /// Answers.
    Answer,
    /// Answers with an error.
    Fail,
    /// Panics before it waits for anything.
    Panic,
    /// Panics after it has waited.
    PanicLater,
    /// Never answers.
    Hang,
    /// Keeps the thread that calls it until the gate opens.
    Block,
    /// Likewise, after it has waited.
    BlockLater,
}

impl Behaviour {
    pub(super) const ALL: [Self; 7] =
        [Self::Answer, Self::Fail, Self::Panic, Self::PanicLater, Self::Hang, Self::Block, Self::BlockLater];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Answer => "mediation_answer",
            Self::Fail => "mediation_fail",
            Self::Panic => "mediation_panic",
            Self::PanicLater => "mediation_panic_later",
            Self::Hang => "mediation_hang",
            Self::Block => "mediation_block",
            Self::BlockLater => "mediation_block_later",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|behaviour| behaviour.name() == name)
    }
}

/// The tool that asks its host to run [`PROGRAM`].
pub(super) const EXEC_TOOL: &str = "mediation_exec";

/// The program that [`EXEC_TOOL`] asks for.
pub(super) const PROGRAM: &str = "mediation-program";

/// Keeps threads until it is opened.
#[derive(Default)]
pub(super) struct Gate {
    open: Mutex<bool>,
    bell: Condvar,
}

impl Gate {
    pub(super) fn wait(&self) {
        let mut open = self.open.lock();
        while !*open {
            self.bell.wait(&mut open);
        }
    }

    pub(super) fn open(&self) {
        *self.open.lock() = true;
        self.bell.notify_all();
    }
}

/// What the devices saw. Shared by the tools and the models of one kernel.
#[derive(Default)]
pub(super) struct Seen {
    tools: Mutex<Vec<CallKey>>,
    models: Mutex<Vec<CallKey>>,
    in_flight: AtomicUsize,
    /// Told whenever a device is called.
    pub(super) called: Notify,
    pub(super) gate: Gate,
}

impl Seen {
    /// How many tool calls of this process arrived.
    pub(super) fn tool_calls(&self, pid: Pid) -> usize {
        self.tools.lock().iter().filter(|key| key.pid == pid).count()
    }

    /// How many inferences of this process arrived.
    pub(super) fn inferences(&self, pid: Pid) -> usize {
        self.models.lock().iter().filter(|key| key.pid == pid).count()
    }

    /// Calls that were neither answered nor dropped.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Carries a behaviour out, up to its answer. `Err` is the device's own failure.
    async fn behave(self: &Arc<Self>, behaviour: Behaviour) -> Result<(), ()> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let _flight = Flight(Arc::clone(self));
        self.called.notify_one();
        match behaviour {
            Behaviour::Answer => {}
            Behaviour::Fail => return Err(()),
            Behaviour::Panic => panic!("the device panics, as asked"),
            Behaviour::PanicLater => {
                tokio::task::yield_now().await;
                panic!("the device panics after waiting, as asked");
            }
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Block => self.gate.wait(),
            Behaviour::BlockLater => {
                tokio::task::yield_now().await;
                self.gate.wait();
            }
        }
        Ok(())
    }
}

struct Flight(Arc<Seen>);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One tool for each behaviour, and the one that runs a program.
pub(super) struct ProbeDriver(pub(super) Arc<Seen>);

#[async_trait]
impl Driver for ProbeDriver {
    fn tools(&self) -> Vec<ToolSpec> {
        let names = Behaviour::ALL.map(Behaviour::name).into_iter().chain([EXEC_TOOL]);
        let spec = |name: &str| ToolSpec {
            name: name.to_owned(),
            description: "A tool of the mediation suite.".to_owned(),
            input: JsonText::parse(r#"{"type":"object"}"#).expect("a JSON literal"),
            recovery: Recovery::Keyed,
            timeout: Millis(600_000),
            reads: Vec::new(),
            writes: Vec::new(),
        };
        names.map(spec).collect()
    }

    async fn call(&self, request: &ToolCallRequest, context: &CallContext) -> Result<ToolOutput, ToolError> {
        self.0.tools.lock().push(request.key);
        if request.tool == EXEC_TOOL {
            let exec = HostExec { program: PROGRAM.to_owned(), ..HostExec::default() };
            let exit = context.host.exec(exec).await?;
            let text = String::from_utf8_lossy(&exit.stdout).into_owned();
            return Ok(ToolOutput { success: exit.code == Some(0), text, ..ToolOutput::default() });
        }
        let failed = |kind, message| ToolError::new(kind, &request.tool, message);
        let behaviour =
            Behaviour::named(&request.tool).ok_or_else(|| failed(ToolErrorKind::Unknown, "no such tool"))?;
        let done = self.0.behave(behaviour).await;
        done.map_err(|()| failed(ToolErrorKind::Io, "fails, as asked"))?;
        Ok(ToolOutput::ok(JsonText::empty_object(), "done"))
    }
}

/// One model for each behaviour, with a price.
pub(super) struct ProbeCpu(pub(super) Arc<Seen>);

#[async_trait]
impl Cpu for ProbeCpu {
    fn models(&self) -> Vec<ModelInfo> {
        let info = |behaviour: Behaviour| ModelInfo {
            name: behaviour.name().to_owned(),
            window: Tokens(1 << 16),
            max_output: Tokens(1024),
            native_tools: false,
            pricing: Some(Pricing { input: 1_000_000, output: 1_000_000, ..Pricing::default() }),
            cache: CacheModel::default(),
        };
        Behaviour::ALL.map(info).to_vec()
    }

    fn slots(&self) -> u32 {
        2
    }

    async fn infer(&self, request: InferRequest, sink: &dyn DeltaSink) -> Result<Inference, CpuError> {
        self.0.models.lock().push(request.key);
        let failed = |kind, message| CpuError::new(kind, "mediation", message);
        let behaviour = Behaviour::named(&request.model)
            .ok_or_else(|| failed(CpuErrorKind::UnknownModel, "no such model"))?;
        sink.delta(request.key, "done");
        self.0.behave(behaviour).await.map_err(|()| failed(CpuErrorKind::Failed, "fails, as asked"))?;
        Ok(Inference {
            model: request.model,
            parts: vec![Part::Text("done".into())],
            finish: "stop".to_owned(),
            usage: TokenUsage { input: Tokens(10), output: Tokens(1), ..TokenUsage::default() },
        })
    }

    async fn health(&self) -> Result<(), CpuError> {
        Ok(())
    }
}
