//! One process's chain, checked record by record: pure, so that every kind of tampering can be tried on it.

use std::collections::BTreeMap;

use kernel_types::{AgentRow, Answer, BlobHash, Event, EventKind, Hash, Pid, Record, hash_bytes};
use serde_json::Value;

use crate::chain::{body_hash, link, seal_row};
use crate::report::{Fault, Finding};

/// The body of a record, as far as it could be got.
#[derive(Clone, Copy)]
pub(crate) enum Body<'a> {
    /// These bytes; from a blob, they match its address.
    Found(&'a [u8]),
    /// Neither in the record nor in a blob.
    Erased,
    /// In a blob that is not there or does not match its address, which is that blob's finding.
    Lost,
    /// In the record and in a blob.
    Twice,
}

/// What a walk found.
pub(crate) struct Walked {
    pub(crate) findings: Vec<Finding>,
    /// Bodies that events name, with the number of the record.
    pub(crate) blobs: Vec<(BlobHash, u64)>,
    /// Children that were spawned, with the number of the record.
    pub(crate) children: Vec<(Pid, u64)>,
    /// Image and epoch that each step says, by the number of its record; `None` if its body cannot be had.
    pub(crate) steps: BTreeMap<u64, Option<(Hash, u64)>>,
}

/// Image and epoch that the event of a step says.
fn said(body: &[u8]) -> Option<(Hash, u64)> {
    match serde_json::from_slice(body) {
        Ok(Event::Step { image, epoch, .. }) => Some((image, epoch)),
        _ => None,
    }
}

pub(crate) struct ChainWalk<'a> {
    row: &'a AgentRow,
    expected: u64,
    /// What the hash of the record before may be: the one it carries and, if that is wrong, the one it should carry. So
    /// one changed record is one finding, whichever of its columns was changed. Empty after a gap: then anything goes.
    before: Vec<Hash>,
    found: Walked,
}

impl<'a> ChainWalk<'a> {
    pub(crate) fn new(row: &'a AgentRow) -> Self {
        let (findings, blobs, children) = (Vec::new(), Vec::new(), Vec::new());
        let found = Walked { findings, blobs, children, steps: BTreeMap::new() };
        Self { row, expected: 1, before: vec![Hash::ZERO], found }
    }

    /// Checks the next record, in the order of their numbers.
    pub(crate) fn record(&mut self, record: &Record, body: Body<'_>) {
        if record.number < self.expected {
            return self.event(record, Fault::Number, "its number is not one that comes here");
        }
        if record.number > self.expected {
            self.gap(Fault::Removed, record.number - 1);
            self.before.clear();
        }
        self.expected = record.number.saturating_add(1);
        self.check_link(record);
        self.check_body(record, body);
    }

    /// Checks the row against the chain.
    pub(crate) fn end(mut self) -> Walked {
        let row = self.row;
        if self.expected <= row.records {
            self.gap(Fault::Truncated, row.records);
        } else if !self.before.is_empty() && !self.before.contains(&row.head) {
            self.agent(Fault::Head, format!("the head is not the hash of record {}", row.records));
        }
        if seal_row(row) != row.seal {
            self.agent(Fault::Seal, "the row does not match its seal".to_owned());
        }
        if let Some((number, step)) = self.found.steps.last_key_value().map(|(number, step)| (*number, *step))
        {
            match step {
                None => {
                    self.agent(
                        Fault::Image,
                        format!("cannot be checked: the step in record {number} is unreadable"),
                    );
                }
                Some((image, epoch)) => {
                    if image != hash_bytes(&row.image) {
                        self.agent(Fault::Image, format!("the image is not the one of record {number}"));
                    }
                    if epoch != row.epoch.0 {
                        let epochs = format!("epoch {} is not {epoch} as in record {number}", row.epoch);
                        self.agent(Fault::Epoch, epochs);
                    }
                }
            }
        }
        self.found
    }

    fn check_link(&mut self, record: &Record) {
        if record.pid != self.row.pid {
            self.event(record, Fault::Orphan, &format!("filed under agent {}", self.row.pid));
        }
        let should: Vec<Hash> = self.before.iter().map(|before| link(before, record)).collect();
        if !should.is_empty() && !should.contains(&record.hash) {
            self.event(
                record,
                Fault::Hash,
                "its hash does not follow from its columns and the record before",
            );
            self.before = vec![record.hash, should[0]];
        } else {
            self.before = vec![record.hash];
        }
    }

    fn check_body(&mut self, record: &Record, body: Body<'_>) {
        let read = match body {
            Body::Found(bytes) if body_hash(&record.salt, bytes) == record.body_hash => Some(bytes),
            Body::Found(_) => {
                self.event(record, Fault::Body, "the body does not match its hash");
                None
            }
            Body::Twice => {
                self.event(record, Fault::Body, "there is a body both in the record and in a blob");
                None
            }
            Body::Erased | Body::Lost => None,
        };
        let number = record.number;
        match EventKind::from_number(record.kind) {
            Some(EventKind::Step) => {
                self.found.steps.insert(number, read.and_then(said));
            }
            Some(EventKind::Outcome) => {
                if let Some(Ok(event)) = read.map(serde_json::from_slice::<Event>) {
                    self.found.blobs.extend(event.blobs().into_iter().map(|blob| (blob, number)));
                    if let Event::Outcome { result: Ok(Answer::Pid(child)), .. } = event {
                        self.found.children.push((child, number));
                    }
                }
            }
            Some(EventKind::Pages) => {
                if let Some(Ok(value)) = read.map(serde_json::from_slice::<Value>) {
                    named_bodies(&value, &mut |blob| self.found.blobs.push((blob, number)));
                }
            }
            _ => {}
        }
    }

    /// Reports that the records from the expected one to `last` are missing.
    fn gap(&mut self, fault: Fault, last: u64) {
        let first = self.expected;
        let detail = if first == last {
            "this record is missing".to_owned()
        } else {
            format!("records {first} to {last} are missing")
        };
        self.found.findings.push(Finding::event(self.row.pid, first, fault, detail));
    }

    fn event(&mut self, record: &Record, fault: Fault, detail: &str) {
        self.found.findings.push(Finding::event(record.pid, record.number, fault, detail));
    }

    fn agent(&mut self, fault: Fault, detail: String) {
        self.found.findings.push(Finding::agent(self.row.pid, fault, detail));
    }
}

/// Finds the addresses of bodies in changes of a page table, which are in the pager's own words: every field `body` or
/// `blob` that holds an address.
fn named_bodies(value: &Value, found: &mut impl FnMut(BlobHash)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "body" || name == "blob" => {
                        if let Ok(address) = text.parse() {
                            found(address);
                        }
                    }
                    _ => named_bodies(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| named_bodies(item, found)),
        _ => {}
    }
}
