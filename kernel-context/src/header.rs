//! How one page is rendered: its role, its header line, and what that costs.

use kernel_types::{Frame, PageKind, PageNo, Role};

use crate::TokenCounter;
use crate::table::{Group, Page, Place};

/// What a chat template adds to a message, at most.
const MESSAGE_OVERHEAD: u64 = 8;
/// What a provider's form of a tool call or result adds, ids and names aside.
const TOOL_OVERHEAD: u64 = 24;
/// The longest path or name a header shows, in characters.
const LONGEST_NAME: usize = 120;

/// A page's role in a prompt. What came back is quoted by the user, but for tool calls: those are a pair, wherever they are.
pub(crate) fn role(page: &Page, group: &Group) -> Role {
    match &page.kind {
        PageKind::System if group.place == Place::Head => Role::System,
        PageKind::ToolCall { .. } => Role::Assistant,
        PageKind::ToolResult { .. } => Role::Tool,
        PageKind::Assistant if !is_quoted(group) => Role::Assistant,
        _ => Role::User,
    }
}

/// The line above a page's text, if it has one.
pub(crate) fn header(number: PageNo, page: &Page, group: &Group, path: Option<&str>) -> Option<String> {
    match &page.kind {
        PageKind::System if group.place != Place::Head => Some("[instructions]".to_owned()),
        PageKind::Document => Some(document(number, page, path)),
        PageKind::User if is_quoted(group) => Some(format!("[page {number}, recalled: said by the user]")),
        PageKind::Assistant if is_quoted(group) => {
            Some(format!("[page {number}, recalled: said by the assistant]"))
        }
        PageKind::Note { name } => Some(shown(name)),
        _ => None,
    }
}

/// Counts what the page takes as it is rendered now and marks its bytes.
pub(crate) fn measure(
    number: PageNo,
    page: &Page,
    group: &Group,
    path: Option<&str>,
    counter: TokenCounter,
) -> (u64, u64) {
    let header = header(number, page, group, path);
    let line = header.as_deref().map_or(0, |line| counter.count(line) + 1);
    let wire = match &page.kind {
        PageKind::ToolCall { id, name } => TOOL_OVERHEAD + counter.count(id) + counter.count(name),
        PageKind::ToolResult { id, .. } => TOOL_OVERHEAD + counter.count(id),
        _ => 0,
    };
    let (kind, id, flag) = match &page.kind {
        PageKind::ToolCall { id, name } => ("call", id.as_str(), name.as_str()),
        PageKind::ToolResult { id, is_error: true } => ("result", id.as_str(), "error"),
        PageKind::ToolResult { id, is_error: false } => ("result", id.as_str(), ""),
        _ => (role_name(role(page, group)), "", ""),
    };
    let print = print(kind, &[id, flag, header.as_deref().unwrap_or_default(), &page.body.to_string()]);
    (page.text_tokens + line + wire + MESSAGE_OVERHEAD, print)
}

/// Eight bytes that identify fields of bytes.
pub(crate) fn print(kind: &str, fields: &[&str]) -> u64 {
    let mut frame = Frame::new("page");
    frame.text(kind);
    for field in fields {
        frame.text(field);
    }
    let [a, b, c, d, e, f, g, h, ..] = frame.finish().0;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// A name fit for one line: no control characters, not too long.
pub(crate) fn shown(name: &str) -> String {
    let mut shown: String =
        name.chars().take(LONGEST_NAME).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
    if name.chars().nth(LONGEST_NAME).is_some() {
        shown.push('…');
    }
    shown
}

fn document(number: PageNo, page: &Page, path: Option<&str>) -> String {
    match (page.lines, path) {
        (Some(lines), Some(path)) if lines.first > 0 => {
            format!("[page {number}: {} lines {}-{}]", shown(path), lines.first, lines.last)
        }
        (_, Some(path)) => format!("[page {number}: {}]", shown(path)),
        _ => format!("[page {number}]"),
    }
}

fn is_quoted(group: &Group) -> bool {
    group.returned && !group.tool
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}
