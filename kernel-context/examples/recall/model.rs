//! A static embedding model: a vector for each token, and the mean of them for a text.
//!
//! It reads what the PyPI package `wordllama` ships, a folder with one safetensors file of one matrix and one tokenizer of
//! Hugging Face's format.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use kernel_context::retrieval::Embedding;
use safetensors::tensor::{Dtype, SafeTensors};
use tokenizers::Tokenizer;

/// A matrix of token vectors and the tokenizer to it.
pub(crate) struct Model {
    name: Arc<str>,
    tokenizer: Tokenizer,
    rows: Vec<f32>,
    width: usize,
}

impl Model {
    /// Reads the model in a folder or the folders in it.
    pub(crate) fn open(folder: &Path) -> Result<Self, String> {
        let files = files(folder)?;
        let file = |ending: &str| {
            let found = files.iter().find(|path| path.to_string_lossy().ends_with(ending));
            found.ok_or_else(|| format!("no file *{ending} in {}", folder.display()))
        };
        let (weights, words) = (file(".safetensors")?, file(".json")?);
        let bytes = std::fs::read(weights).map_err(|error| format!("{}: {error}", weights.display()))?;
        let (rows, width) = matrix(&bytes).map_err(|error| format!("{}: {error}", weights.display()))?;
        let tokenizer =
            Tokenizer::from_file(words).map_err(|error| format!("{}: {error}", words.display()))?;
        let name = weights.file_stem().unwrap_or_default().to_string_lossy().into();
        Ok(Self { name, tokenizer, rows, width })
    }

    /// The mean of the vectors of a text's tokens; `None` if it has none.
    pub(crate) fn embed(&self, text: &str) -> Option<Embedding> {
        let encoding = self.tokenizer.encode(text, false).ok()?;
        let mut sum = vec![0.0; self.width];
        for id in encoding.get_ids() {
            let start = usize::try_from(*id).ok()? * self.width;
            let row = self.rows.get(start..start + self.width)?;
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        Embedding::new(Arc::clone(&self.name), &sum)
    }
}

/// The files in a folder and the folders in it, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let list = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files = Vec::new();
    for path in list.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            files.extend(self::files(&path)?);
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The only tensor of a file, row by row, and the width of a row.
fn matrix(bytes: &[u8]) -> Result<(Vec<f32>, usize), String> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let (_, tensor) = tensors.tensors().into_iter().next().ok_or("no tensor")?;
    let [_, width] = tensor.shape() else { return Err(format!("a tensor of shape {:?}", tensor.shape())) };
    let rows = match tensor.dtype() {
        Dtype::F32 => tensor.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Dtype::F16 => {
            tensor.data().as_chunks().0.iter().map(|bytes| half(u16::from_le_bytes(*bytes))).collect()
        }
        other => return Err(format!("values of type {other:?}")),
    };
    Ok((rows, *width))
}

/// A number of 16 bits (IEEE 754 binary16).
fn half(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (bits >> 15, bits >> 10 & 31, f32::from(bits & 1023) / 1024.0);
    let size = match exponent {
        0 => fraction * 2.0_f32.powi(-14),
        31 => f32::INFINITY,
        _ => (1.0 + fraction) * 2.0_f32.powi(i32::from(exponent) - 15),
    };
    if sign == 1 { -size } else { size }
}
