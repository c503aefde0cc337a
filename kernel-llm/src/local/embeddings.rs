//! The small embedding model: fetched like the local model, by whoever asks for it.

use std::path::{Path, PathBuf};

use super::config::Install;
use super::install::install;
use super::package::EMBEDDINGS;
use super::progress::{InstallPlan, SetupSink};
use super::python;
use crate::CpuError;

/// The files of the small embedding model (`wordllama`, 256 values, 18 MB, MIT) below a folder of packages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EmbeddingFiles {
    root: PathBuf,
}

impl EmbeddingFiles {
    /// Those below `data_dir`, which [`crate::LocalConfig::data_dir`] may be too. They need not be there.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let given = data_dir.into();
        Self { root: std::path::absolute(&given).unwrap_or(given) }
    }

    /// The folder for [`crate::StaticEmbedder::open`], if the files are there.
    #[must_use]
    pub fn folder(&self) -> Option<PathBuf> {
        EMBEDDINGS.is_installed(&self.root).then(|| self.root.join(EMBEDDINGS.folder))
    }

    /// What [`EmbeddingFiles::install`] would fetch; `None` if everything is there.
    #[must_use]
    pub fn missing(&self) -> Option<InstallPlan> {
        self.folder().is_none().then(|| super::install::plan(&[&EMBEDDINGS], &self.root))
    }

    /// Fetches the files with `python` (the first `python3` of `PATH` without) and pip, which checks them against a pinned
    /// SHA-256. Where they are there, nothing happens.
    ///
    /// # Cancellation
    /// As [`crate::Local::start`].
    ///
    /// # Errors
    /// `Setup`, with what to do about it.
    pub async fn install(
        &self,
        may: Install,
        python: Option<&Path>,
        sink: &dyn SetupSink,
    ) -> Result<PathBuf, CpuError> {
        if self.folder().is_none() {
            let python = python::find(python)?;
            install(&[&EMBEDDINGS], may, &self.root, &python, sink).await?;
        }
        Ok(self.root.join(EMBEDDINGS.folder))
    }
}
