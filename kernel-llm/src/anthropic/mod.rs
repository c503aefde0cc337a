//! The Messages API of Anthropic, and of servers that speak it.

mod cpu;
mod request;
mod stream;

pub use cpu::{Anthropic, AnthropicConfig};
