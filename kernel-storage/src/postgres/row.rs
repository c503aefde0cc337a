//! Stored rows back into data, every column checked.
//!
//! A value that does not fit its field is damage, and the error names the table, the row and the column.

use kernel_types::{AgentRow, BlobHash, Epoch, Hash, Mail, MailId, Pid, Record, Seq, StepNo, Timestamp};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::check::Tip;
use crate::pack::Packed;
use crate::{Arrival, StoreError, StoreErrorKind};

/// The columns of [`agent`], in any order.
pub(super) const AGENT: &str = "pid, parent, epoch, revision, records, head, exited, image, seal";
/// The columns of [`record`].
pub(super) const EVENT: &str = "pid, number, step, call, kind, at, salt, body, blob, body_hash, hash";
/// The columns of [`mail`].
pub(super) const MAIL: &str = "recipient, sender, number, arrival, sent_at, body";

/// A row of a table, for messages and checked columns.
struct Columns<'r> {
    table: &'static str,
    row: &'r PgRow,
}

pub(super) fn agent(row: &PgRow) -> Result<AgentRow, StoreError> {
    let columns = Columns { table: "agent", row };
    Ok(AgentRow {
        pid: columns.pid("pid")?,
        parent: columns.pid("parent")?,
        epoch: Epoch(columns.number("epoch")?),
        revision: columns.number("revision")?,
        records: columns.number("records")?,
        head: columns.hash("head")?,
        exited: columns.get("exited")?,
        image: columns.bytes("image")?.to_vec(),
        seal: columns.hash("seal")?,
    })
}

/// What `SELECT pid, epoch, revision, records, head FROM agent` found.
pub(super) fn tip(row: &PgRow) -> Result<Tip, StoreError> {
    let columns = Columns { table: "agent", row };
    Ok(Tip {
        epoch: Epoch(columns.number("epoch")?),
        revision: columns.number("revision")?,
        records: columns.number("records")?,
        head: columns.hash("head")?,
    })
}

/// What a statement says of one of its rows: the pid.
pub(super) fn pid(row: &PgRow) -> Result<Pid, StoreError> {
    Columns { table: "agent", row }.pid("pid")
}

pub(super) fn record(row: &PgRow) -> Result<Record, StoreError> {
    let columns = Columns { table: "event", row };
    let call: Option<i64> = columns.get("call")?;
    let blob: Option<&[u8]> = columns.get("blob")?;
    let body: Option<&[u8]> = columns.get("body")?;
    Ok(Record {
        pid: columns.pid("pid")?,
        number: columns.number("number")?,
        step: StepNo(columns.number("step")?),
        call: call.map(|call| columns.fit("call", call).map(Seq)).transpose()?,
        kind: columns.fit("kind", i64::from(columns.get::<i16>("kind")?))?,
        at: Timestamp(columns.number("at")?),
        salt: columns.exactly("salt", columns.bytes("salt")?)?,
        body: body.map(|body| columns.text("body", body)).transpose()?,
        blob: blob.map(|bytes| columns.exactly("blob", bytes).map(Hash)).transpose()?,
        body_hash: columns.hash("body_hash")?,
        hash: columns.hash("hash")?,
    })
}

/// The row that a record carries: `SELECT pid, number, hash, state FROM event`.
pub(super) fn version(row: &PgRow) -> Result<AgentRow, StoreError> {
    let columns = Columns { table: "event", row };
    let (pid, number, hash) = (columns.pid("pid")?, columns.number("number")?, columns.hash("hash")?);
    crate::version::unpack(pid, number, hash, columns.bytes("state")?)
        .map_err(|error| columns.damaged("state", &error))
}

pub(super) fn mail(row: &PgRow) -> Result<(Arrival, Mail), StoreError> {
    let columns = Columns { table: "mail", row };
    let body = columns.bytes("body")?;
    let body = serde_json::from_slice(body).map_err(|error| columns.damaged("body", &error.to_string()))?;
    let mail = Mail {
        id: MailId { sender: columns.pid("sender")?, number: columns.number("number")? },
        to: columns.pid("recipient")?,
        body,
        sent_at: Timestamp(columns.number("sent_at")?),
    };
    Ok((Arrival(columns.number("arrival")?), mail))
}

pub(super) fn value(row: &PgRow) -> Result<(String, String), StoreError> {
    let columns = Columns { table: "value", row };
    Ok((columns.text("name", columns.bytes("name")?)?, columns.text("value", columns.bytes("value")?)?))
}

/// What a name had, from which number of records on.
pub(super) fn past_value(row: &PgRow) -> Result<(String, u64, Option<String>), StoreError> {
    let columns = Columns { table: "value_past", row };
    let value: Option<&[u8]> = columns.get("value")?;
    let value = value.map(|value| columns.text("value", value)).transpose()?;
    Ok((columns.text("name", columns.bytes("name")?)?, columns.number("number")?, value))
}

/// What `SELECT hash, form, base, bytes FROM blob` found.
pub(super) fn blob(row: &PgRow) -> Result<Packed, StoreError> {
    let columns = Columns { table: "blob", row };
    let base = columns.get::<Option<&[u8]>>("base")?;
    Ok(Packed {
        hash: columns.hash("hash")?,
        form: columns.get("form")?,
        base: base.map(|bytes| columns.exactly("base", bytes).map(Hash)).transpose()?,
        bytes: columns.bytes("bytes")?.into(),
    })
}

pub(super) fn blob_hash(row: &PgRow) -> Result<BlobHash, StoreError> {
    Columns { table: "blob", row }.hash("hash")
}

impl<'r> Columns<'r> {
    fn get<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        self.row.try_get(column).map_err(|error| self.damaged(column, &error.to_string()))
    }

    fn number(&self, column: &'static str) -> Result<u64, StoreError> {
        self.get::<i64>(column).map(i64::cast_unsigned)
    }

    fn fit<T: TryFrom<i64>>(&self, column: &'static str, found: i64) -> Result<T, StoreError> {
        T::try_from(found).map_err(|_| self.damaged(column, &format!("{found} is out of range")))
    }

    fn bytes(&self, column: &'static str) -> Result<&'r [u8], StoreError> {
        self.get(column)
    }

    fn text(&self, column: &'static str, bytes: &[u8]) -> Result<String, StoreError> {
        let text = std::str::from_utf8(bytes).map_err(|error| self.damaged(column, &error.to_string()))?;
        Ok(text.to_owned())
    }

    fn exactly<const N: usize>(&self, column: &'static str, bytes: &[u8]) -> Result<[u8; N], StoreError> {
        let wrong = || self.damaged(column, &format!("{} bytes instead of {N}", bytes.len()));
        bytes.try_into().map_err(|_| wrong())
    }

    fn hash(&self, column: &'static str) -> Result<Hash, StoreError> {
        self.exactly(column, self.bytes(column)?).map(Hash)
    }

    fn pid(&self, column: &'static str) -> Result<Pid, StoreError> {
        self.get::<Uuid>(column).map(|pid| Pid::from_bytes(pid.into_bytes()))
    }

    fn damaged(&self, column: &str, what: &str) -> StoreError {
        let message = format!("table {}, row {}, column {column}: {what}", self.table, self.key());
        StoreError::new(StoreErrorKind::Corrupt, "read", message)
    }

    /// Whatever of the row's key can be read.
    fn key(&self) -> String {
        let pid = |column| self.row.try_get::<Uuid, _>(column).ok();
        let pid = pid("pid").or_else(|| pid("recipient")).map(|pid| Pid::from_bytes(pid.into_bytes()));
        match (pid, self.row.try_get::<i64, _>("number").ok()) {
            (Some(pid), Some(number)) => format!("{pid}/{number}"),
            (Some(pid), None) => pid.to_string(),
            (None, Some(number)) => format!("?/{number}"),
            (None, None) => "?".to_owned(),
        }
    }
}
