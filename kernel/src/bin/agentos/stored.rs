//! Pages of processes as the store has them.

use kernel::{Moment, StoredSpace};
use kernel_context::{PagerConfig, Replacement};
use kernel_llm::{LocalConfig, model_info};
use kernel_storage::Journal;
use kernel_types::{AgentRow, ModelInfo, Pid, Spec, Tokens};

use crate::cpu::CpuChoice;
use crate::disk::Disk;
use crate::failure::Failure;
use crate::ps;

/// The pages of a process, running or ended, as its last commit left them, or as they were at an earlier moment.
pub(crate) async fn space(store: &Disk, row: &AgentRow, at: Option<&Moment>) -> Result<StoredSpace, Failure> {
    let config = config(store, row).await?;
    let pagers = Replacement::default();
    Ok(match at {
        None => StoredSpace::read(store, row.pid, &pagers, &config).await?,
        Some(at) => StoredSpace::read_at(store, row.pid, at, &pagers, &config).await?,
    })
}

/// The window as `run` configured it: what it chose is in the spec, the cache is that of the model. A child that names no
/// model has that of the run.
async fn config(store: &Disk, row: &AgentRow) -> Result<PagerConfig, Failure> {
    let (mut row, mut spec) = (row.clone(), None::<Spec>);
    loop {
        let own = ps::spec(store, &row).await?.unwrap_or_default();
        let known = spec.get_or_insert_with(|| own.clone());
        known.model = known.model.take().or(own.model);
        if let Some(cpu) = own.labels.get("cpu") {
            known.labels.entry("cpu".to_owned()).or_insert_with(|| cpu.clone());
        }
        if row.parent == Pid::INIT || known.model.is_some() {
            break;
        }
        let Some(parent) = store.agent(row.parent).await? else { break };
        row = parent;
    }
    let spec = spec.unwrap_or_default();
    let name = spec.model.unwrap_or_default();
    let info = match spec.labels.get("cpu").and_then(|cpu| cpu.parse::<CpuChoice>().ok()) {
        // Free models that no catalogue knows by their names.
        Some(CpuChoice::Local | CpuChoice::Scripted(_)) => {
            ModelInfo { name, ..LocalConfig::new("").model_info() }
        }
        _ => model_info(&name),
    };
    let window = spec.window.unwrap_or(Tokens(info.window.0 - info.window.0 / 8));
    Ok(PagerConfig { model: info.name, window, cache: info.cache, keep_warm: true })
}
