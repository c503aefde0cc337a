//! `agentos kill`, `grant` and `nice`: what is posted to a process, beside a running kernel too.

use kernel::{post_mail, process_info};
use kernel_types::{Budget, LimitName, MailBody, Signal, Tokens};
use serde_json::{Value, json};

use crate::args::{Global, GrantArgs, KillArgs, NiceArgs};
use crate::data;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::ui::Ui;

pub(crate) async fn kill(global: &Global, args: &KillArgs, ui: &Ui) -> Result<Exit, Failure> {
    let signal = if args.nine { Signal::Kill } else { args.signal };
    let (said, body) = (signal.to_string(), MailBody::Signal(signal));
    post(global, &args.pid, ui, (&said, json!({ "signal": signal })), body).await
}

pub(crate) async fn grant(global: &Global, args: &GrantArgs, ui: &Ui) -> Result<Exit, Failure> {
    let more = args.more;
    let more = Budget {
        tokens: more.tokens.map(Tokens),
        cost: more.cost,
        steps: more.steps,
        calls: more.calls,
        tool_calls: more.tool_calls,
        wall_time: more.time,
        children: more.children,
    };
    post(global, &args.pid, ui, ("a grant", json!({ "grant": more })), MailBody::Grant(more)).await
}

pub(crate) async fn nice(global: &Global, args: &NiceArgs, ui: &Ui) -> Result<Exit, Failure> {
    let said = format!("priority {}", args.priority);
    let body = MailBody::Priority(args.priority);
    post(global, &args.pid, ui, (&said, json!({ "priority": args.priority })), body).await
}

/// Posts to a process that lives, and says so.
async fn post(
    global: &Global,
    pid: &str,
    ui: &Ui,
    (said, mut object): (&str, Value),
    body: MailBody,
) -> Result<Exit, Failure> {
    let (store, row) = data::attach_for(global, pid).await?;
    let pid = row.pid;
    if row.exited {
        return Err(Failure::new(Exit::BadInput, format!("process {pid} has ended"))
            .hint(format!("see what it did: agentos logs {pid}")));
    }
    if let MailBody::Grant(more) = &body {
        let limits = process_info(&row).map(|info| info.budget).map_err(|error| {
            Failure::new(Exit::BadInput, format!("process {pid} does not load: {error}"))
                .hint(format!("run `agentos audit verify {pid}`"))
        })?;
        if let Some(name) = unlimited(&limits, more) {
            return Err(Failure::new(
                Exit::BadInput,
                format!("process {pid} has no limit of {name} to raise"),
            ));
        }
    }
    post_mail(&store, pid, body).await?;
    store.close().await?;
    if ui.json {
        object["pid"] = json!(pid);
        object["posted"] = json!(true);
        output::line(&object.to_string())?;
    } else {
        output::line(&format!(
            "{said} posted to {pid}; a kernel that runs the process acts on it within a second, else it waits for `resume`"
        ))?;
    }
    Ok(Exit::Ok)
}

/// The first limit that would be raised and is none.
fn unlimited(limits: &Budget, more: &Budget) -> Option<LimitName> {
    let pairs = [
        (LimitName::Tokens, more.tokens.is_some() && limits.tokens.is_none()),
        (LimitName::Cost, more.cost.is_some() && limits.cost.is_none()),
        (LimitName::Steps, more.steps.is_some() && limits.steps.is_none()),
        (LimitName::Calls, more.calls.is_some() && limits.calls.is_none()),
        (LimitName::ToolCalls, more.tool_calls.is_some() && limits.tool_calls.is_none()),
        (LimitName::WallTime, more.wall_time.is_some() && limits.wall_time.is_none()),
        (LimitName::Children, more.children.is_some() && limits.children.is_none()),
    ];
    pairs.into_iter().find(|(_, missing)| *missing).map(|(name, _)| name)
}
