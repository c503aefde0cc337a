//! What the protocols share: one HTTP client, bounded event streams, errors, the assembly of an answer.

mod answer;
mod client;
mod events;
mod status;
mod tls;

pub(crate) use answer::AnswerBuilder;
pub use client::Limits;
pub(crate) use client::{Endpoint, Header};
pub(crate) use events::{events, parse};
pub(crate) use status::stream_error;

/// The name of the field that holds what a model sent as the arguments of a tool call, where that was not a JSON object.
///
/// The call is kept, with `{"_invalid": "what it sent"}` as arguments, so that the model is told by the schema check what
/// was wrong and can try again; whoever runs tools without a schema must refuse arguments that have this field.
pub const INVALID_ARGS: &str = "_invalid";
