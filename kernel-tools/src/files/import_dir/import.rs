//! One call of `import_dir`: walks from the cursor on until the answer is full.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use cap_fs_ext::MetadataExt;
use cap_std::fs::{File, Metadata};
use kernel_types::{Hash, JsonText};
use serde_json::{Value, json};

use super::cursor::Cursor;
use crate::blocking::{Stop, Stopped};
use crate::files::counted;
use crate::pages::split_pages;
use crate::path::shown;
use crate::workspace::{Entry, Kind, Met, OpenError, Walk, Workspace, compare, open_file, read_text};
use crate::{Host, ToolError, ToolOutput};

/// A larger file is skipped.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// An import ends when so much was imported.
const MAX_TOTAL: u64 = 64 * 1024 * 1024;
/// An answer is full with so many pages or skipped files, however small they are.
const MAX_PAGES: usize = 1_000;
const MAX_SKIPPED: usize = 500;
/// How many skipped files the text for the model names.
const NAMED: usize = 20;

/// Whether there is more to be had in this call.
#[derive(PartialEq, Eq)]
enum Go {
    On,
    /// The answer is full, or the whole import.
    Ended,
}

pub(super) struct Import<'a> {
    workspace: &'a Workspace,
    path: &'a str,
    host: &'a dyn Host,
    stop: &'a Stop,
    start: Option<Cursor>,
    links: Option<HashMap<(u64, u64), String>>,
    pages: Vec<Value>,
    attachments: Vec<Arc<str>>,
    skipped: Vec<(String, String)>,
    files: u64,
    bytes: usize,
    /// Bytes imported by the calls before.
    before: u64,
    next: Option<Cursor>,
}

impl<'a> Import<'a> {
    pub(super) fn new(
        workspace: &'a Workspace,
        path: &'a str,
        host: &'a dyn Host,
        stop: &'a Stop,
        start: Option<Cursor>,
    ) -> Self {
        Self {
            workspace,
            path,
            host,
            stop,
            before: start.as_ref().map_or(0, |start| start.total),
            start,
            links: None,
            pages: Vec::new(),
            attachments: Vec::new(),
            skipped: Vec::new(),
            files: 0,
            bytes: 0,
            next: None,
        }
    }

    pub(super) fn run(mut self, max_bytes: usize) -> Result<ToolOutput, ToolError> {
        let mut walk = match self.walk() {
            Ok(walk) => walk,
            Err(error) => return Ok(error.into()),
        };
        if let Some(start) = &self.start {
            walk = walk.starting_at(&start.path);
        }
        // The file that was begun by the call before.
        let mut begun = self.start.clone().filter(|start| start.offset > 0);
        while let Some(met) = walk.next()? {
            let path = met.path().to_owned();
            if matches!(&met, Met::Entry(entry) if entry.kind == Kind::Folder) {
                continue;
            }
            let begun = begun.take();
            if let Some(lost) = begun.as_ref().filter(|begun| begun.path != path) {
                self.skip(&lost.path, "it vanished while it was imported: the rest of it is left out");
            }
            // Names that are not UTF-8 may look the same: the cursor cannot tell them apart.
            let is_distinct = self.skipped.last().is_none_or(|(last, _)| *last != path);
            if self.is_full() && is_distinct {
                self.go_on_at(&path, 0, Hash::ZERO);
                break;
            }
            let begun = begun.filter(|begun| begun.path == path);
            if self.meet(met, begun, max_bytes)? == Go::Ended {
                break;
            }
        }
        if let Some(lost) = begun {
            self.skip(&lost.path, "it vanished while it was imported: the rest of it is left out");
        }
        Ok(self.answer(walk.ignored, walk.denied))
    }

    fn walk(&self) -> Result<Walk<'a>, OpenError> {
        Walk::new(self.workspace, self.path, self.host, self.stop)
    }

    fn meet(&mut self, met: Met, begun: Option<Cursor>, max_bytes: usize) -> Result<Go, Stopped> {
        let entry = match met {
            Met::Skipped { path, reason } => {
                self.skip(&path, reason);
                return Ok(Go::On);
            }
            Met::Entry(entry) => entry,
        };
        match entry.kind {
            Kind::Folder => {}
            Kind::Link => self.skip(&entry.path, "it is a symbolic link, not followed"),
            Kind::Special(what) => self.skip(&entry.path, format!("it is {what}")),
            Kind::File => match open_file(&entry.folder, &entry.name) {
                Ok((file, metadata)) => return self.file(&entry, file, &metadata, begun, max_bytes),
                Err(reason) => self.skip(&entry.path, format!("it {reason}")),
            },
        }
        Ok(Go::On)
    }

    fn file(
        &mut self,
        entry: &Entry,
        file: File,
        metadata: &Metadata,
        begun: Option<Cursor>,
        max_bytes: usize,
    ) -> Result<Go, Stopped> {
        if metadata.len() == 0 && begun.is_none() {
            self.skip(&entry.path, "it is empty");
            return Ok(Go::On);
        }
        if begun.is_none()
            && let Some(same) = self.seen(entry, metadata)?
        {
            self.skip(&entry.path, format!("it is the same file as {}", shown(&same)));
            return Ok(Go::On);
        }
        if begun.is_none() && self.total() + metadata.len() > MAX_TOTAL && metadata.len() <= MAX_FILE {
            self.skip(
                &entry.path,
                "the 64 MB of one import are reached: this and all that follows is left out",
            );
            return Ok(Go::Ended);
        }
        match read_text(file, metadata, MAX_FILE) {
            Ok(text) => Ok(self.text(&entry.path, &text, begun, max_bytes)),
            Err(reason) => {
                self.skip(&entry.path, format!("it {reason}"));
                Ok(Go::On)
            }
        }
    }

    fn text(&mut self, path: &str, text: &str, begun: Option<Cursor>, max_bytes: usize) -> Go {
        let hash = Hash(*blake3::hash(text.as_bytes()).as_bytes());
        if begun.as_ref().is_some_and(|begun| begun.file != hash) {
            self.skip(path, "it changed while it was imported: the rest of it is left out");
            return Go::On;
        }
        let from = begun.map_or(0, |begun| begun.offset);
        for piece in split_pages(text).into_iter().filter(|piece| piece.range.start >= from) {
            let bytes = piece.range.len();
            let full = self.bytes + bytes > max_bytes || self.pages.len() == MAX_PAGES;
            if full && !self.pages.is_empty() {
                self.go_on_at(path, piece.range.start, hash);
                return Go::Ended;
            }
            self.pages.push(json!({
                "path": path, "first_line": piece.first_line, "last_line": piece.last_line, "file": hash.to_string(),
                "attachment": self.attachments.len(), "bytes": bytes,
            }));
            self.attachments.push(text[piece.range].into());
            self.bytes += bytes;
        }
        self.files += 1;
        Go::On
    }

    /// The path under which a file with several names was met before, also by the calls before.
    fn seen(&mut self, entry: &Entry, metadata: &Metadata) -> Result<Option<String>, Stopped> {
        if metadata.nlink() < 2 {
            return Ok(None);
        }
        let mut links = match self.links.take() {
            Some(links) => links,
            None => self.links_before()?,
        };
        let id = (metadata.dev(), metadata.ino());
        let same = links.get(&id).cloned();
        links.entry(id).or_insert_with(|| entry.path.clone());
        self.links = Some(links);
        Ok(same)
    }

    /// The files with several names that the calls before met. Only an import of a folder with such files pays for this.
    fn links_before(&self) -> Result<HashMap<(u64, u64), String>, Stopped> {
        let mut links = HashMap::new();
        let Some(start) = &self.start else { return Ok(links) };
        // What cannot be walked now could not be imported either.
        let Ok(mut walk) = self.walk() else { return Ok(links) };
        while let Some(met) = walk.next()? {
            if compare(met.path(), &start.path) != Ordering::Less {
                break;
            }
            if let Met::Entry(entry) = met
                && entry.kind == Kind::File
                && let Ok(metadata) = entry.folder.symlink_metadata(&entry.name)
                && metadata.nlink() > 1
            {
                links.entry((metadata.dev(), metadata.ino())).or_insert(entry.path);
            }
        }
        if start.offset > 0
            && let Ok((_, metadata)) = self.workspace.file(&start.path)
        {
            links.entry((metadata.dev(), metadata.ino())).or_insert_with(|| start.path.clone());
        }
        Ok(links)
    }

    fn total(&self) -> u64 {
        self.before + self.bytes as u64
    }

    fn is_full(&self) -> bool {
        self.pages.len() >= MAX_PAGES || self.skipped.len() >= MAX_SKIPPED
    }

    fn go_on_at(&mut self, path: &str, offset: usize, file: Hash) {
        self.next = Some(Cursor { path: path.to_owned(), offset, file, total: self.total() });
    }

    fn skip(&mut self, path: &str, reason: impl Into<String>) {
        self.skipped.push((path.to_owned(), reason.into()));
    }

    fn answer(self, ignored: u64, denied: u64) -> ToolOutput {
        let mut text = format!(
            "imported {} ({}) of {}",
            counted(self.pages.len() as u64, "page"),
            counted(self.bytes as u64, "byte"),
            counted(self.files, "complete file"),
        );
        for (path, reason) in self.skipped.iter().take(NAMED) {
            text += &format!("\nskipped {}: {reason}", shown(path));
        }
        if self.skipped.len() > NAMED {
            text += &format!("\nskipped {} more", self.skipped.len() - NAMED);
        }
        if denied > 0 {
            text += &format!("\n{} left out: no capability to read", counted(denied, "path"));
        }
        if let Some(next) = &self.next {
            text += &format!("\nthere is more: call again with the cursor {:?}", next.to_string());
        }
        let skipped: Vec<Value> =
            self.skipped.iter().map(|(path, reason)| json!({"path": path, "reason": reason})).collect();
        let data = json!({
            "pages": self.pages, "skipped": skipped, "files": self.files, "bytes": self.bytes, "ignored": ignored,
            "denied": denied, "cursor": self.next.map(|next| next.to_string()),
        });
        ToolOutput { attachments: self.attachments, ..ToolOutput::ok(JsonText::from(data), text) }
    }
}
