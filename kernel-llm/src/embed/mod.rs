//! `Embedder`: a model that says in a vector what a text is about.
//!
//! It makes pages findable that share no word with a question. The kernel asks it before pages are allocated and before
//! something is looked for, and journals what it answers, so that a replay needs none.

#[cfg(any(feature = "embed-minilm", feature = "embed-static"))]
mod files;
mod fn_embedder;
#[cfg(feature = "embed-minilm")]
mod minilm_embedder;
#[cfg(any(feature = "embed-minilm", feature = "embed-static"))]
mod open;
#[cfg(feature = "embed-static")]
mod static_embedder;

use thiserror::Error;

pub use fn_embedder::FnEmbedder;
#[cfg(feature = "embed-minilm")]
pub use minilm_embedder::MiniLmEmbedder;
#[cfg(any(feature = "embed-minilm", feature = "embed-static"))]
pub use open::open_embedder;
#[cfg(feature = "embed-static")]
pub use static_embedder::StaticEmbedder;

/// An embedding model.
///
/// # Contract
/// - `embed` MUST answer one vector for each text, in order, all of one width, of finite values; zeros for a text that the
///   model has nothing to say of.
/// - The same text MUST give the same vector, alone or among others.
/// - Models that place the same text elsewhere MUST have different names: only vectors of one name are compared.
/// - An embedder MUST NOT keep or send a text anywhere but to its model.
///
/// # Cancellation
/// `embed` may compute or wait: the kernel calls it on a thread where that disturbs nobody, and stops waiting at its own
/// deadline. Pages of a call that failed or came too late have no vector, and are found by their words.
///
/// # Errors
/// [`EmbedError`].
///
/// # Implementing
/// Two methods; `conformance::embedders_keep_their_contract` checks them.
pub trait Embedder: Send + Sync {
    /// The model's name.
    fn model(&self) -> &str;

    /// The vectors of `texts`.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError>;
}

impl<E: Embedder + ?Sized> Embedder for Box<E> {
    fn model(&self) -> &str {
        (**self).model()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        (**self).embed(texts)
    }
}

/// An error of an [`Embedder`].
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// The model's files are missing or are none.
    #[error("embedding model: {0}")]
    Setup(String),
    /// A folder holds a model that this build cannot run.
    #[error("embedding model: {folder}: {kind}, and this build has no feature {feature}")]
    Unsupported {
        /// The folder.
        folder: String,
        /// What kind of model it is.
        kind: &'static str,
        /// The feature of this crate that runs it.
        feature: &'static str,
    },
    /// The model did not answer.
    #[error("embedding model {model}: {message}")]
    Failed {
        /// The model's name.
        model: String,
        /// What happened.
        message: String,
    },
}
