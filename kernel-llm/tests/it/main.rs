//! Integration tests of the Cpus: the laws of the contract on each of them, real and recorded servers, and every fault
//! that a server can have.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod anthropic_recorded;
mod broken;
mod conformance;
mod embed;
mod faults;
mod install;
mod local;
mod loopback;
#[cfg(feature = "embed-minilm")]
mod minilm;
mod openai_recorded;
mod requests;
mod retrying;
mod scripted;
mod served;
