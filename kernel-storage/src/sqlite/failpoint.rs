//! The [fail points](crate::failpoint) of the SQLite store.

use crate::failpoint::writes;

writes! {
    "sqlite",
    /// The names of all fail points of the SQLite store.
    SQLITE_FAIL_POINTS:
    BEGIN = "begin"
    AGENTS = "agents"
    RECORDS = "records"
    VALUES = "values"
    DELETED_VALUES = "deleted_values"
    PAST_VALUES = "past_values"
    BLOBS = "blobs"
    REFERENCES = "blob_ref"
    CONSUMED = "consumed"
    SENT = "sent"
    FORGOTTEN = "forgotten"
    COMMIT = "commit"
    // A failure here changes nothing: what is to be said is settled.
    ANSWER = "answer"
    SAVEPOINT = "savepoint"
    RELEASE = "release"
    CLAIM = "claim"
    SWEEP = "sweep"
}
