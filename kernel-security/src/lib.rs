//! The security of Agent OS Kernel: capabilities, policy, the audit chain and the sandbox.
//!
//! Four things that stand apart and meet only in the kernel's gate:
//! - **Capabilities and policy** are pure functions of data: [`decide`] says whether a call may go on and names what is
//!   missing if not; [`within`] keeps a child within its parent. Nothing in them awaits or reads a clock.
//! - **The audit chain**: [`seal_record`] links each journal record to the one before, [`seal_row`] seals an agent row.
//!   Time and salt are arguments.
//! - **The audit**: [`verify`] reads a store through the port [`AuditSource`] and names every row that was tampered with.
//! - **The sandbox**: [`Sandbox`] is the only way to run a program on behalf of an agent. [`DenyAll`] runs nothing,
//!   [`ScriptedSandbox`] answers from a table. Feature `conformance` has the laws every implementation must keep.
//!
//! ```
//! use kernel_security::{Policy, Request, decide};
//! use kernel_types::{Call, Capabilities, Decision, JsonText, Millis, Recovery, ToolCallArgs, ToolGrant, ToolSpec};
//!
//! let write_file = ToolSpec {
//!     name: "write_file".into(),
//!     description: "Writes a file.".into(),
//!     input: JsonText::empty_object(),
//!     recovery: Recovery::Unsafe,
//!     timeout: Millis(1000),
//!     reads: vec![],
//!     writes: vec!["path".into()],
//! };
//! let args = JsonText::parse(r#"{"path": "notes.txt", "text": "milk"}"#).unwrap();
//! let call = Call::ToolCall(ToolCallArgs { tool: "write_file".into(), args, timeout: None });
//! let request = Request { tool: Some(&write_file), ..Request::new(&call) };
//!
//! // Without a grant the missing one is named.
//! let reader = Capabilities { calls: vec!["tool_call".into()], read: vec![".".into()], ..Capabilities::default() };
//! let refused = decide(&Policy::default(), &reader, &request);
//! assert_eq!(refused, Decision::Deny { missing: "tool:write_file(path=notes.txt)".into() });
//!
//! // The tool and the path together are enough.
//! let writer = Capabilities {
//!     tools: vec![ToolGrant { tool: "write_file".into(), ..ToolGrant::default() }],
//!     write: vec!["notes.txt".into()],
//!     ..reader
//! };
//! assert_eq!(decide(&Policy::default(), &writer, &request), Decision::Allow);
//! ```

mod chain;
#[cfg(feature = "conformance")]
pub mod conformance;
mod deny_all;
mod error;
mod grants;
mod pattern;
mod policy;
mod report;
mod request;
mod sandbox;
mod scripted;
mod verify;
mod walk;
mod within;

pub use chain::{RecordBody, RecordDraft, body_hash, link, seal_record, seal_row};
pub use deny_all::DenyAll;
pub use error::{SandboxError, SandboxErrorKind};
pub use pattern::{covers, matches, normal_path, path_within};
pub use policy::{Policy, PolicyError, Rule, RuleEffect, decide};
pub use report::{Fault, Finding, Report, Table};
pub use request::{Relation, Request};
pub use sandbox::{Enforcement, ExecOutput, ExecRequest, ExecStatus, Sandbox};
pub use scripted::{Script, ScriptedSandbox};
pub use verify::{AuditError, AuditSource, verify};
pub use within::within;
