//! The tool `read_file`: lines of one text file.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use kernel_types::{JsonText, Recovery, ToolCallRequest, ToolSpec};
use serde::Deserialize;
use serde_json::json;

use super::{counted, readable};
use crate::arguments::{read, spec, whole};
use crate::blocking;
use crate::path::shown;
use crate::workspace::{Workspace, read_text};
use crate::{CallContext, Driver, ToolError, ToolOutput};

const TOOL: &str = "read_file";
/// A larger file is not read.
const MAX_FILE: u64 = 16 * 1024 * 1024;
/// One answer holds at most this much of the file.
const MAX_ANSWER: usize = 64 * 1024;

/// The [`Driver`] of the tool `read_file`.
///
/// The attachment is the text of the lines as it is in the file, the shown text has line numbers.
#[derive(Clone, Debug)]
pub struct ReadFile {
    workspace: Workspace,
}

impl ReadFile {
    /// The driver over a workspace.
    #[must_use]
    pub const fn new(workspace: Workspace) -> Self {
        Self { workspace }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    path: String,
    #[serde(default, deserialize_with = "whole")]
    first_line: Option<u64>,
    #[serde(default, deserialize_with = "whole")]
    last_line: Option<u64>,
}

#[async_trait]
impl Driver for ReadFile {
    fn tools(&self) -> Vec<ToolSpec> {
        let description = "Reads a text file of the workspace, with line numbers. At most 64 kB come at once: ask for the \
            lines that follow to read on.";
        let properties = json!({
            "path": {"type": "string", "description": "the file, relative to the workspace"},
            "first_line": {"type": "integer", "minimum": 1, "default": 1, "description": "the first line to read"},
            "last_line": {"type": "integer", "minimum": 1, "description": "the last line to read"},
        });
        let spec = spec(TOOL, description, properties, &["path"], Recovery::Reread);
        vec![ToolSpec { reads: vec!["path".to_owned()], ..spec }]
    }

    async fn call(&self, request: &ToolCallRequest, context: &CallContext) -> Result<ToolOutput, ToolError> {
        let args: Args = read(TOOL, request)?;
        let path = readable(TOOL, &*context.host, &args.path)?;
        let lines = args.first_line.unwrap_or(1).max(1)..=args.last_line.unwrap_or(u64::MAX);
        let workspace = self.workspace.clone();
        blocking::run(TOOL, move |_stop| Ok(read_lines(&workspace, &path, &lines))).await
    }
}

fn read_lines(workspace: &Workspace, path: &str, lines: &RangeInclusive<u64>) -> ToolOutput {
    let (file, metadata) = match workspace.file(path) {
        Ok(opened) => opened,
        Err(error) => return error.into(),
    };
    let text = match read_text(file, &metadata, MAX_FILE) {
        Ok(text) => text,
        Err(reason) => return ToolOutput::failed(format!("{} {reason}", shown(path))),
    };
    let total = text.split_inclusive('\n').count() as u64;
    if lines.is_empty() {
        return ToolOutput::failed(format!(
            "last_line {} is before first_line {}",
            lines.end(),
            lines.start()
        ));
    }
    if *lines.start() > total && (total > 0 || *lines.start() > 1) {
        return ToolOutput::failed(format!("{} has only {}", shown(path), counted(total, "line")));
    }
    let excerpt = Excerpt::of(&text, lines);
    let data = json!({
        "path": path,
        "first_line": lines.start(),
        "last_line": excerpt.last_line,
        "lines": total,
        "bytes": text.len(),
        "file": blake3::hash(text.as_bytes()).to_hex().as_str(),
        "complete": excerpt.note.is_none(),
        "attachment": 0,
    });
    let shown = excerpt.numbered + &excerpt.note.unwrap_or_default();
    let shown = if total == 0 { format!("{path} is empty") } else { shown };
    let output = ToolOutput::ok(JsonText::from(data), shown);
    ToolOutput { attachments: vec![excerpt.plain.into()], ..output }
}

/// The lines asked for, as far as they fit.
struct Excerpt<'a> {
    numbered: String,
    plain: &'a str,
    last_line: u64,
    /// What is missing and how to get it.
    note: Option<String>,
}

impl<'a> Excerpt<'a> {
    fn of(text: &'a str, lines: &RangeInclusive<u64>) -> Self {
        let (mut numbered, mut last_line, mut note) = (String::new(), lines.start() - 1, None);
        let (mut start, mut end, mut at) = (None, 0, 0);
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            let begin = at;
            at += line.len();
            if !lines.contains(&number) {
                continue;
            }
            let first = *start.get_or_insert(begin);
            let room = MAX_ANSWER - (begin - first);
            if line.len() > room && begin > first {
                note = Some(format!("(cut at 64 kB: go on with first_line {number})"));
                break;
            }
            // Only a first line of more than 64 kB is cut within.
            let fits = line.floor_char_boundary(room);
            end = begin + fits;
            last_line = number;
            numbered += &format!("{number:>6}\t{}\n", line[..fits].trim_end_matches(['\n', '\r']));
            if fits < line.len() {
                note = Some(format!("(line {number} has {} bytes: the rest of it is not shown)", line.len()));
                break;
            }
        }
        Self { numbered, plain: start.map_or("", |start| &text[start..end]), last_line, note }
    }
}
