//! `agentos run`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kernel::Profile;
use kernel_types::{Budget, JsonText, Spec, Tokens};
use serde_json::{Value, json};

use crate::args::{Global, LimitArgs, RunArgs};
use crate::data;
use crate::drive::{self, Host};
use crate::embeddings;
use crate::failure::{Exit, Failure};
use crate::model::{self, Chosen, Wanted};
use crate::report::report;
use crate::signals::Interrupts;
use crate::ui::Ui;

/// The share of a window, in tenths, that is filled by recall before the first call.
const RECALL_TENTHS: u64 = 7;

pub(crate) async fn run(global: &Global, args: &RunArgs, ui: &Ui) -> Result<Exit, Failure> {
    if args.task.trim().is_empty() {
        return Err(
            Failure::new(Exit::Usage, "the task is empty").hint("say what to do: agentos run \"...\"")
        );
    }
    let profile = Profile::find(&args.agent)?;
    let profile = if args.write { profile.writing() } else { profile };
    let folder = args.workspace.as_deref().map(whole).transpose()?;
    let workspace = folder.as_deref().map(drive::workspace).transpose()?;
    let mut interrupts = Interrupts::take()?;
    let (data, store) = data::open(global).await?;
    let wanted = Wanted {
        cpu: args.cpu.clone(),
        model: args.model.clone().or_else(|| profile.model.clone()),
        window: args.window.or(profile.window.map(|window| window.0)),
        install: !args.no_install,
        threads: args.threads.map(usize::from),
        slots: args.scheduler.slots,
    };
    let embedder = embeddings::open(&args.embeddings, &data)?;
    let chosen = interrupts.unless(model::choose(&wanted, &data, ui)).await?;
    let spec = spec(&profile, args, folder.as_deref(), &chosen);
    let host = Host {
        data: &data,
        workspace: workspace.as_ref(),
        write: args.write,
        keep_warm: !args.no_keep_warm,
        embedder,
        scheduler: args.scheduler,
        quota: &args.quota,
    };
    let machine = drive::assemble(store, &chosen, host, ui).await?;
    let pid = machine.kernel.spawn(spec.clone()).await?;
    ui.quiet();
    ui.say(&format!("pid {pid}"));
    machine.run(pid, 0, &mut interrupts, ui).await?;
    report(machine, pid, &spec, ui).await
}

/// The path as it will mean the same from another folder.
fn whole(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|error| Failure::new(Exit::BadInput, format!("{}: {error}", path.display())))
}

fn spec(profile: &Profile, args: &RunArgs, folder: Option<&Path>, chosen: &Chosen) -> Spec {
    let spec = profile.spec(args.task.trim());
    let mut labels = BTreeMap::from([
        ("cpu".to_owned(), chosen.choice.to_string()),
        ("model".to_owned(), chosen.name.clone()),
        ("write".to_owned(), args.write.to_string()),
    ]);
    if let Some(folder) = folder {
        labels.insert("workspace".to_owned(), folder.display().to_string());
    }
    if args.no_keep_warm {
        labels.insert("keep_warm".to_owned(), "false".to_owned());
    }
    if let Some(threads) = args.threads {
        labels.insert("threads".to_owned(), threads.to_string());
    }
    Spec {
        args: if spec.program == "react" {
            arguments(&spec.args, folder.is_some(), chosen)
        } else {
            spec.args.clone()
        },
        budget: limits(spec.budget, &args.limits),
        rates: args.rates.rate.clone(),
        tenant: args.rates.tenant.clone(),
        name: args.name.clone().unwrap_or_else(|| spec.name.clone()),
        priority: args.priority,
        model: Some(chosen.info.name.clone()),
        window: Some(chosen.window),
        labels,
        ..spec
    }
}

/// The profile's arguments, cut to what there is: no import without a workspace, no tools for a model that takes none,
/// no more recalled than fits.
fn arguments(args: &JsonText, workspace: bool, chosen: &Chosen) -> JsonText {
    let Value::Object(mut args) = args.value() else { return args.clone() };
    if !workspace {
        args.insert("import".to_owned(), json!(false));
    }
    if !chosen.info.native_tools {
        args.insert("tools".to_owned(), json!("none"));
    }
    if let Some(recall) = args.get("recall_tokens").and_then(Value::as_u64) {
        let most = chosen.window.0 * RECALL_TENTHS / 10;
        args.insert("recall_tokens".to_owned(), json!(if workspace { recall.min(most) } else { 0 }));
    }
    if let Some(output) = args.get("max_output").and_then(Value::as_u64) {
        args.insert("max_output".to_owned(), json!(output.min(chosen.info.max_output.0)));
    }
    JsonText::from(Value::Object(args))
}

/// Limits of the profile, replaced by those of the command line.
fn limits(budget: Budget, args: &LimitArgs) -> Budget {
    Budget {
        tokens: args.max_tokens.map(Tokens).or(budget.tokens),
        cost: args.max_cost.or(budget.cost),
        steps: args.max_steps.or(budget.steps),
        calls: args.max_calls.or(budget.calls),
        tool_calls: args.max_tool_calls.or(budget.tool_calls),
        wall_time: args.max_time.or(budget.wall_time),
        children: args.max_children.or(budget.children),
    }
}
