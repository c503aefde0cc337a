//! A static embedding model: a vector for each token, and the mean of them for a text.
//!
//! No network is run, so that 100,000 short texts take a second. It reads what the PyPI package `wordllama` holds: a
//! safetensors file of one matrix and a tokenizer of Hugging Face's format.

use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors};
use tokenizers::Tokenizer;

use super::files::{self, Files, setup};
use super::{EmbedError, Embedder};

/// A matrix of token vectors and the tokenizer to it.
pub struct StaticEmbedder {
    model: String,
    tokenizer: Tokenizer,
    rows: Vec<f32>,
    width: usize,
}

impl StaticEmbedder {
    /// Reads the model in a folder or the folders in it: one `*.safetensors` of one matrix, one `*tokenizer*.json`. Its name
    /// is the first file's, with the beginning of its hash: other weights are another model.
    ///
    /// # Errors
    /// [`EmbedError::Setup`] names the file that is missing or is not what it should be.
    pub fn open(folder: &Path) -> Result<Self, EmbedError> {
        let files = Files::of(folder)?;
        let weights = files.weights()?;
        let words =
            files.find("*tokenizer*.json", |name| name.contains("tokenizer") && name.ends_with(".json"))?;
        let bytes = files::read(weights)?;
        let (rows, width) = matrix(&bytes).map_err(|error| setup(weights, error))?;
        let mut tokenizer = files::tokenizer(words)?;
        tokenizer.with_padding(None).with_truncation(None).map_err(|error| setup(words, error))?;
        if tokenizer.get_vocab_size(true) > rows.len() / width {
            return Err(setup(weights, "fewer rows than the tokenizer has words"));
        }
        let model = files::name(&weights.file_stem().unwrap_or_default().to_string_lossy(), &bytes);
        Ok(Self { model, tokenizer, rows, width })
    }

    /// The mean of the vectors of a text's tokens.
    fn mean(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let failed = |message: String| EmbedError::Failed { model: self.model.clone(), message };
        let tokens = self.tokenizer.encode_fast(text, false).map_err(|error| failed(error.to_string()))?;
        let mut sum = vec![0.0_f32; self.width];
        for id in tokens.get_ids() {
            let row = self.rows.chunks_exact(self.width).nth(*id as usize);
            let row = row.ok_or_else(|| failed(format!("token {id} has no row")))?;
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        files::normalise(&mut sum);
        Ok(sum)
    }
}

impl Embedder for StaticEmbedder {
    fn model(&self) -> &str {
        &self.model
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        texts.iter().map(|text| self.mean(text)).collect()
    }
}

/// The only tensor of a file, row by row, and the width of a row.
fn matrix(bytes: &[u8]) -> Result<(Vec<f32>, usize), String> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let (_, tensor) = tensors.iter().next().ok_or("no tensor")?;
    let width = match *tensor.shape() {
        [_, width] if width > 0 && tensors.len() == 1 => width,
        _ => return Err(format!("{} tensors, the first of shape {:?}", tensors.len(), tensor.shape())),
    };
    let data = tensor.data();
    let rows: Vec<f32> = match tensor.dtype() {
        Dtype::F32 => data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        Dtype::F16 => data.as_chunks().0.iter().map(|bytes| half(u16::from_le_bytes(*bytes))).collect(),
        other => return Err(format!("values of type {other:?}")),
    };
    if rows.iter().any(|value| !value.is_finite()) {
        return Err("a value that is not finite".to_owned());
    }
    Ok((rows, width))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_read_exactly() {
        for (bits, value) in [(0x3C00, 1.0), (0xC000, -2.0), (0x3555, 0.333_251_95), (0x0001, 5.960_464_5e-8)]
        {
            assert_eq!(half(bits), value, "{bits:#06x}");
        }
        assert!(!half(0x7C00).is_finite());
    }
}
