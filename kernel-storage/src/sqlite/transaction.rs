//! One transaction over a group of writes: judged and written together, or, when a row is to blame for a failure,
//! one by one.

use std::collections::HashMap;

use kernel_types::Mail;
use sqlx::SqliteConnection;

use super::failpoint;
use super::fault::{commit_fault, fault, of_one_row};
use super::plan::Plan;
use super::statement;
use crate::work::{Checked, Work};
use crate::{CommitOutcome, StoreError};

/// What became of one [`Work`].
pub(super) type Written = Result<Vec<CommitOutcome>, StoreError>;

/// Writes the group with one statement a table.
pub(super) async fn together(
    conn: &mut SqliteConnection,
    group: &[Work],
    operation: &'static str,
) -> Result<Vec<Written>, StoreError> {
    begin(conn, operation).await?;
    let mut pids: Vec<_> =
        group.iter().flat_map(|work| &work.batch).map(|checked| checked.commit.row.pid).collect();
    pids.sort_unstable();
    pids.dedup();
    let mut tips = statement::tips(conn, &pids).await?;
    let mut plan = Plan::default();
    let mut answers = Vec::with_capacity(group.len());
    for work in group {
        answers.push(Ok(work.batch.iter().map(|checked| plan.commit(&mut tips, checked)).collect()));
        plan.post(&work.post);
    }
    if plan.is_empty() {
        sql(conn, "ROLLBACK", operation).await?;
    } else {
        statement::write(conn, &plan).await?;
        commit(conn, operation).await?;
    }
    Ok(answers)
}

/// Writes the group with savepoints between its parts: a part that fails for a row of its own is refused, and the
/// others land.
pub(super) async fn one_by_one(
    conn: &mut SqliteConnection,
    group: &[Work],
    operation: &'static str,
) -> Result<Vec<Written>, StoreError> {
    begin(conn, operation).await?;
    let mut answers = Vec::with_capacity(group.len());
    for work in group {
        let mut outcomes = Vec::with_capacity(work.batch.len());
        for checked in &work.batch {
            let written = savepoint(conn, Some(checked), &[], operation).await;
            outcomes.push(match written {
                Ok(outcome) => outcome,
                Err(error) if of_one_row(&error) => CommitOutcome::Refused { reason: error.to_string() },
                Err(error) => return Err(error),
            });
        }
        let posted = savepoint(conn, None, &work.post, operation).await;
        answers.push(match posted {
            Err(error) if !of_one_row(&error) => return Err(error),
            posted => posted.map(|_| outcomes),
        });
    }
    commit(conn, operation).await?;
    Ok(answers)
}

async fn savepoint(
    conn: &mut SqliteConnection,
    checked: Option<&Checked>,
    post: &[Mail],
    operation: &'static str,
) -> Result<CommitOutcome, StoreError> {
    let failed = |error| fault(operation, error);
    failpoint::SAVEPOINT.around(sqlx::query("SAVEPOINT part").execute(&mut *conn)).await.map_err(failed)?;
    let result = part(conn, checked, post).await;
    if result.is_err() {
        sql(conn, "ROLLBACK TO part", operation).await?;
    }
    failpoint::RELEASE.around(sqlx::query("RELEASE part").execute(&mut *conn)).await.map_err(failed)?;
    result
}

async fn part(
    conn: &mut SqliteConnection,
    checked: Option<&Checked>,
    post: &[Mail],
) -> Result<CommitOutcome, StoreError> {
    let mut plan = Plan::default();
    let outcome = match checked {
        Some(checked) => {
            let mut tips: HashMap<_, _> = statement::tips(conn, &[checked.commit.row.pid]).await?;
            plan.commit(&mut tips, checked)
        }
        None => CommitOutcome::Committed,
    };
    plan.post(post);
    statement::write(conn, &plan).await?;
    Ok(outcome)
}

pub(super) async fn begin(conn: &mut SqliteConnection, operation: &'static str) -> Result<(), StoreError> {
    // Takes the write lock now: what is judged cannot change before it is written.
    let begun = failpoint::BEGIN.around(sqlx::query("BEGIN IMMEDIATE").execute(conn)).await;
    begun.map(drop).map_err(|error| fault(operation, error))
}

pub(super) async fn commit(conn: &mut SqliteConnection, operation: &'static str) -> Result<(), StoreError> {
    let done = failpoint::COMMIT.around(sqlx::query("COMMIT").execute(conn)).await;
    done.map(drop).map_err(|error| commit_fault(operation, error))
}

async fn sql(
    conn: &mut SqliteConnection,
    statement: &'static str,
    operation: &'static str,
) -> Result<(), StoreError> {
    sqlx::query(statement).execute(conn).await.map(drop).map_err(|error| fault(operation, error))
}
