//! Points in the writing of a batch at which a test makes it fail, or the process die.
//!
//! With the feature `failpoints` each is a point of the crate `fail`, set by its name:
//! `sqlite.commit.before=3*off->return(kill)` ends the process as `kill -9` does when it comes there the fourth time;
//! `return(13)` makes the statement fail with that result code of SQLite, `return(lost)` as if its connection had been
//! cut. Without the feature there are none.

/// The two points around one write.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(feature = "failpoints"),
    expect(dead_code, reason = "nothing asks for names that nothing sets")
)]
pub(crate) struct Write {
    pub(crate) before: &'static str,
    pub(crate) after: &'static str,
}

/// Declares the writes of a store: for each a constant, and a list of all their names.
macro_rules! writes {
    ($store:literal, $(#[$documentation:meta])* $all:ident: $($name:ident = $text:literal)*) => {
        $(pub(super) const $name: $crate::failpoint::Write = $crate::failpoint::Write {
            before: concat!($store, ".", $text, ".before"),
            after: concat!($store, ".", $text, ".after"),
        };)*

        $(#[$documentation])*
        #[cfg(feature = "failpoints")]
        pub const $all: &[&str] = &[$($name.before, $name.after),*];
    };
}

pub(crate) use writes;

impl Write {
    /// Runs the write between its points. One that fails at the second point has had its effect.
    #[cfg(feature = "sqlite")]
    pub(crate) async fn around<T>(
        self,
        write: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        self.before()?;
        let done = write.await?;
        self.after()?;
        Ok(done)
    }

    pub(crate) fn before(self) -> Result<(), sqlx::Error> {
        #[cfg(feature = "failpoints")]
        fail::fail_point!(self.before, |argument| Err(injected::failure(self.before, argument.as_deref())));
        Ok(())
    }

    pub(crate) fn after(self) -> Result<(), sqlx::Error> {
        #[cfg(feature = "failpoints")]
        fail::fail_point!(self.after, |argument| Err(injected::failure(self.after, argument.as_deref())));
        Ok(())
    }
}

#[cfg(feature = "failpoints")]
mod injected {
    use std::io;

    use rustix::process::{Signal, getpid, kill_process};

    use super::Code;

    /// What `return(argument)` asks for at the point `name`.
    pub(super) fn failure(name: &str, argument: Option<&str>) -> sqlx::Error {
        let argument = argument.unwrap_or_default();
        if argument == "kill" {
            let killed = kill_process(getpid(), Signal::KILL);
            panic!("a process may kill itself: {killed:?}");
        }
        if argument == "lost" {
            return sqlx::Error::Io(io::Error::new(io::ErrorKind::ConnectionReset, "made to fail"));
        }
        let code = argument.parse();
        let code = code.unwrap_or_else(|_| {
            panic!("{name}: {argument:?} is neither `kill` nor `lost` nor a code of SQLite")
        });
        sqlx::Error::Database(Box::new(Code(code)))
    }
}

/// An error of SQLite with this extended result code.
#[cfg(any(all(test, feature = "sqlite"), feature = "failpoints"))]
#[derive(Debug, thiserror::Error)]
#[error("made to fail (code: {0})")]
pub(crate) struct Code(pub(crate) i32);

#[cfg(any(all(test, feature = "sqlite"), feature = "failpoints"))]
impl sqlx::error::DatabaseError for Code {
    fn message(&self) -> &str {
        "made to fail"
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some(self.0.to_string().into())
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> sqlx::error::ErrorKind {
        sqlx::error::ErrorKind::Other
    }
}
