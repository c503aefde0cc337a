//! What an audit found.

use std::fmt;

use kernel_types::{BlobHash, Pid};
use serde::{Deserialize, Serialize};

/// Which table a finding is in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Agent rows.
    Agent,
    /// Records.
    Event,
    /// Bodies.
    Blob,
}

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// An agent row does not match its seal.
    Seal,
    /// The head of an agent row is not the hash of its last record.
    Head,
    /// The process image is not the one of the last step.
    Image,
    /// The epoch of an agent row is not the one of the last step.
    Epoch,
    /// A record's hash does not follow from its columns and the record before.
    Hash,
    /// A body does not match its hash.
    Body,
    /// The numbers of a chain are out of order, doubled or beyond its end.
    Number,
    /// A row is gone that others name.
    Removed,
    /// The end of a chain is gone.
    Truncated,
    /// Records of a process that has no row.
    Orphan,
    /// A blob's bytes do not match its address.
    Content,
    /// An earlier version of a process is not the one that its journal tells of.
    Version,
}

/// One thing that is wrong, with the row it is wrong in. Shown as one line.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The table.
    pub table: Table,
    /// The process, unless the row is a blob.
    pub pid: Option<Pid>,
    /// The number of the record, if the row is one.
    pub number: Option<u64>,
    /// The address, if the row is a blob.
    pub blob: Option<BlobHash>,
    /// What is wrong.
    pub fault: Fault,
    /// In words.
    pub detail: String,
}

impl Finding {
    pub(crate) fn agent(pid: Pid, fault: Fault, detail: impl Into<String>) -> Self {
        Self { table: Table::Agent, pid: Some(pid), number: None, blob: None, fault, detail: detail.into() }
    }

    pub(crate) fn event(pid: Pid, number: u64, fault: Fault, detail: impl Into<String>) -> Self {
        Self { number: Some(number), table: Table::Event, ..Self::agent(pid, fault, detail) }
    }

    pub(crate) fn blob(hash: BlobHash, fault: Fault, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { table: Table::Blob, pid: None, number: None, blob: Some(hash), fault, detail }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table.fmt(f)?;
        if let Some(pid) = self.pid {
            write!(f, " {pid}")?;
        }
        if let Some(number) = self.number {
            write!(f, " record {number}")?;
        }
        if let Some(blob) = self.blob {
            write!(f, " {blob}")?;
        }
        write!(f, ": {}: {}", self.fault, self.detail)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agent => "agent",
            Self::Event => "event",
            Self::Blob => "blob",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seal => "seal",
            Self::Head => "head",
            Self::Image => "image",
            Self::Epoch => "epoch",
            Self::Hash => "hash",
            Self::Body => "body",
            Self::Number => "number",
            Self::Removed => "removed",
            Self::Truncated => "truncated",
            Self::Orphan => "orphan",
            Self::Content => "content",
            Self::Version => "version",
        })
    }
}

/// The result of an audit.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Agent rows checked.
    pub agents: u64,
    /// Records checked.
    pub records: u64,
    /// Bodies checked.
    pub blobs: u64,
    /// Records whose body was erased; they verify all the same.
    pub erased: u64,
    /// What is wrong, each thing once; nothing if all is well.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    pub(crate) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }
}
