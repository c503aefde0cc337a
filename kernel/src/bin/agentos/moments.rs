//! `agentos checkpoint`, `checkpoints`, `fork` and `restore`: moments of processes.

use kernel::{KernelError, checkpoint as name_moment, checkpoints as names};
use kernel_types::PastMoment;
use serde_json::json;

use crate::args::{CheckpointArgs, CheckpointsArgs, ForkArgs, Global, RestoreArgs};
use crate::data;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::ui::Ui;

pub(crate) async fn checkpoint(global: &Global, args: &CheckpointArgs, ui: &Ui) -> Result<Exit, Failure> {
    let (store, row) = data::attach_for(global, &args.pid).await?;
    let pid = row.pid;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => format!("step-{}", kernel::moment(&store, pid, &args.at).await.map_err(unfound)?.step),
    };
    let at = name_moment(&store, pid, &name, &args.at).await.map_err(unfound)?;
    store.close().await?;
    if ui.json {
        output::line(&json!({ "pid": pid, "name": name, "at": at }).to_string())?;
    } else {
        output::line(&format!("{name}: step {} of {pid}", at.step))?;
    }
    Ok(Exit::Ok)
}

pub(crate) async fn checkpoints(global: &Global, args: &CheckpointsArgs, ui: &Ui) -> Result<Exit, Failure> {
    let (store, row) = data::attach_for(global, &args.pid).await?;
    let known = names(&store, row.pid).await?;
    store.close().await?;
    if ui.json {
        let known: Vec<_> = known.iter().map(|(name, at)| json!({ "name": name, "at": at })).collect();
        output::line(&json!({ "pid": row.pid, "checkpoints": known }).to_string())?;
        return Ok(Exit::Ok);
    }
    if known.is_empty() {
        output::line(&format!("{} has none; `agentos checkpoint {}` makes one", row.pid, row.pid))?;
        return Ok(Exit::Ok);
    }
    let width = known.iter().map(|(name, _)| name.chars().count()).chain([4]).max().unwrap_or(4);
    output::line(&format!("{:width$}  {:>6}  OF", "NAME", "STEP"))?;
    for (name, at) in known {
        output::line(&format!("{name:width$}  {:>6}  {}", at.step.to_string(), at.pid))?;
    }
    Ok(Exit::Ok)
}

pub(crate) async fn fork(global: &Global, args: &ForkArgs, ui: &Ui) -> Result<Exit, Failure> {
    // Looked at before the store is opened as a kernel's: a wrong pid must not make a data directory.
    let (attached, row) = data::attach_for(global, &args.pid).await?;
    attached.close().await?;
    let (_, store) = data::open(global).await?;
    let fork = kernel::fork(&store, row.pid, &args.at, args.name.as_deref()).await.map_err(unfound)?;
    store.close().await?;
    let next = format!("agentos resume {}", fork.pid);
    say(
        ui,
        json!({ "pid": fork.pid, "of": fork.at, "next": next }),
        &fork.at,
        &format!("pid {}", fork.pid),
        &next,
    )
}

pub(crate) async fn restore(global: &Global, args: &RestoreArgs, ui: &Ui) -> Result<Exit, Failure> {
    let (attached, row) = data::attach_for(global, &args.pid).await?;
    attached.close().await?;
    let (_, store) = data::open(global).await?;
    let back = kernel::restore(&store, row.pid, &args.at).await.map_err(unfound)?;
    store.close().await?;
    let next = format!("agentos resume {}", back.pid);
    say(
        ui,
        json!({ "pid": back.pid, "to": back.at, "next": next }),
        &back.at,
        &format!("pid {}", back.pid),
        &next,
    )
}

fn say(ui: &Ui, object: serde_json::Value, at: &PastMoment, pid: &str, next: &str) -> Result<Exit, Failure> {
    if ui.json {
        output::line(&object.to_string())?;
    } else {
        output::line(&format!("{pid}: as step {} of {} left it\n{next}", at.step, at.pid))?;
    }
    Ok(Exit::Ok)
}

fn unfound(error: KernelError) -> Failure {
    let hint = matches!(error, KernelError::Refused(_));
    let failure = Failure::from(error);
    if hint {
        failure.hint("`agentos logs PID` shows the steps, `agentos checkpoints PID` the names")
    } else {
        failure
    }
}
