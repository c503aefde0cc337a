//! Patterns of capabilities and rules: `*` stands for any text, everything else for itself.
//!
//! There is no escape, no `?` and no class: what a pattern covers can be read off it. Paths have their own rules on top
//! ([`path_within`]): they are compared in a normal form, and a folder covers what lies in it.

/// Whether `text` matches `pattern`. Takes time linear in both, whatever they hold.
///
/// ```
/// use kernel_security::matches;
///
/// assert!(matches("read_*", "read_file"));
/// assert!(!matches("read_*", "write_file"));
/// ```
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let (inner, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(text) = text.strip_prefix(head) else { return false };
    let Some(mut text) = text.strip_suffix(tail) else { return false };
    // Between two stars the leftmost place of each piece leaves the most room for the pieces after it.
    for piece in inner.split('*') {
        let Some(at) = text.find(piece) else { return false };
        text = &text[at + piece.len()..];
    }
    true
}

/// Whether every text that matches `child` matches `parent`.
///
/// This is exact: a star of the child is a text that nothing but a star of the parent can cover, and `matches` treats it
/// so because no literal piece of a pattern holds a star.
#[must_use]
pub fn covers(parent: &str, child: &str) -> bool {
    matches(parent, child)
}

/// The normal form of a path relative to the workspace: no empty and no `.` segments, `""` for the workspace itself.
///
/// `None` for what never lies within a workspace or may not: absolute paths, `..` anywhere, NUL bytes.
#[must_use]
pub fn normal_path(path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains('\0') {
        return None;
    }
    let mut normal = String::with_capacity(path.len());
    for segment in path.split('/').filter(|segment| !matches!(*segment, "" | ".")) {
        if segment == ".." {
            return None;
        }
        if !normal.is_empty() {
            normal.push('/');
        }
        normal.push_str(segment);
    }
    Some(normal)
}

/// Whether a grant of `granted` reaches `path`: `.` covers all, a file itself, a folder what lies in it.
///
/// Both may be written in any form ([`normal_path`]); absolute paths and `..` never match. `granted` may hold `*`, which
/// stands for any text, slashes included. An empty grant covers nothing.
#[must_use]
pub fn path_within(granted: &str, path: &str) -> bool {
    let (Some(normal), Some(path)) = (normal_path(granted), normal_path(path)) else { return false };
    if normal.is_empty() {
        return !granted.is_empty();
    }
    matches(&normal, &path) || matches(&format!("{normal}/*"), &path)
}

/// Whether every path that a grant of `child` reaches is reached by one of `parent`. A grant that reaches nothing is
/// covered by any.
#[must_use]
pub(crate) fn path_covers(parent: &str, child: &str) -> bool {
    child.is_empty() || normal_path(child).is_none() || path_within(parent, child)
}
