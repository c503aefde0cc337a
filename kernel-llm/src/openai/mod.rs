//! Chat completions, as OpenAI defined them and most servers speak them.

mod cpu;
mod request;
mod stream;

pub use cpu::{OpenAi, OpenAiConfig};
pub use request::LimitField;
