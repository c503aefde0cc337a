//! The devices of Agent OS Kernel: tools behind one trait.

mod driver;
mod error;

pub use driver::{CallContext, Driver, Host, HostExec, HostExit, ToolOutput};
pub use error::{ToolError, ToolErrorKind};
