//! What opening a store found out: whether the database is older than the head file beside it says.

use std::fmt;
use std::path::{Path, PathBuf};

use kernel_types::{Epoch, Pid};
use sqlx::SqliteConnection;

use super::head::{HeadFile, Known};
use super::statement;
use crate::Arrival;
use crate::check::Tip;

/// The processes that a line names; the others are counted.
const NAMED: usize = 8;

/// What opening a store found out. Displays as one line.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct OpenReport {
    /// Processes that lost commits, of those that committed last.
    pub regressions: Vec<Regression>,
    /// The epoch, if it fell: numbers that were claimed already are given out again.
    pub epoch: Option<Older<Epoch>>,
    /// The last arrival, if mail is gone.
    pub arrival: Option<Older<Arrival>>,
    /// The copy made of a database that had to be migrated, from before that.
    pub backup: Option<PathBuf>,
}

/// A process whose commits are gone: the database was put back, or lost its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Regression {
    /// The process.
    pub pid: Pid,
    /// Its revisions; the same one twice stands for a commit in the place of another. Found is 0 if it has no row.
    pub revision: Older<u64>,
}

/// Something in the database that was further once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Older<T> {
    /// What is there.
    pub found: T,
    /// What was there.
    pub expected: T,
}

impl OpenReport {
    /// The database is older than it was once.
    #[must_use]
    pub fn is_older(&self) -> bool {
        !self.regressions.is_empty() || self.epoch.is_some() || self.arrival.is_some()
    }
}

impl fmt::Display for OpenReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(Older { found, expected }) = self.epoch {
            parts.push(format!("epoch {found} instead of {expected}"));
        }
        if let Some(Older { found, expected }) = self.arrival {
            parts.push(format!("mail up to arrival {} instead of {}", found.0, expected.0));
        }
        parts.extend(self.regressions.iter().take(NAMED).map(Regression::to_string));
        if self.regressions.len() > NAMED {
            parts.push(format!("{} more processes", self.regressions.len() - NAMED));
        }
        if parts.is_empty() {
            return f.write_str("the store is as it was left");
        }
        write!(f, "the store is older than it was: {}", parts.join(", "))
    }
}

impl fmt::Display for Regression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, revision: Older { found, expected } } = self;
        if found == expected {
            return write!(f, "process {pid} with another revision {found}");
        }
        write!(f, "process {pid} at revision {found} instead of {expected}")
    }
}

/// What the database at `path` and its head file say of each other; an older database is a line in the log.
pub(super) async fn of(conn: &mut SqliteConnection, head: &mut HeadFile, path: &Path) -> OpenReport {
    match compare(conn, head).await {
        Ok(report) => {
            if report.is_older() {
                tracing::warn!("{}: {report} (by {})", path.display(), head.path().display());
            }
            report
        }
        // Whatever needs what cannot be read will say so.
        Err(error) => {
            tracing::warn!("{} cannot be compared with its head file: {error}", path.display());
            OpenReport::default()
        }
    }
}

/// Compares the database with its head file; from then on the head file goes by the database.
async fn compare(conn: &mut SqliteConnection, head: &mut HeadFile) -> Result<OpenReport, sqlx::Error> {
    let known = head.known().clone();
    let found = statement::known(conn).await?;
    let tips = tips(conn, &known).await;
    let mut report = OpenReport {
        epoch: older(found.0, known.epoch),
        arrival: older(found.1, known.arrival),
        ..OpenReport::default()
    };
    let mut heads = Vec::with_capacity(known.heads.len());
    for ((pid, revision, hash), tip) in known.heads.iter().copied().zip(tips) {
        // A row that cannot be read is damaged, not older: whoever reads it is told.
        let Some(tip) = tip else { continue };
        if tip.revision < revision || (tip.revision == revision && tip.head != hash) {
            let revision = Older { found: tip.revision, expected: revision };
            report.regressions.push(Regression { pid, revision });
        }
        if tip.revision > 0 {
            heads.push((pid, tip.revision, tip.head));
        }
    }
    head.take(Known { epoch: found.0, arrival: found.1, heads, ..known });
    Ok(report)
}

fn older<T: PartialOrd>(found: T, expected: T) -> Option<Older<T>> {
    (found < expected).then_some(Older { found, expected })
}

/// The rows of the known heads, in their order; one by one if they cannot be read together.
async fn tips(conn: &mut SqliteConnection, known: &Known) -> Vec<Option<Tip>> {
    let pids: Vec<Pid> = known.heads.iter().map(|(pid, ..)| *pid).collect();
    if let Ok(tips) = statement::tips(conn, &pids).await {
        return pids.iter().map(|pid| Some(tips.get(pid).copied().unwrap_or_default())).collect();
    }
    let mut found = Vec::with_capacity(pids.len());
    for pid in pids {
        let tip = statement::tips(conn, &[pid]).await;
        found.push(tip.ok().map(|tips| tips.get(&pid).copied().unwrap_or_default()));
    }
    found
}
