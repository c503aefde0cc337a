//! The files of a model: found in a folder, and named by what they hold.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use kernel_types::hash_bytes;
use tokenizers::Tokenizer;

use super::EmbedError;

/// Folders below the given one that are looked into.
const MOST_DEPTH: usize = 3;

/// All files of a folder and the folders in it, in order.
pub(super) struct Files {
    folder: PathBuf,
    paths: Vec<PathBuf>,
}

impl Files {
    /// Those of `folder`.
    pub(super) fn of(folder: &Path) -> Result<Self, EmbedError> {
        let mut paths = Vec::new();
        list(folder, MOST_DEPTH, &mut paths).map_err(|error| setup(folder, error))?;
        paths.sort();
        Ok(Self { folder: folder.to_owned(), paths })
    }

    /// The first one whose name `fits`; the error says that there is no file `what`.
    pub(super) fn find(&self, what: &str, fits: impl Fn(&str) -> bool) -> Result<&Path, EmbedError> {
        let name = |path: &&PathBuf| path.file_name().is_some_and(|name| fits(&name.to_string_lossy()));
        let found = self.paths.iter().find(name).map(PathBuf::as_path);
        found.ok_or_else(|| setup(&self.folder, format!("no file {what}")))
    }

    /// The file with the values that were learned.
    pub(super) fn weights(&self) -> Result<&Path, EmbedError> {
        self.find("*.safetensors", |name| name.ends_with(".safetensors"))
    }

    /// What describes the network to the weights beside it. A static model has none: it is a matrix.
    pub(super) fn config(&self) -> Result<Option<PathBuf>, EmbedError> {
        let path = self.weights()?.with_file_name("config.json");
        Ok(self.paths.contains(&path).then_some(path))
    }
}

/// The files in a folder and the folders in it.
fn list(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
        if kind.is_dir() && depth > 0 {
            list(&path, depth - 1, paths)?;
        } else if !kind.is_dir() {
            paths.push(path);
        }
    }
    Ok(())
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, EmbedError> {
    std::fs::read(path).map_err(|error| setup(path, error))
}

pub(super) fn tokenizer(path: &Path) -> Result<Tokenizer, EmbedError> {
    Tokenizer::from_file(path).map_err(|error| setup(path, error))
}

/// A model's name, with the beginning of the hash of its weights: other weights are another model.
pub(super) fn name(stem: &str, weights: &[u8]) -> String {
    let hash = hash_bytes(weights).to_string();
    format!("{stem}@{}", hash.get(..8).unwrap_or(&hash))
}

pub(super) fn setup(path: &Path, error: impl Display) -> EmbedError {
    EmbedError::Setup(format!("{}: {error}", path.display()))
}

/// Makes a vector one long; one of zeros stays.
pub(super) fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
}
