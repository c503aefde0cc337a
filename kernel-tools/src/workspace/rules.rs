//! Ignore rules: `.gitignore` and `.ignore` files, read through the workspace's handle.

use std::io::Read;

use cap_std::fs::Dir;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::open_file;

/// Files of rules in one folder, the stronger last.
const RULE_FILES: [&str; 2] = [".gitignore", ".ignore"];
/// A larger file of rules is not believed to be one.
const MAX_RULES: u64 = 1024 * 1024;

/// The rules of the folders from the workspace down to one folder.
#[derive(Clone, Default, Debug)]
pub(super) struct Rules(Vec<Gitignore>);

impl Rules {
    /// Adds what the folder at `path` says. A line that is no pattern is passed over.
    pub(super) fn enter(&mut self, folder: &Dir, path: &str) {
        for name in RULE_FILES {
            let Ok((file, metadata)) = open_file(folder, name) else { continue };
            let mut text = Vec::new();
            if metadata.len() > MAX_RULES || file.take(MAX_RULES).read_to_end(&mut text).is_err() {
                continue;
            }
            let mut builder = GitignoreBuilder::new(if path == "." { "" } else { path });
            for line in String::from_utf8_lossy(&text).trim_start_matches('\u{feff}').lines() {
                let _not_a_pattern = builder.add_line(None, line);
            }
            self.0.extend(builder.build().ok().filter(|rules| !rules.is_empty()));
        }
    }

    /// How many sets of rules there are, to come back to with [`Rules::leave`].
    pub(super) fn depth(&self) -> usize {
        self.0.len()
    }

    /// Forgets what was added since the depth was `depth`.
    pub(super) fn leave(&mut self, depth: usize) {
        self.0.truncate(depth);
    }

    /// Whether the rules leave a path out; the nearest rule that matches decides.
    pub(super) fn ignore(&self, path: &str, is_folder: bool) -> bool {
        let mut decisions = self.0.iter().rev().map(|rules| rules.matched(path, is_folder));
        decisions.find(|decision| !decision.is_none()).is_some_and(|decision| decision.is_ignore())
    }
}
