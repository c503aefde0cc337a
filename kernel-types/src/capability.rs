//! Capabilities: values a process holds that say what it may do. Deciding by them is kernel-security's job.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a matching grant means.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Go on.
    #[default]
    Allow,
    /// A human must approve first.
    Ask,
}

/// A grant to call tools.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ToolGrant {
    /// The tool's name, or a pattern in which `*` stands for any text.
    pub tool: String,
    /// For each named argument, a pattern its value must match; arguments not named here are free.
    pub args: BTreeMap<String, String>,
    /// What a match means.
    pub effect: Effect,
}

/// All that one process may do. The default grants nothing.
///
/// Lists hold patterns in which `*` stands for any text. Paths are relative to the workspace; a granted folder covers
/// what lies in it, and `.` covers all.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capabilities {
    /// Syscalls by name. `probe`, `exit`, `process_info`, `tool_list`, `now` and `random` need no grant.
    pub calls: Vec<String>,
    /// Tools.
    pub tools: Vec<ToolGrant>,
    /// Paths that tools may read.
    pub read: Vec<String>,
    /// Paths that tools may write.
    pub write: Vec<String>,
    /// Models to infer with.
    pub models: Vec<String>,
    /// Hosts that tools may reach.
    pub hosts: Vec<String>,
    /// Processes that may be sent messages and signals beside one's own children: `parent`, `tree` or `*`.
    pub peers: Vec<String>,
}

impl Capabilities {
    /// Everything, for tests and fully trusted programs.
    #[must_use]
    pub fn all() -> Self {
        let any = || vec!["*".to_owned()];
        Self {
            calls: any(),
            tools: vec![ToolGrant { tool: "*".to_owned(), ..ToolGrant::default() }],
            read: vec![".".to_owned()],
            write: vec![".".to_owned()],
            models: any(),
            hosts: any(),
            peers: any(),
        }
    }
}
