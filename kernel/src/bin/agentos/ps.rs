//! `agentos ps`.

use kernel::{event_of, process_info};
use kernel_storage::{Journal, SqliteStore};
use kernel_types::{AgentRow, Event, ProcessInfo, Spec};
use serde_json::{Value, json};

use crate::args::{Global, PsArgs};
use crate::data;
use crate::failure::{Exit, Failure};
use crate::format::{clipped, count, time};
use crate::output;
use crate::ui::Ui;

/// Characters of a task that are shown.
const TASK: usize = 60;

pub(crate) async fn ps(global: &Global, args: &PsArgs, ui: &Ui) -> Result<Exit, Failure> {
    let mut processes = Vec::new();
    if let Some(store) = data::attach(global).await? {
        for row in data::processes(&store, !args.all).await? {
            let task = spec(&store, &row).await?.map(|spec| spec.task).unwrap_or_default();
            processes.push((process_info(&row).ok(), row, task));
        }
    }
    if ui.json {
        let list: Vec<Value> =
            processes.iter().map(|(info, row, task)| object(info.as_ref(), row, task)).collect();
        output::line(&json!({ "processes": list }).to_string())?;
        return Ok(Exit::Ok);
    }
    output::line(&format!(
        "{:36}  {:28}  {:>3}  {:>5}  {:>7}  {:>9}  {:>11}  {:24}  TASK",
        "PID", "STATE", "PRI", "STEP", "WAITED", "TOKENS", "COST", "STARTED"
    ))?;
    for (info, row, task) in &processes {
        let line = match info {
            Some(info) => format!(
                "{:36}  {:28}  {:>3}  {:>5}  {:>7}  {:>9}  {:>11}  {:24}  {}: {}",
                row.pid.to_string(),
                info.state.to_string(),
                info.priority.to_string(),
                info.step,
                format!("{:.1}s", info.waited.0 as f64 / 1000.0),
                count(info.usage.tokens().0),
                info.usage.cost.to_string(),
                time(info.spawned_at),
                info.name,
                clipped(task, TASK)
            ),
            None => format!("{:36}  its state is not readable by this build", row.pid.to_string()),
        };
        output::line(&line)?;
    }
    Ok(Exit::Ok)
}

fn object(info: Option<&ProcessInfo>, row: &AgentRow, task: &str) -> Value {
    let mut object = json!({ "pid": row.pid.to_string(), "parent": row.parent.to_string(), "task": task });
    if let Some(info) = info {
        object["name"] = json!(info.name);
        object["state"] = json!(info.state);
        object["priority"] = json!(info.priority);
        object["waited_ms"] = json!(info.waited);
        object["step"] = json!(info.step);
        object["usage"] = json!(info.usage);
        object["budget"] = json!(info.budget);
        object["spawned_at"] = json!(time(info.spawned_at));
    }
    object
}

/// What a process was spawned from: its first record.
pub(crate) async fn spec(store: &SqliteStore, row: &AgentRow) -> Result<Option<Spec>, Failure> {
    let first = store.records(row.pid, 1, 1).await?;
    Ok(match event_of(store, first.first()).await? {
        Some(Event::Spawned { spec, .. }) => Some(spec),
        _ => None,
    })
}
