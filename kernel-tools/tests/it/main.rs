//! Tests of kernel-tools: the laws of the contract on every driver, and each tool against workspaces of all kinds.

#![expect(clippy::unwrap_used, reason = "test code: what has no answer fails the test")]

mod broken;
mod conformance;
mod folder;
mod hostile;
mod import;
mod pages;
mod reading;
mod registry;
mod scripted;
mod writing;
