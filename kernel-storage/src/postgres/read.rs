//! The reading half, and the few writes that are no commits: single statements on a pool of connections.
//!
//! A statement that reads may be run again. So one that failed for its connection is, until the server has been away for
//! [`PostgresOptions::patience`]: after a restart every connection of the pool is found to be dead by its next user.
//!
//! [`PostgresOptions::patience`]: crate::PostgresOptions::patience

use std::sync::Arc;
use std::time::Duration;

use kernel_types::{AgentRow, BlobHash, Epoch, Mail, Pid, Record};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Error, PgPool, Postgres};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use super::fault::{Meaning, connecting, fault, meaning, timed_out};
use super::row::{self, AGENT, EVENT};
use super::statement::uuid;
use crate::pack::Unpacking;
use crate::{StoreError, StoreErrorKind, Version};

/// Between two attempts to reach the server.
const PAUSE: Duration = Duration::from_millis(25);
/// What the server takes to say that a statement took too long, beyond that time.
const GRACE: Duration = Duration::from_millis(500);
/// How many bodies are asked for at a time.
const BODIES: usize = 64;
/// How long a claim is valid unless it is renewed, by the clock of the database.
const LEASE_SECONDS: i32 = 3;

#[derive(Debug)]
pub(super) struct Reader {
    pool: PgPool,
    timeout: Duration,
    patience: Duration,
}

type Query<'q> = sqlx::query::Query<'q, Postgres, sqlx::postgres::PgArguments>;

impl Reader {
    pub(super) const fn new(pool: PgPool, timeout: Duration, patience: Duration) -> Self {
        Self { pool, timeout, patience }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// Draws a higher epoch and registers the kernel that has it. One that is drawn and lost on the way leaves a gap,
    /// which is no harm.
    pub(super) async fn claim(&self) -> Result<Epoch, StoreError> {
        let sql = "WITH claimed AS (UPDATE kernel SET epoch = epoch + 1 WHERE id = 0 RETURNING epoch) \
                   INSERT INTO node (id, epoch, started, lease_until) \
                   SELECT $1, epoch, now(), now() + make_interval(secs => $2) FROM claimed RETURNING epoch";
        let claim = || sqlx::query(sql).bind(Uuid::now_v7()).bind(f64::from(LEASE_SECONDS));
        let rows = self.rows("claim", claim).await?;
        let missing = || StoreError::new(StoreErrorKind::Corrupt, "claim", "table kernel has no row");
        let row = rows.first().ok_or_else(missing)?;
        let epoch: i64 = sqlx::Row::try_get(row, 0).map_err(|error| fault("claim", error))?;
        Ok(Epoch(epoch.cast_unsigned()))
    }

    pub(super) async fn version(&self) -> Result<String, StoreError> {
        let rows = self.rows("read", || sqlx::query("SELECT current_setting('server_version')")).await?;
        let version = rows.first().map(|row| sqlx::Row::try_get(row, 0)).transpose();
        version.map(Option::unwrap_or_default).map_err(|error| fault("read", error))
    }

    pub(super) async fn strays(&self) -> Result<Vec<Pid>, StoreError> {
        let sql = "SELECT DISTINCT pid FROM event WHERE NOT EXISTS \
                   (SELECT FROM agent WHERE agent.pid = event.pid) ORDER BY pid";
        self.decoded(|| sqlx::query(sql), row::pid).await
    }

    pub(super) async fn agent(&self, pid: Pid) -> Result<Option<AgentRow>, StoreError> {
        let sql = format!("SELECT {AGENT} FROM agent WHERE pid = $1");
        Ok(self.decoded(|| query(&sql).bind(uuid(pid)), row::agent).await?.pop())
    }

    pub(super) async fn agents(
        &self,
        after: Option<Pid>,
        live: bool,
        limit: usize,
    ) -> Result<Vec<AgentRow>, StoreError> {
        let live = if live { "NOT exited" } else { "true" };
        let rest = if after.is_some() { "pid > $2" } else { "$2 IS NULL" };
        let sql = format!("SELECT {AGENT} FROM agent WHERE {live} AND {rest} ORDER BY pid LIMIT $1");
        let select = || query(&sql).bind(at_most(limit)).bind(after.map(uuid));
        self.decoded(select, row::agent).await
    }

    pub(super) async fn records(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        let sql =
            format!("SELECT {EVENT} FROM event WHERE pid = $1 AND number >= $2 ORDER BY number LIMIT $3");
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let select = || query(&sql).bind(uuid(pid)).bind(from).bind(at_most(limit));
        self.decoded(select, row::record).await
    }

    pub(super) async fn values(&self, pid: Pid) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT pid, name, value FROM value WHERE pid = $1 ORDER BY name";
        self.decoded(|| sqlx::query(sql).bind(uuid(pid)), row::value).await
    }

    pub(super) async fn as_of(&self, pid: Pid, records: u64) -> Result<Option<Version>, StoreError> {
        let sql = "SELECT pid, number, hash, state FROM event \
                   WHERE pid = $1 AND number <= $2 AND state IS NOT NULL ORDER BY number DESC LIMIT 1";
        let number = i64::try_from(records).unwrap_or(i64::MAX);
        let found = || sqlx::query(sql).bind(uuid(pid)).bind(number);
        let Some(row) = self.decoded(found, row::version).await?.pop() else { return Ok(None) };
        // Of each name the last change up to that version: by its own number, which later commits do not come under.
        let sql = "SELECT pid, name, value FROM (\
                       SELECT DISTINCT ON (name) pid, name, value FROM value_past \
                       WHERE pid = $1 AND number <= $2 ORDER BY name, number DESC) AS past \
                   WHERE value IS NOT NULL ORDER BY name";
        let number = row.records.cast_signed();
        let then = || sqlx::query(sql).bind(uuid(pid)).bind(number);
        Ok(Some(Version { row, values: self.decoded(then, row::value).await? }))
    }

    /// Bodies that nobody refers to are those of commits that did not apply: they are not there.
    pub(super) async fn blobs(&self, hashes: &[BlobHash]) -> Result<Vec<Option<Arc<[u8]>>>, StoreError> {
        let mut found = Unpacking::default();
        let referred = "AND EXISTS (SELECT FROM blob_ref WHERE blob_ref.hash = blob.hash)";
        let mut there = self.packed(hashes, referred, &mut found).await?;
        there.sort_unstable();
        let mut bases = found.missing();
        while !bases.is_empty() {
            let before = bases;
            self.packed(&before, "", &mut found).await?;
            bases = found.missing();
            bases.retain(|base| !before.contains(base));
        }
        let is_there = |hash: &BlobHash| there.binary_search(hash).is_ok();
        hashes.iter().map(|hash| if is_there(hash) { found.body(hash) } else { Ok(None) }).collect()
    }

    /// Adds bodies as they are stored; says which of them there are.
    async fn packed(
        &self,
        hashes: &[BlobHash],
        condition: &str,
        found: &mut Unpacking,
    ) -> Result<Vec<BlobHash>, StoreError> {
        let sql = format!("SELECT hash, form, base, bytes FROM blob WHERE hash = ANY($1) {condition}");
        let mut there = Vec::with_capacity(hashes.len());
        for piece in hashes.chunks(BODIES) {
            let hashes: Vec<_> = piece.iter().map(|hash| hash.0.to_vec()).collect();
            for packed in self.decoded(|| query(&sql).bind(hashes.clone()), row::blob).await? {
                there.push(packed.hash);
                found.add(packed);
            }
        }
        Ok(there)
    }

    pub(super) async fn list_blobs(
        &self,
        after: Option<BlobHash>,
        limit: usize,
    ) -> Result<Vec<BlobHash>, StoreError> {
        let sql = "SELECT hash FROM blob WHERE hash > $1 \
                   AND EXISTS (SELECT FROM blob_ref WHERE blob_ref.hash = blob.hash) ORDER BY hash LIMIT $2";
        // No bytes come before all hashes.
        let after = after.map_or_else(Vec::new, |hash| hash.0.to_vec());
        let select = || sqlx::query(sql).bind(after.clone()).bind(at_most(limit));
        self.decoded(select, row::blob_hash).await
    }

    pub(super) async fn inbox(&self, pid: Pid) -> Result<Vec<Mail>, StoreError> {
        let sql = format!(
            "SELECT {} FROM mail WHERE recipient = $1 AND body IS NOT NULL ORDER BY arrival",
            row::MAIL
        );
        self.decoded(|| query(&sql).bind(uuid(pid)), |row| row::mail(row).map(|(_, mail)| mail)).await
    }

    pub(super) async fn decoded<'q, T>(
        &self,
        query: impl Fn() -> Query<'q>,
        decode: impl Fn(&PgRow) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.rows("read", query).await?.iter().map(decode).collect()
    }

    /// Runs a statement that may be run again.
    pub(super) async fn rows<'q>(
        &self,
        operation: &'static str,
        query: impl Fn() -> Query<'q>,
    ) -> Result<Vec<PgRow>, StoreError> {
        let end = Instant::now() + self.patience;
        loop {
            let error = match self.once(query()).await {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            let away = connecting(&error) == Meaning::Unreachable
                || matches!(meaning(&error), Meaning::Lost | Meaning::Again);
            let closed = matches!(error, Error::PoolClosed);
            if !away || closed || Instant::now() >= end {
                return Err(fault(operation, error));
            }
            sleep(PAUSE).await;
        }
    }

    async fn once(&self, query: Query<'_>) -> Result<Vec<PgRow>, Error> {
        let mut conn = self.pool.acquire().await?;
        let answer = timeout(self.timeout + GRACE, query.fetch_all(&mut *conn)).await;
        let rows = answer.unwrap_or_else(|_| Err(timed_out()));
        if let Err(error) = &rows
            && error.as_database_error().is_none()
        {
            // Nothing is known of its state: not one for the pool.
            drop(conn.detach());
        }
        rows
    }

    pub(super) const fn pool(&self) -> &PgPool {
        &self.pool
    }
}

pub(super) fn query(sql: &str) -> Query<'_> {
    // Made of literals of this crate; what callers say is bound.
    sqlx::query(AssertSqlSafe(sql))
}

pub(super) fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
