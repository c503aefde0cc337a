//! `Page`: what the page table keeps of a page, 96 bytes.
//!
//! The record of a group's first page is the group's record too: where the group is, how it was used. So a group costs
//! nothing of its own. Texts that are long or rare (tool call ids, names, paths) are in side tables.

use kernel_types::{BlobHash, PageKind};
use serde::{Deserialize, Serialize};

use crate::sequence::Weigh;

/// A page's number as it is stored: from 1. A table holds fewer than 2^32 pages.
pub(crate) type Number = u32;

/// One page. What is marked "group" counts in the record of a group's first page only.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Page {
    pub(crate) body: BlobHash,
    /// Identifies the bytes it is rendered as.
    pub(crate) print: u64,
    /// Tokens of the text, not calibrated.
    pub(crate) tokens: u32,
    /// Tokens it takes in a window as it is rendered now: text, header, what a template adds.
    pub(crate) cost: u32,
    /// The group's first page.
    pub(crate) group: Number,
    /// The next page of the group, or 0.
    pub(crate) next: Number,
    /// Its place in the table of labels plus 1, or 0.
    pub(crate) label: u32,
    /// Its file's place in the table of files plus 1, or 0.
    pub(crate) file: u32,
    /// Its place in the table of extras plus 1, or 0.
    pub(crate) extra: u32,
    pub(crate) first_line: u32,
    pub(crate) last_line: u32,
    /// Group: its place in the order of the window plus 1, or 0.
    pub(crate) slot: u32,
    /// Group: the call after which it was last used.
    pub(crate) used: u32,
    /// Group: the call after which it last left the window.
    pub(crate) left: u32,
    /// Group: how often it was used.
    pub(crate) uses: u16,
    /// In thousandths.
    pub(crate) importance: u16,
    /// Group: how often it was missed, fading.
    pub(crate) faults: u8,
    pub(crate) kind: Kind,
    pub(crate) flags: Flags,
}

/// [`PageKind`] without its texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[repr(u8)]
pub(crate) enum Kind {
    System,
    User,
    Assistant,
    ToolCall,
    ToolResult,
    Document,
    Note,
}

/// Bits of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Flags(u16);

impl Flags {
    pub(crate) const PINNED: Self = Self(1);
    /// Freed: only the number is left, and the group's record if it was the first.
    pub(crate) const FREED: Self = Self(2);
    /// A tool's result that is an error.
    pub(crate) const ERROR: Self = Self(4);
    /// Its size was given, not counted.
    pub(crate) const SIZED: Self = Self(8);
    /// Group: it holds a tool call with its results.
    pub(crate) const TOOL: Self = Self(16);
    /// Group: allocated since the last render, and to be in the next.
    pub(crate) const FRESH: Self = Self(32);
    /// Group: recalled since the last render.
    pub(crate) const RECALLED: Self = Self(64);
    /// Group: it came back, and is rendered as something quoted.
    pub(crate) const RETURNED: Self = Self(128);
    /// Group: among the first system pages.
    const HEAD: Self = Self(256);
    /// Group: in the window proper.
    const WINDOW: Self = Self(512);
    /// Group: behind the window, a note that counts.
    const NOTES: Self = Self(1024);
    /// A note that a newer one replaced: it can be read, not recalled.
    pub(crate) const SUPERSEDED: Self = Self(2048);
    /// Group: it was in the window and left.
    pub(crate) const LEFT: Self = Self(4096);
    /// Group: when it last left, a compaction took it out.
    pub(crate) const COMPACTED: Self = Self(8192);
    /// Group: the model was shown it, or what there was of it then.
    pub(crate) const SEEN: Self = Self(16384);

    pub(crate) const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    pub(crate) const fn set(&mut self, flag: Self, on: bool) {
        if on {
            self.0 |= flag.0;
        } else {
            self.0 &= !flag.0;
        }
    }

    /// These bits, and `flag` if `on`.
    pub(crate) const fn with(mut self, flag: Self, on: bool) -> Self {
        self.set(flag, on || self.has(flag));
        self
    }
}

/// Where a group is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Among the first system pages.
    Head,
    /// In the window proper.
    Window,
    /// Behind the window: a note that counts.
    Notes,
    /// Not in the window.
    Out,
}

impl Page {
    pub(crate) fn has(&self, flag: Flags) -> bool {
        self.flags.has(flag)
    }

    pub(crate) const fn place(&self) -> Place {
        if self.flags.has(Flags::WINDOW) {
            Place::Window
        } else if self.flags.has(Flags::HEAD) {
            Place::Head
        } else if self.flags.has(Flags::NOTES) {
            Place::Notes
        } else {
            Place::Out
        }
    }

    pub(crate) const fn put(&mut self, place: Place) {
        self.flags.set(Flags::HEAD, matches!(place, Place::Head));
        self.flags.set(Flags::WINDOW, matches!(place, Place::Window));
        self.flags.set(Flags::NOTES, matches!(place, Place::Notes));
    }

    /// Whether its group is rendered as something quoted.
    pub(crate) const fn is_quoted(group: &Self) -> bool {
        group.flags.has(Flags::RETURNED) && !group.flags.has(Flags::TOOL)
    }
}

impl Kind {
    pub(crate) const fn of(kind: &PageKind) -> Self {
        match kind {
            PageKind::System => Self::System,
            PageKind::User => Self::User,
            PageKind::Assistant => Self::Assistant,
            PageKind::ToolCall { .. } => Self::ToolCall,
            PageKind::ToolResult { .. } => Self::ToolResult,
            PageKind::Note { .. } => Self::Note,
            _ => Self::Document,
        }
    }
}

/// The page table needs no sums.
impl Weigh for Page {
    fn weight(&self) -> u64 {
        0
    }
}

/// Texts of a page's kind: a tool call's id and name, a note's name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Label {
    pub(crate) id: String,
    pub(crate) name: String,
}

impl Label {
    /// The texts of a kind that has any.
    pub(crate) fn of(kind: &PageKind) -> Option<Self> {
        match kind {
            PageKind::ToolCall { id, name } => Some(Self { id: id.clone(), name: name.clone() }),
            PageKind::ToolResult { id, .. } => Some(Self { id: id.clone(), name: String::new() }),
            PageKind::Note { name } => Some(Self { id: String::new(), name: name.clone() }),
            _ => None,
        }
    }
}

impl Weigh for Label {
    fn weight(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_small() {
        assert!(size_of::<Page>() <= 96, "{} bytes of metadata a page", size_of::<Page>());
    }

    #[test]
    fn a_group_is_in_one_place() {
        let mut page = blank();
        for place in [Place::Head, Place::Window, Place::Notes, Place::Out, Place::Window] {
            page.put(place);
            assert_eq!(page.place(), place);
        }
    }

    fn blank() -> Page {
        Page {
            body: BlobHash::ZERO,
            print: 0,
            tokens: 0,
            cost: 0,
            group: 1,
            next: 0,
            label: 0,
            file: 0,
            extra: 0,
            first_line: 0,
            last_line: 0,
            slot: 0,
            used: 0,
            left: 0,
            uses: 0,
            importance: 500,
            faults: 0,
            kind: Kind::User,
            flags: Flags::default().with(Flags::PINNED, true),
        }
    }
}
