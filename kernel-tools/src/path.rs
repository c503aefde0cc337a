//! Workspace paths in their one written form: relative, `/` between parts, no `.`, no `..`, no empty part.
//!
//! Capabilities are compared with this form, so that `./a//b` cannot slip past a rule about `a/b`. Whether something lies
//! at a path is not asked here.

use std::fmt;

/// The longest path accepted, in bytes (Linux's own limit).
const MAX_PATH_BYTES: usize = 4096;

/// The paths a call names, in normal form, for a capability check.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ToolPaths {
    /// Values of the arguments that the spec lists under `reads`.
    pub reads: Vec<String>,
    /// Values of the arguments that the spec lists under `writes`.
    pub writes: Vec<String>,
}

/// Why a text is not a path within the workspace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PathError {
    path: String,
    reason: &'static str,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.path.chars().take(100).collect();
        write!(
            f,
            "the path {shown:?} {}: name one relative to the workspace, such as \"docs/a.md\"",
            self.reason
        )
    }
}

/// Brings a path to normal form; the workspace itself is `.`.
pub(crate) fn normalize(path: &str) -> Result<String, PathError> {
    let refuse = |reason| Err(PathError { path: path.to_owned(), reason });
    if path.len() > MAX_PATH_BYTES {
        return refuse("is longer than 4096 bytes");
    }
    if path.starts_with('/') {
        return refuse("is absolute");
    }
    if path.contains('\0') {
        return refuse("holds a NUL character");
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return refuse("leaves its folder by \"..\""),
            part => parts.push(part),
        }
    }
    Ok(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
}

/// `folder/name`, where the folder may be `.`.
pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder == "." { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A path as one line of text: control characters (a name may hold a newline) are escaped.
pub(crate) fn shown(path: &str) -> String {
    let mut line = String::with_capacity(path.len());
    for c in path.chars() {
        if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: Option<&str>) {
        assert_eq!(normalize(input).ok().as_deref(), expected, "{input:?}");
    }

    #[test]
    fn a_path_has_one_written_form() {
        check("a/b", Some("a/b"));
        check("./a//b/.", Some("a/b"));
        check("a/", Some("a"));
        check("", Some("."));
        check("./", Some("."));
        check("...", Some("..."));
        check("a\\..\\b", Some("a\\..\\b"));
    }

    #[test]
    fn a_path_never_leaves_the_workspace() {
        for path in ["..", "../a", "a/../b", "a/..", "/", "/etc/passwd", "//a", "a\0b"] {
            check(path, None);
        }
        check(&"a/".repeat(3000), None);
    }

    #[test]
    fn a_name_with_a_newline_is_shown_on_one_line() {
        assert_eq!(shown("a\nb"), "a\\nb");
        assert_eq!(shown("grün.md"), "grün.md");
    }
}
