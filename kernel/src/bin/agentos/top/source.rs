//! Where frames come from: the kernels that run on a data directory, else its store.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use kernel::{ProcessStatus, process_info, serve};
use kernel_types::Timestamp;

use crate::data;
use crate::disk::{Disk, Place};
use crate::failure::{Exit, Failure};

use super::frame::Frame;

/// Asks all kernels at once; without any, reads the store.
pub(super) async fn frame(folder: &Path, place: &Place) -> Result<Frame, Failure> {
    let names = serve::sockets(folder)
        .map_err(|error| Failure::new(Exit::Io, format!("cannot read {}: {error}", folder.display())))?;
    let asked = names.iter().map(|name| serve::ask_status(folder, name));
    let answers = futures_util::future::join_all(asked).await;
    let mut frame = Frame {
        at: now(),
        kernels: Vec::new(),
        cpus: Vec::new(),
        limits: Vec::new(),
        processes: Vec::new(),
        notes: Vec::new(),
    };
    for (name, answer) in names.into_iter().zip(answers) {
        match answer {
            Ok(Some(status)) => {
                frame.kernels.push(name);
                frame.cpus.extend(status.cpus);
                frame.limits.extend(status.limits);
                frame.processes.extend(status.processes);
            }
            Ok(None) => {}
            Err(error) => frame.notes.push(format!("{name}: {error}")),
        }
    }
    if frame.kernels.is_empty() {
        let shown = match stored(place).await? {
            Some(processes) => {
                frame.processes = processes;
                "this is what its store has"
            }
            None => "it has no store yet",
        };
        frame.notes.push(format!("no kernel runs on {}: {shown}", folder.display()));
    }
    Ok(frame)
}

/// The processes that have not ended; `None` without a store.
async fn stored(place: &Place) -> Result<Option<Vec<ProcessStatus>>, Failure> {
    let Some(store) = Disk::attach(place).await? else { return Ok(None) };
    let rows = data::processes(&store, true).await;
    store.close().await?;
    Ok(Some(rows?.iter().filter_map(|row| process_info(row).ok()).map(ProcessStatus::from).collect()))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
