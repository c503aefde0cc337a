//! `agentos ps`.

use kernel::{event_of, process_info};
use kernel_storage::{Journal, Mailboxes};
use kernel_types::{AgentRow, Event, Mail, MailBody, ProcessInfo, Spec};
use serde_json::{Value, json};

use crate::args::{Global, PsArgs};
use crate::data;
use crate::disk::Disk;
use crate::failure::{Exit, Failure};
use crate::format::{clipped, count, counted, plain, time};
use crate::output;
use crate::ui::Ui;

/// Characters of a task that are shown.
const TASK: usize = 60;

pub(crate) async fn ps(global: &Global, args: &PsArgs, ui: &Ui) -> Result<Exit, Failure> {
    let mut processes = Vec::new();
    if let Some(store) = data::attach(global).await? {
        for row in data::processes(&store, !args.all).await? {
            let task = spec(&store, &row).await?.map(|spec| spec.task).unwrap_or_default();
            let mail = if row.exited { Vec::new() } else { store.inbox(row.pid).await? };
            processes.push(Listed { info: process_info(&row).ok(), row, task, mail });
        }
    }
    if ui.json {
        let list: Vec<Value> = processes.iter().map(object).collect();
        output::line(&json!({ "processes": list }).to_string())?;
        return Ok(Exit::Ok);
    }
    output::line(&format!(
        "{:36}  {:28}  {:>3}  {:>5}  {:>7}  {:>9}  {:>11}  {:24}  {:16}  TASK",
        "PID", "STATE", "PRI", "STEP", "WAITED", "TOKENS", "COST", "STARTED", "MAIL"
    ))?;
    for Listed { info, row, task, mail } in &processes {
        let line = match info {
            Some(info) => format!(
                "{:36}  {:28}  {:>3}  {:>5}  {:>7}  {:>9}  {:>11}  {:24}  {:16}  {}: {}",
                row.pid.to_string(),
                info.state.to_string(),
                info.priority.to_string(),
                info.step,
                format!("{:.1}s", info.waited.0 as f64 / 1000.0),
                count(info.usage.tokens().0),
                info.usage.cost.to_string(),
                time(info.spawned_at),
                waiting(mail),
                plain(&info.name),
                clipped(task, TASK)
            ),
            None => format!("{:36}  its state is not readable by this build", row.pid.to_string()),
        };
        output::line(&line)?;
    }
    Ok(Exit::Ok)
}

/// A process and what was posted to it that it has not taken yet.
struct Listed {
    info: Option<ProcessInfo>,
    row: AgentRow,
    task: String,
    mail: Vec<Mail>,
}

/// `grant, TERM: resume it`: what only a kernel takes waits for one. A running kernel takes it within a second.
fn waiting(mail: &[Mail]) -> String {
    let of_kernel = mail.iter().filter_map(|mail| match &mail.body {
        MailBody::Signal(signal) => Some(signal.to_string()),
        MailBody::Grant(_) => Some("grant".to_owned()),
        MailBody::Priority(priority) => Some(format!("priority {priority}")),
        _ => None,
    });
    let of_kernel: Vec<String> = of_kernel.collect();
    let messages = mail.iter().filter(|mail| mail.body.is_message()).count() as u64;
    let messages = (messages > 0).then(|| counted(messages, "message"));
    let posted = (!of_kernel.is_empty()).then(|| format!("{}: resume it", of_kernel.join(", ")));
    messages.into_iter().chain(posted).collect::<Vec<_>>().join("; ")
}

fn object(Listed { info, row, task, mail }: &Listed) -> Value {
    let mut object = json!({ "pid": row.pid.to_string(), "parent": row.parent.to_string(), "task": task });
    // Messages and the ends of children are for the process.
    let posted = mail.iter().map(|mail| &mail.body);
    let posted = posted.filter(|body| !body.is_message() && !matches!(body, MailBody::ChildExit { .. }));
    object["pending"] = json!(posted.collect::<Vec<_>>());
    object["messages"] = json!(mail.iter().filter(|mail| mail.body.is_message()).count());
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
pub(crate) async fn spec(store: &Disk, row: &AgentRow) -> Result<Option<Spec>, Failure> {
    let first = store.records(row.pid, 1, 1).await?;
    Ok(match event_of(store, first.first()).await? {
        Some(Event::Spawned { spec, .. }) => Some(spec),
        _ => None,
    })
}
