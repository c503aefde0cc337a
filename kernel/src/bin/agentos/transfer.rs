//! `agentos export` and `agentos import`: the pages of a process as JSON Lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read};
use std::path::Path;

use kernel::programs::Script;
use kernel::{Kernel, Profile};
use kernel_context::transfer::{Import, Imported, SpaceHeader, TransferError};
use kernel_context::{MemorySwap, PagerFactory, Replacement};
use kernel_llm::model_info;
use kernel_types::{CacheModel, Call, PageKind, ReceiveArgs, Spec};
use serde_json::json;

use crate::args::{ExportArgs, Global, ImportArgs};
use crate::data;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::stored;
use crate::ui::Ui;

/// Bytes of a file that are read at a time.
const BUFFER: usize = 1 << 16;
/// The name of a process without a task.
const HOLDER: &str = "import";
/// Tokens recalled for the task of an imported process.
const RECALL: u64 = 1400;

pub(crate) async fn export(global: &Global, args: &ExportArgs) -> Result<Exit, Failure> {
    let (store, row) = data::attach_for(global, &args.pid).await?;
    let space = stored::space(&store, &row, args.at.as_ref()).await?;
    let mut out = BufWriter::with_capacity(BUFFER, io::stdout().lock());
    match space.write(&mut out) {
        // Whoever closed the other end has read enough.
        Err(TransferError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
        Err(TransferError::Io(error)) => {
            Err(Failure::new(Exit::Io, format!("cannot write to standard output: {error}")))
        }
        Err(error) => Err(Failure::new(Exit::BadInput, error.to_string())),
        Ok(()) => Ok(Exit::Ok),
    }
}

pub(crate) async fn import(global: &Global, args: &ImportArgs, ui: &Ui) -> Result<Exit, Failure> {
    // Read whole before the store is opened: a wrong file must not make a data directory.
    ui.spin("reading");
    let (space, swap) = read(&args.file)?;
    let pages = space.pager.pages();
    let has_instructions = pages.iter().any(|page| page.kind == PageKind::System);
    let spec = spec(args, &space.header, has_instructions)?;
    let (_, store) = data::open(global).await?;
    let kernel = Kernel::builder().store(store.clone()).build().await?;
    let pid = kernel.import(spec, space, swap).await?;
    kernel.shutdown().await?;
    store.close().await?;
    ui.quiet();
    let next = match &args.task {
        Some(_) => format!("agentos resume {pid}"),
        None => format!("agentos export {pid}"),
    };
    if ui.json {
        output::line(&json!({ "pid": pid, "pages": pages.len(), "next": next }).to_string())?;
    } else {
        ui.say(&format!("pid {pid}"));
        output::line(&format!("{} pages; go on with: {next}", pages.len()))?;
    }
    Ok(Exit::Ok)
}

/// A process that was imported without a task: it only holds pages, and needs no model.
pub(crate) fn is_holder(spec: &Spec) -> bool {
    spec.name == HOLDER && spec.program == "script" && spec.labels.is_empty()
}

fn read(path: &Path) -> Result<(Imported, MemorySwap), Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::BadInput, format!("{}: {error}", path.display()))
            .hint("give a file that `agentos export` wrote")
    };
    let reader: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(File::open(path).map_err(|error| wrong(&error))?),
    };
    let reader: Box<dyn BufRead> = Box::new(BufReader::with_capacity(BUFFER, reader));
    let import = Import::open(reader).map_err(|error| wrong(&error))?;
    let policy = Replacement::default();
    if import.header().policy != policy.name() {
        let policies = (&import.header().policy, policy.name());
        return Err(wrong(&format!("paged by {:?}, this program pages by {:?}", policies.0, policies.1)));
    }
    let cache: CacheModel = model_info(&import.header().model).cache;
    let mut swap = MemorySwap::default();
    let space = import.read(&policy, cache, &mut swap).map_err(|error| wrong(&error))?;
    Ok((space, swap))
}

/// A process that works on the task with the pages when it is resumed; without a task, one that only holds them.
fn spec(args: &ImportArgs, header: &SpaceHeader, has_instructions: bool) -> Result<Spec, Failure> {
    let Some(task) = args.task.as_deref().map(str::trim).filter(|task| !task.is_empty()) else {
        // It waits, whoever resumes it: signals reach it, and its pages stay.
        let spec = Script::once(vec![Call::Receive(ReceiveArgs::default())]).spec(HOLDER);
        return spec.map_err(|error| Failure::new(Exit::Failed, error.to_string()));
    };
    let model = args.model.clone().unwrap_or_else(|| header.model.clone());
    let spec = Profile::find("research")?.spec(task);
    let labels = [("cpu", args.cpu.to_string()), ("model", model.clone()), ("write", "false".to_owned())];
    let recall = RECALL.min(header.window.0 / 2);
    Ok(Spec {
        system: if has_instructions { String::new() } else { spec.system.clone() },
        args: json!({ "recall_tokens": recall }).into(),
        model: Some(model),
        labels: labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        ..spec
    })
}
