//! How one page is rendered: its role, its header line, and what that costs.

use kernel_types::{Frame, PageNo, Role};

use crate::TokenCounter;
use crate::page::{Flags, Kind, Label, Number, Page, Place};
use crate::window::clamp;

/// What a chat template adds to a message, at most.
const MESSAGE_OVERHEAD: u64 = 8;
/// What a provider's form of a tool call or result adds, ids and names aside.
const TOOL_OVERHEAD: u64 = 24;
/// The longest path or name a header shows, in characters.
const LONGEST_NAME: usize = 120;

/// A page with all that its looks depend on.
#[derive(Clone, Copy)]
pub(crate) struct Face<'a> {
    pub(crate) number: Number,
    pub(crate) page: &'a Page,
    /// The record of its group.
    pub(crate) group: &'a Page,
    pub(crate) label: Option<&'a Label>,
    pub(crate) path: Option<&'a str>,
}

impl Face<'_> {
    /// The page's role in a prompt. What came back is quoted by the user, but for tool calls: those are a pair, wherever
    /// they are.
    pub(crate) fn role(&self) -> Role {
        match self.page.kind {
            Kind::System if self.group.place() == Place::Head => Role::System,
            Kind::ToolCall => Role::Assistant,
            Kind::ToolResult => Role::Tool,
            Kind::Assistant if !Page::is_quoted(self.group) => Role::Assistant,
            _ => Role::User,
        }
    }

    /// The line above the page's text, if it has one.
    pub(crate) fn header(&self) -> Option<String> {
        let quoted = Page::is_quoted(self.group);
        let page = PageNo(u64::from(self.number));
        match self.page.kind {
            Kind::System if self.group.place() != Place::Head => Some("[instructions]".to_owned()),
            Kind::Document => Some(self.document()),
            Kind::User if quoted => Some(format!("[page {page}, recalled: said by the user]")),
            Kind::Assistant if quoted => Some(format!("[page {page}, recalled: said by the assistant]")),
            Kind::Note => Some(shown(self.name())),
            _ => None,
        }
    }

    fn document(&self) -> String {
        let (page, first, last) = (self.number, self.page.first_line, self.page.last_line);
        match self.path {
            Some(path) if first > 0 => format!("[page {page}: {} lines {first}-{last}]", shown(path)),
            Some(path) => format!("[page {page}: {}]", shown(path)),
            None => format!("[page {page}]"),
        }
    }

    pub(crate) fn id(&self) -> &str {
        self.label.map_or("", |label| &label.id)
    }

    pub(crate) fn name(&self) -> &str {
        self.label.map_or("", |label| &label.name)
    }

    /// What the page takes as it is rendered now, and eight bytes that identify how.
    pub(crate) fn measure(&self, counter: TokenCounter) -> (u32, u64) {
        let header = self.header();
        let print = self.print(header.as_deref());
        if self.page.has(Flags::SIZED) {
            return (self.page.tokens, print);
        }
        let line = header.as_deref().map_or(0, |line| counter.count(line) + 1);
        let wire = match self.page.kind {
            Kind::ToolCall => TOOL_OVERHEAD + counter.count(self.id()) + counter.count(self.name()),
            Kind::ToolResult => TOOL_OVERHEAD + counter.count(self.id()),
            _ => 0,
        };
        (clamp(u64::from(self.page.tokens) + line + wire + MESSAGE_OVERHEAD), print)
    }

    fn print(&self, header: Option<&str>) -> u64 {
        let header = header.unwrap_or_default();
        let body = &self.page.body.0;
        match self.page.kind {
            Kind::ToolCall => print("call", &[self.id(), self.name(), header], body),
            Kind::ToolResult if self.page.has(Flags::ERROR) => {
                print("result", &[self.id(), "error", header], body)
            }
            Kind::ToolResult => print("result", &[self.id(), "", header], body),
            _ => print(role_name(self.role()), &["", "", header], body),
        }
    }
}

/// Eight bytes that identify fields of bytes.
pub(crate) fn print(kind: &str, fields: &[&str], body: &[u8]) -> u64 {
    let mut frame = Frame::new("page");
    frame.text(kind);
    for field in fields {
        frame.text(field);
    }
    frame.bytes(body);
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

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}
