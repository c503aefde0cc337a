//! The local model as a [`Cpu`].

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kernel_types::{Inference, JsonText, ModelInfo};
use rand::TryRng;
use rand::rngs::SysRng;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::child::Server;
use super::config::{LocalConfig, LocalModel};
use super::install::{self, Installed};
use super::progress::{SetupEvent, SetupSink};
use super::python::{self, setup};
use crate::{ApiKey, Cpu, CpuError, DeltaSink, InferRequest, OpenAi, OpenAiConfig};

/// So many crashes within [`CRASH_SPAN`] are put up with.
const MAX_CRASHES: usize = 3;
const CRASH_SPAN: Duration = Duration::from_secs(600);

/// How long a server that listens may take to answer.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(30);

/// A model on this machine, served by a child process that lives as long as this value.
///
/// Requests without a temperature are sampled at 0, the only setting under which a model this small says anything twice.
/// A crashed server fails the calls in flight with an error worth retrying; the next call starts it again.
#[derive(Clone, Debug)]
pub struct Local {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: LocalConfig,
    model: ModelInfo,
    python: PathBuf,
    installed: Installed,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    server: Server,
    cpu: Arc<OpenAi>,
    key: ApiKey,
    crashes: Vec<Instant>,
}

impl Local {
    /// Fetches what is missing, if that is allowed, and starts the server.
    ///
    /// # Cancellation
    /// Dropping the future kills what was started. What was fetched until then is removed by the next call.
    ///
    /// # Errors
    /// `Setup`, with what to do about it.
    pub async fn start(config: LocalConfig, sink: &dyn SetupSink) -> Result<Self, CpuError> {
        let python = python::find(config.python.as_deref())?;
        let installed = install::ensure(&config, &python, sink).await?;
        let model = config.model_info();
        sink.event(SetupEvent::Start);
        let state = boot(&config, &model, &installed, &python).await?;
        sink.event(SetupEvent::Ready);
        let shared = Shared { config, model, python, installed, state: Mutex::new(state) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The server's address and key, for other clients of the same server; it speaks Anthropic's protocol too. Both
    /// change when the server is started again.
    pub async fn endpoint(&self) -> (String, ApiKey) {
        let state = self.shared.state.lock().await;
        (state.server.address.clone(), state.key.clone())
    }

    /// The server's process id.
    pub async fn process_id(&self) -> u32 {
        self.shared.state.lock().await.server.id()
    }

    /// A client of the running server; starts it again if it crashed.
    async fn client(&self) -> Result<Arc<OpenAi>, CpuError> {
        let shared = &*self.shared;
        let mut state = shared.state.lock().await;
        if state.server.is_running() {
            return Ok(Arc::clone(&state.cpu));
        }
        state.crashes.retain(|crash| crash.elapsed() < CRASH_SPAN);
        if state.crashes.len() >= MAX_CRASHES {
            let log = shared.config.data_dir.join("llama-server.log");
            let message =
                format!("the server crashed {} times; its log is {}", MAX_CRASHES + 1, log.display());
            return Err(setup(message));
        }
        state.crashes.push(Instant::now());
        let fresh = boot(&shared.config, &shared.model, &shared.installed, &shared.python).await?;
        let crashes = std::mem::take(&mut state.crashes);
        *state = State { crashes, ..fresh };
        Ok(Arc::clone(&state.cpu))
    }
}

/// Starts the server and waits until it answers.
async fn boot(
    config: &LocalConfig,
    model: &ModelInfo,
    installed: &Installed,
    python: &Path,
) -> Result<State, CpuError> {
    let secret = secret()?;
    let key = ApiKey::new(&secret).ok_or_else(|| setup("no key"))?;
    let server = Server::start(config, model, installed, python, &secret).await?;
    let extra = match config.model {
        // Greedy sampling of so small a model falls into loops.
        LocalModel::SmolLm2 => serde_json::json!({"cache_prompt": true, "repeat_penalty": 1.1}),
        LocalModel::Gguf(_) => serde_json::json!({"cache_prompt": true}),
    };
    let mut client = OpenAiConfig::new(&server.address, Some(key.clone()), model.clone());
    client.slots = config.slots;
    client.extra = JsonText::from(extra);
    client.temperature = Some(0);
    let cpu = OpenAi::with_config(client)?;
    timeout(HEALTH_TIMEOUT, until_healthy(&cpu)).await.map_err(|_| {
        setup(format!("the server listens but did not answer within {} s", HEALTH_TIMEOUT.as_secs()))
    })?;
    Ok(State { server, cpu: Arc::new(cpu), key, crashes: Vec::new() })
}

async fn until_healthy(cpu: &OpenAi) {
    while cpu.health().await.is_err() {
        sleep(Duration::from_millis(20)).await;
    }
}

/// A random key, so that no other user or web page of this machine can use the server.
fn secret() -> Result<String, CpuError> {
    let mut bytes = [0u8; 24];
    SysRng.try_fill_bytes(&mut bytes).map_err(|error| setup(format!("no randomness: {error}")))?;
    Ok(bytes.iter().fold("agentos-".to_owned(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[async_trait]
impl Cpu for Local {
    fn models(&self) -> Vec<ModelInfo> {
        vec![self.shared.model.clone()]
    }

    fn slots(&self) -> u32 {
        self.shared.config.slots.max(1)
    }

    async fn infer(&self, request: InferRequest, sink: &dyn DeltaSink) -> Result<Inference, CpuError> {
        self.client().await?.infer(request, sink).await
    }

    async fn health(&self) -> Result<(), CpuError> {
        self.client().await?.health().await
    }
}
