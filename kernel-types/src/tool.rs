//! What a tool is, what it is asked, what it answers.

use serde::{Deserialize, Serialize};

use crate::{BlobHash, CallKey, JsonText, Millis, Recovery};

/// A tool as models and the registry see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ToolSpec {
    /// Unique in a registry: 1 to 64 of `a-z A-Z 0-9 _ -`.
    pub name: String,
    /// For the model: what it does and when to use it.
    pub description: String,
    /// JSON Schema (draft 2020-12) of the arguments, an object.
    pub input: JsonText,
    /// What happens to a call that was in flight when the kernel stopped.
    pub recovery: Recovery,
    /// How long a call may take, unless the call says less.
    pub timeout: Millis,
    /// Names of string arguments that are paths the tool reads, for capability checks.
    pub reads: Vec<String>,
    /// Names of string arguments that are paths the tool writes.
    pub writes: Vec<String>,
}

/// One call of a tool, as a driver receives it: capability checked, arguments valid against the schema.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ToolCallRequest {
    /// The idempotency key: a driver whose tool is `keyed` must do the work at most once for one key.
    pub key: CallKey,
    /// The tool's name.
    pub tool: String,
    /// The arguments, an object.
    pub args: JsonText,
}

/// What a tool answered: the uniform `{success, data, error}`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ToolResult {
    /// Whether the tool did what was asked. `false` is an answer for the model, not a failure of the kernel.
    pub success: bool,
    /// The result, for programs.
    pub data: JsonText,
    /// What to show the model: the text of the result or of the error.
    pub text: String,
    /// Bodies that were stored beside the result and that a following `page_alloc` may name.
    pub attachments: Vec<BlobHash>,
}
