//! `--embeddings` and `agentos setup embeddings`: the model by which pages are found that share no word with a question.

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use kernel_llm::{EmbedError, Embedder, EmbeddingFiles, EmbeddingModel, Install};
use serde_json::json;

use crate::args::{EmbeddingArgs, EmbeddingChoice, Global};
use crate::data;
use crate::failure::{Exit, Failure};
use crate::model;
use crate::output;
use crate::setup::Setup;
use crate::signals::Interrupts;
use crate::ui::Ui;

/// What turns them off.
const OFF: &str = "off";
/// How a build that runs every model is made.
const BUILD: &str = "build with `cargo build --release -p kernel --features embed-minilm`";

/// The files of a model, below the data directory.
pub(crate) fn files(choice: EmbeddingChoice, data: &Path) -> EmbeddingFiles {
    let model = match choice {
        EmbeddingChoice::Static => EmbeddingModel::Static,
        EmbeddingChoice::Minilm => EmbeddingModel::MiniLm,
    };
    EmbeddingFiles::new(model, model::config(data).data_dir)
}

/// The model that was set up last. Fetches nothing.
pub(crate) fn chosen(data: &Path) -> EmbeddingChoice {
    let name = fs::read_to_string(choice_file(data)).unwrap_or_default();
    EmbeddingChoice::from_str(name.trim(), false).unwrap_or_default()
}

/// The model's name on the command line.
pub(crate) fn name(choice: EmbeddingChoice) -> String {
    let value = choice.to_possible_value().expect("no choice is hidden");
    value.get_name().to_owned()
}

/// Holds the name of the model that was set up last.
fn choice_file(data: &Path) -> PathBuf {
    model::config(data).data_dir.join("embeddings")
}

/// Whether this build runs a model.
pub(crate) fn is_built(choice: EmbeddingChoice) -> bool {
    choice == EmbeddingChoice::Static || cfg!(feature = "embed-minilm")
}

/// The model asked for, else the one that was set up, if there is one. Fetches nothing.
pub(crate) fn open(args: &EmbeddingArgs, data: &Path) -> Result<Option<Box<dyn Embedder>>, Failure> {
    let folder: Option<PathBuf> = match &args.embeddings {
        Some(given) if given.as_os_str() == OFF => None,
        Some(given) => Some(given.clone()),
        None => files(chosen(data), data).folder(),
    };
    let failed = |error: EmbedError| {
        let hint = match error {
            EmbedError::Unsupported { .. } => BUILD,
            _ => "name a folder with an embedding model",
        };
        Failure::new(Exit::Config, error.to_string())
            .hint(format!("{hint}, or do without: --embeddings {OFF}"))
    };
    folder.map(|folder| kernel_llm::open_embedder(&folder).map_err(failed)).transpose()
}

/// `agentos setup embeddings`.
pub(crate) async fn setup(global: &Global, choice: EmbeddingChoice, ui: &Ui) -> Result<Exit, Failure> {
    if !is_built(choice) {
        return Err(Failure::new(
            Exit::Config,
            "this build cannot run minilm: it has no feature embed-minilm",
        )
        .hint(BUILD));
    }
    let mut interrupts = Interrupts::take()?;
    let data = data::folder(global)?;
    let files = files(choice, &data);
    let sink = Setup::new(ui);
    let fetched = files.missing().is_some();
    let installing = async { files.install(Install::Yes, None, &sink).await.map_err(Failure::from) };
    let folder = interrupts.unless(installing).await?;
    ui.quiet();
    let model = kernel_llm::open_embedder(&folder).map_err(|error| {
        Failure::new(Exit::Io, error.to_string()).hint(format!("remove {} and try again", folder.display()))
    })?;
    choose(choice, &data)?;
    let name = model.model();
    if ui.json {
        output::line(&json!({ "model": name, "folder": folder, "fetched": fetched }).to_string())?;
    } else {
        output::line(&format!("{name} is in {}; runs use it from now on", folder.display()))?;
    }
    Ok(Exit::Ok)
}

/// Makes a model the one that runs use.
fn choose(choice: EmbeddingChoice, data: &Path) -> Result<(), Failure> {
    let file = choice_file(data);
    fs::write(&file, name(choice) + "\n")
        .map_err(|error| Failure::new(Exit::Io, format!("cannot write {}: {error}", file.display())))
}
