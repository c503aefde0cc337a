//! The tool `list_dir`: what lies in a folder.

use async_trait::async_trait;
use kernel_types::{JsonText, Recovery, ToolCallRequest, ToolSpec};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{counted, here, readable};
use crate::arguments::{read, spec, whole};
use crate::blocking::{self, Stop};
use crate::path::shown;
use crate::workspace::{Entry, Kind, Met, Walk, Workspace};
use crate::{CallContext, Driver, Host, ToolError, ToolOutput};

const TOOL: &str = "list_dir";
/// How many entries are shown.
const SHOWN: usize = 500;
/// How many more are counted before the walk ends.
const COUNTED: u64 = 20_000;

/// The [`Driver`] of the tool `list_dir`.
#[derive(Clone, Debug)]
pub struct ListDir {
    workspace: Workspace,
}

impl ListDir {
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
    #[serde(default, deserialize_with = "whole")]
    depth: Option<u64>,
}

#[async_trait]
impl Driver for ListDir {
    fn tools(&self) -> Vec<ToolSpec> {
        let description = "Lists the files and folders in a folder of the workspace, with their sizes in bytes. Hidden files \
            and those left out by .gitignore are not shown.";
        let properties = json!({
            "path": {"type": "string", "default": ".", "description": "the folder, relative to the workspace"},
            "depth": {"type": "integer", "minimum": 1, "maximum": 8, "default": 1,
                "description": "how many levels to list"},
        });
        let spec = spec(TOOL, description, properties, &[], Recovery::Reread);
        vec![ToolSpec { reads: vec!["path".to_owned()], ..spec }]
    }

    async fn call(&self, request: &ToolCallRequest, context: &CallContext) -> Result<ToolOutput, ToolError> {
        let args: Args = read(TOOL, request)?;
        let path = readable(TOOL, &*context.host, &args.path)?;
        let depth = usize::try_from(args.depth.unwrap_or(1).clamp(1, 8)).unwrap_or(1);
        let (workspace, host) = (self.workspace.clone(), context.host.clone());
        blocking::run(TOOL, move |stop| list(&workspace, &path, depth, &*host, stop)).await
    }
}

fn list(
    workspace: &Workspace,
    path: &str,
    depth: usize,
    host: &dyn Host,
    stop: &Stop,
) -> Result<ToolOutput, ToolError> {
    let mut walk = match Walk::new(workspace, path, host, stop) {
        Ok(walk) => walk.limited_to(depth),
        Err(error) => return Ok(error.into()),
    };
    let mut entries: Vec<Value> = Vec::new();
    let mut text = String::new();
    let mut left_out = 0;
    while let Some(met) = walk.next()? {
        if entries.len() == SHOWN {
            left_out += 1;
            if left_out == COUNTED {
                break;
            }
            continue;
        }
        let (entry, line) = match met {
            Met::Entry(entry) => describe(&entry),
            Met::Skipped { path, reason } => {
                let line = format!("{} ({reason})\n", shown(&path));
                (json!({"path": path, "kind": "unreadable", "reason": reason}), line)
            }
        };
        entries.push(entry);
        text.push_str(&line);
    }
    let notes = notes(left_out, walk.ignored, walk.denied);
    if entries.is_empty() {
        text.push_str("nothing to list\n");
    }
    text.push_str(&notes);
    let data = json!({
        "entries": entries, "left_out": left_out, "ignored": walk.ignored, "denied": walk.denied,
    });
    Ok(ToolOutput::ok(JsonText::from(data), text.trim_end()))
}

fn describe(entry: &Entry) -> (Value, String) {
    let name = shown(&entry.path);
    match entry.kind {
        Kind::Folder => (json!({"path": entry.path, "kind": "folder"}), format!("{name}/\n")),
        Kind::Link => {
            (json!({"path": entry.path, "kind": "link"}), format!("{name} (a symbolic link, not followed)\n"))
        }
        Kind::Special(what) => (json!({"path": entry.path, "kind": "special"}), format!("{name} ({what})\n")),
        Kind::File => {
            // It may be gone by now.
            let bytes =
                entry.folder.symlink_metadata(&entry.name).map(|metadata| metadata.len()).unwrap_or(0);
            (json!({"path": entry.path, "kind": "file", "bytes": bytes}), format!("{name} {bytes}\n"))
        }
    }
}

fn notes(left_out: u64, ignored: u64, denied: u64) -> String {
    let mut notes = String::new();
    if left_out > 0 {
        let at_least = if left_out == COUNTED { "at least " } else { "" };
        let more = if left_out == 1 { "entry is" } else { "entries are" };
        notes += &format!("({at_least}{left_out} more {more} not shown: list a folder further down)\n");
    }
    if ignored > 0 {
        notes += &format!("({} left out: hidden or ignored)\n", counted(ignored, "path"));
    }
    if denied > 0 {
        notes += &format!("({} left out: no capability to read)\n", counted(denied, "path"));
    }
    notes
}
