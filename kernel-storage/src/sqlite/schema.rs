//! Whose database a file is, and the migrations that bring it up to date.
//!
//! `application_id` says that it is one of ours, `user_version` how many migrations it went through. A database of
//! another program or of a newer build is refused before anything is written to it.

use std::path::{Path, PathBuf};

use sqlx::{Connection, Row, SqliteConnection};

use super::backup::back_up;
use super::fault::fault;
use crate::{StoreError, StoreErrorKind};

/// "AgOS".
const APPLICATION_ID: i64 = 0x4167_4F53;

/// In order; what was released is never changed.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_initial.sql"),
    include_str!("../../migrations/0002_memory.sql"),
    include_str!("../../migrations/0003_versions.sql"),
    include_str!("../../migrations/0004_packed.sql"),
];

/// SQLite before this one can corrupt a database when its write-ahead log is reset.
const OLDEST_SQLITE: (u32, u32) = (3, 51);

struct Found {
    application_id: i64,
    version: i64,
    empty: bool,
}

/// Makes or migrates the tables of a database that this process has the kernel's lock on. A database that is older
/// than `migrations` is copied first; where to, if so.
///
/// All migrations take effect or none.
pub(super) async fn migrate(
    conn: &mut SqliteConnection,
    path: &Path,
    migrations: &[&'static str],
) -> Result<Option<PathBuf>, StoreError> {
    check_sqlite(conn).await?;
    let found = inspect(conn).await.map_err(|error| fault("open", error))?;
    let done = if found.empty { 0 } else { check(&found, path, migrations.len())? };
    let mut backup = None;
    if done < migrations.len() {
        if done > 0 {
            backup = Some(back_up(conn, path, done).await?);
        }
        apply(conn, &migrations[done..], migrations.len()).await.map_err(|error| {
            let error = fault("migrate", error);
            match &backup {
                Some(copy) => error.noting(&format!(
                    "the store is unchanged, at schema version {done}, and {} is a copy of it",
                    copy.display()
                )),
                None => error,
            }
        })?;
    }
    // The mode is kept in the file. SQLite opens a file without the right to write it for reading only, and says so at
    // the first write: ask now.
    for statement in
        ["PRAGMA journal_mode = WAL", "BEGIN IMMEDIATE", "UPDATE kernel SET epoch = epoch", "ROLLBACK"]
    {
        sqlx::query(statement).fetch_all(&mut *conn).await.map_err(|error| fault("open", error))?;
    }
    Ok(backup)
}

/// Checks the tables of a database that a kernel may be using.
pub(super) async fn verify(conn: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    check_sqlite(conn).await?;
    let found = inspect(conn).await.map_err(|error| fault("attach", error))?;
    let done = check(&found, path, MIGRATIONS.len())?;
    if done < MIGRATIONS.len() {
        return Err(schema(format!(
            "{} has schema version {done}, this build needs {}: start a kernel on it once",
            path.display(),
            MIGRATIONS.len()
        )));
    }
    Ok(())
}

async fn apply(
    conn: &mut SqliteConnection,
    migrations: &[&'static str],
    version: usize,
) -> Result<(), sqlx::Error> {
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    for migration in migrations {
        sqlx::raw_sql(*migration).execute(&mut *transaction).await?;
    }
    let identity = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(identity)).execute(&mut *transaction).await?;
    transaction.commit().await
}

async fn inspect(conn: &mut SqliteConnection) -> Result<Found, sqlx::Error> {
    let row = sqlx::query(
        "SELECT (SELECT application_id FROM pragma_application_id), \
                (SELECT user_version FROM pragma_user_version), \
                (SELECT count(*) FROM sqlite_schema)",
    )
    .fetch_one(conn)
    .await?;
    let (application_id, version, tables): (i64, i64, i64) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Ok(Found { application_id, version, empty: application_id == 0 && version == 0 && tables == 0 })
}

/// How many migrations the database went through.
fn check(found: &Found, path: &Path, newest: usize) -> Result<usize, StoreError> {
    let path = path.display();
    if found.application_id != APPLICATION_ID {
        return Err(schema(format!(
            "{path} is a database of another program (application id {}, expected {APPLICATION_ID})",
            found.application_id
        )));
    }
    match usize::try_from(found.version) {
        Ok(version) if (1..=newest).contains(&version) => Ok(version),
        _ => Err(schema(format!(
            "{path} has schema version {}, this build reads versions 1 to {newest}: use a newer build",
            found.version
        ))),
    }
}

async fn check_sqlite(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(conn)
        .await
        .map_err(|error| fault("open", error))?;
    let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
    let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if found < OLDEST_SQLITE {
        let (major, minor) = OLDEST_SQLITE;
        let message = format!("SQLite {version} is linked, at least {major}.{minor} is needed");
        return Err(StoreError::new(StoreErrorKind::Invalid, "open", message));
    }
    Ok(())
}

fn schema(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::Schema, "open", message)
}
