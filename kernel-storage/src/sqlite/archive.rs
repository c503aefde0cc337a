//! Processes taken out of a database, put into one, and removed.

use async_trait::async_trait;
use kernel_types::{MailId, Pid};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::SqliteStore;
use super::fault::fault;
use super::plan::Plan;
use super::read::{Reader, query};
use super::row::{self, AGENT, Columns, EVENT, MAIL};
use super::statement::{self, pieces};
use super::transaction::{begin, commit};
use super::writer::{Request, Writer};
use crate::archive::there_already;
use crate::pack::pack;
use crate::work::Answer;
use crate::{Archive, ProcessCopy, StoreError, version};

/// What the writer is asked for.
#[derive(Debug)]
pub(super) enum ArchiveWork {
    PutIn(Box<ProcessCopy>, Answer<()>),
    Remove(Vec<Pid>, Answer<u64>),
}

impl Reader {
    /// All of a process but the bytes of its bodies, whose addresses come beside.
    async fn take_out(
        &self,
        pid: Pid,
    ) -> Result<Option<(ProcessCopy, Vec<kernel_types::BlobHash>)>, StoreError> {
        let failed = |error| fault("copy", error);
        let mut moment = self.pool.begin().await.map_err(failed)?;
        let conn = &mut *moment;
        let agent = format!("SELECT {AGENT} FROM agent WHERE pid = ?");
        let Some(row) = all(conn, pid, agent, row::agent).await?.pop() else { return Ok(None) };
        let events = format!("SELECT {EVENT} FROM event WHERE pid = ? ORDER BY number");
        let versions =
            "SELECT pid, number, hash, state FROM event WHERE pid = ? AND state IS NOT NULL ORDER BY number";
        let values = "SELECT pid, name, value FROM value WHERE pid = ? ORDER BY name";
        let past = "SELECT pid, name, number, value FROM value_past WHERE pid = ? ORDER BY name, number";
        // In the order in which they came: what was packed together is packed together again.
        let refs = "SELECT blob.hash FROM blob_ref JOIN blob USING (hash) WHERE pid = ? ORDER BY blob.rowid";
        let inbox =
            format!("SELECT {MAIL} FROM mail WHERE recipient = ? AND body IS NOT NULL ORDER BY arrival");
        let sent = format!(
            "SELECT {MAIL} FROM mail WHERE sender = ?1 AND recipient <> ?1 AND body IS NOT NULL ORDER BY arrival"
        );
        let consumed =
            "SELECT sender, number FROM mail WHERE recipient = ? AND body IS NULL ORDER BY sender, number";
        let mail = |stored: &SqliteRow| row::mail(stored).map(|(_, mail)| mail);
        let copy = ProcessCopy {
            row,
            records: all(conn, pid, events, row::record).await?,
            versions: all(conn, pid, versions.to_owned(), row::version).await?,
            values: all(conn, pid, values.to_owned(), row::value).await?,
            past: all(conn, pid, past.to_owned(), past_value).await?,
            blobs: Vec::new(),
            inbox: all(conn, pid, inbox, mail).await?,
            sent: all(conn, pid, sent, mail).await?,
            consumed: all(conn, pid, consumed.to_owned(), mail_id).await?,
        };
        let refs = all(conn, pid, refs.to_owned(), row::blob_hash).await?;
        Ok(Some((copy, refs)))
    }
}

async fn all<T>(
    conn: &mut SqliteConnection,
    pid: Pid,
    sql: String,
    decode: impl Fn(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let rows = query(sql).bind(pid.to_bytes().to_vec()).fetch_all(conn).await;
    rows.map_err(|error| fault("copy", error))?.iter().map(decode).collect()
}

fn past_value(row: &SqliteRow) -> Result<(String, u64, Option<String>), StoreError> {
    let columns = Columns { table: "value_past", row };
    Ok((columns.get("name")?, columns.number("number")?, columns.optional("value")?))
}

fn mail_id(row: &SqliteRow) -> Result<MailId, StoreError> {
    let columns = Columns { table: "mail", row };
    Ok(MailId { sender: columns.pid("sender")?, number: columns.number("number")? })
}

impl Writer {
    pub(super) async fn archive(&mut self, work: ArchiveWork) {
        // A caller that has gone needs no answer.
        match work {
            ArchiveWork::PutIn(copy, answer) => drop(answer.send(self.put_in(&copy).await)),
            ArchiveWork::Remove(pids, answer) => drop(answer.send(self.remove(&pids).await)),
        }
    }

    async fn put_in(&mut self, copy: &ProcessCopy) -> Result<(), StoreError> {
        let conn = self.connection("copy").await?;
        let result = put_in(conn, copy).await;
        match &result {
            Ok(()) => self.noted(|head| head.commit(&copy.row)),
            Err(error) => self.recover(error).await,
        }
        result
    }

    async fn remove(&mut self, pids: &[Pid]) -> Result<u64, StoreError> {
        let conn = self.connection("vacuum").await?;
        let result = remove(conn, pids).await;
        match &result {
            Ok(gone) => self.noted(|head| head.forget(gone)),
            Err(error) => self.recover(error).await,
        }
        result.map(|gone| gone.len() as u64)
    }
}

async fn put_in(conn: &mut SqliteConnection, copy: &ProcessCopy) -> Result<(), StoreError> {
    let failed = |error| fault("copy", error);
    let (row, pid) = (&copy.row, copy.row.pid);
    begin(conn, "copy").await?;
    if !statement::tips(conn, &[pid]).await?.is_empty() {
        return Err(there_already(pid));
    }
    // By number: the states of the records that ended commits.
    let states: Vec<(u64, Vec<u8>)> =
        copy.versions.iter().map(|row| (row.records, version::pack(row))).collect();
    let state = |number: u64| {
        let at = states.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&*states[at].1)
    };
    let packed = pack(&copy.blobs);
    let plan = Plan {
        agents: [(pid, row)].into(),
        records: copy.records.iter().map(|record| (record, state(record.number))).collect(),
        values: copy.values.iter().map(|(name, value)| ((pid, &**name), Some(&**value))).collect(),
        past: copy
            .past
            .iter()
            .map(|(name, number, value)| ((pid, &**name, *number), value.as_deref()))
            .collect(),
        blobs: packed.iter().map(|packed| (packed.hash, packed)).collect(),
        references: packed.iter().map(|packed| (packed.hash, pid)).collect(),
        consumed: copy.consumed.iter().map(|id| (pid, *id)).collect(),
        sent: copy.inbox.iter().chain(&copy.sent).collect(),
    };
    statement::write(conn, &plan).await?;
    // Numbers of 64 bits without a sign are compared as they are, up to half of them; epochs stay far below.
    let epoch = sqlx::query("UPDATE kernel SET epoch = max(epoch, ?)").bind(row.epoch.0.cast_signed());
    epoch.execute(&mut *conn).await.map_err(failed)?;
    commit(conn, "copy").await
}

/// Removes those that have ended; says which.
async fn remove(conn: &mut SqliteConnection, pids: &[Pid]) -> Result<Vec<Pid>, StoreError> {
    let failed = |error| fault("vacuum", error);
    begin(conn, "vacuum").await?;
    let mut gone = Vec::new();
    for piece in pieces(pids) {
        let rows = among("DELETE FROM agent WHERE exited = 1 AND pid IN (", piece, ") RETURNING pid")
            .build()
            .fetch_all(&mut *conn)
            .await
            .map_err(failed)?;
        let over: Vec<Pid> =
            rows.iter().map(|row| Columns { table: "agent", row }.pid("pid")).collect::<Result<_, _>>()?;
        for piece in pieces(&over) {
            for (table, column) in [
                ("event", "pid"),
                ("value", "pid"),
                ("value_past", "pid"),
                ("blob_ref", "pid"),
                ("mail", "recipient"),
            ] {
                let delete = format!("DELETE FROM {table} WHERE {column} IN (");
                among(&delete, piece, ")").build().execute(&mut *conn).await.map_err(failed)?;
            }
        }
        gone.extend(over);
    }
    commit(conn, "vacuum").await?;
    Ok(gone)
}

fn among(before: &str, pids: &[Pid], after: &str) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(before);
    let mut separated = query.separated(", ");
    for pid in pids {
        separated.push_bind(pid.to_bytes().to_vec());
    }
    query.push(after);
    query
}

#[async_trait]
impl Archive for SqliteStore {
    async fn take_out(&self, pid: Pid) -> Result<Option<ProcessCopy>, StoreError> {
        let Some((copy, refs)) = self.shared.reader.take_out(pid).await? else { return Ok(None) };
        Ok(Some(copy.with_bodies(self, &refs).await?))
    }

    async fn put_in(&self, copy: ProcessCopy) -> Result<(), StoreError> {
        self.kernel_only("copy")?;
        copy.check()?;
        self.ask("copy", |answer| Request::Archive(ArchiveWork::PutIn(Box::new(copy), answer))).await
    }

    async fn remove_ended(&self, pids: &[Pid]) -> Result<u64, StoreError> {
        self.kernel_only("vacuum")?;
        self.ask("vacuum", |answer| Request::Archive(ArchiveWork::Remove(pids.to_vec(), answer))).await
    }
}
