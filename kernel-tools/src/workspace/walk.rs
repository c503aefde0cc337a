//! Walks a folder of the workspace, in the order of the paths, through open handles only.
//!
//! Hidden files and what ignore rules leave out are passed over; links are met and never followed; every path is asked of
//! the host. A folder is opened when it is entered, from its parent's handle, so nothing can be swapped in on the way.

use std::cmp::Ordering;
use std::ffi::OsString;
use std::sync::Arc;

use cap_std::fs::{Dir, FileType};

use super::rules::Rules;
use super::{OpenError, Refused, Workspace, kind_name, open_folder};
use crate::Host;
use crate::blocking::{Stop, Stopped};
use crate::path::join;

/// Folders nested deeper are left out: each level holds a file handle.
const MAX_DEPTH: usize = 100;
/// A folder with more entries is left out: they must be held and sorted.
const MAX_ENTRIES: usize = 200_000;

/// What lies at a path.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    File,
    Folder,
    Link,
    Special(&'static str),
}

impl Kind {
    fn of(kind: FileType) -> Self {
        match kind {
            kind if kind.is_file() => Self::File,
            kind if kind.is_dir() => Self::Folder,
            kind if kind.is_symlink() => Self::Link,
            kind => Self::Special(kind_name(kind)),
        }
    }
}

/// Something permitted that the walk met.
pub(crate) struct Entry {
    /// Its path, normal.
    pub(crate) path: String,
    /// Its name in `folder`.
    pub(crate) name: String,
    /// What it was when the folder was read.
    pub(crate) kind: Kind,
    /// The folder that holds it.
    pub(crate) folder: Arc<Dir>,
}

/// One step of a walk.
pub(crate) enum Met {
    /// Something that may be read.
    Entry(Entry),
    /// Something the walk could not deal with, and why.
    Skipped {
        /// Its path; what is not UTF-8 in it is replaced.
        path: String,
        /// Why.
        reason: String,
    },
}

impl Met {
    /// The path met.
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Entry(entry) => &entry.path,
            Self::Skipped { path, .. } => path,
        }
    }
}

/// A walk under way.
pub(crate) struct Walk<'a> {
    host: &'a dyn Host,
    stop: &'a Stop,
    rules: Rules,
    levels: Vec<Level>,
    max_depth: usize,
    start: Option<String>,
    /// How many paths the host denied.
    pub(crate) denied: u64,
    /// How many entries were hidden or left out by ignore rules.
    pub(crate) ignored: u64,
}

/// A folder that is being walked.
struct Level {
    folder: Arc<Dir>,
    path: String,
    /// How many sets of rules were there before it was entered.
    rules: usize,
    names: std::vec::IntoIter<Name>,
}

/// A name as it was read: what is not UTF-8 in it is replaced.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    text: String,
    is_valid: bool,
    kind: Kind,
}

impl Name {
    fn of(name: OsString, kind: Kind) -> Self {
        match name.into_string() {
            Ok(text) => Self { text, is_valid: true, kind },
            Err(name) => Self { text: name.to_string_lossy().into_owned(), is_valid: false, kind },
        }
    }
}

impl<'a> Walk<'a> {
    /// A walk of the folder at `path`. The rules of the folders above it count, but it is walked even if they leave it out.
    pub(crate) fn new(
        workspace: &Workspace,
        path: &str,
        host: &'a dyn Host,
        stop: &'a Stop,
    ) -> Result<Self, OpenError> {
        let mut rules = Rules::default();
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        for above in std::iter::once(".").filter(|root| *root != path).chain(above) {
            rules.enter(&*workspace.folder(above)?, above);
        }
        let folder = workspace.folder(path)?;
        let mut walk = Self {
            host,
            stop,
            rules,
            levels: Vec::new(),
            max_depth: MAX_DEPTH,
            start: None,
            denied: 0,
            ignored: 0,
        };
        if host.may_read(path) {
            walk.enter(folder, path.to_owned()).map_err(|reason| reason.at(path))?;
        } else {
            walk.denied = 1;
        }
        Ok(walk)
    }

    /// The same walk, `depth` levels deep at most (1: the folder's own entries).
    pub(crate) fn limited_to(mut self, depth: usize) -> Self {
        self.max_depth = depth.min(MAX_DEPTH);
        self
    }

    /// The same walk, beginning at a path. What lies before it is neither opened nor counted.
    pub(crate) fn starting_at(mut self, path: &str) -> Self {
        self.start = Some(path.to_owned());
        self
    }

    /// What comes next; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Met>, Stopped> {
        loop {
            self.stop.check()?;
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            let Some(name) = level.names.next() else {
                let rules = level.rules;
                self.levels.pop();
                self.rules.leave(rules);
                continue;
            };
            let (folder, within) = (level.folder.clone(), level.path.clone());
            if let Some(met) = self.meet(folder, &within, name) {
                return Ok(Some(met));
            }
        }
    }

    /// Judges one name; enters it if it is a folder.
    fn meet(&mut self, folder: Arc<Dir>, within: &str, name: Name) -> Option<Met> {
        let path = join(within, &name.text);
        if self.is_before_start(&path) {
            return None;
        }
        if !name.is_valid {
            return Some(Met::Skipped { path, reason: "its name is not valid UTF-8".to_owned() });
        }
        let (name, kind) = (name.text, name.kind);
        if name.starts_with('.') || self.rules.ignore(&path, kind == Kind::Folder) {
            self.ignored += 1;
            return None;
        }
        if !self.host.may_read(&path) {
            self.denied += 1;
            return None;
        }
        if kind == Kind::Folder && self.levels.len() == MAX_DEPTH {
            return Some(Met::Skipped { path, reason: format!("it is more than {MAX_DEPTH} folders deep") });
        }
        if kind == Kind::Folder
            && self.levels.len() < self.max_depth
            && let Err(reason) =
                open_folder(&folder, &name).and_then(|inner| self.enter(Arc::new(inner), path.clone()))
        {
            return Some(Met::Skipped { path, reason: format!("it {reason}") });
        }
        Some(Met::Entry(Entry { path, name, kind, folder }))
    }

    /// Reads and sorts a folder's names.
    fn enter(&mut self, folder: Arc<Dir>, path: String) -> Result<(), Refused> {
        let mut names = Vec::new();
        for entry in folder.entries().map_err(Refused::Io)? {
            // An entry that vanishes while it is read is not there.
            let Ok(entry) = entry else { continue };
            let Ok(kind) = entry.file_type() else { continue };
            if names.len() == MAX_ENTRIES {
                return Err(Refused::TooMany(MAX_ENTRIES));
            }
            names.push(Name::of(entry.file_name(), Kind::of(kind)));
        }
        names.sort_unstable();
        let rules = self.rules.depth();
        self.rules.enter(&folder, &path);
        self.levels.push(Level { folder, path, rules, names: names.into_iter() });
        Ok(())
    }

    /// Whether a path lies before the start of the walk and does not lead to it.
    fn is_before_start(&self, path: &str) -> bool {
        let Some(start) = &self.start else { return false };
        let leads_to_start =
            start.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        !leads_to_start && compare(path, start) == Ordering::Less
    }
}

/// The order in which a walk meets paths: by their parts, not by their text (`a/b` comes before `a-b`).
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    a.split('/').cmp(b.split('/'))
}
