//! One kernel per database: an exclusive lock on a file beside it, which names its holder.
//!
//! The lock is the operating system's, so that it ends with its holder however that ends. The file stays.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fault::file_fault;
use crate::{StoreError, StoreErrorKind};

/// A store of this very process that was dropped is closed within this time.
const CLOSING: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(5);

/// The lock; dropping it lets the next kernel in.
#[derive(Debug)]
pub(super) struct StoreLock {
    _file: File,
}

/// The file whose lock guards the database at `path`.
pub(super) fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

impl StoreLock {
    /// Takes the lock of the database at `path`. Waits only for a handle of this process that is being closed.
    pub(super) async fn acquire(path: &Path) -> Result<Self, StoreError> {
        let path = lock_path(path);
        let failed = |error| file_fault("open", &path, error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(failed)?;
        let mut waited = Duration::ZERO;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            let holder = holder(&mut file);
            if holder != std::process::id().to_string() || waited >= CLOSING {
                return Err(locked(&path, &holder));
            }
            tokio::time::sleep(POLL).await;
            waited += POLL;
        }
        file.rewind().and_then(|()| file.set_len(0)).map_err(failed)?;
        // The pid is for people: a disk too full to take it must not keep the kernel from opening its store.
        let _ = write!(file, "{}", std::process::id());
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    if read.is_err() || text.is_empty() { "unknown".to_owned() } else { text }
}

fn locked(path: &Path, holder: &str) -> StoreError {
    let message = format!(
        "another kernel (process {holder}) holds {}; stop it or use another --data-dir",
        path.display()
    );
    StoreError::new(StoreErrorKind::Locked, "open", message)
}
