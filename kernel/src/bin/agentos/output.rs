//! Standard output. Whoever closed the other end has read enough: that is no failure.

use std::io::{self, Write};

use crate::failure::{Exit, Failure};

/// Writes text as it is.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Io, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes one line.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Writes a line to standard error. Whoever closed it does not want to know: that is no reason to stop a run.
pub(crate) fn complain(text: &str) {
    use std::io::Write;

    drop(writeln!(std::io::stderr(), "{text}"));
}
