//! Transactions of the memory, on connections of its own.
//!
//! Whatever a transaction did not finish, it did not do: a session that is dropped on the way, by an error or by a
//! caller that gave up, closes its connection, and the server undoes what it began.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Error, PgConnection, PgPool, Postgres, QueryBuilder};
use tokio::time::{Instant, sleep, timeout};

use super::super::fault::{Meaning, connecting, fault, meaning, timed_out, unknown};
use super::super::options::{PostgresOptions, Target};
use crate::StoreError;

/// Between two attempts to reach the server.
const PAUSE: Duration = Duration::from_millis(25);
/// What the server takes to say that a statement took too long, beyond that time.
const GRACE: Duration = Duration::from_millis(500);
/// So many calls of the memory are at work at once; others wait.
const CONNECTIONS: u32 = 8;

/// Why a transaction came to nothing.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The database or the way to it.
    Sql(Error),
    /// The answer to a commit did not come.
    Commit(Error),
    /// What was asked for, or what was found.
    Store(StoreError),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The connections of the memory.
#[derive(Debug)]
pub(in crate::postgres) struct Sessions {
    pool: PgPool,
    timeout: Duration,
    patience: Duration,
}

/// A transaction.
pub(super) struct Session {
    conn: Option<PoolConnection<Postgres>>,
    timeout: Duration,
}

impl Sessions {
    /// Connects to nothing yet.
    pub(in crate::postgres) fn new(options: &PostgresOptions, target: &Target, home: &str) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(options.write_timeout)
            .test_before_acquire(false)
            .after_connect(|conn, _| Box::pin(durable(conn)))
            .connect_lazy_with(options.memory(target, home));
        Self { pool, timeout: options.read_timeout, patience: options.patience }
    }

    pub(in crate::postgres) async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins a transaction with these settings for it alone.
    pub(super) async fn begin(&self, settings: &'static str) -> Result<Session, Trouble> {
        let conn = Some(self.pool.acquire().await?);
        let mut session = Session { conn, timeout: self.timeout };
        session.say(settings).await?;
        Ok(session)
    }

    /// Runs a transaction, again if the server or the way to it failed, for as long as the store is patient. All that
    /// the memory does may be done twice.
    pub(super) async fn patiently<T, F>(
        &self,
        operation: &'static str,
        attempt: impl Fn() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Trouble>>,
    {
        let end = Instant::now() + self.patience;
        // An attempt that may have landed outweighs what came after it.
        let mut lost = None;
        loop {
            let (error, committing) = match attempt().await {
                Ok(done) => return Ok(done),
                Err(Trouble::Store(error)) => return Err(lost.unwrap_or(error)),
                Err(Trouble::Sql(error)) => (error, false),
                Err(Trouble::Commit(error)) => (error, true),
            };
            let closed = matches!(error, Error::PoolClosed);
            let away = connecting(&error) == Meaning::Unreachable
                || matches!(meaning(&error), Meaning::Lost | Meaning::Again);
            let again = away && !closed && Instant::now() < end;
            let failure = if committing && meaning(&error) == Meaning::Lost {
                unknown(operation, error)
            } else {
                fault(operation, error)
            };
            if !again {
                return Err(lost.unwrap_or(failure));
            }
            if failure.commit_unknown() {
                lost = Some(failure);
            }
            sleep(PAUSE).await;
        }
    }
}

impl Session {
    /// Runs a statement.
    pub(super) async fn rows(&mut self, query: &mut QueryBuilder<Postgres>) -> Result<Vec<PgRow>, Trouble> {
        let limit = self.timeout + GRACE;
        // Texts with the numbers of a namespace in them would fill a cache of prepared statements.
        let rows = query.build().persistent(false).fetch_all(self.conn()?);
        Ok(timeout(limit, rows).await.unwrap_or_else(|_| Err(timed_out()))?)
    }

    /// Runs statements that answer nothing.
    pub(super) async fn say(&mut self, sql: &'static str) -> Result<(), Trouble> {
        let limit = self.timeout + GRACE;
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.conn()?);
        Ok(timeout(limit, done).await.unwrap_or_else(|_| Err(timed_out())).map(drop)?)
    }

    /// Makes it durable, and gives the connection back.
    pub(super) async fn commit(mut self) -> Result<(), Trouble> {
        match self.say("COMMIT").await {
            Ok(()) => {
                drop(self.conn.take());
                Ok(())
            }
            Err(Trouble::Sql(error)) => Err(Trouble::Commit(error)),
            Err(other) => Err(other),
        }
    }

    fn conn(&mut self) -> Result<&mut PgConnection, Error> {
        self.conn.as_deref_mut().ok_or(Error::PoolClosed)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            drop(conn.detach());
        }
    }
}

/// What is answered as remembered is durable, whatever the database is set to.
async fn durable(conn: &mut PgConnection) -> Result<(), Error> {
    let durable = "SELECT set_config('synchronous_commit', 'on', false) \
                   WHERE current_setting('synchronous_commit') = 'off'";
    sqlx::query(durable).persistent(false).fetch_all(conn).await.map(drop)
}
