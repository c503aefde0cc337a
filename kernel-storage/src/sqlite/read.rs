//! The reading half: single statements on a small pool of connections that cannot write.

use std::sync::Arc;

use kernel_types::{AgentRow, BlobHash, Mail, Pid, Record};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, QueryBuilder, SqlitePool};

use super::fault::fault;
use super::row::{self, AGENT, EVENT, MAIL};
use super::statement::pieces;
use crate::pack::Unpacking;
use crate::{Arrival, StoreError, Version};

#[derive(Debug)]
pub(super) struct Reader {
    pub(super) pool: SqlitePool,
}

pub(super) type Query = sqlx::query::Query<'static, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

impl Reader {
    pub(super) const fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    pub(super) async fn version(&self) -> Result<String, StoreError> {
        let version = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&self.pool).await;
        version.map_err(|error| fault("read", error))
    }

    pub(super) async fn strays(&self) -> Result<Vec<Pid>, StoreError> {
        let sql = "SELECT DISTINCT pid FROM event WHERE pid NOT IN (SELECT pid FROM agent)";
        let pids: Vec<Vec<u8>> =
            sqlx::query_scalar(sql).fetch_all(&self.pool).await.map_err(|error| fault("read", error))?;
        // A pid of another length names nobody: the audit of the rows finds it.
        Ok(pids.into_iter().filter_map(|pid| <[u8; 16]>::try_from(pid).ok()).map(Pid::from_bytes).collect())
    }

    pub(super) async fn agent(&self, pid: Pid) -> Result<Option<AgentRow>, StoreError> {
        let sql = format!("SELECT {AGENT} FROM agent WHERE pid = ?");
        Ok(self.rows(query(sql).bind(bytes(pid)), row::agent).await?.pop())
    }

    pub(super) async fn agents(
        &self,
        after: Option<Pid>,
        live: bool,
        limit: usize,
    ) -> Result<Vec<AgentRow>, StoreError> {
        let live = if live { "INDEXED BY agent_live WHERE exited = 0 AND" } else { "WHERE" };
        let sql = format!("SELECT {AGENT} FROM agent {live} pid > ? ORDER BY pid LIMIT ?");
        // No bytes come before all pids.
        let after = after.map_or_else(Vec::new, bytes);
        self.rows(query(sql).bind(after).bind(at_most(limit)), row::agent).await
    }

    pub(super) async fn records(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        let sql = format!("SELECT {EVENT} FROM event WHERE pid = ? AND number >= ? ORDER BY number LIMIT ?");
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        self.rows(query(sql).bind(bytes(pid)).bind(from).bind(at_most(limit)), row::record).await
    }

    pub(super) async fn values(&self, pid: Pid) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT pid, name, value FROM value WHERE pid = ? ORDER BY name";
        self.rows(query(sql.to_owned()).bind(bytes(pid)), row::value).await
    }

    pub(super) async fn as_of(&self, pid: Pid, records: u64) -> Result<Option<Version>, StoreError> {
        let sql = "SELECT pid, number, hash, state FROM event \
                   WHERE pid = ? AND number <= ? AND state IS NOT NULL ORDER BY number DESC LIMIT 1";
        let number = i64::try_from(records).unwrap_or(i64::MAX);
        let found = query(sql.to_owned()).bind(bytes(pid)).bind(number);
        let Some(row) = self.rows(found, row::version).await?.pop() else { return Ok(None) };
        // Of each name the last change up to that version, by its own number, which commits that land meanwhile do not
        // come under; SQLite takes the other columns from the row with the maximum.
        let sql = "SELECT pid, name, value FROM (\
                       SELECT pid, name, value, max(number) FROM value_past \
                       WHERE pid = ? AND number <= ? GROUP BY name) \
                   WHERE value IS NOT NULL ORDER BY name";
        let then = query(sql.to_owned()).bind(bytes(pid)).bind(row.records.cast_signed());
        Ok(Some(Version { row, values: self.rows(then, row::value).await? }))
    }

    pub(super) async fn blobs(&self, hashes: &[BlobHash]) -> Result<Vec<Option<Arc<[u8]>>>, StoreError> {
        let mut found = Unpacking::default();
        self.packed(hashes, &mut found).await?;
        let mut bases = found.missing();
        while !bases.is_empty() {
            let before = bases;
            self.packed(&before, &mut found).await?;
            bases = found.missing();
            bases.retain(|base| !before.contains(base));
        }
        hashes.iter().map(|hash| found.body(hash)).collect()
    }

    async fn packed(&self, hashes: &[BlobHash], found: &mut Unpacking) -> Result<(), StoreError> {
        for piece in pieces(hashes) {
            let mut query = QueryBuilder::new("SELECT hash, form, base, bytes FROM blob WHERE hash IN (");
            query.push_values(piece, |mut b, hash| {
                b.push_bind(hash.0.to_vec());
            });
            query.push(")");
            let rows = query.build().fetch_all(&self.pool).await.map_err(|error| fault("read", error))?;
            for stored in &rows {
                found.add(row::blob(stored)?);
            }
        }
        Ok(())
    }

    pub(super) async fn list_blobs(
        &self,
        after: Option<BlobHash>,
        limit: usize,
    ) -> Result<Vec<BlobHash>, StoreError> {
        let sql = "SELECT hash FROM blob WHERE hash > ? ORDER BY hash LIMIT ?";
        let after = after.map_or_else(Vec::new, |hash| hash.0.to_vec());
        self.rows(query(sql.to_owned()).bind(after).bind(at_most(limit)), row::blob_hash).await
    }

    pub(super) async fn inbox(&self, pid: Pid) -> Result<Vec<Mail>, StoreError> {
        let sql = format!(
            "SELECT {MAIL} FROM mail INDEXED BY mail_inbox \
             WHERE recipient = ? AND body IS NOT NULL ORDER BY arrival"
        );
        self.rows(query(sql).bind(bytes(pid)), |stored| row::mail(stored).map(|(_, mail)| mail)).await
    }

    pub(super) async fn arrivals(
        &self,
        after: Arrival,
        limit: usize,
    ) -> Result<Vec<(Arrival, Mail)>, StoreError> {
        let sql = format!(
            "SELECT {MAIL} FROM mail INDEXED BY mail_arrival \
             WHERE arrival > ? AND body IS NOT NULL ORDER BY arrival LIMIT ?"
        );
        let after = i64::try_from(after.0).unwrap_or(i64::MAX);
        self.rows(query(sql).bind(after).bind(at_most(limit)), row::mail).await
    }

    pub(super) async fn rows<T>(
        &self,
        query: Query,
        decode: impl Fn(&SqliteRow) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = query.fetch_all(&self.pool).await.map_err(|error| fault("read", error))?;
        rows.iter().map(decode).collect()
    }
}

pub(super) fn query(sql: String) -> Query {
    // Made of literals of this file; what callers say is bound.
    sqlx::query(AssertSqlSafe(sql))
}

fn bytes(pid: Pid) -> Vec<u8> {
    pid.to_bytes().to_vec()
}

pub(super) fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
