//! A whole address space as JSON Lines, for people to read and other machines to take over.
//!
//! ```text
//! {"format":"agentos-space","version":1,"model":"gpt-4o","window":4000,"policy":"generational","pages":2}
//! {"page":1,"kind":"user","text":"..","hash":"..","tokens":9,"importance":0.5,"pinned":false,"resident":true,"origin":null,"about":["user"]}
//! {"page":2, ..}
//! {"state":".."}
//! ```
//!
//! The first line is a [`SpaceHeader`]; then comes each page that was not freed, in order; the last line is what
//! [`Pager::save`](crate::Pager::save) wrote, in base64: what no person reads, but without which the space would not be the
//! same byte for byte. An import checks every line against its hash and against the state. One line at a time is held.

mod export;
mod import;

use std::io;
use std::sync::Arc;

use kernel_types::{BlobHash, Importance, Origin, PageKind, PageNo, Tokens};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{PageStatus, PagerError};

pub use export::export;
pub use import::{Import, Imported};

const FORMAT: &str = "agentos-space";
const VERSION: u32 = 2;

/// What a space was made with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpaceHeader {
    /// The model whose tokenizer counted.
    pub model: String,
    /// The most tokens of a rendered prompt.
    pub window: Tokens,
    /// The replacement policy's name.
    pub policy: String,
}

/// The first line.
#[derive(Serialize, Deserialize)]
struct First {
    format: String,
    version: u32,
    model: String,
    window: Tokens,
    policy: String,
    pages: u64,
}

/// The line of a page.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    page: PageNo,
    kind: PageKind,
    text: Arc<str>,
    hash: BlobHash,
    tokens: Tokens,
    importance: Importance,
    pinned: bool,
    resident: bool,
    origin: Option<Origin>,
    about: Vec<String>,
}

/// The last line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    state: String,
}

impl Line {
    fn new(status: PageStatus, text: Arc<str>) -> Self {
        let PageStatus { page, kind, body, tokens, resident, pinned, importance, origin, about } = status;
        Self { page, kind, text, hash: body, tokens, importance, pinned, resident, origin, about }
    }

    /// What it says of its page, and the text.
    fn parts(self) -> (PageStatus, Arc<str>) {
        let Self { page, kind, text, hash, tokens, importance, pinned, resident, origin, about } = self;
        (PageStatus { page, kind, body: hash, tokens, resident, pinned, importance, origin, about }, text)
    }
}

/// Why a space was not exported or imported. Lines count from 1.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransferError {
    /// Reading or writing failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A line is not the JSON it should be.
    #[error("line {line}: {reason}")]
    Malformed {
        /// Which.
        line: u64,
        /// What the parser says.
        reason: String,
    },
    /// The first line is not that of a space.
    #[error("line 1: not an exported space")]
    Format,
    /// Another build wrote it.
    #[error("line 1: version {found} of the format, this build reads {VERSION}")]
    Version {
        /// The version in the file.
        found: u32,
    },
    /// The space follows another policy.
    #[error("line 1: the space is paged by {found:?}, this pager is {expected:?}")]
    Policy {
        /// The policy in the file.
        found: String,
        /// The factory's.
        expected: String,
    },
    /// A text is not the one that its hash names.
    #[error("line {line}: the text of page {page} does not match its hash")]
    Text {
        /// Which.
        line: u64,
        /// The page.
        page: PageNo,
    },
    /// A line was changed, moved, or is of another space.
    #[error("line {line}: page {page} contradicts the saved state")]
    Contradiction {
        /// Which.
        line: u64,
        /// The page.
        page: PageNo,
    },
    /// Pages are missing.
    #[error("line {line}: {found} pages of {expected} are there")]
    Missing {
        /// The line of the state.
        line: u64,
        /// How many there are.
        found: u64,
        /// How many there should be.
        expected: u64,
    },
    /// The file ends before its last line does.
    #[error("line {line}: the file is cut off")]
    CutOff {
        /// Where the rest should begin.
        line: u64,
    },
    /// Something follows the last line.
    #[error("line {line}: something follows the saved state")]
    Trailing {
        /// Which.
        line: u64,
    },
    /// The saved state does not load, or a page cannot be read.
    #[error("line {line}: {error}")]
    State {
        /// The line of the state; 0 for an export.
        line: u64,
        /// The pager's error.
        error: PagerError,
    },
}
