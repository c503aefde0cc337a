//! `Embedder`: a model that says in a vector what a text is about.
//!
//! It makes pages findable that share no word with a question. The kernel asks it before pages are allocated and before
//! something is looked for, and journals what it answers, so that a replay needs none.

mod fn_embedder;
#[cfg(feature = "embed-static")]
mod static_embedder;

use thiserror::Error;

pub use fn_embedder::FnEmbedder;
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

/// An error of an [`Embedder`].
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum EmbedError {
    /// The model's files are missing or are none.
    #[error("embedding model: {0}")]
    Setup(String),
    /// The model did not answer.
    #[error("embedding model {model}: {message}")]
    Failed {
        /// The model's name.
        model: String,
        /// What happened.
        message: String,
    },
}
