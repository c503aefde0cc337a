//! Sealing: what a process did since its last commit is written out as records, hashed and chained.
//!
//! Nothing here needs the kernel's state, so a large batch is sealed on another thread than the engine's. Until then a record
//! is a [`Draft`]: the event as data.

use kernel_context::Change;
use kernel_security::{RecordBody, RecordDraft, seal_record, seal_row};
use kernel_storage::{Blob, Commit};
use kernel_types::{Event, EventKind, Frame, Hash, Record, Seq, StepNo, Timestamp, hash_bytes};
use serde::Serialize;

/// Bodies longer than this lie in a blob beside their record.
const INLINE_BODY: usize = 1024;

/// A record that is not sealed yet.
pub(crate) struct Draft {
    pub(crate) step: StepNo,
    pub(crate) call: Option<Seq>,
    pub(crate) at: Timestamp,
    pub(crate) salt: [u8; 16],
    pub(crate) said: Said,
}

/// What a record says.
pub(crate) enum Said {
    Event(Box<Event>),
    /// An [`Event::Pages`], whose changes are written out only here.
    Pages(Vec<Change>),
}

/// [`Event::Pages`] as it is written.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Written<'a> {
    Pages { changes: &'a [Change] },
}

impl Said {
    fn kind(&self) -> EventKind {
        match self {
            Self::Event(event) => event.kind(),
            Self::Pages(_) => EventKind::Pages,
        }
    }

    fn json(&self) -> String {
        let json = match self {
            Self::Event(event) => serde_json::to_string(event),
            Self::Pages(changes) => serde_json::to_string(&Written::Pages { changes }),
        };
        json.expect("events and changes have text keys only")
    }
}

/// Where a process's chains are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Heads {
    /// The hash of its last record.
    pub(crate) records: Hash,
    /// The chain over all page changes.
    pub(crate) pages: Hash,
}

impl Heads {
    /// Those of a process without records.
    pub(crate) const START: Self = Self { records: Hash::ZERO, pages: Hash::ZERO };
}

/// A commit whose records are drafts. The row lacks its head and its seal.
pub(crate) struct Unsealed {
    pub(crate) commit: Commit,
    pub(crate) drafts: Vec<Draft>,
    /// As they were before.
    pub(crate) heads: Heads,
    /// The hash of what the program saved.
    pub(crate) program: Hash,
    /// When it is committed, and the salt of the record that says so.
    pub(crate) at: Timestamp,
    pub(crate) salt: [u8; 16],
    pub(crate) step: StepNo,
}

impl Unsealed {
    /// Writes the records out, the [`Event::Step`] that ties them to the row at the end, and seals the row.
    pub(crate) fn seal(self) -> (Commit, Heads) {
        let Self { mut commit, drafts, mut heads, program, at, salt, step } = self;
        // The row's number counts the record of the step.
        let mut number = commit.row.records - drafts.len() as u64 - 1;
        commit.records.reserve_exact(drafts.len() + 1);
        for draft in drafts {
            number += 1;
            let is_pages = draft.said.kind() == EventKind::Pages;
            let json = draft.said.json();
            if is_pages {
                heads.pages = pages_head(&heads.pages, &json);
            }
            heads.records = push(&mut commit, number, &heads.records, &draft, json);
        }
        let event = Event::Step {
            program,
            image: hash_bytes(&commit.row.image),
            pages: heads.pages,
            epoch: commit.row.epoch.0,
        };
        let draft = Draft { step, call: None, at, salt, said: Said::Event(Box::new(event)) };
        let json = draft.said.json();
        heads.records = push(&mut commit, number + 1, &heads.records, &draft, json);
        commit.row.head = heads.records;
        commit.row.seal = seal_row(&commit.row);
        (commit, heads)
    }
}

/// The chain over all page changes, after a record of them with this body.
fn pages_head(before: &Hash, body: &str) -> Hash {
    Frame::new("pages").bytes(&before.0).text(body).finish()
}

/// Appends a record; answers its hash.
fn push(commit: &mut Commit, number: u64, head: &Hash, draft: &Draft, json: String) -> Hash {
    let body = if json.len() > INLINE_BODY {
        let blob = Blob::of(json.into_bytes());
        commit.blobs.push(blob.clone());
        RecordBody::Blob { hash: blob.hash, bytes: blob.bytes }
    } else {
        RecordBody::Inline(json)
    };
    let record = RecordDraft {
        pid: commit.row.pid,
        number,
        step: draft.step,
        call: draft.call,
        kind: draft.said.kind() as u8,
        at: draft.at,
        body,
    };
    let record: Record = seal_record(head, record, draft.salt);
    let hash = record.hash;
    commit.records.push(record);
    hash
}
