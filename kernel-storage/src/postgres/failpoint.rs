//! The [fail points](crate::failpoint) of the PostgreSQL store: around each statement that a batch is written by.

use crate::failpoint::writes;

writes! {
    "postgres",
    /// The names of all fail points of the PostgreSQL store.
    POSTGRES_FAIL_POINTS:
    BODIES = "bodies"
    COMMIT = "commit"
    // A failure here changes nothing: what is to be said is settled.
    ANSWER = "answer"
}
