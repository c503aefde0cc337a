//! Whole address spaces out of a store and into a new process.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::sync::Arc;

use kernel_context::transfer::{Imported, SpaceHeader, TransferError, export};
use kernel_context::{Change, MemorySwap, Pager, PagerConfig, PagerError, PagerFactory, Swap};
use kernel_storage::{Blob, Store};
use kernel_types::{AgentRow, BlobHash, Call, ErrorKind, Pid, Spec, SysError};
use tokio::sync::oneshot;

use crate::bodies::{Bodies, View};
use crate::core::Core;
use crate::error::KernelError;
use crate::kernel::Kernel;
use crate::past::{Moment, moment};
use crate::process::Process;

/// Bytes of the cache that loading uses; bodies are kept beside it.
const CACHE: u64 = 1 << 20;

/// The pages of a process, read from its journal.
pub struct StoredSpace {
    pager: Box<dyn Pager>,
    staged: HashMap<BlobHash, Arc<str>>,
    bodies: Bodies,
    header: SpaceHeader,
}

impl StoredSpace {
    /// Reads the pages of a process, running or ended, as its last commit left them. Writes nothing. `pagers` and `config`
    /// are those of the kernel that ran it.
    ///
    /// # Errors
    /// [`KernelError::UnknownProcess`], [`KernelError::Store`], [`KernelError::Damaged`].
    pub async fn read(
        store: &dyn Store,
        pid: Pid,
        pagers: &dyn PagerFactory,
        config: &PagerConfig,
    ) -> Result<Self, KernelError> {
        let row = store.agent(pid).await?.ok_or(KernelError::UnknownProcess(pid))?;
        Self::of_row(store, &row, pagers, config).await
    }

    /// Reads the pages that a process had at an earlier moment.
    ///
    /// # Errors
    /// As [`StoredSpace::read`], and those of [`moment`](crate::moment).
    pub async fn read_at(
        store: &dyn Store,
        pid: Pid,
        at: &Moment,
        pagers: &dyn PagerFactory,
        config: &PagerConfig,
    ) -> Result<Self, KernelError> {
        let at = moment(store, pid, at).await?;
        let version = store.as_of(at.pid, at.record).await?.ok_or(KernelError::UnknownProcess(pid))?;
        Self::of_row(store, &version.row, pagers, config).await
    }

    async fn of_row(
        store: &dyn Store,
        row: &AgentRow,
        pagers: &dyn PagerFactory,
        config: &PagerConfig,
    ) -> Result<Self, KernelError> {
        let pid = row.pid;
        let image = crate::recover::image_of(row)?;
        let (bodies, mut staged) = (Bodies::new(CACHE), HashMap::new());
        let shelf = crate::recover::Shelf { store, bodies: &bodies, pagers, config };
        let found = crate::recover::load_pager(&shelf, &image, pid, row.records, &mut staged).await?;
        let empty =
            || pagers.make(config).map_err(|error| KernelError::Damaged { pid, reason: error.to_string() });
        let pager = found.map_or_else(empty, Ok)?;
        let header = SpaceHeader {
            model: config.model.clone(),
            window: config.window,
            policy: pagers.name().to_owned(),
        };
        Ok(Self { pager, staged, bodies, header })
    }

    /// The pages.
    #[must_use]
    pub fn pager(&self) -> &dyn Pager {
        &*self.pager
    }

    /// Writes them as JSON Lines; [`kernel_context::transfer`] tells the form.
    ///
    /// # Errors
    /// [`TransferError::Io`].
    pub fn write(&self, out: &mut dyn Write) -> Result<(), TransferError> {
        let view = View { staged: &self.staged, bodies: &self.bodies };
        export(&*self.pager, &self.header, &view, out)
    }
}

impl Kernel {
    /// Spawns a process under init whose address space is `space`, with the texts in `swap`. Where `spec` names no model or
    /// window it has the space's. When this answers, the process and its pages are durable.
    ///
    /// # Errors
    /// As [`Kernel::spawn`]; [`KernelError::Refused`] also if the process may not allocate pages, or if this kernel pages by
    /// another policy.
    pub async fn import(&self, spec: Spec, space: Imported, swap: MemorySwap) -> Result<Pid, KernelError> {
        let (sender, receiver) = oneshot::channel();
        self.shared.request(move |core| core.import_root(spec, &space, &swap, sender))?;
        receiver.await.map_err(|_| KernelError::Stopped)?
    }
}

impl Core {
    fn import_root(
        &mut self,
        mut spec: Spec,
        space: &Imported,
        swap: &MemorySwap,
        waiter: oneshot::Sender<Result<Pid, KernelError>>,
    ) {
        spec.model.get_or_insert_with(|| space.header.model.clone());
        spec.window.get_or_insert(space.header.window);
        let result = self.new_root(spec).and_then(|pid| {
            let filled = self.with(pid, |core, process| core.fill(process, space, swap));
            filled.unwrap_or(Err(SysError::new(ErrorKind::NotFound, "the process is gone"))).map_err(
                |error| {
                    // Nothing of it was committed yet.
                    self.processes.remove(&pid);
                    KernelError::Refused(error)
                },
            )?;
            Ok(pid)
        });
        match result {
            Ok(pid) => {
                self.births.insert(pid, waiter);
            }
            // Whoever asked may have gone away.
            Err(error) => drop(waiter.send(Err(error))),
        }
    }

    /// Gives a process that has no page yet the pages of `space`.
    fn fill(&mut self, process: &mut Process, space: &Imported, swap: &MemorySwap) -> Result<(), SysError> {
        let call = Call::PageAlloc { pages: Vec::new() };
        let decision = self.decide(process, &call);
        if !decision.is_allow() {
            return Err(crate::gate::refusal(call.number(), &decision));
        }
        let policy = self.parts.pagers.name();
        if space.header.policy != policy {
            let message =
                format!("the space is paged by {:?}, this kernel by {policy:?}", space.header.policy);
            return Err(SysError::new(ErrorKind::InvalidArgument, message));
        }
        let pages: HashSet<BlobHash> = space.pager.pages().iter().map(|status| status.body).collect();
        for hash in pages {
            let missing = || crate::local::pager_error(&PagerError::Fault(vec![hash]));
            keep(process, &swap.body(&hash).ok_or_else(missing)?);
        }
        let state = keep(process, &space.state.as_str().into());
        self.apply(process, Change::Restore { state })
            .map(drop)
            .map_err(|error| crate::local::pager_error(&error))
    }
}

/// Makes a body part of the process's next commit.
fn keep(process: &mut Process, text: &Arc<str>) -> BlobHash {
    let blob = Blob::of(text.as_bytes());
    let hash = blob.hash;
    process.stage(hash, Arc::clone(text));
    process.blobs.push(blob);
    hash
}
