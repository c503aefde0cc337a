//! A copy of a database from before it is migrated.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use sqlx::SqliteConnection;

use super::fault::{fault, file_fault};
use crate::StoreError;

/// Copies the database at `path`, which has schema version `version`, into a file beside it; says which.
///
/// The copy is one consistent state, with what is in the write-ahead log. It gets its name when it is complete and on
/// the disk.
pub(super) async fn back_up(
    conn: &mut SqliteConnection,
    path: &Path,
    version: usize,
) -> Result<PathBuf, StoreError> {
    let backup = free_name(path, version);
    let part = with_suffix(&backup, ".part");
    let copied = copy(conn, &part, &backup).await;
    if copied.is_err() {
        // What is left of it is of no use; that it cannot be removed is no news on such a disk.
        let _ = fs::remove_file(&part);
    }
    copied.map(|()| backup)
}

async fn copy(conn: &mut SqliteConnection, part: &Path, backup: &Path) -> Result<(), StoreError> {
    // One that was cut short: SQLite copies into no file that holds something.
    if part.exists() {
        fs::remove_file(part).map_err(|error| file_fault("back up", part, error))?;
    }
    let vacuum = sqlx::query("VACUUM INTO ?").bind(part.to_string_lossy().into_owned());
    vacuum.execute(conn).await.map_err(|error| fault("back up", error).about(part))?;
    let kept = File::open(part).and_then(|file| file.sync_all()).and_then(|()| fs::rename(part, backup));
    kept.and_then(|()| sync_folder(backup)).map_err(|error| file_fault("back up", backup, error))
}

/// The name of the file is on the disk too.
fn sync_folder(file: &Path) -> std::io::Result<()> {
    file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// `<path>.v1.backup`, or the first of `<path>.v1.backup.2`, `.3`, ... that is not there.
fn free_name(path: &Path, version: usize) -> PathBuf {
    let first = with_suffix(path, &format!(".v{version}.backup"));
    let others = (2..).map(|n: u64| with_suffix(&first, &format!(".{n}")));
    let mut names = std::iter::once(first.clone()).chain(others);
    names.find(|name| !name.exists()).unwrap_or(first)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
