//! Opening whichever model a folder holds.

use std::path::Path;

use super::files::Files;
use super::{EmbedError, Embedder};

/// The model in a folder or the folders in it, recognised by what is there: weights with a `config.json` beside them are a
/// network (`MiniLmEmbedder`), without one they are a matrix (`StaticEmbedder`).
///
/// # Errors
/// [`EmbedError::Setup`] names the file that is missing or is not what it should be, [`EmbedError::Unsupported`] the feature
/// that this build lacks.
pub fn open_embedder(folder: &Path) -> Result<Box<dyn Embedder>, EmbedError> {
    let is_network = Files::of(folder)?.config()?.is_some();
    if is_network { network(folder) } else { matrix(folder) }
}

#[cfg(feature = "embed-minilm")]
fn network(folder: &Path) -> Result<Box<dyn Embedder>, EmbedError> {
    Ok(Box::new(super::MiniLmEmbedder::open(folder)?))
}

#[cfg(not(feature = "embed-minilm"))]
fn network(folder: &Path) -> Result<Box<dyn Embedder>, EmbedError> {
    Err(unsupported(folder, "a sentence model", "embed-minilm"))
}

#[cfg(feature = "embed-static")]
fn matrix(folder: &Path) -> Result<Box<dyn Embedder>, EmbedError> {
    Ok(Box::new(super::StaticEmbedder::open(folder)?))
}

#[cfg(not(feature = "embed-static"))]
fn matrix(folder: &Path) -> Result<Box<dyn Embedder>, EmbedError> {
    Err(unsupported(folder, "a static model", "embed-static"))
}

#[cfg(not(all(feature = "embed-minilm", feature = "embed-static")))]
fn unsupported(folder: &Path, kind: &'static str, feature: &'static str) -> EmbedError {
    EmbedError::Unsupported { folder: folder.display().to_string(), kind, feature }
}
