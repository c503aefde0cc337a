//! The tool `search_files`: lines that match a regular expression.

use std::io::{self, Read};
use std::sync::Arc;

use async_trait::async_trait;
use cap_std::fs::File;
use grep_matcher::Matcher;
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkMatch};
use kernel_types::{JsonText, Recovery, ToolCallRequest, ToolSpec};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{counted, here, readable};
use crate::arguments::{read, spec, whole};
use crate::blocking::{self, Stop};
use crate::path::shown;
use crate::workspace::{Kind, Met, OpenError, Walk, Workspace, open_file};
use crate::{CallContext, Driver, Host, ToolError, ToolOutput};

const TOOL: &str = "search_files";
/// How many lines are shown unless the call says otherwise, and at most.
const SHOWN: u64 = 50;
const MOST: u64 = 500;
/// A larger file is not searched.
const MAX_FILE: u64 = 16 * 1024 * 1024;
/// The search ends when so much was read.
const MAX_TOTAL: u64 = 512 * 1024 * 1024;
/// So much of a line is shown, around the match.
const MAX_LINE: usize = 300;
/// A compiled pattern, and a line, may take this much memory.
const MAX_MEMORY: usize = 4 * 1024 * 1024;

/// The [`Driver`] of the tool `search_files`.
#[derive(Clone, Debug)]
pub struct SearchFiles {
    workspace: Workspace,
}

impl SearchFiles {
    /// The driver over a workspace.
    #[must_use]
    pub const fn new(workspace: Workspace) -> Self {
        Self { workspace }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    pattern: String,
    #[serde(default = "here")]
    path: String,
    #[serde(default, deserialize_with = "whole")]
    max: Option<u64>,
    #[serde(default)]
    ignore_case: bool,
}

#[async_trait]
impl Driver for SearchFiles {
    fn tools(&self) -> Vec<ToolSpec> {
        let description = "Searches the text files of the workspace for lines that match a regular expression. Answers \
            lines as path:line: text. Hidden files and those left out by .gitignore are not searched.";
        let properties = json!({
            "pattern": {"type": "string", "minLength": 1, "maxLength": 1000,
                "description": "a regular expression, matched within single lines"},
            "path": {"type": "string", "default": ".", "description": "the folder or file to search"},
            "max": {"type": "integer", "minimum": 1, "maximum": MOST, "default": SHOWN,
                "description": "how many lines to answer at most"},
            "ignore_case": {"type": "boolean", "default": false, "description": "take capitals as small letters"},
        });
        let spec = spec(TOOL, description, properties, &["pattern"], Recovery::Reread);
        vec![ToolSpec { reads: vec!["path".to_owned()], ..spec }]
    }

    async fn call(&self, request: &ToolCallRequest, context: &CallContext) -> Result<ToolOutput, ToolError> {
        let args: Args = read(TOOL, request)?;
        let path = readable(TOOL, &*context.host, &args.path)?;
        let matcher = match matcher(&args) {
            Ok(matcher) => matcher,
            Err(error) => {
                return Ok(ToolOutput::failed(format!("the pattern is not a regular expression: {error}")));
            }
        };
        let max = usize::try_from(args.max.unwrap_or(SHOWN).clamp(1, MOST)).unwrap_or(1);
        let (workspace, host) = (self.workspace.clone(), context.host.clone());
        blocking::run(TOOL, move |stop| Search::new(matcher, max, stop).run(&workspace, &path, &host)).await
    }
}

fn matcher(args: &Args) -> Result<RegexMatcher, grep_regex::Error> {
    RegexMatcherBuilder::new()
        .case_insensitive(args.ignore_case)
        .line_terminator(Some(b'\n'))
        .size_limit(MAX_MEMORY)
        .dfa_size_limit(MAX_MEMORY)
        .build(&args.pattern)
}

/// The lines found so far.
#[derive(Default)]
struct Found {
    matches: Vec<Value>,
    text: String,
    /// There are more matches than are wanted.
    more: bool,
}

/// Takes the matching lines of one file.
struct Lines<'a> {
    matcher: &'a RegexMatcher,
    path: &'a str,
    max: usize,
    stop: &'a Stop,
    found: &'a mut Found,
    is_binary: bool,
}

impl Sink for Lines<'_> {
    type Error = io::Error;

    fn matched(&mut self, _searcher: &Searcher, line: &SinkMatch<'_>) -> io::Result<bool> {
        if self.stop.check().is_err() {
            return Ok(false);
        }
        if self.found.matches.len() == self.max {
            self.found.more = true;
            return Ok(false);
        }
        let number = line.line_number().unwrap_or(0);
        let text = String::from_utf8_lossy(line.bytes());
        let text = around_match(self.matcher, text.trim_end_matches(['\n', '\r']));
        self.found.text += &format!("{}:{number}: {}\n", shown(self.path), shown(&text));
        self.found.matches.push(json!({"path": self.path, "line": number, "text": text}));
        Ok(true)
    }

    fn binary_data(&mut self, _searcher: &Searcher, _at: u64) -> io::Result<bool> {
        self.is_binary = true;
        Ok(false)
    }
}

struct Search<'a> {
    matcher: RegexMatcher,
    searcher: Searcher,
    max: usize,
    stop: &'a Stop,
    found: Found,
    files: u64,
    bytes: u64,
    skipped: u64,
}

impl<'a> Search<'a> {
    fn new(matcher: RegexMatcher, max: usize, stop: &'a Stop) -> Self {
        let searcher = SearcherBuilder::new()
            .line_number(true)
            .binary_detection(BinaryDetection::quit(0))
            .heap_limit(Some(MAX_MEMORY))
            .build();
        Self { matcher, searcher, max, stop, found: Found::default(), files: 0, bytes: 0, skipped: 0 }
    }

    fn run(
        mut self,
        workspace: &Workspace,
        path: &str,
        host: &Arc<dyn Host>,
    ) -> Result<ToolOutput, ToolError> {
        let (mut denied, mut complete) = (0, true);
        match self.file_or_folder(workspace, path, &**host) {
            Err(error) => return Ok(error.into()),
            Ok(None) => {}
            Ok(Some(mut walk)) => {
                while let Some(met) = walk.next()? {
                    match met {
                        Met::Entry(entry) if entry.kind == Kind::File => {
                            match open_file(&entry.folder, &entry.name) {
                                Ok((file, metadata)) => self.file(&entry.path, file, metadata.len())?,
                                Err(_) => self.skipped += 1,
                            }
                        }
                        Met::Entry(entry) => self.skipped += u64::from(entry.kind != Kind::Folder),
                        Met::Skipped { .. } => self.skipped += 1,
                    }
                    if self.found.more || self.bytes > MAX_TOTAL {
                        complete = false;
                        break;
                    }
                }
                denied = walk.denied;
            }
        }
        Ok(self.answer(denied, complete))
    }

    /// Searches a file at once; a folder is to be walked.
    fn file_or_folder<'w>(
        &mut self,
        workspace: &Workspace,
        path: &str,
        host: &'w dyn Host,
    ) -> Result<Option<Walk<'w>>, OpenError>
    where
        'a: 'w,
    {
        let not_a_folder = match Walk::new(workspace, path, host, self.stop) {
            Ok(walk) => return Ok(Some(walk)),
            Err(error) => error,
        };
        let Ok((file, metadata)) = workspace.file(path) else { return Err(not_a_folder) };
        // A single file's search is short: being told to stop within it makes no difference.
        let _stopped = self.file(path, file, metadata.len());
        Ok(None)
    }

    fn file(&mut self, path: &str, file: File, bytes: u64) -> Result<(), ToolError> {
        if bytes > MAX_FILE {
            self.skipped += 1;
            return Ok(());
        }
        self.files += 1;
        self.bytes += bytes;
        let Self { matcher, searcher, max, stop, found, .. } = self;
        let before = (found.matches.len(), found.text.len());
        let mut sink = Lines { matcher, path, max: *max, stop, found, is_binary: false };
        let result = searcher.search_reader(&*matcher, file.take(MAX_FILE), &mut sink);
        if sink.is_binary || result.is_err() {
            // What was found before it turned out to be no text does not count.
            found.matches.truncate(before.0);
            found.text.truncate(before.1);
            self.skipped += 1;
        }
        Ok(stop.check()?)
    }

    fn answer(self, denied: u64, complete: bool) -> ToolOutput {
        let Found { matches, mut text, more } = self.found;
        if matches.is_empty() {
            text += &format!("no match in {}\n", counted(self.files, "file"));
        }
        if more {
            text += &format!("(there are more than {} matches: narrow the pattern or the path)\n", self.max);
        } else if !complete {
            text += "(the search ended after 512 MB: narrow the path)\n";
        }
        if self.skipped > 0 {
            text += &format!(
                "({} not searched: links, binary, large or unreadable)\n",
                counted(self.skipped, "file")
            );
        }
        if denied > 0 {
            text += &format!("({} left out: no capability to read)\n", counted(denied, "path"));
        }
        let data = json!({
            "matches": matches, "complete": complete, "files": self.files, "skipped": self.skipped, "denied": denied,
        });
        ToolOutput::ok(JsonText::from(data), text.trim_end())
    }
}

/// A line, or of a long one the part around the first match.
fn around_match(matcher: &RegexMatcher, line: &str) -> String {
    if line.len() <= MAX_LINE {
        return line.to_owned();
    }
    let at = matcher.find(line.as_bytes()).ok().flatten().map_or(0, |found| found.start());
    let from = line.floor_char_boundary(at.saturating_sub(MAX_LINE / 3));
    let to = line.floor_char_boundary(from + MAX_LINE);
    let (before, after) = (if from > 0 { "..." } else { "" }, if to < line.len() { "..." } else { "" });
    format!("{before}{}{after}", &line[from..to])
}
