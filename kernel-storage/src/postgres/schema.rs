//! Whose tables a schema of a database holds, and the migrations that bring them up to date.
//!
//! The table `schema_version` says that they are ours and how many migrations they went through. Everything happens in
//! one transaction under an advisory lock: of kernels that open a new database together one makes the tables, and a
//! migration that fails leaves nothing. Tables of another program or of a newer build are refused before anything is
//! written.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row};

use super::fault::{fault, state};
use super::options::{PostgresOptions, Target};
use crate::{StoreError, StoreErrorKind};

/// "AgOS".
const APPLICATION_ID: i32 = 0x4167_4F53;

/// In order; what was released is never changed.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/postgres/0001_initial.sql"),
    include_str!("../../migrations/postgres/0002_memory.sql"),
    include_str!("../../migrations/postgres/0003_packed.sql"),
];

/// pgvector before this one has no iterative scans.
const OLDEST_VECTOR: (u32, u32) = (0, 8);

/// What a schema was found to hold.
enum Found {
    Nothing {
        exists: bool,
    },
    /// Something without our mark.
    Others,
    Ours {
        application_id: i32,
        version: i32,
    },
}

/// Makes or migrates the tables; gives the schema that pgvector lies in, quoted.
pub(super) async fn migrate(options: &PostgresOptions, target: &Target) -> Result<String, StoreError> {
    let mut conn = connect(options.migrator(target), "open", target).await?;
    let done = prepare(&mut conn, options, target).await;
    // What matters was committed, or was not; the server sees the connection end either way.
    let _ = conn.close().await;
    done
}

/// Checks the tables of a database that kernels may be using; gives the schema that pgvector lies in, quoted.
pub(super) async fn verify(options: &PostgresOptions, target: &Target) -> Result<String, StoreError> {
    let mut conn = connect(options.reader(target), "attach", target).await?;
    let found = inspect(&mut conn, target).await;
    let home = home(&mut conn, options).await;
    let _ = conn.close().await;
    let found = found.map_err(|error| fault("attach", error))?;
    if matches!(found, Found::Nothing { .. }) {
        let message = format!("there is no store in {}: start a kernel on it first", words(target));
        return Err(StoreError::new(StoreErrorKind::Invalid, "attach", message));
    }
    let done = check(&found, target)?;
    if done < MIGRATIONS.len() {
        return Err(schema(format!(
            "{} has schema version {done}, this build needs {}: start a kernel on it once",
            words(target),
            MIGRATIONS.len()
        )));
    }
    home.map_err(|error| fault("attach", error))
}

/// The schema that the extension lies in, quoted.
async fn home(conn: &mut PgConnection, options: &PostgresOptions) -> Result<String, sqlx::Error> {
    let sql = "SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace \
               WHERE extname = $1";
    sqlx::query_scalar(sql).bind(&options.extension).fetch_one(conn).await
}

async fn connect(
    options: PgConnectOptions,
    operation: &'static str,
    target: &Target,
) -> Result<PgConnection, StoreError> {
    options.connect().await.map_err(|error| {
        let fault = fault(operation, error);
        let message = format!("{}: {}", target.place(), fault.words());
        StoreError::new(fault.kind(), operation, message).because(fault)
    })
}

async fn prepare(
    conn: &mut PgConnection,
    options: &PostgresOptions,
    target: &Target,
) -> Result<String, StoreError> {
    let failed = |error| fault("open", error);
    let mut transaction = conn.begin().await.map_err(failed)?;
    writable(&mut transaction, target).await?;
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext($2))");
    let lock = lock.bind(APPLICATION_ID).bind(&target.schema).execute(&mut *transaction).await;
    lock.map_err(failed)?;
    let found = inspect(&mut transaction, target).await.map_err(failed)?;
    let done = if matches!(found, Found::Nothing { .. }) { 0 } else { check(&found, target)? };
    extension(&mut transaction, options, target).await?;
    let home = home(&mut transaction, options).await.map_err(failed)?;
    if done < MIGRATIONS.len() {
        apply(&mut transaction, target, &home, &found, done).await?;
    }
    rights(&mut transaction, target).await?;
    arrivals(&mut transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(home)
}

/// A standby, or a database set to be read only.
async fn writable(conn: &mut PgConnection, target: &Target) -> Result<(), StoreError> {
    let mode = sqlx::query_scalar("SELECT current_setting('transaction_read_only')");
    let mode: String = mode.fetch_one(conn).await.map_err(|error| fault("open", error))?;
    if mode == "on" {
        let message = format!("{} takes no writes: is it a standby?", target.place());
        return Err(StoreError::new(StoreErrorKind::Permission, "open", message));
    }
    Ok(())
}

async fn apply(
    conn: &mut PgConnection,
    target: &Target,
    home: &str,
    found: &Found,
    done: usize,
) -> Result<(), StoreError> {
    let denied = |error: sqlx::Error, what: &str| {
        if state(&error).as_deref() != Some("42501") {
            return fault("migrate", error);
        }
        let message = format!("no right to {what} in {}: {}", words(target), fault("migrate", error).words());
        StoreError::new(StoreErrorKind::Permission, "migrate", message)
    };
    if matches!(found, Found::Nothing { exists: false }) {
        // A name that was checked needs no quotes.
        let create = format!("CREATE SCHEMA {}", target.schema);
        let created = sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *conn).await;
        created.map_err(|error| denied(error, "make the schema"))?;
    }
    // Types of the extension are named without their schema.
    let path = sqlx::query("SELECT set_config('search_path', $1 || ', ' || $2, true)");
    let path = path.bind(&target.schema).bind(home).execute(&mut *conn).await;
    path.map_err(|error| fault("migrate", error))?;
    for migration in &MIGRATIONS[done..] {
        let applied = sqlx::raw_sql(*migration).execute(&mut *conn).await;
        applied.map_err(|error| denied(error, "make tables"))?;
    }
    let identity = format!(
        "CREATE TABLE IF NOT EXISTS schema_version (application_id integer NOT NULL, version integer NOT NULL); \
         DELETE FROM schema_version; INSERT INTO schema_version VALUES ({APPLICATION_ID}, {})",
        MIGRATIONS.len()
    );
    let marked = sqlx::raw_sql(AssertSqlSafe(identity)).execute(conn).await;
    marked.map(drop).map_err(|error| denied(error, "mark the schema"))
}

/// Looks before it makes the extension, which takes a right that not everybody has.
async fn extension(
    conn: &mut PgConnection,
    options: &PostgresOptions,
    target: &Target,
) -> Result<(), StoreError> {
    let failed = |error| fault("open", error);
    let name = &options.extension;
    let sql = "SELECT (SELECT extversion FROM pg_extension WHERE extname = $1), \
                      (SELECT default_version FROM pg_available_extensions WHERE name = $1), \
                      current_setting('server_encoding')";
    let row = sqlx::query(sql).bind(name).fetch_one(&mut *conn).await.map_err(failed)?;
    let installed: Option<String> = row.try_get(0).map_err(failed)?;
    let available: Option<String> = row.try_get(1).map_err(failed)?;
    let encoding: String = row.try_get(2).map_err(failed)?;
    let place = target.place();
    if encoding != "UTF8" {
        let message = format!("{place} has the encoding {encoding}: make a database with the encoding UTF8");
        return Err(StoreError::new(StoreErrorKind::Invalid, "open", message));
    }
    let Some(version) = installed.as_ref().or(available.as_ref()) else {
        let message = format!(
            "the server of {place} has no extension {name}: install pgvector there (Debian: postgresql-18-pgvector)"
        );
        return Err(StoreError::new(StoreErrorKind::Invalid, "open", message));
    };
    if older(version, OLDEST_VECTOR) {
        let (major, minor) = OLDEST_VECTOR;
        let message = format!("{place} has pgvector {version}, at least {major}.{minor} is needed");
        return Err(StoreError::new(StoreErrorKind::Invalid, "open", message));
    }
    if installed.is_some() {
        return Ok(());
    }
    // Another schema's kernels do the same at the same time: their lock is another one.
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1, 0)").bind(APPLICATION_ID);
    lock.execute(&mut *conn).await.map_err(failed)?;
    let create = format!("CREATE EXTENSION IF NOT EXISTS \"{}\" SCHEMA public", name.replace('"', "\"\""));
    sqlx::raw_sql(AssertSqlSafe(create)).execute(conn).await.map(drop).map_err(|error| {
        let message = format!(
            "no right to add the extension {name} to {place}: let its owner run CREATE EXTENSION {name} once: {}",
            fault("open", error).words()
        );
        StoreError::new(StoreErrorKind::Permission, "open", message)
    })
}

/// The rights that a kernel needs on each table, named now and not at its first write.
async fn rights(conn: &mut PgConnection, target: &Target) -> Result<(), StoreError> {
    let sql = "SELECT relname::text FROM pg_class \
               WHERE relnamespace = to_regnamespace($1) AND relkind = 'r' AND relname <> 'schema_version' \
               AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT') \
                    AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')) \
               ORDER BY relname";
    let missing: Vec<String> = sqlx::query_scalar(sql)
        .bind(&target.schema)
        .fetch_all(conn)
        .await
        .map_err(|error| fault("open", error))?;
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("no right to read and write {} of {}", missing.join(", "), words(target));
    Err(StoreError::new(StoreErrorKind::Permission, "open", message))
}

/// Arrivals are made of the ids of transactions, and those begin anew in the cluster that a dump is restored into: go on
/// behind what there is.
async fn arrivals(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let sql = "UPDATE kernel SET arrivals = last.id + 1 - pg_current_xact_id()::text::int8 \
               FROM (SELECT max(arrival) >> 16 AS id FROM mail WHERE body IS NOT NULL) AS last \
               WHERE last.id >= arrivals + pg_current_xact_id()::text::int8";
    sqlx::query(sql).execute(conn).await.map(drop)
}

async fn inspect(conn: &mut PgConnection, target: &Target) -> Result<Found, sqlx::Error> {
    let sql = "SELECT to_regnamespace($1) IS NOT NULL, \
               (SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace($1)), \
               (SELECT count(*) FROM pg_attribute WHERE attrelid = to_regclass($1 || '.schema_version') \
                AND attname IN ('application_id', 'version') AND atttypid = 'int4'::regtype)";
    let row = sqlx::query(sql).bind(&target.schema).fetch_one(&mut *conn).await?;
    let (exists, relations, marks): (bool, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    if relations == 0 {
        return Ok(Found::Nothing { exists });
    }
    if marks != 2 {
        return Ok(Found::Others);
    }
    let row = sqlx::query("SELECT application_id, version FROM schema_version").fetch_optional(conn).await?;
    Ok(match row {
        Some(row) => Found::Ours { application_id: row.try_get(0)?, version: row.try_get(1)? },
        None => Found::Others,
    })
}

/// How many migrations the tables went through.
fn check(found: &Found, target: &Target) -> Result<usize, StoreError> {
    let newest = MIGRATIONS.len();
    match *found {
        Found::Ours { application_id: APPLICATION_ID, version } => match usize::try_from(version) {
            Ok(version) if (1..=newest).contains(&version) => Ok(version),
            _ => Err(schema(format!(
                "{} has schema version {version}, this build reads versions 1 to {newest}: use a newer build",
                words(target)
            ))),
        },
        Found::Ours { application_id, .. } => Err(schema(format!(
            "{} is another program's (application id {application_id}, expected {APPLICATION_ID})",
            words(target)
        ))),
        Found::Others => Err(schema(format!(
            "{} is another program's: it holds something, and no table schema_version of ours",
            words(target)
        ))),
        Found::Nothing { .. } => Ok(0),
    }
}

fn older(version: &str, oldest: (u32, u32)) -> bool {
    let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) < oldest
}

fn words(target: &Target) -> String {
    format!("schema {} of {}", target.schema, target.place())
}

fn schema(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::Schema, "open", message)
}

#[cfg(test)]
mod tests {
    use super::older;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (version, expected) in [("0.7.4", true), ("0.8.0", false), ("0.10", false), ("1.0", false)] {
            assert_eq!(older(version, (0, 8)), expected, "{version}");
        }
    }
}
