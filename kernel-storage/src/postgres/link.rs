//! One connection that writes: made when it is needed, given up when it may be broken, and never waited for without end.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{ConnectOptions, Connection, Error, PgConnection, Postgres, QueryBuilder};
use tokio::time::timeout;

use super::fault::timed_out;

/// What the server takes to say that a statement took too long, beyond that time.
const GRACE: Duration = Duration::from_millis(500);
/// Statements with more bytes have more time than others.
const HEAVY: usize = 8 << 20;
/// A second for so many bytes.
const HEAVY_RATE: usize = 4 << 20;

/// A failure, and whether the statement was sent before it.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) error: Error,
    pub(super) sent: bool,
}

#[derive(Debug)]
pub(super) struct Link {
    options: PgConnectOptions,
    timeout: Duration,
    conn: Option<PgConnection>,
}

impl Link {
    pub(super) const fn new(options: PgConnectOptions, timeout: Duration) -> Self {
        Self { options, timeout, conn: None }
    }

    /// Runs one statement of so many bytes by itself, and gives its rows.
    ///
    /// A connection that did not answer in time, or that the statement failed on in any way but an answer of the
    /// server, is given up.
    pub(super) async fn run(
        &mut self,
        mut query: QueryBuilder<Postgres>,
        bytes: usize,
    ) -> Result<Vec<PgRow>, Broken> {
        let limit = self.timeout;
        let mut conn = self.connected().await.map_err(|error| Broken { error, sent: false })?;
        let more =
            if bytes > HEAVY { Duration::from_secs((bytes / HEAVY_RATE) as u64) } else { Duration::ZERO };
        if !more.is_zero() {
            let set = set_timeout(&mut conn, limit + more).await;
            set.map_err(|error| Broken { error, sent: false })?;
        }
        let answer = timeout(limit + more + GRACE, query.build().fetch_all(&mut conn)).await;
        let rows = answer.unwrap_or_else(|_| Err(timed_out()));
        match &rows {
            // A connection that is dropped is closed without a word: nothing is known of its state.
            Err(error) if error.as_database_error().is_none() => drop(conn),
            _ if !more.is_zero() && set_timeout(&mut conn, limit).await.is_err() => drop(conn),
            _ => self.conn = Some(conn),
        }
        rows.map_err(|error| Broken { error, sent: true })
    }

    /// Gives the connection up.
    pub(super) fn cut(&mut self) {
        self.conn = None;
    }

    pub(super) async fn close(self) {
        if let Some(conn) = self.conn {
            // The server sees the end of the connection either way.
            let _ = timeout(GRACE, conn.close()).await;
        }
    }

    async fn connected(&mut self) -> Result<PgConnection, Error> {
        if let Some(conn) = self.conn.take() {
            return Ok(conn);
        }
        let connect = timeout(self.timeout, async {
            let mut conn = self.options.connect().await?;
            // What is answered as committed is durable, whatever the database is set to.
            let durable = "SELECT set_config('synchronous_commit', 'on', false) \
                           WHERE current_setting('synchronous_commit') = 'off'";
            sqlx::query(durable).persistent(false).fetch_all(&mut conn).await?;
            Ok(conn)
        });
        connect.await.unwrap_or_else(|_| Err(timed_out()))
    }
}

async fn set_timeout(conn: &mut PgConnection, limit: Duration) -> Result<(), Error> {
    let set =
        sqlx::query("SELECT set_config('statement_timeout', $1, false)").bind(limit.as_millis().to_string());
    timeout(GRACE, set.fetch_all(conn)).await.unwrap_or_else(|_| Err(timed_out())).map(drop)
}
