//! The security of Agent OS Kernel: capabilities, policy, the audit chain and the sandbox.

mod chain;
mod error;
mod grants;
mod pattern;
mod policy;
mod report;
mod request;
mod sandbox;
mod verify;
mod walk;
mod within;

pub use chain::{RecordBody, RecordDraft, body_hash, link, seal_record, seal_row};
pub use error::{SandboxError, SandboxErrorKind};
pub use pattern::{covers, matches, normal_path, path_within};
pub use policy::{Policy, PolicyError, Rule, RuleEffect, decide};
pub use report::{Fault, Finding, Report, Table};
pub use request::{Relation, Request};
pub use sandbox::{Enforcement, ExecOutput, ExecRequest, ExecStatus, Sandbox};
pub use verify::{AuditError, AuditSource, verify};
pub use within::within;
