//! Mail in the order it arrived, without ever skipping what a slower transaction has yet to show.
//!
//! An arrival begins with the id of the transaction that posted it. PostgreSQL gives ids in rising order, and says of
//! the transactions under way the lowest one, the horizon: all below it are over, and what they wrote is visible. So
//! mail below the horizon is complete; whatever becomes visible later has an arrival above. Numbers of a sequence would
//! not do: of two transactions the one with the higher number may be over first, and whoever went on behind its
//! number would never see the other.
//!
//! The horizon is that of all databases of the server, and somebody's long transaction holds it back. So if mail lies
//! above it, it is looked for again among those who may post here: who posts has a lock on the table from before it asks
//! for its id until it is over. Of the transactions that were under way when the statement began, those count that
//! are not known to have no such lock. One that takes the lock later asks for its id later still, and that is above;
//! one that has let go of it is over, and its mail is visible to the statement after this one, which reads it.

use kernel_types::Mail;
use sqlx::Row;

use super::fault::fault;
use super::read::{Reader, at_most, query};
use super::row::{self, MAIL};
use crate::{Arrival, StoreError};

/// The lowest id of a transaction that may still post here.
const POSTING: &str = "WITH locks AS MATERIALIZED (SELECT * FROM pg_locks), \
    posting AS (SELECT virtualtransaction FROM locks WHERE locktype = 'relation' AND relation = 'mail'::regclass \
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())), \
    others AS (SELECT transactionid::text::int8 AS low FROM locks \
        WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted \
        AND NOT EXISTS (SELECT FROM posting WHERE posting.virtualtransaction = locks.virtualtransaction)) \
    SELECT least(pg_snapshot_xmax(now)::text::int8, ( \
        SELECT min(id) FROM (SELECT pg_snapshot_xip(now)::text::int8 AS id) AS under_way \
        WHERE NOT EXISTS (SELECT FROM others WHERE low = id & 4294967295))) \
    FROM pg_current_snapshot() AS now";

impl Reader {
    /// Mail that arrived after `after`, as far as it is complete.
    pub(super) async fn arrivals(
        &self,
        after: Arrival,
        limit: usize,
    ) -> Result<Vec<(Arrival, Mail)>, StoreError> {
        let after = i64::try_from(after.0).unwrap_or(i64::MAX);
        let (found, whole) =
            self.below("pg_snapshot_xmin(pg_current_snapshot())::text::int8", after, limit).await?;
        if whole {
            return Ok(found);
        }
        let rows = self.rows("read", || sqlx::query(POSTING)).await?;
        let horizon: Option<i64> = rows
            .first()
            .and_then(|row| row.try_get(0).transpose())
            .transpose()
            .map_err(|error| fault("read", error))?;
        match horizon {
            Some(horizon) => Ok(self.below(&horizon.to_string(), after, limit).await?.0),
            None => Ok(found),
        }
    }

    /// Mail of transactions below a horizon, and whether that is all there is up to the limit.
    async fn below(
        &self,
        horizon: &str,
        after: i64,
        limit: usize,
    ) -> Result<(Vec<(Arrival, Mail)>, bool), StoreError> {
        let sql = format!(
            "SELECT {MAIL}, (arrival >> 16) < {horizon} + (SELECT arrivals FROM kernel WHERE id = 0) AS complete \
             FROM mail WHERE arrival > $1 AND body IS NOT NULL ORDER BY arrival LIMIT $2"
        );
        let rows =
            self.rows("read", || query(&sql).bind(after).bind(at_most(limit)).persistent(false)).await?;
        let mut found = Vec::with_capacity(rows.len());
        for stored in &rows {
            if !stored.try_get::<bool, _>("complete").map_err(|error| fault("read", error))? {
                return Ok((found, false));
            }
            found.push(row::mail(stored)?);
        }
        Ok((found, true))
    }
}
