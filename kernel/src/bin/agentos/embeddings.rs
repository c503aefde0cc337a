//! `--embeddings` and `agentos setup embeddings`: the model by which pages are found that share no word with a question.

use std::path::{Path, PathBuf};

use kernel_llm::{EmbedError, EmbeddingFiles, Install, StaticEmbedder};
use serde_json::json;

use crate::args::{EmbeddingArgs, Global};
use crate::data;
use crate::failure::{Exit, Failure};
use crate::model;
use crate::output;
use crate::setup::Setup;
use crate::signals::Interrupts;
use crate::ui::Ui;

/// What turns them off.
const OFF: &str = "off";

/// The files below the data directory.
pub(crate) fn files(data: &Path) -> EmbeddingFiles {
    EmbeddingFiles::new(model::config(data).data_dir)
}

/// The model asked for, else the one that was set up, if there is one. Fetches nothing.
pub(crate) fn open(args: &EmbeddingArgs, data: &Path) -> Result<Option<StaticEmbedder>, Failure> {
    let folder: Option<PathBuf> = match &args.embeddings {
        Some(given) if given.as_os_str() == OFF => None,
        Some(given) => Some(given.clone()),
        None => files(data).folder(),
    };
    let failed = |error: EmbedError| {
        Failure::new(Exit::Config, error.to_string())
            .hint(format!("name a folder with a static embedding model, or do without: --embeddings {OFF}"))
    };
    folder.map(|folder| StaticEmbedder::open(&folder).map_err(failed)).transpose()
}

/// `agentos setup embeddings`.
pub(crate) async fn setup(global: &Global, ui: &Ui) -> Result<Exit, Failure> {
    let mut interrupts = Interrupts::take()?;
    let data = data::folder(global)?;
    let files = files(&data);
    let sink = Setup::new(ui);
    let fetched = files.missing().is_some();
    let installing = async { files.install(Install::Yes, None, &sink).await.map_err(Failure::from) };
    let folder = interrupts.unless(installing).await?;
    ui.quiet();
    let model = StaticEmbedder::open(&folder).map_err(|error| {
        Failure::new(Exit::Io, error.to_string()).hint(format!("remove {} and try again", folder.display()))
    })?;
    let name = kernel_llm::Embedder::model(&model);
    if ui.json {
        output::line(&json!({ "model": name, "folder": folder, "fetched": fetched }).to_string())?;
    } else {
        output::line(&format!("{name} is in {}; runs use it from now on", folder.display()))?;
    }
    Ok(Exit::Ok)
}
