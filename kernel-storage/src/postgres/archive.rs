//! Processes taken out of a database, put into one, and removed, beside kernels that work on it.

use async_trait::async_trait;
use kernel_types::{BlobHash, MailId, Pid};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row};
use uuid::Uuid;

use super::PostgresStore;
use super::fault::{Meaning, fault, meaning, unknown};
use super::link::Link;
use super::options::COPY;
use super::plan::MAIL;
use super::read::{Reader, query};
use super::row::{self, AGENT, EVENT};
use super::statement::{Rows, uuid, write_bodies};
use crate::archive::there_already;
use crate::pack::{Packed, pack};
use crate::{Archive, ProcessCopy, StoreError, StoreErrorKind, version};

/// The bytes of bodies of one statement, unless one body has more.
const BODIES: usize = 4 << 20;

impl Reader {
    /// All of a process but the bytes of its bodies, whose addresses come beside.
    async fn take_out(&self, pid: Pid) -> Result<Option<(ProcessCopy, Vec<BlobHash>)>, StoreError> {
        let failed = |error| fault("copy", error);
        let mut moment = self
            .pool()
            .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await
            .map_err(failed)?;
        let conn = &mut *moment;
        let agent = format!("SELECT {AGENT} FROM agent WHERE pid = $1");
        let Some(row) = all(conn, pid, &agent, row::agent).await?.pop() else { return Ok(None) };
        let events = format!("SELECT {EVENT} FROM event WHERE pid = $1 ORDER BY number");
        let versions =
            "SELECT pid, number, hash, state FROM event WHERE pid = $1 AND state IS NOT NULL ORDER BY number";
        let values = "SELECT pid, name, value FROM value WHERE pid = $1 ORDER BY name";
        let past = "SELECT pid, name, number, value FROM value_past WHERE pid = $1 ORDER BY name, number";
        let mail = format!("SELECT {} FROM mail WHERE body IS NOT NULL AND", row::MAIL);
        let inbox = format!("{mail} recipient = $1 ORDER BY arrival");
        let sent = format!("{mail} sender = $1 AND recipient <> $1 ORDER BY arrival");
        let consumed =
            "SELECT sender, number FROM mail WHERE recipient = $1 AND body IS NULL ORDER BY sender, number";
        let refs = "SELECT hash FROM blob_ref WHERE pid = $1 ORDER BY hash";
        let only_mail = |stored: &PgRow| row::mail(stored).map(|(_, mail)| mail);
        let copy = ProcessCopy {
            row,
            records: all(conn, pid, &events, row::record).await?,
            versions: all(conn, pid, versions, row::version).await?,
            values: all(conn, pid, values, row::value).await?,
            past: all(conn, pid, past, row::past_value).await?,
            blobs: Vec::new(),
            inbox: all(conn, pid, &inbox, only_mail).await?,
            sent: all(conn, pid, &sent, only_mail).await?,
            consumed: all(conn, pid, consumed, mail_id).await?,
        };
        let refs = all(conn, pid, refs, row::blob_hash).await?;
        Ok(Some((copy, refs)))
    }
}

async fn all<T>(
    conn: &mut PgConnection,
    pid: Pid,
    sql: &str,
    decode: impl Fn(&PgRow) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let rows = query(sql).bind(uuid(pid)).fetch_all(conn).await;
    rows.map_err(|error| fault("copy", error))?.iter().map(decode).collect()
}

fn mail_id(row: &PgRow) -> Result<MailId, StoreError> {
    let failed = |error| fault("copy", error);
    let (sender, number): (Uuid, i64) =
        (row.try_get("sender").map_err(failed)?, row.try_get("number").map_err(failed)?);
    Ok(MailId { sender: Pid::from_bytes(sender.into_bytes()), number: number.cast_unsigned() })
}

impl PostgresStore {
    async fn run(
        &self,
        link: &mut Link,
        sql: QueryBuilder<Postgres>,
        bytes: usize,
    ) -> Result<Vec<PgRow>, StoreError> {
        link.run(sql, bytes).await.map_err(|broken| {
            if broken.sent && meaning(&broken.error) == Meaning::Lost {
                return unknown("copy", broken.error);
            }
            fault("copy", broken.error)
        })
    }

    /// Bodies first, as for a commit; then everything else in one statement.
    async fn put_in_over(&self, link: &mut Link, copy: &ProcessCopy) -> Result<(), StoreError> {
        let packed = pack(&copy.blobs);
        let (mut based, mut alone): (Vec<&Packed>, Vec<&Packed>) =
            packed.iter().partition(|packed| packed.base.is_some());
        for bodies in [&mut alone, &mut based] {
            bodies.sort_unstable_by_key(|packed| packed.hash);
            let mut start = 0;
            while start < bodies.len() {
                let (mut end, mut bytes) = (start, 0);
                while end < bodies.len() && (end == start || bytes + bodies[end].bytes.len() <= BODIES) {
                    bytes += bodies[end].bytes.len();
                    end += 1;
                }
                self.run(link, write_bodies(&bodies[start..end]), bytes).await?;
                start = end;
            }
        }
        let states: Vec<(u64, Vec<u8>)> =
            copy.versions.iter().map(|row| (row.records, version::pack(row))).collect();
        let rows = Rows::of_copy(copy, &states)?;
        let applied = self.run(link, rows.statement(), rows.bytes()).await?;
        if applied.is_empty() { Err(there_already(copy.row.pid)) } else { Ok(()) }
    }
}

#[async_trait]
impl Archive for PostgresStore {
    async fn take_out(&self, pid: Pid) -> Result<Option<ProcessCopy>, StoreError> {
        let Some((copy, refs)) = self.shared.reader.take_out(pid).await? else { return Ok(None) };
        Ok(Some(copy.with_bodies(self, &refs).await?))
    }

    async fn put_in(&self, copy: ProcessCopy) -> Result<(), StoreError> {
        self.kernel_only("copy")?;
        copy.check()?;
        let mail = copy.inbox.len() + copy.sent.len();
        if mail > MAIL {
            let message = format!(
                "{mail} pieces of mail wait with process {}, at most {MAIL} are copied",
                copy.row.pid
            );
            return Err(StoreError::new(StoreErrorKind::Invalid, "copy", message));
        }
        if self.shared.reader.agent(copy.row.pid).await?.is_some() {
            return Err(there_already(copy.row.pid));
        }
        // Whoever claims from now on may take it over: an epoch that is drawn for nothing is no harm.
        let sql = "UPDATE kernel SET epoch = greatest(epoch, $1) RETURNING epoch";
        let epoch = copy.row.epoch.0.cast_signed();
        self.shared.reader.rows("copy", || sqlx::query(sql).bind(epoch)).await?;
        let mut link = Link::new(self.shared.copier.clone(), COPY);
        let done = self.put_in_over(&mut link, &copy).await;
        link.close().await;
        done
    }

    async fn remove_ended(&self, pids: &[Pid]) -> Result<u64, StoreError> {
        self.kernel_only("vacuum")?;
        let sql = "WITH gone AS MATERIALIZED (DELETE FROM agent WHERE exited AND pid = ANY($1) RETURNING pid), \
             events AS (DELETE FROM event WHERE pid IN (SELECT pid FROM gone)), \
             vals AS (DELETE FROM value WHERE pid IN (SELECT pid FROM gone)), \
             past AS (DELETE FROM value_past WHERE pid IN (SELECT pid FROM gone)), \
             refs AS (DELETE FROM blob_ref WHERE pid IN (SELECT pid FROM gone)), \
             letters AS (DELETE FROM mail WHERE recipient IN (SELECT pid FROM gone)) \
             SELECT count(*) AS count FROM gone";
        let pids: Vec<Uuid> = pids.iter().map(|pid| uuid(*pid)).collect();
        let rows = self.shared.reader.rows("vacuum", || sqlx::query(sql).bind(pids.clone())).await?;
        let count: Option<i64> = rows
            .first()
            .map(|row| row.try_get("count"))
            .transpose()
            .map_err(|error| fault("vacuum", error))?;
        Ok(count.unwrap_or_default().unsigned_abs())
    }
}
