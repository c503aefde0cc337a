//! The data directory: the database, the local model. And processes by the beginning of their pid.

use std::path::PathBuf;

use etcetera::base_strategy::{BaseStrategy, choose_base_strategy};
use kernel_storage::Journal;
use kernel_types::{AgentRow, Pid};

use crate::args::Global;
use crate::disk::{Disk, Place};
use crate::failure::{Exit, Failure};

/// Rows read at a time.
const PAGE: usize = 1024;

/// The data directory: the flag, else the variable, else `agentos` among the user's data.
pub(crate) fn folder(global: &Global) -> Result<PathBuf, Failure> {
    if let Some(folder) = &global.data_dir {
        return Ok(folder.clone());
    }
    let user = choose_base_strategy().map_err(|error| {
        Failure::new(Exit::Config, format!("no data directory: {error}")).hint("name one with --data-dir")
    })?;
    Ok(user.data_dir().join("agentos"))
}

/// Where processes are kept: the flag, else a file in the data directory.
pub(crate) fn place(global: &Global) -> Result<Place, Failure> {
    match &global.store {
        Some(place) => Ok(place.clone()),
        None => Ok(Place::Sqlite(folder(global)?.join("agentos.db"))),
    }
}

/// Opens the store for a kernel; a file for this one alone.
pub(crate) async fn open(global: &Global) -> Result<(PathBuf, Disk), Failure> {
    let folder = folder(global)?;
    let store = Disk::open(&place(global)?).await?;
    if !folder.exists() {
        // With another store than the default: what else a kernel keeps lies there.
        std::fs::create_dir_all(&folder)
            .map_err(|error| Failure::new(Exit::Io, format!("cannot make {}: {error}", folder.display())))?;
    }
    Ok((folder, store))
}

/// Opens the store beside a kernel that may be running; `None` if there is none yet.
pub(crate) async fn attach(global: &Global) -> Result<Option<Disk>, Failure> {
    Ok(Disk::attach(&place(global)?).await?)
}

/// Opens the store beside a kernel that may be running; there must be one.
pub(crate) async fn attach_existing(global: &Global) -> Result<Disk, Failure> {
    let place = place(global)?;
    attach(global).await?.ok_or_else(|| {
        let at = match &place {
            Place::Sqlite(path) => path.display().to_string(),
            other => other.to_string(),
        };
        Failure::new(Exit::BadInput, format!("there is no store at {at}"))
            .hint("check --data-dir and --store; `agentos run` makes one")
    })
}

/// Opens the store to work on a process in it.
pub(crate) async fn attach_for(global: &Global, pid: &str) -> Result<(Disk, AgentRow), Failure> {
    let Some(store) = attach(global).await? else { return Err(unknown(pid)) };
    let row = find(&store, pid).await?;
    Ok((store, row))
}

/// All processes, or all that live, by pid.
pub(crate) async fn processes(store: &Disk, live: bool) -> Result<Vec<AgentRow>, Failure> {
    let mut rows: Vec<AgentRow> = Vec::new();
    loop {
        let page = store.agents(rows.last().map(|row| row.pid), live, PAGE).await?;
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page);
    }
}

/// The process whose pid begins so.
pub(crate) async fn find(store: &Disk, pid: &str) -> Result<AgentRow, Failure> {
    if let Ok(whole) = pid.parse::<Pid>() {
        return store.agent(whole).await?.ok_or_else(|| unknown(pid));
    }
    let wanted = pid.to_ascii_lowercase();
    let mut found: Vec<AgentRow> = processes(store, false).await?;
    found.retain(|row| !wanted.is_empty() && row.pid.to_string().starts_with(&wanted));
    match found.len() {
        0 => Err(unknown(pid)),
        1 => Ok(found.remove(0)),
        many => {
            Err(Failure::new(Exit::BadInput, format!("{many} processes have a pid that begins with {pid:?}"))
                .hint("give more of it; `agentos ps --all` lists them"))
        }
    }
}

fn unknown(pid: &str) -> Failure {
    Failure::new(Exit::BadInput, format!("no process {pid:?}")).hint("`agentos ps --all` lists them")
}
