//! Stored rows back into data, every column checked.
//!
//! A value that does not fit its field is damage, and the error names the table, the row and the column.

use kernel_types::{AgentRow, BlobHash, Epoch, Hash, Mail, MailId, Pid, Record, Seq, StepNo, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::check::Tip;
use crate::pack::Packed;
use crate::{Arrival, StoreError, StoreErrorKind};

/// The columns of [`agent`], in any order.
pub(super) const AGENT: &str = "pid, parent, epoch, revision, records, head, exited, image, seal";
/// The columns of [`record`].
pub(super) const EVENT: &str = "pid, number, step, call, kind, at, salt, body, blob, body_hash, hash";
/// The columns of [`mail`].
pub(super) const MAIL: &str = "arrival, recipient, sender, number, sent_at, body";

/// A row of a table, for messages and checked columns.
pub(super) struct Columns<'r> {
    pub(super) table: &'static str,
    pub(super) row: &'r SqliteRow,
}

pub(super) fn agent(row: &SqliteRow) -> Result<AgentRow, StoreError> {
    let columns = Columns { table: "agent", row };
    Ok(AgentRow {
        pid: columns.pid("pid")?,
        parent: columns.pid("parent")?,
        epoch: Epoch(columns.number("epoch")?),
        revision: columns.number("revision")?,
        records: columns.number("records")?,
        head: columns.hash("head")?,
        exited: columns.flag("exited")?,
        image: columns.bytes("image")?.to_vec(),
        seal: columns.hash("seal")?,
    })
}

/// What `SELECT pid, epoch, revision, records, head FROM agent` found.
pub(super) fn tip(row: &SqliteRow) -> Result<(Pid, Tip), StoreError> {
    let columns = Columns { table: "agent", row };
    let tip = Tip {
        epoch: Epoch(columns.number("epoch")?),
        revision: columns.number("revision")?,
        records: columns.number("records")?,
        head: columns.hash("head")?,
    };
    Ok((columns.pid("pid")?, tip))
}

pub(super) fn record(row: &SqliteRow) -> Result<Record, StoreError> {
    let columns = Columns { table: "event", row };
    Ok(Record {
        pid: columns.pid("pid")?,
        number: columns.number("number")?,
        step: StepNo(columns.number("step")?),
        call: columns.optional::<i64>("call")?.map(|call| columns.fit("call", call).map(Seq)).transpose()?,
        kind: columns.fit("kind", columns.get("kind")?)?,
        at: Timestamp(columns.number("at")?),
        salt: columns.array("salt")?,
        body: columns.optional("body")?,
        blob: columns
            .optional::<&[u8]>("blob")?
            .map(|bytes| columns.exactly("blob", bytes).map(Hash))
            .transpose()?,
        body_hash: columns.hash("body_hash")?,
        hash: columns.hash("hash")?,
    })
}

/// The row that a record carries: `SELECT pid, number, hash, state FROM event`.
pub(super) fn version(row: &SqliteRow) -> Result<AgentRow, StoreError> {
    let columns = Columns { table: "event", row };
    let (pid, number, hash) = (columns.pid("pid")?, columns.number("number")?, columns.hash("hash")?);
    crate::version::unpack(pid, number, hash, columns.bytes("state")?)
        .map_err(|error| columns.damaged("state", &error))
}

pub(super) fn mail(row: &SqliteRow) -> Result<(Arrival, Mail), StoreError> {
    let columns = Columns { table: "mail", row };
    let body: &str = columns.get("body")?;
    let body = serde_json::from_str(body).map_err(|error| columns.damaged("body", &error.to_string()))?;
    let mail = Mail {
        id: MailId { sender: columns.pid("sender")?, number: columns.number("number")? },
        to: columns.pid("recipient")?,
        body,
        sent_at: Timestamp(columns.number("sent_at")?),
    };
    Ok((Arrival(columns.number("arrival")?), mail))
}

pub(super) fn value(row: &SqliteRow) -> Result<(String, String), StoreError> {
    let columns = Columns { table: "value", row };
    Ok((columns.get("name")?, columns.get("value")?))
}

/// What `SELECT hash, form, base, bytes FROM blob` found.
pub(super) fn blob(row: &SqliteRow) -> Result<Packed, StoreError> {
    let columns = Columns { table: "blob", row };
    let base = columns.optional::<&[u8]>("base")?;
    Ok(Packed {
        hash: columns.hash("hash")?,
        form: columns.fit("form", columns.get::<i64>("form")?)?,
        base: base.map(|bytes| columns.exactly("base", bytes).map(Hash)).transpose()?,
        bytes: columns.bytes("bytes")?.into(),
    })
}

pub(super) fn blob_hash(row: &SqliteRow) -> Result<BlobHash, StoreError> {
    Columns { table: "blob", row }.hash("hash")
}

impl<'r> Columns<'r> {
    pub(super) fn get<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        self.row.try_get(column).map_err(|error| self.damaged(column, &error.to_string()))
    }

    pub(super) fn optional<T>(&self, column: &'static str) -> Result<Option<T>, StoreError>
    where
        T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        self.get(column)
    }

    pub(super) fn number(&self, column: &'static str) -> Result<u64, StoreError> {
        self.get::<i64>(column).map(i64::cast_unsigned)
    }

    pub(super) fn fit<T: TryFrom<i64>>(&self, column: &'static str, found: i64) -> Result<T, StoreError> {
        T::try_from(found).map_err(|_| self.damaged(column, &format!("{found} is out of range")))
    }

    fn flag(&self, column: &'static str) -> Result<bool, StoreError> {
        match self.get::<i64>(column)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.damaged(column, &format!("{other} is neither 0 nor 1"))),
        }
    }

    pub(super) fn bytes(&self, column: &'static str) -> Result<&'r [u8], StoreError> {
        self.get(column)
    }

    fn array<const N: usize>(&self, column: &'static str) -> Result<[u8; N], StoreError> {
        self.exactly(column, self.bytes(column)?)
    }

    fn exactly<const N: usize>(&self, column: &'static str, bytes: &[u8]) -> Result<[u8; N], StoreError> {
        let wrong = || self.damaged(column, &format!("{} bytes instead of {N}", bytes.len()));
        bytes.try_into().map_err(|_| wrong())
    }

    fn hash(&self, column: &'static str) -> Result<Hash, StoreError> {
        self.array(column).map(Hash)
    }

    pub(super) fn pid(&self, column: &'static str) -> Result<Pid, StoreError> {
        self.array(column).map(Pid::from_bytes)
    }

    pub(super) fn damaged(&self, column: &str, what: &str) -> StoreError {
        let message = format!("table {}, row {}, column {column}: {what}", self.table, self.key());
        StoreError::new(StoreErrorKind::Corrupt, "read", message)
    }

    /// Whatever of the row's key can be read.
    fn key(&self) -> String {
        let bytes = |column| self.row.try_get::<&[u8], _>(column).ok();
        let pid =
            bytes("pid").or_else(|| bytes("recipient")).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        let number = self.row.try_get::<i64, _>("number").ok();
        match (pid.map(Pid::from_bytes), number) {
            (Some(pid), Some(number)) => format!("{pid}/{number}"),
            (Some(pid), None) => pid.to_string(),
            (None, Some(number)) => format!("?/{number}"),
            (None, None) => self.name().unwrap_or_else(|| "?".to_owned()),
        }
    }

    /// The key of a row that is no process's.
    fn name(&self) -> Option<String> {
        let text = |column| self.row.try_get::<&str, _>(column).ok();
        Some(format!("{:?}/{:?}", text("namespace")?, text("id")?))
    }
}
