//! The statements of a transaction, each over many rows.
//!
//! A statement takes a power of two of rows, at most [`CHUNK`], so that few different texts exist and all of them
//! stay prepared.

use std::collections::HashMap;

use kernel_types::{Epoch, Mail, Pid};
use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::failpoint;
use super::fault::fault;
use super::plan::Plan;
use super::row;
use crate::check::Tip;
use crate::{Arrival, StoreError, StoreErrorKind};

/// The most rows of one statement: 12 columns of them stay far below SQLite's 32,766 parameters.
const CHUNK: usize = 64;

/// The tips of the rows of these processes, as far as there are such rows.
pub(super) async fn tips(conn: &mut SqliteConnection, pids: &[Pid]) -> Result<HashMap<Pid, Tip>, StoreError> {
    let mut tips = HashMap::with_capacity(pids.len());
    for piece in pieces(pids) {
        let mut query =
            QueryBuilder::new("SELECT pid, epoch, revision, records, head FROM agent WHERE pid IN (");
        query.push_values(piece, |mut b, pid| {
            b.push_bind(pid.to_bytes().to_vec());
        });
        query.push(")");
        let rows = query.build().fetch_all(&mut *conn).await.map_err(|error| fault("commit", error))?;
        for found in &rows {
            let (pid, tip) = row::tip(found)?;
            tips.insert(pid, tip);
        }
    }
    Ok(tips)
}

/// The epoch and the arrival given out last.
pub(super) async fn known(conn: &mut SqliteConnection) -> Result<(Epoch, Arrival), sqlx::Error> {
    let sql = "SELECT epoch, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'mail'), 0) FROM kernel";
    let (epoch, arrival): (i64, i64) = sqlx::query_as(sql).fetch_one(conn).await?;
    Ok((Epoch(epoch.cast_unsigned()), Arrival(arrival.cast_unsigned())))
}

/// Writes all that is planned.
pub(super) async fn write(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), StoreError> {
    let sent = encoded(&plan.sent)?;
    rows(conn, plan, &sent).await.map_err(|error| fault("commit", error))
}

async fn rows(
    conn: &mut SqliteConnection,
    plan: &Plan<'_>,
    sent: &[(&Mail, String)],
) -> Result<(), sqlx::Error> {
    failpoint::AGENTS.around(agents(conn, plan)).await?;
    failpoint::RECORDS.around(records(conn, plan)).await?;
    failpoint::VALUES.around(values(conn, plan)).await?;
    failpoint::DELETED_VALUES.around(deleted_values(conn, plan)).await?;
    failpoint::PAST_VALUES.around(past_values(conn, plan)).await?;
    failpoint::BLOBS.around(blobs(conn, plan)).await?;
    failpoint::REFERENCES.around(references(conn, plan)).await?;
    failpoint::CONSUMED.around(consumed(conn, plan)).await?;
    failpoint::SENT.around(self::sent(conn, sent)).await?;
    failpoint::FORGOTTEN.around(forgotten(conn, plan)).await
}

async fn agents(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), sqlx::Error> {
    let rows: Vec<_> = plan.agents.values().collect();
    let insert = "INSERT INTO agent (pid, parent, epoch, revision, records, head, exited, seal, image) ";
    let update = " ON CONFLICT (pid) DO UPDATE SET parent = excluded.parent, epoch = excluded.epoch, \
        revision = excluded.revision, records = excluded.records, head = excluded.head, \
        exited = excluded.exited, seal = excluded.seal, image = excluded.image";
    each(conn, insert, update, &rows, |b, row| {
        b.push_bind(row.pid.to_bytes().to_vec());
        b.push_bind(row.parent.to_bytes().to_vec());
        b.push_bind(row.epoch.0.cast_signed());
        b.push_bind(row.revision.cast_signed());
        b.push_bind(row.records.cast_signed());
        b.push_bind(row.head.0.to_vec());
        b.push_bind(i64::from(row.exited));
        b.push_bind(row.seal.0.to_vec());
        b.push_bind(row.image.clone());
    })
    .await
}

async fn records(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), sqlx::Error> {
    let insert =
        "INSERT INTO event (pid, number, step, call, kind, at, salt, body, blob, body_hash, hash, state) ";
    each(conn, insert, "", &plan.records, |b, (record, state)| {
        b.push_bind(record.pid.to_bytes().to_vec());
        b.push_bind(record.number.cast_signed());
        b.push_bind(record.step.0.cast_signed());
        b.push_bind(record.call.map(|call| i64::from(call.0)));
        b.push_bind(i64::from(record.kind));
        b.push_bind(record.at.0.cast_signed());
        b.push_bind(record.salt.to_vec());
        b.push_bind(record.body.clone());
        b.push_bind(record.blob.map(|hash| hash.0.to_vec()));
        b.push_bind(record.body_hash.0.to_vec());
        b.push_bind(record.hash.0.to_vec());
        b.push_bind(state.map(<[u8]>::to_vec));
    })
    .await
}

async fn values(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), sqlx::Error> {
    let set = plan.values.iter().filter_map(|((pid, name), value)| Some((pid, *name, (*value)?)));
    let set: Vec<_> = set.collect();
    let update = " ON CONFLICT (pid, name) DO UPDATE SET value = excluded.value";
    each(conn, "INSERT INTO value (pid, name, value) ", update, &set, |b, (pid, name, value)| {
        b.push_bind(pid.to_bytes().to_vec());
        b.push_bind((*name).to_owned());
        b.push_bind((*value).to_owned());
    })
    .await
}

async fn deleted_values(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), sqlx::Error> {
    // Rare, and SQLite searches a whole table for a list of pairs.
    for ((pid, name), _) in plan.values.iter().filter(|(_, value)| value.is_none()) {
        let delete = sqlx::query("DELETE FROM value WHERE pid = ? AND name = ?");
        delete.bind(pid.to_bytes().to_vec()).bind((*name).to_owned()).execute(&mut *conn).await?;
    }
    Ok(())
}

async fn past_values(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), sqlx::Error> {
    let rows: Vec<_> = plan.past.iter().collect();
    let insert = "INSERT INTO value_past (pid, name, number, value) ";
    // Only a commit without records finds its number taken.
    let update = " ON CONFLICT (pid, name, number) DO UPDATE SET value = excluded.value";
    each(conn, insert, update, &rows, |b, ((pid, name, number), value)| {
        b.push_bind(pid.to_bytes().to_vec());
        b.push_bind((*name).to_owned());
        b.push_bind(number.cast_signed());
        b.push_bind(value.map(str::to_owned));
    })
    .await
}

async fn blobs(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), sqlx::Error> {
    let rows: Vec<_> = plan.blobs.values().collect();
    each(conn, "INSERT INTO blob (hash, form, base, bytes) ", " ON CONFLICT DO NOTHING", &rows, |b, blob| {
        b.push_bind(blob.hash.0.to_vec());
        b.push_bind(i64::from(blob.form));
        b.push_bind(blob.base.map(|base| base.0.to_vec()));
        b.push_bind(blob.bytes.to_vec());
    })
    .await
}

async fn references(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), sqlx::Error> {
    let rows: Vec<_> = plan.references.iter().collect();
    each(conn, "INSERT INTO blob_ref (hash, pid) ", " ON CONFLICT DO NOTHING", &rows, |b, (hash, pid)| {
        b.push_bind(hash.0.to_vec());
        b.push_bind(pid.to_bytes().to_vec());
    })
    .await
}

async fn consumed(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), sqlx::Error> {
    let update = " ON CONFLICT (recipient, sender, number) DO UPDATE SET body = NULL, sent_at = NULL";
    each(conn, "INSERT INTO mail (recipient, sender, number) ", update, &plan.consumed, |b, (pid, id)| {
        b.push_bind(pid.to_bytes().to_vec());
        b.push_bind(id.sender.to_bytes().to_vec());
        b.push_bind(id.number.cast_signed());
    })
    .await
}

fn encoded<'a>(sent: &[&'a Mail]) -> Result<Vec<(&'a Mail, String)>, StoreError> {
    let encoded = sent.iter().map(|mail| Ok((*mail, serde_json::to_string(&mail.body)?)));
    encoded.collect::<Result<_, serde_json::Error>>().map_err(|error| {
        StoreError::new(StoreErrorKind::Invalid, "post", format!("mail cannot be encoded: {error}"))
    })
}

async fn sent(conn: &mut SqliteConnection, sent: &[(&Mail, String)]) -> Result<(), sqlx::Error> {
    let insert = "INSERT INTO mail (recipient, sender, number, sent_at, body) ";
    each(conn, insert, " ON CONFLICT DO NOTHING", sent, |b, (mail, body)| {
        b.push_bind(mail.to.to_bytes().to_vec());
        b.push_bind(mail.id.sender.to_bytes().to_vec());
        b.push_bind(mail.id.number.cast_signed());
        b.push_bind(mail.sent_at.0.cast_signed());
        b.push_bind(body.clone());
    })
    .await
}

async fn forgotten(conn: &mut SqliteConnection, plan: &Plan<'_>) -> Result<(), sqlx::Error> {
    let forget = "DELETE FROM mail WHERE body IS NULL AND recipient IN (";
    each(conn, forget, ")", &plan.exited(), |b, pid| {
        b.push_bind(pid.to_bytes().to_vec());
    })
    .await
}

/// Runs `before VALUES (...), (...) after` on all rows.
pub(super) async fn each<T>(
    conn: &mut SqliteConnection,
    before: &str,
    after: &str,
    rows: &[T],
    mut bind: impl FnMut(&mut Separated<'_, Sqlite, &'static str>, &T),
) -> Result<(), sqlx::Error> {
    for piece in pieces(rows) {
        let mut query = QueryBuilder::new(before);
        query.push_values(piece, |mut b, row| bind(&mut b, row));
        query.push(after);
        query.build().execute(&mut *conn).await?;
    }
    Ok(())
}

/// Cuts a slice into pieces whose lengths are powers of two, at most [`CHUNK`].
pub(super) fn pieces<T>(mut rest: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let largest = 1 << rest.len().checked_ilog2()?;
        let (piece, tail) = rest.split_at(largest.min(CHUNK));
        rest = tail;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, pieces};

    #[test]
    fn pieces_are_powers_of_two_and_lose_nothing() {
        for length in 0..=3 * CHUNK + 5 {
            let rows: Vec<usize> = (0..length).collect();
            let cut: Vec<&[usize]> = pieces(&rows).collect();
            assert!(cut.iter().all(|piece| piece.len().is_power_of_two() && piece.len() <= CHUNK));
            assert_eq!(cut.concat(), rows);
        }
    }
}
