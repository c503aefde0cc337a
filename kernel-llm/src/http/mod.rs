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
