//! Pages: the unit in which a context window is paged.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{BlobHash, Importance, JsonText, PageNo, Tokens};

/// What a page is to the model.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PageKind {
    /// Instructions. Always pinned, rendered first.
    System,
    /// What a user said or asked.
    User,
    /// What the model said.
    Assistant,
    /// The model's call of a tool; the body is the arguments as JSON.
    ToolCall {
        /// The provider's id of the call.
        id: String,
        /// The tool.
        name: String,
    },
    /// The answer to a tool call of the same group.
    ToolResult {
        /// The id of the call answered.
        id: String,
        /// The tool failed.
        is_error: bool,
    },
    /// A piece of a document.
    Document,
    /// A fact that may change (time, progress); rendered last, never in the cached prefix. A newer note with the same
    /// name supersedes it.
    Note {
        /// What the note is about.
        name: String,
    },
}

/// Where a page's text comes from.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Origin {
    /// The file's path, relative to the workspace.
    pub path: String,
    /// The first line, from 1.
    pub first_line: u32,
    /// The last line, inclusive.
    pub last_line: u32,
    /// The hash of the whole file when it was read.
    pub file: BlobHash,
}

/// A page's text or the address of text that is already stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageBody {
    /// The text itself.
    Text(Arc<str>),
    /// A body among the attachments of a tool result the process received and has not used yet.
    Blob(BlobHash),
}

/// A page to allocate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NewPage {
    /// What it is.
    pub kind: PageKind,
    /// Its text.
    pub body: PageBody,
    /// How much it matters.
    #[serde(default)]
    pub importance: Importance,
    /// Never evicted.
    #[serde(default)]
    pub pinned: bool,
    /// Not placed in the window at first: it must be recalled to be seen.
    #[serde(default)]
    pub swapped: bool,
    /// Where the text comes from.
    #[serde(default)]
    pub origin: Option<Origin>,
}

impl NewPage {
    /// A page of `kind` with `text`, of middling importance, not pinned.
    #[must_use]
    pub fn text(kind: PageKind, text: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            body: PageBody::Text(text.into()),
            importance: Importance::default(),
            pinned: false,
            swapped: false,
            origin: None,
        }
    }

    /// The call of a tool, to be allocated in one batch with its result.
    #[must_use]
    pub fn tool_call(id: impl Into<String>, name: impl Into<String>, args: &JsonText) -> Self {
        Self::text(PageKind::ToolCall { id: id.into(), name: name.into() }, args.as_str())
    }

    /// The result of a tool call.
    #[must_use]
    pub fn tool_result(id: impl Into<String>, text: impl Into<Arc<str>>, is_error: bool) -> Self {
        Self::text(PageKind::ToolResult { id: id.into(), is_error }, text)
    }

    /// The same page, pinned.
    #[must_use]
    pub fn pinned(self) -> Self {
        Self { pinned: true, ..self }
    }
}

/// A page as it is read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PageContent {
    /// Its number.
    pub page: PageNo,
    /// What it is.
    pub kind: PageKind,
    /// Its text, byte for byte as allocated.
    pub text: Arc<str>,
    /// Its size.
    pub tokens: Tokens,
    /// It was in the window when read.
    pub resident: bool,
    /// Where the text comes from.
    pub origin: Option<Origin>,
}
