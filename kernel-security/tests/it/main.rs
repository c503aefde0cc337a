//! The integration tests of kernel-security, one binary.

mod chain;
mod pattern;
mod policy;
mod sandbox;
mod store;
mod verify;
mod within;
