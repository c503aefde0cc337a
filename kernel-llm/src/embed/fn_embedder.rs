//! An embedder that is a function.

use super::{EmbedError, Embedder};

/// Vectors computed by a function of one text: for tests, and to wrap what is not worth a type.
///
/// ```
/// use kernel_llm::{Embedder, FnEmbedder};
///
/// # fn main() -> Result<(), kernel_llm::EmbedError> {
/// let lengths = FnEmbedder::new("lengths", |text| Ok(vec![text.len() as f32, 1.0]));
/// assert_eq!(lengths.embed(&["four"])?, [[4.0, 1.0]]);
/// # Ok(())
/// # }
/// ```
pub struct FnEmbedder<F> {
    model: String,
    function: F,
}

impl<F: Fn(&str) -> Result<Vec<f32>, EmbedError> + Send + Sync> FnEmbedder<F> {
    /// A model of that name.
    pub fn new(model: impl Into<String>, function: F) -> Self {
        Self { model: model.into(), function }
    }
}

impl<F: Fn(&str) -> Result<Vec<f32>, EmbedError> + Send + Sync> Embedder for FnEmbedder<F> {
    fn model(&self) -> &str {
        &self.model
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        texts.iter().map(|text| (self.function)(text)).collect()
    }
}
