//! What to run, where, and whether it may be fetched.

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use kernel_types::{ModelInfo, Pricing, Tokens};

use crate::model_info;

/// Which model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LocalModel {
    /// SmolLM2-135M-Instruct, fetched with the server: proves the plumbing, reasons little.
    SmolLm2,
    /// Any model file that llama.cpp reads; only the server is fetched. Its name is the file's, without the ending.
    Gguf(PathBuf),
}

/// What to do where something is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Install {
    /// Ask the [`crate::SetupSink`].
    Ask,
    /// Fetch it.
    Yes,
    /// Refuse, saying what is missing.
    No,
}

/// A local model server.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// Which model.
    pub model: LocalModel,
    /// Where programs, models and the log are kept. Several processes may share it.
    pub data_dir: PathBuf,
    /// What to do where something is missing.
    pub install: Install,
    /// Threads that compute: more than there are idle cores makes it slower.
    pub threads: usize,
    /// Calls at a time. Each slot keeps its prompt, so that prefixes survive each other.
    pub slots: u32,
    /// Tokens of a slot's window.
    pub window: Tokens,
    /// Whether the model takes tools through the server's own interface.
    pub native_tools: bool,
    /// How long the server may take to load the model.
    pub start_timeout: Duration,
    /// The Python to use; the first `python3` of `PATH` without.
    pub python: Option<PathBuf>,
}

impl LocalConfig {
    /// The small model with its files in `data_dir`, asking before they are fetched; up to four threads, two slots of
    /// 4,096 tokens.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            model: LocalModel::SmolLm2,
            data_dir: data_dir.into(),
            install: Install::Ask,
            threads: std::thread::available_parallelism().map_or(1, NonZero::get).min(4),
            slots: 2,
            window: Tokens(4096),
            native_tools: false,
            start_timeout: Duration::from_secs(120),
            python: None,
        }
    }

    /// The model as the kernel sees it: free, cached token by token in its slots.
    #[must_use]
    pub fn model_info(&self) -> ModelInfo {
        let small = model_info("smollm2-135m");
        let name = match &self.model {
            LocalModel::SmolLm2 => return ModelInfo { window: self.window, ..small },
            LocalModel::Gguf(path) => path
                .file_stem()
                .map_or_else(|| "local".to_owned(), |stem| stem.to_string_lossy().into_owned()),
        };
        ModelInfo {
            name,
            window: self.window,
            max_output: Tokens(self.window.0 / 2),
            native_tools: self.native_tools,
            pricing: Some(Pricing::default()),
            cache: small.cache,
        }
    }
}
