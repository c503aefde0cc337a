//! The statement that writes a round of commits: one autocommit statement over arrays, whatever the round holds.
//!
//! Its first part updates the agent rows that are as their commits expect, and so takes the locks; all others take only
//! what belongs to processes that the first applied to. Only the parts that a round needs are in the text, so that a
//! step without mail does not pay for mail; few texts come up, and each stays prepared.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use kernel_types::{AgentRow, BlobHash, Mail, MailId, Pid, Record};
use sqlx::postgres::PgHasArrayType;
use sqlx::{Encode, Postgres, QueryBuilder, Type};
use uuid::Uuid;

use super::plan::Part;
use crate::pack::Packed;
use crate::{ProcessCopy, StoreError, StoreErrorKind};

/// Compares numbers of 64 bits as unsigned ones.
const UNSIGNED: &str = "# '-9223372036854775808'::int8";

/// The rows of a round, borrowed from its commits.
#[derive(Default)]
pub(super) struct Rows<'a> {
    changed: Vec<Row<'a>>,
    created: Vec<Row<'a>>,
    records: Vec<Versioned<'a>>,
    set: Vec<(Pid, &'a str, &'a str)>,
    unset: Vec<(Pid, &'a str)>,
    /// Both of these by the number of records of their commits.
    past: Vec<(Pid, &'a str, u64, Option<&'a str>)>,
    references: BTreeSet<(BlobHash, Pid)>,
    consumed: BTreeSet<(Pid, MailId)>,
    /// Mail consumed by processes that end: nothing has to be remembered of it.
    consumed_last: BTreeSet<(Pid, MailId)>,
    exited: Vec<Pid>,
    sent: Vec<Sent<'a>>,
}

struct Row<'a> {
    row: &'a AgentRow,
    /// The records of the row as it must be before; none if there is no such number.
    before: Option<u64>,
}

struct Versioned<'a> {
    record: &'a Record,
    /// The row of its commit, packed, if it is the last of it.
    state: Option<&'a [u8]>,
}

struct Sent<'a> {
    /// Whose commit must apply for it.
    owner: Option<Pid>,
    mail: &'a Mail,
    body: Vec<u8>,
}

impl<'a> Rows<'a> {
    pub(super) fn of(parts: &[Part<'a>]) -> Result<Self, StoreError> {
        let mut rows = Self::default();
        for part in parts {
            rows.take(part)?;
        }
        Ok(rows)
    }

    /// Those of a process that comes whole, with the states of the records that ended commits, by their numbers.
    pub(super) fn of_copy(copy: &'a ProcessCopy, states: &'a [(u64, Vec<u8>)]) -> Result<Self, StoreError> {
        let pid = copy.row.pid;
        let state = |record: &Record| {
            let at = states.binary_search_by_key(&record.number, |(number, _)| *number).ok()?;
            Some(&*states[at].1)
        };
        let mut rows = Self {
            created: vec![Row { row: &copy.row, before: Some(0) }],
            records: copy.records.iter().map(|record| Versioned { record, state: state(record) }).collect(),
            set: copy.values.iter().map(|(name, value)| (pid, &**name, &**value)).collect(),
            past: copy
                .past
                .iter()
                .map(|(name, number, value)| (pid, &**name, *number, value.as_deref()))
                .collect(),
            references: copy.blobs.iter().map(|blob| (blob.hash, pid)).collect(),
            ..Self::default()
        };
        // Of a process that ended nothing has to be remembered.
        if !copy.row.exited {
            rows.consumed = copy.consumed.iter().map(|id| (pid, *id)).collect();
        }
        for mail in copy.inbox.iter().chain(&copy.sent) {
            // It comes with the process or not at all.
            rows.sent.push(Sent { owner: Some(pid), mail, body: encoded(mail)? });
        }
        Ok(rows)
    }

    fn take(&mut self, part: &Part<'a>) -> Result<(), StoreError> {
        let owner = part.commit.map(|commit| commit.row.pid);
        if let Some(commit) = part.commit {
            let (row, pid) = (&commit.row, commit.row.pid);
            let before = row.records.checked_sub(commit.records.len() as u64);
            let rows = if row.revision == 1 { &mut self.created } else { &mut self.changed };
            rows.push(Row { row, before });
            let state = |record: &Record| (record.number == row.records).then_some(part.state);
            self.records
                .extend(commit.records.iter().map(|record| Versioned { record, state: state(record) }));
            let values: BTreeMap<&str, Option<&str>> =
                commit.values.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            for (name, value) in values {
                self.past.push((pid, name, row.records, value));
                match value {
                    Some(value) => self.set.push((pid, name, value)),
                    None => self.unset.push((pid, name)),
                }
            }
            self.references.extend(commit.blobs.iter().map(|blob| (blob.hash, pid)));
            let consumed = commit.consumed.iter().map(|id| (pid, *id));
            if row.exited {
                self.exited.push(pid);
                self.consumed_last.extend(consumed);
            } else {
                self.consumed.extend(consumed);
            }
        }
        for mail in part.sent {
            // What a process consumes of its own in the same commit does not come.
            let own = owner == Some(mail.to);
            if own && part.commit.is_some_and(|commit| commit.consumed.contains(&mail.id)) {
                continue;
            }
            self.sent.push(Sent { owner, mail, body: encoded(mail)? });
        }
        Ok(())
    }

    /// The bytes that go over the wire, roughly.
    pub(super) fn bytes(&self) -> usize {
        let rows = self.changed.iter().chain(&self.created).map(|row| row.row.image.len());
        let records = self.records.iter().map(|Versioned { record, state }| {
            record.body.as_ref().map_or(0, String::len) + state.map_or(0, <[u8]>::len)
        });
        // Each is written twice: as it is, and as it was.
        let values = self.past.iter().map(|(_, name, _, value)| 2 * (name.len() + value.map_or(0, str::len)));
        let mail = self.sent.iter().map(|sent| sent.body.len());
        rows.chain(records).chain(values).chain(mail).sum()
    }

    /// The statement; it returns the pids whose commits applied.
    pub(super) fn statement(&self) -> QueryBuilder<Postgres> {
        let mut query = Statement(QueryBuilder::new("WITH "));
        self.agents(&mut query);
        self.events(&mut query);
        self.values(&mut query);
        self.past_values(&mut query);
        self.references(&mut query);
        self.consumed(&mut query);
        self.exited(&mut query);
        self.sent(&mut query);
        query.push(" SELECT pid FROM applied");
        query.0
    }

    fn agents(&self, query: &mut Statement) {
        const COLUMNS: &str = "pid, parent, epoch, revision, records, head, exited, seal, image";
        let mut applied = Vec::new();
        if !self.changed.is_empty() {
            query.push(
                "changed AS (UPDATE agent AS a SET parent = b.parent, epoch = b.epoch, revision = b.revision, \
                 records = b.records, head = b.head, exited = b.exited, seal = b.seal, image = b.image FROM ",
            );
            unnest_rows(query, &self.changed);
            query.push(" AS b (").push(COLUMNS).push(", previous, before) WHERE a.pid = b.pid ");
            query.push("AND a.revision = b.previous AND a.records = b.before AND (a.epoch ").push(UNSIGNED);
            query.push(") <= (b.epoch ").push(UNSIGNED).push(") RETURNING a.pid), ");
            applied.push("SELECT pid FROM changed");
        }
        if !self.created.is_empty() {
            query.push("created AS (INSERT INTO agent (").push(COLUMNS).push(") SELECT ").push(COLUMNS);
            query.push(" FROM ");
            unnest_rows(query, &self.created);
            query.push(" AS b (").push(COLUMNS).push(", previous, before) WHERE b.before = 0 ");
            query.push("ON CONFLICT DO NOTHING RETURNING pid), ");
            applied.push("SELECT pid FROM created");
        }
        if applied.is_empty() {
            applied.push("SELECT NULL::uuid AS pid WHERE false");
        }
        query.push("applied AS MATERIALIZED (").push(applied.join(" UNION ALL ")).push(")");
    }

    fn events(&self, query: &mut Statement) {
        if self.records.is_empty() {
            return;
        }
        const COLUMNS: &str = "pid, number, step, call, kind, at, salt, body, blob, body_hash, hash, state";
        let records = || self.records.iter().map(|versioned| versioned.record);
        query.push(", events AS (INSERT INTO event (").push(COLUMNS).push(") SELECT ").push(COLUMNS);
        query.push(" FROM unnest(");
        query.column(records().map(|record| uuid(record.pid)));
        query.column(records().map(|record| record.number.cast_signed()));
        query.column(records().map(|record| record.step.0.cast_signed()));
        query.column(records().map(|record| record.call.map(|call| i64::from(call.0))));
        query.column(records().map(|record| i16::from(record.kind)));
        query.column(records().map(|record| record.at.0.cast_signed()));
        query.column(records().map(|record| record.salt.to_vec()));
        query.column(records().map(|record| record.body.as_ref().map(|body| body.as_bytes().to_vec())));
        query.column(records().map(|record| record.blob.map(|hash| hash.0.to_vec())));
        query.column(records().map(|record| record.body_hash.0.to_vec()));
        query.column(records().map(|record| record.hash.0.to_vec()));
        query.last(self.records.iter().map(|versioned| versioned.state.map(<[u8]>::to_vec)));
        query.push(" AS e (").push(COLUMNS).push(") WHERE ").applied("e.pid").push(")");
    }

    fn values(&self, query: &mut Statement) {
        if !self.set.is_empty() {
            query.push(
                ", set_values AS (INSERT INTO value (pid, name, value) SELECT pid, name, value FROM unnest(",
            );
            query.column(self.set.iter().map(|(pid, ..)| uuid(*pid)));
            query.column(self.set.iter().map(|(_, name, _)| name.as_bytes().to_vec()));
            query.last(self.set.iter().map(|(.., value)| value.as_bytes().to_vec()));
            query.push(" AS v (pid, name, value) WHERE ").applied("v.pid");
            query.push(" ON CONFLICT (pid, name) DO UPDATE SET value = excluded.value)");
        }
        if !self.unset.is_empty() {
            query.push(", unset_values AS (DELETE FROM value USING unnest(");
            query.column(self.unset.iter().map(|(pid, _)| uuid(*pid)));
            query.last(self.unset.iter().map(|(_, name)| name.as_bytes().to_vec()));
            query.push(" AS d (pid, name) WHERE value.pid = d.pid AND value.name = d.name AND ");
            query.applied("d.pid").push(")");
        }
    }

    fn past_values(&self, query: &mut Statement) {
        if self.past.is_empty() {
            return;
        }
        const COLUMNS: &str = "pid, name, number, value";
        query
            .push(", past_values AS (INSERT INTO value_past (")
            .push(COLUMNS)
            .push(") SELECT ")
            .push(COLUMNS);
        query.push(" FROM unnest(");
        query.column(self.past.iter().map(|(pid, ..)| uuid(*pid)));
        query.column(self.past.iter().map(|(_, name, ..)| name.as_bytes().to_vec()));
        query.column(self.past.iter().map(|(_, _, number, _)| number.cast_signed()));
        query.last(self.past.iter().map(|(.., value)| value.map(|value| value.as_bytes().to_vec())));
        query.push(" AS p (").push(COLUMNS).push(") WHERE ").applied("p.pid");
        // Only a commit without records finds its number taken.
        query.push(" ON CONFLICT (pid, name, number) DO UPDATE SET value = excluded.value)");
    }

    fn references(&self, query: &mut Statement) {
        if self.references.is_empty() {
            return;
        }
        query.push(", refs AS (INSERT INTO blob_ref (hash, pid) SELECT hash, pid FROM unnest(");
        query.column(self.references.iter().map(|(hash, _)| hash.0.to_vec()));
        query.last(self.references.iter().map(|(_, pid)| uuid(*pid)));
        query.push(" AS r (hash, pid) WHERE ").applied("r.pid").push(" ON CONFLICT DO NOTHING)");
    }

    fn consumed(&self, query: &mut Statement) {
        if self.consumed.is_empty() {
            return;
        }
        query.push(
            ", consumed AS (INSERT INTO mail (recipient, sender, number) SELECT pid, sender, number FROM unnest(",
        );
        mail_keys(query, &self.consumed);
        query.push(" AS c (pid, sender, number) WHERE ").applied("c.pid");
        query.push(
            " ON CONFLICT (recipient, sender, number) DO UPDATE SET arrival = NULL, sent_at = NULL, body = NULL)",
        );
    }

    fn exited(&self, query: &mut Statement) {
        if !self.consumed_last.is_empty() {
            query.push(", consumed_last AS (DELETE FROM mail USING unnest(");
            mail_keys(query, &self.consumed_last);
            query.push(
                " AS c (pid, sender, number) WHERE mail.recipient = c.pid AND mail.sender = c.sender \
                 AND mail.number = c.number AND ",
            );
            query.applied("c.pid").push(")");
        }
        if !self.exited.is_empty() {
            query.push(", forgotten AS (DELETE FROM mail USING unnest(");
            query.last(self.exited.iter().map(|pid| uuid(*pid)));
            query.push(" AS x (pid) WHERE mail.recipient = x.pid AND mail.body IS NULL AND ");
            query.applied("x.pid").push(")");
        }
    }

    fn sent(&self, query: &mut Statement) {
        if self.sent.is_empty() {
            return;
        }
        let sent = &self.sent;
        query.push(
            ", clock AS MATERIALIZED (SELECT (pg_current_xact_id()::text::int8 + arrivals) << 16 AS base \
             FROM kernel WHERE id = 0), sent AS (INSERT INTO mail (recipient, sender, number, arrival, sent_at, body) \
             SELECT recipient, sender, number, (SELECT base FROM clock) + place, sent_at, body FROM unnest(",
        );
        query.column(sent.iter().map(|sent| sent.owner.map(uuid)));
        query.column(sent.iter().map(|sent| uuid(sent.mail.to)));
        query.column(sent.iter().map(|sent| uuid(sent.mail.id.sender)));
        query.column(sent.iter().map(|sent| sent.mail.id.number.cast_signed()));
        query.column(sent.iter().map(|sent| sent.mail.sent_at.0.cast_signed()));
        query.last(sent.iter().map(|sent| sent.body.clone()));
        query.push(" WITH ORDINALITY AS s (owner, recipient, sender, number, sent_at, body, place) WHERE owner IS NULL OR ");
        query.applied("s.owner").push(" ON CONFLICT DO NOTHING)");
    }
}

fn encoded(mail: &Mail) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(&mail.body).map_err(|error| {
        StoreError::new(StoreErrorKind::Invalid, "post", format!("mail cannot be encoded: {error}"))
    })
}

fn unnest_rows(query: &mut Statement, rows: &[Row<'_>]) {
    query.push("unnest(");
    query.column(rows.iter().map(|row| uuid(row.row.pid)));
    query.column(rows.iter().map(|row| uuid(row.row.parent)));
    query.column(rows.iter().map(|row| row.row.epoch.0.cast_signed()));
    query.column(rows.iter().map(|row| row.row.revision.cast_signed()));
    query.column(rows.iter().map(|row| row.row.records.cast_signed()));
    query.column(rows.iter().map(|row| row.row.head.0.to_vec()));
    query.column(rows.iter().map(|row| row.row.exited));
    query.column(rows.iter().map(|row| row.row.seal.0.to_vec()));
    query.column(rows.iter().map(|row| row.row.image.clone()));
    query.column(rows.iter().map(|row| row.row.revision.wrapping_sub(1).cast_signed()));
    query.last(rows.iter().map(|row| row.before.map(u64::cast_signed)));
}

fn mail_keys(query: &mut Statement, keys: &BTreeSet<(Pid, MailId)>) {
    query.column(keys.iter().map(|(pid, _)| uuid(*pid)));
    query.column(keys.iter().map(|(_, id)| uuid(id.sender)));
    query.last(keys.iter().map(|(_, id)| id.number.cast_signed()));
}

/// The bodies of a round, those without a base and those with one, each in the order of their hashes: two rounds that share
/// bodies then wait for each other in one order, and never in a circle. Those with a base are written after the others,
/// so that no two can become each other's base.
pub(super) fn bodies<'a>(parts: &[Part<'a>]) -> [Vec<&'a Packed>; 2] {
    let blobs = parts.iter().flat_map(|part| part.packed);
    // The same body may be packed in two ways.
    let bodies: BTreeMap<(BlobHash, bool), &Packed> =
        blobs.map(|packed| ((packed.hash, packed.base.is_some()), packed)).collect();
    let (based, alone) = bodies.into_values().partition(|packed| packed.base.is_some());
    [alone, based]
}

/// Writes bodies as far as they are not there.
pub(super) fn write_bodies(bodies: &[&Packed]) -> QueryBuilder<Postgres> {
    const COLUMNS: &str = "hash, form, base, bytes";
    let mut query = Statement(QueryBuilder::new("INSERT INTO blob ("));
    query.push(COLUMNS).push(") SELECT ").push(COLUMNS).push(" FROM unnest(");
    query.column(bodies.iter().map(|packed| packed.hash.0.to_vec()));
    query.column(bodies.iter().map(|packed| packed.form));
    query.column(bodies.iter().map(|packed| packed.base.map(|base| base.0.to_vec())));
    query.last(bodies.iter().map(|packed| packed.bytes.to_vec()));
    query.push(" AS b (").push(COLUMNS).push(") ON CONFLICT DO NOTHING");
    query.0
}

pub(super) fn uuid(pid: Pid) -> Uuid {
    Uuid::from_bytes(pid.to_bytes())
}

/// A text that grows together with what is bound to it.
struct Statement(QueryBuilder<Postgres>);

impl Statement {
    fn push(&mut self, sql: impl Display) -> &mut Self {
        self.0.push(sql);
        self
    }

    /// One argument of an `unnest(`, and a comma.
    fn column<T>(&mut self, rows: impl Iterator<Item = T>)
    where
        T: PgHasArrayType + Send + for<'q> Encode<'q, Postgres> + Type<Postgres>,
    {
        self.0.push_bind(rows.collect::<Vec<T>>());
        self.0.push(", ");
    }

    /// The last argument, and the end of the list.
    fn last<T>(&mut self, rows: impl Iterator<Item = T>)
    where
        T: PgHasArrayType + Send + for<'q> Encode<'q, Postgres> + Type<Postgres>,
    {
        self.0.push_bind(rows.collect::<Vec<T>>());
        self.0.push(")");
    }

    /// The condition that the commit of this process applied. As an `IS TRUE` it is looked up in a hash table: as a
    /// join it would be a loop within a loop.
    fn applied(&mut self, column: &str) -> &mut Self {
        self.push("((").push(column).push(" IN (SELECT pid FROM applied)) IS TRUE)")
    }
}
