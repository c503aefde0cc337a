//! From `--cpu` and `--model` to a model that answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use kernel_llm::detect::{Detected, detect};
use kernel_llm::{
    Anthropic, ApiKey, Cpu, CpuError, CpuErrorKind, DeltaSink, InferRequest, Install, Local, LocalConfig,
    LocalModel, OpenAi, Script, Scripted, model_info,
};
use kernel_types::{Inference, ModelInfo, Tokens};
use parking_lot::Mutex;

use crate::cpu::CpuChoice;
use crate::failure::{Exit, Failure};
use crate::setup::Setup;
use crate::ui::Ui;

const DEFAULT_ANTHROPIC: &str = "claude-sonnet-4-5";
const DEFAULT_OPENAI: &str = "gpt-5-mini";
/// The most the small local model is shown: it gains nothing from more and is slow to read.
const LOCAL_PROMPT: u64 = 2_000;
/// The most others are shown unless the user says more: it costs money.
const USUAL_PROMPT: u64 = 100_000;
/// Output tokens kept free in a window.
const OUTPUT: u64 = 512;

/// What the command line says about the model.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) cpu: CpuChoice,
    pub(crate) model: Option<String>,
    pub(crate) window: Option<u64>,
    pub(crate) install: bool,
    pub(crate) threads: Option<usize>,
    /// Calls at a time; the provider's without.
    pub(crate) slots: Option<u32>,
}

/// A model, ready to answer.
pub(crate) struct Chosen {
    pub(crate) cpu: Watched,
    /// How to find it again.
    pub(crate) choice: CpuChoice,
    /// What `--model` would have to say to get it again; the model's own name is in `info`.
    pub(crate) name: String,
    pub(crate) info: ModelInfo,
    /// Tokens a prompt may have.
    pub(crate) window: Tokens,
}

/// Sets the model up. What takes long or fetches something says so.
pub(crate) async fn choose(wanted: &Wanted, data: &Path, ui: &Ui) -> Result<Chosen, Failure> {
    let mut wanted = wanted.clone();
    if wanted.cpu == CpuChoice::Auto {
        ui.busy("looking for a model");
        match detect().await {
            Detected::Anthropic => wanted.cpu = CpuChoice::Anthropic,
            Detected::OpenAi => wanted.cpu = CpuChoice::OpenAi(None),
            Detected::Server { base_url, model } => {
                ui.note(&format!("model: {model} of the server at {base_url}"));
                wanted.cpu = CpuChoice::OpenAi(Some(base_url));
                wanted.model.get_or_insert(model);
            }
            _ => {
                ui.note("model: no key in the environment and no server on this machine, so the local one");
                wanted.cpu = CpuChoice::Local;
            }
        }
    }
    let (cpu, name): (Arc<dyn Cpu>, String) = match &wanted.cpu {
        CpuChoice::Auto | CpuChoice::Local => return local(&wanted, data, ui).await,
        CpuChoice::Scripted(path) => scripted(path)?,
        CpuChoice::Anthropic => {
            let name = wanted.model.clone().unwrap_or_else(|| DEFAULT_ANTHROPIC.to_owned());
            (Arc::new(Anthropic::from_env(&name).map_err(misconfigured)?), name)
        }
        CpuChoice::OpenAi(url) => {
            let name = openai_model(&wanted, url.as_deref())?;
            let cpu = match url {
                None => OpenAi::from_env(&name).map_err(misconfigured)?,
                Some(url) => OpenAi::new(url, ApiKey::from_env("OPENAI_API_KEY"), model_info(&name))
                    .map_err(misconfigured)?,
            };
            (Arc::new(cpu), name)
        }
    };
    let info = info_of(&cpu, wanted.model.as_deref())?;
    if matches!(wanted.cpu, CpuChoice::Anthropic | CpuChoice::OpenAi(_)) {
        ui.busy(format!("asking {} for {name}", wanted.cpu));
        reachable(&*cpu).await?;
    }
    let most = info.window.saturating_sub(Tokens(OUTPUT.min(info.window.0 / 2)));
    let window = wanted.window.map_or(Tokens(USUAL_PROMPT), Tokens).min(most);
    let choice = match wanted.cpu {
        CpuChoice::Scripted(path) => CpuChoice::Scripted(std::path::absolute(&path).unwrap_or(path)),
        other => other,
    };
    Ok(Chosen { cpu: Watched::new(cpu, wanted.slots), choice, name, info, window })
}

/// What is wrong with an address or a key before anything was asked is the configuration's fault.
fn misconfigured(error: CpuError) -> Failure {
    if error.kind() == CpuErrorKind::InvalidRequest {
        return Failure::new(Exit::Config, error.to_string())
            .hint("give an address such as http://127.0.0.1:8080/v1 (--cpu openai:URL or OPENAI_BASE_URL)");
    }
    error.into()
}

/// A wrong key and a dead address show before anything is read. A server need not offer more than inferences.
async fn reachable(cpu: &dyn Cpu) -> Result<(), Failure> {
    match cpu.health().await {
        Err(error) if matches!(error.kind(), CpuErrorKind::Auth | CpuErrorKind::Unreachable) => {
            Err(error.into())
        }
        _ => Ok(()),
    }
}

fn openai_model(wanted: &Wanted, url: Option<&str>) -> Result<String, Failure> {
    let elsewhere = url.is_some() || std::env::var("OPENAI_BASE_URL").is_ok_and(|base| !base.is_empty());
    match &wanted.model {
        Some(model) => Ok(model.clone()),
        None if elsewhere => {
            Err(Failure::new(Exit::Config, "this server's models are not known")
                .hint("name one with --model"))
        }
        None => Ok(DEFAULT_OPENAI.to_owned()),
    }
}

fn scripted(path: &Path) -> Result<(Arc<dyn Cpu>, String), Failure> {
    let script = Script::load(path).map_err(|error| {
        Failure::new(Exit::BadInput, format!("--cpu scripted:{}: {error}", path.display()))
    })?;
    let name = script.model.name.clone();
    Ok((Arc::new(Scripted::new(script)), name))
}

fn info_of(cpu: &dyn Cpu, wanted: Option<&str>) -> Result<ModelInfo, Failure> {
    let models = cpu.models();
    let found = models.iter().find(|info| wanted.is_none_or(|wanted| info.name == wanted));
    found.cloned().ok_or_else(|| unknown_model(wanted.unwrap_or_default(), &models))
}

fn unknown_model(wanted: &str, models: &[ModelInfo]) -> Failure {
    let known: Vec<&str> = models.iter().map(|info| info.name.as_str()).collect();
    Failure::new(Exit::Config, format!("unknown model {wanted:?}"))
        .hint(format!("there is {}", known.join(", ")))
}

async fn local(wanted: &Wanted, data: &Path, ui: &Ui) -> Result<Chosen, Failure> {
    let mut config = config(data);
    if let Some(name) = wanted.model.as_deref().filter(|name| *name != config.model_info().name) {
        if !Path::new(name).is_file() {
            let hint = format!("there is {}, or give the path of a GGUF file", config.model_info().name);
            return Err(Failure::new(Exit::Config, format!("unknown local model {name:?}")).hint(hint));
        }
        config.model = LocalModel::Gguf(std::path::absolute(name).unwrap_or_else(|_| PathBuf::from(name)));
    }
    config.install = if wanted.install { Install::Yes } else { Install::No };
    config.threads = wanted.threads.unwrap_or(config.threads);
    config.slots = wanted.slots.unwrap_or(config.slots);
    let window = Tokens(wanted.window.unwrap_or(LOCAL_PROMPT));
    config.window = config.window.max(window.saturating_add(Tokens(OUTPUT)));
    let hint = if wanted.install { "" } else { "run it once without --no-install" };
    let local = Local::start(config.clone(), &Setup::new(ui)).await;
    let local = local.map_err(|error| Failure::from(error).hint(hint))?;
    ui.quiet();
    let info = config.model_info();
    let name = match &config.model {
        LocalModel::Gguf(path) => path.display().to_string(),
        LocalModel::SmolLm2 => info.name.clone(),
    };
    Ok(Chosen {
        cpu: Watched::new(Arc::new(local), wanted.slots),
        choice: CpuChoice::Local,
        name,
        info,
        window,
    })
}

/// The local model's configuration, its files below the data directory.
pub(crate) fn config(data: &Path) -> LocalConfig {
    LocalConfig::new(data.join("models"))
}

/// A Cpu whose last failure is remembered: it says better than a journal why an agent gave up.
#[derive(Clone)]
pub(crate) struct Watched {
    inner: Arc<dyn Cpu>,
    last: Arc<Mutex<Option<CpuError>>>,
    slots: Option<u32>,
}

impl Watched {
    fn new(inner: Arc<dyn Cpu>, slots: Option<u32>) -> Self {
        Self { inner, last: Arc::default(), slots }
    }

    /// The failure of the last call, if it failed.
    pub(crate) fn last_error(&self) -> Option<CpuError> {
        self.last.lock().clone()
    }
}

#[async_trait]
impl Cpu for Watched {
    fn models(&self) -> Vec<ModelInfo> {
        self.inner.models()
    }

    fn slots(&self) -> u32 {
        self.slots.unwrap_or_else(|| self.inner.slots())
    }

    async fn infer(&self, request: InferRequest, sink: &dyn DeltaSink) -> Result<Inference, CpuError> {
        let result = self.inner.infer(request, sink).await;
        *self.last.lock() = result.as_ref().err().cloned();
        result
    }

    async fn health(&self) -> Result<(), CpuError> {
        self.inner.health().await
    }
}
