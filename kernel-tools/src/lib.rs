//! The devices of Agent OS Kernel: tools behind one trait.
//!
//! A [`Driver`] offers tools; a [`Registry`] holds all tools of a kernel and checks every call against the tool's JSON
//! Schema. Tools that ship: [`Calculator`], and over a [`Workspace`] [`ListDir`], [`ReadFile`], [`SearchFiles`],
//! [`ImportDir`] and, where writing was allowed, [`WriteFile`]. A tool of your own is a function in [`FnTool`].
//!
//! Nothing here runs a program: a driver that needs one asks its [`Host`]. Nothing here decides what a process may do;
//! [`Registry::paths`] says what a call names, and the file tools ask the host for each path they meet.

mod arguments;
mod blocking;
mod calculator;
#[cfg(feature = "conformance")]
pub mod conformance;
mod driver;
mod error;
mod files;
mod function;
mod host;
mod pages;
mod path;
mod registry;
mod schema;
mod scripted;
mod workspace;

pub use calculator::Calculator;
pub use driver::{CallContext, Driver, Host, HostExec, HostExit, ToolOutput};
pub use error::{ToolError, ToolErrorKind};
pub use files::{ImportDir, ListDir, ReadFile, SearchFiles, WriteFile, files_read, files_write};
pub use function::FnTool;
pub use host::NullHost;
pub use pages::{Piece, split_pages};
pub use path::ToolPaths;
pub use registry::Registry;
pub use scripted::{Behaviour, ScriptedDriver};
pub use workspace::Workspace;
