//! The virtual memory of a stored process, explained.

use std::collections::HashMap;

use kernel_context::{Explanation, PagerConfig, PagerFactory};
use kernel_storage::Store;
use kernel_types::{AgentRow, Timestamp};

use crate::bodies::Bodies;
use crate::error::KernelError;
use crate::recover::{Shelf, image_of, load_pager};

/// Bytes of page bodies kept in memory.
const BODIES: u64 = 64 << 20;

/// Explains the window of a process, running or ended, as it was at its last commit: its page table is read as a kernel that
/// takes the process over would read it. Writes nothing; works beside a running kernel.
///
/// `pagers` and `config` are those of the process's kernel; a store does not know them.
///
/// # Errors
/// [`KernelError::Store`]; [`KernelError::Damaged`] if the process or its pages cannot be read.
pub async fn memory(
    store: &dyn Store,
    row: &AgentRow,
    pagers: &dyn PagerFactory,
    config: &PagerConfig,
    now: Timestamp,
) -> Result<Explanation, KernelError> {
    let damaged = |reason: String| KernelError::Damaged { pid: row.pid, reason };
    let image = image_of(row)?;
    let bodies = Bodies::new(BODIES);
    let shelf = Shelf { store, bodies: &bodies, pagers, config };
    let loaded = load_pager(&shelf, &image, row.pid, &mut HashMap::new()).await?;
    let pager = match loaded {
        Some(pager) => pager,
        None => pagers.make(config).map_err(|error| damaged(error.to_string()))?,
    };
    pager.explain(now).map_err(|error| damaged(error.to_string()))
}
