//! The one task that writes: it owns the connection, and turns what is queued into few transactions.
//!
//! Group commit: while one transaction is being made durable others queue up, and the next one takes all of them, up
//! to [`GROUP`] commits; an idle store commits at once. A caller that gives up does not disturb a transaction: the
//! task finishes it and finds nobody to answer.

use std::sync::Arc;

use kernel_types::Epoch;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::archive::ArchiveWork;
use super::fault::{fault, of_one_row};
use super::head::HeadFile;
use super::lock::StoreLock;
use super::transaction::{self, Written};
use super::vectors::{Memory, MemoryWork};
use super::{failpoint, statement};
use crate::work::{Answer, Work};
use crate::{CommitOutcome, StoreError, StoreErrorKind};

/// The most commits of one transaction, unless a single batch has more.
pub(super) const GROUP: usize = 64;

#[derive(Debug)]
pub(super) enum Request {
    Write(Work),
    Memory(MemoryWork),
    Claim(Answer<Epoch>),
    Sweep(Answer<u64>),
    Archive(ArchiveWork),
    /// The most pages that the database may have.
    Limit(u32, Answer<()>),
    Close(Answer<()>),
}

#[derive(Debug)]
pub(super) struct Writer {
    options: SqliteConnectOptions,
    /// `None` after a failure that the connection may not have survived.
    conn: Option<SqliteConnection>,
    max_pages: u32,
    pub(super) requests: mpsc::Receiver<Request>,
    /// Told of each change of long-term memory that is durable.
    pub(super) memory: Arc<Memory>,
    guard: Option<Guard>,
}

/// What only a kernel's own handle has. Kept until the last write is done.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) head: HeadFile,
    pub(super) _lock: StoreLock,
}

impl Writer {
    pub(super) fn new(
        options: SqliteConnectOptions,
        conn: SqliteConnection,
        requests: mpsc::Receiver<Request>,
        memory: Arc<Memory>,
        guard: Option<Guard>,
    ) -> Self {
        Self { options, conn: Some(conn), max_pages: u32::MAX, requests, memory, guard }
    }

    /// Serves until it is closed or all handles are gone.
    pub(super) async fn run(mut self) {
        let mut next = None;
        loop {
            let request = match next.take() {
                Some(request) => Some(request),
                None => self.next().await,
            };
            match request {
                Some(Request::Write(work)) => {
                    let group;
                    (group, next) = self.collect(work);
                    self.write(group).await;
                }
                Some(Request::Memory(work)) => next = self.memory(work).await,
                // A caller that has gone needs no answer: here and below.
                Some(Request::Claim(answer)) => drop(answer.send(self.claim().await)),
                Some(Request::Sweep(answer)) => drop(answer.send(self.sweep().await)),
                Some(Request::Archive(work)) => self.archive(work).await,
                Some(Request::Limit(pages, answer)) => drop(answer.send(self.limit(pages).await)),
                Some(Request::Close(answer)) => return self.close(Some(answer)).await,
                None => return self.close(None).await,
            }
        }
    }

    /// The next request; the head file is written in between.
    async fn next(&mut self) -> Option<Request> {
        if let Some(due) = self.guard.as_ref().and_then(|guard| guard.head.due()) {
            if due > Instant::now()
                && let Ok(request) = timeout_at(due, self.requests.recv()).await
            {
                return request;
            }
            self.write_head().await;
        }
        self.requests.recv().await
    }

    async fn write_head(&mut self) {
        let Some(guard) = &mut self.guard else { return };
        let found = match &mut self.conn {
            Some(conn) => statement::known(conn).await.ok(),
            None => None,
        };
        guard.head.write(found);
    }

    /// What else is queued, and the first request that is no write.
    fn collect(&mut self, first: Work) -> (Vec<Work>, Option<Request>) {
        let mut commits = first.batch.len();
        let mut group = vec![first];
        while commits < GROUP && group.len() < GROUP {
            match self.requests.try_recv() {
                Ok(Request::Write(work)) => {
                    commits += work.batch.len();
                    group.push(work);
                }
                Ok(other) => return (group, Some(other)),
                Err(_) => break,
            }
        }
        (group, None)
    }

    async fn write(&mut self, group: Vec<Work>) {
        match self.attempt(&group).await {
            Ok(results) => {
                let _ = failpoint::ANSWER.before();
                for (work, result) in group.into_iter().zip(results) {
                    let _ = work.answer.send(result);
                }
                let _ = failpoint::ANSWER.after();
            }
            // The largest may have been too much, and the others still find room.
            Err(error) if error.kind() == StoreErrorKind::Full && group.len() > 1 => {
                for work in group {
                    let result = self.attempt(std::slice::from_ref(&work)).await;
                    let _ = work.answer.send(result.and_then(|mut results| results.remove(0)));
                }
            }
            Err(error) => {
                for work in group {
                    let _ = work.answer.send(Err(error.repeated(work.operation)));
                }
            }
        }
    }

    /// Writes a group in one transaction; a second time and with care if a row is to blame for the first failure.
    async fn attempt(&mut self, group: &[Work]) -> Result<Vec<Written>, StoreError> {
        let operation = group.first().map_or("commit", |work| work.operation);
        let conn = self.connection(operation).await?;
        let mut result = transaction::together(conn, group, operation).await;
        if let Err(error) = &result {
            let again = of_one_row(error);
            self.recover(error).await;
            if again {
                let conn = self.connection(operation).await?;
                result = transaction::one_by_one(conn, group, operation).await;
                if let Err(error) = &result {
                    self.recover(error).await;
                }
            }
        }
        if let Ok(written) = &result {
            self.note(group, written);
        }
        result
    }

    /// What landed goes into the head file.
    fn note(&mut self, group: &[Work], written: &[Written]) {
        let Some(Guard { head, .. }) = &mut self.guard else { return };
        for (work, written) in group.iter().zip(written) {
            let Ok(outcomes) = written else { continue };
            if !work.post.is_empty() {
                head.changed();
            }
            for (checked, outcome) in work.batch.iter().zip(outcomes) {
                if *outcome == CommitOutcome::Committed {
                    head.commit(&checked.commit.row);
                }
            }
        }
    }

    /// Tells the head file of something.
    pub(super) fn noted(&mut self, tell: impl FnOnce(&mut HeadFile)) {
        if let Some(Guard { head, .. }) = &mut self.guard {
            tell(head);
            head.changed();
        }
    }

    async fn claim(&mut self) -> Result<Epoch, StoreError> {
        let conn = self.connection("claim").await?;
        let claimed =
            sqlx::query_scalar("UPDATE kernel SET epoch = epoch + 1 RETURNING epoch").fetch_all(conn);
        let result = match failpoint::CLAIM.around(claimed).await {
            Ok(epochs) => epochs
                .first()
                .map(|epoch: &i64| Epoch(epoch.cast_unsigned()))
                .ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt, "claim", "table kernel has no row")),
            Err(error) => Err(fault("claim", error)),
        };
        match &result {
            Ok(_) => {
                if let Some(guard) = &mut self.guard {
                    guard.head.changed();
                }
            }
            Err(error) => self.recover(error).await,
        }
        result
    }

    async fn sweep(&mut self) -> Result<u64, StoreError> {
        let conn = self.connection("sweep").await?;
        // What is the base of another goes when that has gone.
        let sweep = "DELETE FROM blob WHERE hash NOT IN (SELECT hash FROM blob_ref) \
                     AND hash NOT IN (SELECT base FROM blob WHERE base IS NOT NULL)";
        let sweeps = async {
            let mut removed = 0;
            loop {
                match sqlx::query(sweep).execute(&mut *conn).await?.rows_affected() {
                    0 => return Ok(removed),
                    more => removed += more,
                }
            }
        };
        let result: Result<u64, sqlx::Error> = failpoint::SWEEP.around(sweeps).await;
        let result = result.map_err(|error| fault("sweep", error));
        if let Err(error) = &result {
            self.recover(error).await;
        }
        result
    }

    async fn limit(&mut self, pages: u32) -> Result<(), StoreError> {
        self.max_pages = pages;
        let conn = self.connection("limit").await?;
        set_limit(conn, pages).await.map_err(|error| fault("limit", error))
    }

    pub(super) async fn connection(
        &mut self,
        operation: &'static str,
    ) -> Result<&mut SqliteConnection, StoreError> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.connect().await.map_err(|error| fault(operation, error))?,
        };
        Ok(self.conn.insert(conn))
    }

    async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        let mut conn = self.options.connect().await?;
        if self.max_pages != u32::MAX {
            set_limit(&mut conn, self.max_pages).await?;
        }
        Ok(conn)
    }

    /// Leaves no transaction behind, and no connection that may be broken. One that only ran out of space or time is
    /// kept: a full disk may not have room to set up another.
    pub(super) async fn recover(&mut self, error: &StoreError) {
        let Some(mut conn) = self.conn.take() else { return };
        // Fails if SQLite rolled back by itself: fine.
        let _ = sqlx::query("ROLLBACK").execute(&mut conn).await;
        if matches!(error.kind(), StoreErrorKind::Full | StoreErrorKind::Invalid | StoreErrorKind::Corrupt)
            && sqlx::query("SELECT epoch FROM kernel").fetch_all(&mut conn).await.is_ok()
        {
            self.conn = Some(conn);
        } else {
            let _ = conn.close().await;
        }
    }

    async fn close(mut self, answer: Option<Answer<()>>) {
        self.requests.close();
        if self.guard.as_ref().is_some_and(|guard| guard.head.due().is_some()) {
            self.write_head().await;
        }
        let result = match self.conn.take() {
            Some(conn) => conn.close().await.map_err(|error| fault("close", error)),
            None => Ok(()),
        };
        // The lock goes before the answer: who hears of it may open the store again.
        drop(self);
        if let Some(answer) = answer {
            let _ = answer.send(result);
        }
    }
}

async fn set_limit(conn: &mut SqliteConnection, pages: u32) -> Result<(), sqlx::Error> {
    let limit = format!("PRAGMA max_page_count = {pages}");
    sqlx::query(AssertSqlSafe(limit)).fetch_all(conn).await.map(drop)
}
