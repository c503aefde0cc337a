//! The index of directions of a namespace and a model: HNSW over 16-bit numbers, an index of PostgreSQL that holds these
//! vectors alone.
//!
//! It is built beside those who read and write (`CREATE INDEX CONCURRENTLY`), by one kernel at a time, and searches
//! compare with everything until it is there. Who may not make it, because the tables are another user's, goes on
//! comparing.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Error, PgConnection, Postgres, QueryBuilder};
use tokio::time::sleep;

use super::super::fault::fault;
use super::row::Numbered;
use crate::StoreError;

/// What an index of 16-bit numbers takes: pgvector's limit.
pub(super) const LARGEST_DIMENSION: usize = 4000;
/// "AgNS": whoever builds an index of a store holds this lock of its schema.
const LOCK: i32 = 0x4167_4E53;
/// Between two looks whether another kernel has built its index. Who waits holds no snapshot: building one index waits
/// for the end of all older snapshots.
const PAUSE: Duration = Duration::from_millis(50);

/// Orders by the distance that the index knows.
pub(super) fn push_order(query: &mut QueryBuilder<Postgres>, model: Numbered, asked: &[f32]) {
    let dimension = model.dimension;
    query.push(format!(" ORDER BY (direction::halfvec({dimension})) <#> "));
    query.push_bind(pgvector::Vector::from(asked.to_vec())).push(format!("::vector::halfvec({dimension})"));
}

/// Builds an index unless it is there.
pub(super) async fn build(options: &PgConnectOptions, space: i64, model: Numbered) -> Result<(), StoreError> {
    let failed = |error| fault("index", error);
    let mut conn = options.connect().await.map_err(failed)?;
    let built = build_on(&mut conn, space, model).await.map_err(failed);
    // The lock is the connection's.
    let _ = conn.close().await;
    built
}

async fn build_on(conn: &mut PgConnection, space: i64, model: Numbered) -> Result<(), Error> {
    let Numbered { number, dimension } = model;
    let name = format!("memory_near_{space}_{number}");
    let begun = Instant::now();
    loop {
        let lock = "SELECT pg_try_advisory_lock($1, hashtext(current_schema()))";
        if sqlx::query_scalar(lock).bind(LOCK).fetch_one(&mut *conn).await? {
            break;
        }
        sleep(PAUSE.max(begun.elapsed() / 20)).await;
    }
    let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)";
    match sqlx::query_scalar(valid).bind(&name).fetch_optional(&mut *conn).await? {
        Some(true) => return Ok(()),
        // Whoever began it did not come to its end.
        Some(false) => run(conn, format!("DROP INDEX {name}")).await?,
        None => (),
    }
    // Building is many times slower once the graph does not fit.
    run(
        conn,
        "SELECT set_config('maintenance_work_mem', '512MB', false) \
         WHERE pg_size_bytes(current_setting('maintenance_work_mem')) < pg_size_bytes('512MB')"
            .to_owned(),
    )
    .await?;
    let create = format!(
        "CREATE INDEX CONCURRENTLY {name} ON memory USING hnsw ((direction::halfvec({dimension})) halfvec_ip_ops) \
         WHERE space = {space} AND model = {number}"
    );
    run(conn, create).await
}

/// Runs a statement made of numbers.
async fn run(conn: &mut PgConnection, sql: String) -> Result<(), Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop)
}
