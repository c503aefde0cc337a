//! `agentos doctor`: what a run needs, and whether it is there.

use std::path::{Path, PathBuf};

use indicatif::HumanBytes;
use kernel_llm::detect;
use kernel_security::{DenyAll, Sandbox};
use serde_json::{Value, json};

use crate::args::Global;
use crate::data;
use crate::disk::Disk;
use crate::embeddings;
use crate::failure::{Exit, Failure};
use crate::model;
use crate::output;
use crate::ui::Ui;

/// Less free space than this is worth a word: the local model takes about as much.
const LITTLE_SPACE: u64 = 512 << 20;

/// How a check came out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    /// Something that not every run needs is missing.
    Note,
    /// No run will work.
    Bad,
}

struct Check {
    name: &'static str,
    verdict: Verdict,
    detail: String,
}

pub(crate) async fn doctor(global: &Global, ui: &Ui) -> Result<Exit, Failure> {
    let folder = data::folder(global)?;
    ui.spin("looking around");
    let mut checks = vec![writable(&folder), space(&folder)];
    checks.extend(store(global).await?);
    checks.extend([python(), local_model(&folder), embedding_model(&folder)]);
    checks.extend(["ANTHROPIC_API_KEY", "OPENAI_API_KEY"].map(key));
    checks.extend([server().await, sandbox()]);
    ui.quiet();
    let bad = checks.iter().any(|check| check.verdict == Verdict::Bad);
    if ui.json {
        let list: Vec<Value> = checks.iter().map(object).collect();
        output::line(&json!({ "ok": !bad, "data_dir": folder, "checks": list }).to_string())?;
    } else {
        for check in &checks {
            let mark = match check.verdict {
                Verdict::Ok => "ok",
                Verdict::Note => "note",
                Verdict::Bad => "BAD",
            };
            output::line(&format!("{mark:<4}  {:<18}  {}", check.name, check.detail))?;
        }
    }
    Ok(if bad { Exit::Io } else { Exit::Ok })
}

fn object(check: &Check) -> Value {
    let verdict = match check.verdict {
        Verdict::Ok => "ok",
        Verdict::Note => "note",
        Verdict::Bad => "bad",
    };
    json!({ "name": check.name, "verdict": verdict, "detail": check.detail })
}

fn check(name: &'static str, verdict: Verdict, detail: impl Into<String>) -> Check {
    Check { name, verdict, detail: detail.into() }
}

fn writable(folder: &Path) -> Check {
    let probe = folder.join(format!(".doctor-{}", std::process::id()));
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&probe, b"ok"));
    // If it could not be written there is nothing to remove.
    drop(std::fs::remove_file(&probe));
    match written {
        Ok(()) => check("data directory", Verdict::Ok, folder.display().to_string()),
        Err(error) => check(
            "data directory",
            Verdict::Bad,
            format!("{} cannot be written: {error}; use another --data-dir", folder.display()),
        ),
    }
}

fn space(folder: &Path) -> Check {
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    match rustix::fs::statvfs(existing) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let verdict = if free < LITTLE_SPACE { Verdict::Note } else { Verdict::Ok };
            check("disk space", verdict, format!("{} free", HumanBytes(free)))
        }
        Err(error) => check("disk space", Verdict::Note, format!("not known: {error}")),
    }
}

async fn store(global: &Global) -> Result<Vec<Check>, Failure> {
    let place = data::place(global)?;
    let found = match Disk::attach(&place).await {
        Ok(None) => return Ok(vec![check("store", Verdict::Ok, "none yet: the first run makes it")]),
        Ok(Some(store)) => store.version().await,
        Err(error) => Err(error),
    };
    Ok(vec![match found {
        Ok(version) => check("store", Verdict::Ok, format!("{place}, {version}")),
        Err(error) => check("store", Verdict::Bad, error.to_string()),
    }])
}

/// Looked for, not run: only the local model's own module starts programs.
fn python() -> Check {
    let (python, pip) = (on_path("python3"), on_path("pip3").or_else(|| on_path("pip")));
    match (python, pip) {
        (Some(python), Some(pip)) => {
            check("python", Verdict::Ok, format!("{}, {}", python.display(), pip.display()))
        }
        (Some(python), None) => check(
            "python",
            Verdict::Note,
            format!(
                "{}, but no pip beside it; the local model is fetched with pip (apt install python3-pip)",
                python.display()
            ),
        ),
        (None, _) => {
            check("python", Verdict::Note, "no python3; the local model needs it (apt install python3-pip)")
        }
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn local_model(folder: &Path) -> Check {
    match model::config(folder).missing() {
        None => check("local model", Verdict::Ok, "installed"),
        Some(plan) => {
            let size = HumanBytes(plan.download_bytes);
            check("local model", Verdict::Note, format!("not installed; `--cpu local` fetches it ({size})"))
        }
    }
}

fn embedding_model(folder: &Path) -> Check {
    let choice = embeddings::chosen(folder);
    match embeddings::files(choice, folder).missing() {
        None if !embeddings::is_built(choice) => check(
            "embeddings",
            Verdict::Bad,
            "minilm is installed, and this build has no feature embed-minilm",
        ),
        None => check("embeddings", Verdict::Ok, format!("installed ({})", embeddings::name(choice))),
        Some(plan) => {
            let size = HumanBytes(plan.download_bytes);
            let detail = format!(
                "not installed, pages are found by words; `agentos setup embeddings` fetches them ({size})"
            );
            check("embeddings", Verdict::Ok, detail)
        }
    }
}

/// Says whether there is a key, and nothing of it.
fn key(name: &'static str) -> Check {
    let present = std::env::var_os(name).is_some_and(|key| !key.is_empty());
    check(name, Verdict::Ok, if present { "set" } else { "not set" })
}

async fn server() -> Check {
    match detect::probe(&detect::USUAL_PORTS).await {
        Some((address, model)) => check("local servers", Verdict::Ok, format!("{address} with {model}")),
        None => {
            let ports: Vec<String> = detect::USUAL_PORTS.iter().map(u16::to_string).collect();
            check("local servers", Verdict::Ok, format!("none on the usual ports ({})", ports.join(", ")))
        }
    }
}

fn sandbox() -> Check {
    let enforcement = DenyAll.enforcement();
    let detail = format!("{}: {}", enforcement.backend, enforcement.enforces.join(", "));
    check("sandbox", if enforcement.runs { Verdict::Ok } else { Verdict::Note }, detail)
}
