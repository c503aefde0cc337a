//! `agentos resume`.

use std::path::Path;

use kernel::{Kernel, Until, post_mail, process_info};
use kernel_storage::{Journal, Mailboxes};
use kernel_types::{
    AgentRow, Budget, MailBody, MicroUsd, Millis, Pid, ProcessInfo, ProcessState, Signal, Spec,
    SuspendReason, Tokens,
};
use serde_json::json;

use crate::args::{Global, LimitArgs, ResumeArgs};
use crate::cpu::CpuChoice;
use crate::data;
use crate::disk::Disk;
use crate::drive::{self, Host};
use crate::embeddings;
use crate::failure::{Exit, Failure};
use crate::format::{count, span};
use crate::model::{self, Wanted};
use crate::output;
use crate::ps;
use crate::report::{report, unfinished};
use crate::signals::Interrupts;
use crate::transfer;
use crate::ui::Ui;

pub(crate) async fn resume(global: &Global, args: &ResumeArgs, ui: &Ui) -> Result<Exit, Failure> {
    // Looked at before the store is opened as a kernel's: a wrong pid must not make a data directory.
    let (attached, row) = data::attach_for(global, &args.pid).await?;
    attached.close().await?;
    let pid = row.pid;
    let (data, store) = data::open(global).await?;
    // It may have ended while another kernel had the store.
    let row = store.agent(pid).await?.unwrap_or(row);
    resumable(&row)?;
    let unreadable = |what: &str| {
        Failure::new(Exit::BadInput, format!("process {pid} does not load: {what}"))
            .hint(format!("run `agentos audit verify {pid}`"))
    };
    let has = process_info(&row).map_err(|error| unreadable(&error.to_string()))?;
    let info = with_grants(&store, has.clone()).await?;
    let spec = ps::spec(&store, &row).await?.ok_or_else(|| unreadable("its first record is missing"))?;
    let more = grant(&info, &args.limits).map_err(|failure| waiting_grants(failure, &has, &info))?;
    if transfer::is_holder(&spec) {
        post(&store, &info, more).await?;
        return hold(store, pid, ui).await;
    }
    let (wanted, write) = wanted(&spec, args.scheduler.slots)?;
    let keep_warm = spec.labels.get("keep_warm").is_none_or(|on| on != "false");
    let folder = spec.labels.get("workspace");
    let workspace = folder.map(|folder| drive::workspace(Path::new(folder))).transpose()?;

    let embedder = embeddings::open(&args.embeddings, &data)?;
    let mut interrupts = Interrupts::take()?;
    let chosen = interrupts.unless(model::choose(&wanted, &data, ui)).await?;
    post(&store, &info, more).await?;
    let host = Host {
        data: &data,
        workspace: workspace.as_ref(),
        write,
        keep_warm,
        embedder,
        scheduler: args.scheduler,
        quota: &args.quota,
    };
    let machine = drive::assemble(store, &chosen, host, ui).await?;
    machine.kernel.resume(pid).await?;
    ui.quiet();
    ui.say(&format!("pid {pid}"));
    machine.run(pid, row.records, &mut interrupts, ui).await?;
    report(machine, pid, &spec, ui).await
}

/// A process with the limits it has once it takes what waits for it: a grant that was posted while nobody ran it, or by a resume
/// that failed. The same command must not add it twice.
async fn with_grants(store: &Disk, mut info: ProcessInfo) -> Result<ProcessInfo, Failure> {
    for mail in store.inbox(info.pid).await? {
        if let MailBody::Grant(more) = mail.body {
            raise(&mut info.budget, &more);
        }
    }
    Ok(info)
}

/// Says of a limit that is too low that grants wait: no list of processes has the sum.
fn waiting_grants(failure: Failure, has: &ProcessInfo, will: &ProcessInfo) -> Failure {
    if has.budget == will.budget {
        return failure;
    }
    failure.hint(format!("grants wait for it already: resume it without, agentos resume {}", has.pid))
}

/// Posts what makes the process go on.
async fn post(store: &Disk, info: &ProcessInfo, more: Budget) -> Result<(), Failure> {
    if more != Budget::default() {
        post_mail(store, info.pid, MailBody::Grant(more)).await?;
    }
    if is_stopped(store, info).await? {
        post_mail(store, info.pid, MailBody::Signal(Signal::Cont)).await?;
    }
    Ok(())
}

/// A process that only holds pages takes what was posted to it, and holds them on.
async fn hold(store: Disk, pid: Pid, ui: &Ui) -> Result<Exit, Failure> {
    let kernel = Kernel::builder().store(store.clone()).build().await?;
    kernel.resume(pid).await?;
    kernel.run_until(Until::Idle).await?;
    let state = kernel.process(pid).await?.state;
    kernel.shutdown().await?;
    store.close().await?;
    ui.say(&format!("pid {pid}"));
    let details = json!({ "pid": pid, "state": state.to_string() });
    if matches!(state, ProcessState::Exited(_)) {
        return Err(unfinished(pid, &state).with_details(details));
    }
    if ui.json {
        output::line(&details.to_string())?;
    } else {
        output::line(
            "it only holds pages and has no task; `agentos import --task` makes one that works with them",
        )?;
    }
    Ok(Exit::Ok)
}

/// It was stopped, or will be by a signal that waits for it: one that a second Ctrl-C overtook, say.
async fn is_stopped(store: &Disk, info: &ProcessInfo) -> Result<bool, Failure> {
    let waiting = store.inbox(info.pid).await?;
    let stop = MailBody::Signal(Signal::Stop);
    Ok(info.state == ProcessState::Suspended(SuspendReason::Stopped)
        || waiting.iter().any(|mail| mail.body == stop))
}

fn resumable(row: &AgentRow) -> Result<(), Failure> {
    let pid = row.pid;
    if row.exited {
        return Err(Failure::new(Exit::BadInput, format!("process {pid} has ended"))
            .hint(format!("see what it did: agentos logs {pid}")));
    }
    // What an agent says of its children must not choose the folder they work in.
    if row.parent != Pid::INIT {
        return Err(Failure::new(Exit::BadInput, format!("process {pid} is the child of {}", row.parent))
            .hint(format!("resume that one: agentos resume {}", row.parent)));
    }
    Ok(())
}

/// What the run's command line said, from the labels it left.
fn wanted(spec: &Spec, slots: Option<u32>) -> Result<(Wanted, bool), Failure> {
    let label = |name: &str| spec.labels.get(name).map(String::as_str);
    let cpu = label("cpu").and_then(|cpu| cpu.parse::<CpuChoice>().ok()).ok_or_else(|| {
        Failure::new(Exit::BadInput, "this process was not started by `agentos run`")
            .hint("resume it with the program that started it")
    })?;
    let wanted = Wanted {
        cpu,
        model: label("model").map(str::to_owned),
        window: spec.window.map(|window| window.0),
        install: true,
        threads: label("threads").and_then(|threads| threads.parse().ok()),
        slots,
    };
    Ok((wanted, label("write") == Some("true")))
}

/// What the limits will be once a grant is taken.
fn raise(limits: &mut Budget, more: &Budget) {
    limits.calls = limits.calls.map(|n| n.saturating_add(more.calls.unwrap_or(0)));
    limits.steps = limits.steps.map(|n| n.saturating_add(more.steps.unwrap_or(0)));
    limits.tokens = limits.tokens.map(|n| n.saturating_add(more.tokens.unwrap_or_default()));
    limits.cost = limits.cost.map(|n| n.saturating_add(more.cost.unwrap_or_default()));
    limits.tool_calls = limits.tool_calls.map(|n| n.saturating_add(more.tool_calls.unwrap_or(0)));
    limits.wall_time = limits.wall_time.map(|n| n.saturating_add(more.wall_time.unwrap_or_default()));
    limits.children = limits.children.map(|n| n.saturating_add(more.children.unwrap_or(0)));
}

/// The grant that makes the given limits those of the process.
fn grant(info: &ProcessInfo, limits: &LimitArgs) -> Result<Budget, Failure> {
    let shown = |flag: &str, now: u64| match flag {
        "--max-cost" => MicroUsd(now).to_string(),
        "--max-time" => span(Millis(now)),
        _ => count(now),
    };
    let raise = |flag: &str, now: Option<u64>, wanted: Option<u64>| match (now, wanted) {
        (_, None) => Ok(None),
        (Some(now), Some(wanted)) if wanted >= now => Ok((wanted > now).then(|| wanted - now)),
        (Some(now), Some(_)) => Err(Failure::new(
            Exit::Usage,
            format!("{flag} is below the limit that the process has: {}", shown(flag, now)),
        )
        .hint("limits are raised here, in all, not by so much")),
        (None, Some(_)) => {
            Err(Failure::new(Exit::Usage, format!("the process has no limit that {flag} could raise"))
                .hint("resume it without"))
        }
    };
    let budget = &info.budget;
    Ok(Budget {
        tokens: raise("--max-tokens", budget.tokens.map(|limit| limit.0), limits.max_tokens)?.map(Tokens),
        cost: raise("--max-cost", budget.cost.map(|limit| limit.0), limits.max_cost.map(|cost| cost.0))?
            .map(MicroUsd),
        steps: raise("--max-steps", budget.steps, limits.max_steps)?,
        calls: raise("--max-calls", budget.calls, limits.max_calls)?,
        tool_calls: raise("--max-tool-calls", budget.tool_calls, limits.max_tool_calls)?,
        wall_time: raise(
            "--max-time",
            budget.wall_time.map(|limit| limit.0),
            limits.max_time.map(|time| time.0),
        )?
        .map(Millis),
        children: raise("--max-children", budget.children, limits.max_children)?,
    })
}

#[cfg(test)]
mod tests {
    use kernel_types::{Priority, StepNo, Timestamp, Usage};

    use super::*;

    fn check(now: Option<u64>, wanted: Option<u64>, expected: Result<Option<u64>, Exit>) {
        let info = ProcessInfo {
            pid: Pid::INIT,
            parent: Pid::INIT,
            name: String::new(),
            program: String::new(),
            priority: Priority::default(),
            state: ProcessState::Ready,
            step: StepNo(1),
            usage: Usage::default(),
            budget: Budget { steps: now, ..Budget::default() },
            spawned_at: Timestamp(0),
            waited: Millis(0),
        };
        let granted = grant(&info, &LimitArgs { max_steps: wanted, ..LimitArgs::default() });
        assert_eq!(granted.map(|budget| budget.steps).map_err(|failure| failure.exit), expected);
    }

    #[test]
    fn a_limit_is_raised_to_a_figure_and_never_lowered() {
        check(Some(10), None, Ok(None));
        check(Some(10), Some(15), Ok(Some(5)));
        check(Some(10), Some(10), Ok(None));
        check(Some(10), Some(9), Err(Exit::Usage));
        check(None, Some(9), Err(Exit::Usage));
    }
}
