//! What a failure of PostgreSQL, or of the way to it, means for the caller.

use std::io;

use sqlx::Error;

use crate::{StoreError, StoreErrorKind};

/// What to do about a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Meaning {
    /// The server undid the statement for the sake of another one: it may be run again.
    Again,
    /// The connection is of no use any more. A statement that was sent may have been carried out.
    Lost,
    /// Nothing was sent: the server cannot be reached, or takes nobody for now.
    Unreachable,
    /// A row of the statement is to blame: the others may do without it.
    Row,
    /// The server refused, and will again.
    Final,
}

/// What a failure of a statement means that was sent on a connection.
pub(super) fn meaning(error: &Error) -> Meaning {
    match state(error).as_deref() {
        // Two transactions in each other's way, a lock that was not got in time.
        Some("40001" | "40P01" | "55P03") => Meaning::Again,
        // A body went between the statement that wrote it and the one that refers to it.
        Some("23503") => Meaning::Again,
        // Said while the connection is being ended: the transaction may have been over already.
        Some(code) if code.starts_with("57P") || code.starts_with("08") => Meaning::Lost,
        // A value out of range or of a wrong form, a constraint, a row too large.
        Some(code) if ["22", "23", "54"].iter().any(|class| code.starts_with(class)) => Meaning::Row,
        Some(_) => Meaning::Final,
        None if is_of_the_caller(error) => Meaning::Row,
        None => Meaning::Lost,
    }
}

/// What a failure to connect means.
pub(super) fn connecting(error: &Error) -> Meaning {
    match state(error).as_deref() {
        // Starting, stopping, too many connections.
        Some(code) if code.starts_with("57P0") || code.starts_with("08") || code == "53300" => {
            Meaning::Unreachable
        }
        Some(_) => Meaning::Final,
        None => match error {
            Error::Io(_)
            | Error::Tls(_)
            | Error::Protocol(_)
            | Error::PoolTimedOut
            | Error::WorkerCrashed => Meaning::Unreachable,
            _ => Meaning::Final,
        },
    }
}

/// The error of a statement that left nothing behind.
pub(super) fn fault(operation: &'static str, error: Error) -> StoreError {
    let (kind, words) = classify(&error);
    StoreError::new(kind, operation, format!("{words}: {}", plain(&error))).because(error)
}

/// The error of a write whose answer was lost.
pub(super) fn unknown(operation: &'static str, error: Error) -> StoreError {
    let message = format!("the answer to a write was lost, it may have landed: {}", plain(&error));
    StoreError::new(StoreErrorKind::CommitUnknown, operation, message).because(error)
}

/// The error of a server that did not answer in time.
pub(super) fn timed_out() -> Error {
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))
}

/// One line without what the driver puts before it.
fn plain(error: &Error) -> String {
    let words = match error.as_database_error() {
        Some(database) => format!("{} ({})", database.message(), state(error).unwrap_or_default()),
        None => error.to_string(),
    };
    words.lines().collect::<Vec<_>>().join(" ")
}

/// The SQLSTATE, https://www.postgresql.org/docs/current/errcodes-appendix.html.
pub(super) fn state(error: &Error) -> Option<String> {
    error.as_database_error()?.code().map(|code| code.into_owned())
}

fn is_of_the_caller(error: &Error) -> bool {
    matches!(error, Error::Encode(_))
}

fn classify(error: &Error) -> (StoreErrorKind, &'static str) {
    let Some(code) = state(error) else {
        return match error {
            Error::ColumnDecode { .. } | Error::Decode(_) | Error::ColumnNotFound(_) => {
                (StoreErrorKind::Corrupt, "a stored value is damaged")
            }
            Error::Encode(_) => (StoreErrorKind::Invalid, "the store does not take this"),
            Error::Configuration(_) => (StoreErrorKind::Invalid, "the address of the store is wrong"),
            Error::Tls(_) => (StoreErrorKind::Unavailable, "no encrypted connection to the database"),
            Error::PoolClosed => (StoreErrorKind::Unavailable, "the store is closed"),
            _ => (StoreErrorKind::Unavailable, "the database cannot be reached"),
        };
    };
    match code.as_str() {
        "3D000" => (StoreErrorKind::Invalid, "there is no such database"),
        "42501" => (StoreErrorKind::Permission, "the user of the database has no right to do this"),
        "53100" => (StoreErrorKind::Full, "no space is left for the database; free some and try again"),
        "57014" => (StoreErrorKind::Unavailable, "the database took too long"),
        "25006" => (StoreErrorKind::Unavailable, "the database takes no writes: is it a standby?"),
        "XX001" | "XX002" => (StoreErrorKind::Corrupt, "the database is damaged; restore it from a copy"),
        // No statement of this crate breaks a constraint, nor is one misspelt, on the tables it made.
        code if code.starts_with("42") || code.starts_with("23") || code.starts_with("3F") => {
            (StoreErrorKind::Corrupt, "the tables are not as they were made")
        }
        code if code.starts_with("28") => {
            (StoreErrorKind::Permission, "the database does not let this user in")
        }
        code if code.starts_with("22") || code.starts_with("54") => {
            (StoreErrorKind::Invalid, "the database does not take this")
        }
        _ => (StoreErrorKind::Unavailable, "the database failed"),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::error::Error as StdError;
    use std::fmt;

    use sqlx::error::{DatabaseError, ErrorKind};

    use super::{Meaning, connecting, fault, meaning, timed_out, unknown};
    use crate::StoreErrorKind;

    /// An error of the server with this SQLSTATE.
    #[derive(Debug)]
    struct State(&'static str);

    impl fmt::Display for State {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl StdError for State {}

    impl DatabaseError for State {
        fn message(&self) -> &str {
            "words\nof the server"
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }

        fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    fn error(code: &'static str) -> sqlx::Error {
        sqlx::Error::Database(Box::new(State(code)))
    }

    #[test]
    fn a_failed_statement_has_the_kind_of_its_code_in_one_line() {
        let cases = [
            ("3D000", StoreErrorKind::Invalid),
            ("28P01", StoreErrorKind::Permission),
            ("42501", StoreErrorKind::Permission),
            ("42P01", StoreErrorKind::Corrupt),
            ("23505", StoreErrorKind::Corrupt),
            ("22003", StoreErrorKind::Invalid),
            ("53100", StoreErrorKind::Full),
            ("53300", StoreErrorKind::Unavailable),
            ("57014", StoreErrorKind::Unavailable),
            ("25006", StoreErrorKind::Unavailable),
            ("XX001", StoreErrorKind::Corrupt),
        ];
        for (code, expected) in cases {
            let error = fault("test", error(code));
            assert_eq!(error.kind(), expected, "{code}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
        assert_eq!(fault("test", timed_out()).kind(), StoreErrorKind::Unavailable);
        assert!(unknown("test", timed_out()).commit_unknown());
    }

    #[test]
    fn what_a_failure_means_depends_on_whether_something_was_sent() {
        let cases = [
            ("40001", Meaning::Again, Meaning::Final),
            ("40P01", Meaning::Again, Meaning::Final),
            ("23503", Meaning::Again, Meaning::Final),
            ("23505", Meaning::Row, Meaning::Final),
            ("22021", Meaning::Row, Meaning::Final),
            ("57P01", Meaning::Lost, Meaning::Unreachable),
            ("57P03", Meaning::Lost, Meaning::Unreachable),
            ("53300", Meaning::Final, Meaning::Unreachable),
            ("57014", Meaning::Final, Meaning::Final),
            ("28P01", Meaning::Final, Meaning::Final),
        ];
        for (code, sent, not_sent) in cases {
            assert_eq!(meaning(&error(code)), sent, "{code} of a statement");
            assert_eq!(connecting(&error(code)), not_sent, "{code} of a connection");
        }
        assert_eq!(meaning(&timed_out()), Meaning::Lost);
        assert_eq!(connecting(&timed_out()), Meaning::Unreachable);
    }
}
