//! What a kernel is assembled from, and its limits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kernel_context::{PagerConfig, PagerFactory};
use kernel_llm::{Cpu, DeltaSink, Embedder};
use kernel_sched::CpuLimits;
use kernel_security::{Policy, Sandbox};
use kernel_storage::{Store, Vectors};
use kernel_tools::Registry;
use kernel_types::{Capabilities, ModelInfo, Retry, Spec, Tokens, ToolCallArgs};

use crate::clock::Clock;
use crate::program::ProgramFactory;

/// What is away is asked at least so often: all goes on within a second of its return.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Bounds of a kernel. Every queue, wait and size has one.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A step that takes longer is stopped: its process is `Faulted`.
    pub step: Duration,
    /// Steps with local calls only that may follow each other without a commit.
    pub inner_steps: u32,
    /// Calls in one step.
    pub calls_per_step: usize,
    /// An inference ends with `Deadline` after this.
    pub infer: Duration,
    /// How often an inference is tried that fails for a passing reason, the first time included. Refusals for want of capacity do
    /// not count.
    pub attempts: u32,
    /// For how long it is tried again.
    pub retry: Duration,
    /// A tool call ends with `Deadline` after this, or earlier if the tool or the call says so.
    pub tool: Duration,
    /// Ended processes that a kernel keeps in memory, the latest; the others are in the store.
    pub ended: usize,
    /// Messages a mailbox holds; a further one is `Busy`.
    pub mailbox: usize,
    /// Processes that may subscribe to a topic; a further one is `Busy`.
    pub subscribers: usize,
    /// Requests from outside that may wait; a further one is `Busy`.
    pub requests: usize,
    /// Bytes of page bodies kept in memory.
    pub bodies: u64,
    /// Pages that an embedder has no vector for after this are allocated without.
    pub embed: Duration,
    /// How often the store is asked for mail from outside.
    pub poll: Duration,
    /// How long a store that cannot be reached is tried again before the kernel gives up.
    pub store_patience: Duration,
    /// Steps of a batch from which on its records are written out and sealed by a thread of the runtime, while the engine's goes
    /// on. Fewer are not worth the hop.
    pub seal_apart: usize,
    /// Output tokens kept free in a model's window when a process names no window.
    pub output: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            step: Duration::from_secs(5),
            inner_steps: 64,
            calls_per_step: 256,
            infer: Duration::from_secs(600),
            attempts: 5,
            retry: Duration::from_secs(600),
            tool: Duration::from_secs(120),
            ended: 4096,
            mailbox: 1024,
            subscribers: 4096,
            requests: 1024,
            bodies: 256 << 20,
            embed: Duration::from_secs(60),
            poll: Duration::from_millis(100),
            store_patience: Duration::from_secs(30),
            seal_apart: 8,
            output: 8192,
        }
    }
}

/// A model and the Cpu that runs it.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) cpu: usize,
    pub(crate) info: ModelInfo,
}

/// The assembled parts. Immutable while a kernel runs.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) memory: Option<Arc<dyn Vectors>>,
    pub(crate) registry: Registry,
    pub(crate) cpus: Vec<Arc<dyn Cpu>>,
    /// What each of them takes.
    pub(crate) cpu_limits: Vec<CpuLimits>,
    /// Countable things and how much there is of them.
    pub(crate) resources: BTreeMap<String, u64>,
    /// What calls of tools and models need of them.
    pub(crate) tool_needs: BTreeMap<String, Vec<(String, u64)>>,
    pub(crate) model_needs: BTreeMap<String, Vec<(String, u64)>>,
    pub(crate) models: BTreeMap<String, Served>,
    pub(crate) default_model: Option<String>,
    pub(crate) sandbox: Arc<dyn Sandbox>,
    pub(crate) pagers: Arc<dyn PagerFactory>,
    pub(crate) embedder: Option<Arc<dyn Embedder>>,
    pub(crate) programs: BTreeMap<String, Arc<dyn ProgramFactory>>,
    pub(crate) policy: Policy,
    pub(crate) capabilities: Capabilities,
    pub(crate) sink: Arc<dyn DeltaSink>,
    pub(crate) limits: Limits,
    pub(crate) keep_warm: bool,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Parts {
    /// The model a call means: the one it names, else the process's, else the kernel's.
    pub(crate) fn model<'a>(&'a self, call: Option<&'a str>, process: Option<&'a str>) -> Option<&'a str> {
        call.or(process).or(self.default_model.as_deref())
    }

    /// How long a tool call may take: as the tool says, as the call asks, as the kernel allows.
    pub(crate) fn tool_timeout(&self, args: &ToolCallArgs) -> Duration {
        let own = self.registry.spec(&args.tool).map_or(Duration::MAX, |spec| spec.timeout.into());
        let asked = args.timeout.map_or(Duration::MAX, Duration::from);
        own.min(asked).min(self.limits.tool)
    }

    /// What a process's window is like.
    pub(crate) fn pager_config(&self, spec: &Spec) -> PagerConfig {
        let model = self.model(None, spec.model.as_deref()).unwrap_or("");
        let info = self.models.get(model).map(|served| &served.info);
        let default = info.map_or(Tokens(8192), |info| {
            info.window.saturating_sub(Tokens(self.limits.output.min(info.window.0 / 2)))
        });
        PagerConfig {
            model: model.to_owned(),
            window: spec.window.unwrap_or(default),
            cache: info.map(|info| info.cache).unwrap_or_default(),
            keep_warm: self.keep_warm,
        }
    }
}

/// Asks again, ever less often, what fails for a passing reason, for so long after the first time.
pub(crate) async fn patiently<T, E, Asked>(
    patience: Duration,
    retry: impl Fn(&E) -> Retry,
    mut ask: impl FnMut() -> Asked,
) -> Result<T, E>
where
    E: std::fmt::Display,
    Asked: Future<Output = Result<T, E>>,
{
    let end = tokio::time::Instant::now() + patience;
    let mut pause = Duration::from_millis(10);
    loop {
        match ask().await {
            Err(error) if retry(&error) != Retry::Never && tokio::time::Instant::now() < end => {
                tracing::warn!(%error, "asked again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            answer => return answer,
        }
    }
}
