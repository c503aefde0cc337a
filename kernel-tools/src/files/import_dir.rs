//! The tool `import_dir`: the text of a folder, cut into pages, for a program to allocate.
//!
//! It answers a bounded amount at once and a cursor to go on with. Nothing is kept between the calls: the cursor says all,
//! so that an import goes on after a restart.

mod cursor;
mod import;

use async_trait::async_trait;
use kernel_types::{Millis, Recovery, ToolCallRequest, ToolSpec};
use serde::Deserialize;
use serde_json::json;

use self::cursor::Cursor;
use self::import::Import;
use super::{here, readable};
use crate::arguments::{read, spec, whole};
use crate::blocking;
use crate::workspace::Workspace;
use crate::{CallContext, Driver, ToolError, ToolOutput};

const TOOL: &str = "import_dir";
/// How much text one answer holds, unless the call says otherwise.
const ANSWER: u64 = 256 * 1024;
const SMALLEST_ANSWER: u64 = 4 * 1024;
const LARGEST_ANSWER: u64 = 4 * 1024 * 1024;

/// The [`Driver`] of the tool `import_dir`.
///
/// - Files come in the order of their paths, without hidden and ignored ones. Links are not followed, a file with several
///   names comes once, a file has at most 4 MiB and all of them 64 MiB.
/// - `data` is `{"pages": [{"path", "first_line", "last_line", "file", "attachment", "bytes"}], "skipped": [{"path",
///   "reason"}], "files", "bytes", "ignored", "denied", "cursor"}`: `file` is the BLAKE3 hash of the whole file, `attachment`
///   the index of the page's text among the attachments, `files` the number of files that were completed, `cursor` null at
///   the end. The pages of a file, put together, are the file byte for byte.
/// - A file that changes or vanishes between two calls is left at that and listed among the skipped.
#[derive(Clone, Debug)]
pub struct ImportDir {
    workspace: Workspace,
}

impl ImportDir {
    /// The driver over a workspace.
    #[must_use]
    pub const fn new(workspace: Workspace) -> Self {
        Self { workspace }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    #[serde(default = "here")]
    path: String,
    #[serde(default)]
    cursor: Option<String>,
    #[serde(default, deserialize_with = "whole")]
    max_bytes: Option<u64>,
}

#[async_trait]
impl Driver for ImportDir {
    fn tools(&self) -> Vec<ToolSpec> {
        let description = "Reads all text files of a folder, cut into pages, for import into memory. Goes on where the \
            cursor of the last answer says.";
        let properties = json!({
            "path": {"type": "string", "default": ".", "description": "the folder, relative to the workspace"},
            "cursor": {"type": "string", "description": "the cursor of the answer before, to go on"},
            "max_bytes": {"type": "integer", "minimum": SMALLEST_ANSWER, "maximum": LARGEST_ANSWER, "default": ANSWER,
                "description": "how much text to answer at most"},
        });
        let spec = spec(TOOL, description, properties, &[], Recovery::Reread);
        vec![ToolSpec { reads: vec!["path".to_owned()], timeout: Millis(60_000), ..spec }]
    }

    async fn call(&self, request: &ToolCallRequest, context: &CallContext) -> Result<ToolOutput, ToolError> {
        let args: Args = read(TOOL, request)?;
        let path = readable(TOOL, &*context.host, &args.path)?;
        let start = match args.cursor.as_deref().map(str::parse::<Cursor>).transpose() {
            Ok(start) => start,
            Err(reason) => return Ok(ToolOutput::failed(reason)),
        };
        let max_bytes = args.max_bytes.unwrap_or(ANSWER).clamp(SMALLEST_ANSWER, LARGEST_ANSWER);
        let max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX);
        let (workspace, host) = (self.workspace.clone(), context.host.clone());
        blocking::run(TOOL, move |stop| Import::new(&workspace, &path, &*host, stop, start).run(max_bytes))
            .await
    }
}
