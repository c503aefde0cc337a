//! What a failure of SQLite or of the file system means for the caller.

use std::error::Error as _;
use std::io;
use std::path::Path;

use crate::{StoreError, StoreErrorKind};

// Primary result codes, https://www.sqlite.org/rescode.html; the low byte of the extended ones.
const PERM: i32 = 3;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READONLY: i32 = 8;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const TOOBIG: i32 = 18;
const CONSTRAINT: i32 = 19;
const MISMATCH: i32 = 20;
const NOTADB: i32 = 26;
const ERROR: i32 = 1;

/// The error of a statement that left nothing behind.
pub(super) fn fault(operation: &'static str, error: sqlx::Error) -> StoreError {
    let (kind, words) = classify(&error);
    StoreError::new(kind, operation, format!("{words}: {error}")).because(error)
}

/// The error of a COMMIT. When space runs out, the frame that would make the transaction valid was not written; a
/// database that is busy was not written to. After anything else the transaction may turn out to have landed.
pub(super) fn commit_fault(operation: &'static str, error: sqlx::Error) -> StoreError {
    match classify(&error).0 {
        StoreErrorKind::Full => fault(operation, error),
        StoreErrorKind::Unavailable if matches!(primary(&error), Some(BUSY | LOCKED)) => {
            fault(operation, error)
        }
        _ => {
            let message = format!("the disk failed during a commit, which may have landed: {error}");
            StoreError::new(StoreErrorKind::CommitUnknown, operation, message).because(error)
        }
    }
}

/// The error of a file-system call on `path`.
pub(super) fn file_fault(operation: &'static str, path: &Path, error: io::Error) -> StoreError {
    use io::ErrorKind::{
        AlreadyExists, IsADirectory, NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem,
        StorageFull,
    };
    let (kind, words) = match error.kind() {
        StorageFull | QuotaExceeded => (StoreErrorKind::Full, "free some space and try again"),
        PermissionDenied | ReadOnlyFilesystem => {
            (StoreErrorKind::Permission, "check the rights on it or use another folder")
        }
        NotADirectory | AlreadyExists | IsADirectory => {
            (StoreErrorKind::Permission, "a file stands where a folder should be, or the reverse")
        }
        _ => (StoreErrorKind::Unavailable, "the file system failed"),
    };
    StoreError::new(kind, operation, format!("{}: {words}: {error}", path.display())).because(error)
}

/// Only the row that was written is to blame: a damaged one, one that exists against all accounts, one too large.
pub(super) fn of_one_row(error: &StoreError) -> bool {
    let kind = matches!(error.kind(), StoreErrorKind::Corrupt | StoreErrorKind::Invalid);
    let source = error.source().and_then(|source| source.downcast_ref::<sqlx::Error>());
    kind && source.is_none_or(|source| matches!(primary(source), Some(CONSTRAINT | MISMATCH | TOOBIG)))
}

fn primary(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

fn classify(error: &sqlx::Error) -> (StoreErrorKind, &'static str) {
    match primary(error) {
        Some(FULL) => (StoreErrorKind::Full, "no space is left for the store; free some and try again"),
        Some(BUSY | LOCKED) => (StoreErrorKind::Unavailable, "another process is writing to the store"),
        Some(PERM | READONLY | CANTOPEN) => (
            StoreErrorKind::Permission,
            "the store cannot be opened; check the rights on its file and folder",
        ),
        Some(NOTADB) => (StoreErrorKind::Corrupt, "the file is not a SQLite database"),
        Some(CORRUPT) => (StoreErrorKind::Corrupt, "the database is damaged; restore it from a copy"),
        // No statement of this crate breaks a constraint, nor is one misspelt, on the tables it made.
        Some(CONSTRAINT | MISMATCH | ERROR) => {
            (StoreErrorKind::Corrupt, "the tables are not as they were made")
        }
        Some(TOOBIG) => (StoreErrorKind::Invalid, "a value is too large for the store"),
        Some(_) => (StoreErrorKind::Unavailable, "the store failed"),
        None => match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
                (StoreErrorKind::Corrupt, "a stored value is damaged")
            }
            sqlx::Error::Encode(_) | sqlx::Error::Configuration(_) => {
                (StoreErrorKind::Invalid, "the store does not take this")
            }
            _ => (StoreErrorKind::Unavailable, "the store cannot be reached"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{commit_fault, fault, of_one_row};
    use crate::StoreErrorKind;
    use crate::failpoint::Code;

    fn error(code: i32) -> sqlx::Error {
        sqlx::Error::Database(Box::new(Code(code)))
    }

    // Extended codes: IOERR_WRITE, IOERR_FSYNC, BUSY_SNAPSHOT, READONLY_DBMOVED, CONSTRAINT_PRIMARYKEY.
    const IOERR_WRITE: i32 = 778;
    const IOERR_FSYNC: i32 = 1034;
    const BUSY_SNAPSHOT: i32 = 517;
    const READONLY_DBMOVED: i32 = 1032;
    const CONSTRAINT_PRIMARYKEY: i32 = 1555;

    #[test]
    fn a_failed_statement_has_the_kind_of_its_code() {
        let cases = [
            (13, StoreErrorKind::Full),
            (5, StoreErrorKind::Unavailable),
            (BUSY_SNAPSHOT, StoreErrorKind::Unavailable),
            (IOERR_WRITE, StoreErrorKind::Unavailable),
            (READONLY_DBMOVED, StoreErrorKind::Permission),
            (14, StoreErrorKind::Permission),
            (11, StoreErrorKind::Corrupt),
            (26, StoreErrorKind::Corrupt),
            (CONSTRAINT_PRIMARYKEY, StoreErrorKind::Corrupt),
            (18, StoreErrorKind::Invalid),
        ];
        for (code, expected) in cases {
            assert_eq!(fault("test", error(code)).kind(), expected, "code {code}");
        }
    }

    #[test]
    fn a_failed_commit_is_unknown_unless_it_cannot_have_landed() {
        let cases = [
            (13, StoreErrorKind::Full),
            (5, StoreErrorKind::Unavailable),
            (IOERR_WRITE, StoreErrorKind::CommitUnknown),
            (IOERR_FSYNC, StoreErrorKind::CommitUnknown),
            (11, StoreErrorKind::CommitUnknown),
        ];
        for (code, expected) in cases {
            assert_eq!(commit_fault("test", error(code)).kind(), expected, "code {code}");
        }
        let gone = commit_fault("test", sqlx::Error::WorkerCrashed);
        assert!(gone.commit_unknown(), "{gone}");
    }

    #[test]
    fn a_row_is_to_blame_for_constraints_but_not_for_the_disk() {
        assert!(of_one_row(&fault("test", error(CONSTRAINT_PRIMARYKEY))));
        for code in [11, 13, 26, IOERR_WRITE] {
            assert!(!of_one_row(&fault("test", error(code))), "code {code}");
        }
    }
}
