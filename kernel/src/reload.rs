//! Loading a process anew that the store has in another state than this kernel.

use std::sync::Arc;

use kernel_storage::{Arrival, Store};
use kernel_types::{Epoch, Mail, Pid};

use crate::core::Core;
use crate::engine::{Message, Shared};
use crate::error::KernelError;
use crate::parts::patiently;
use crate::recover::Loaded;

/// A process as the store has it now, unless it is over or another kernel's, and the mail that is there since.
pub(crate) struct Again {
    loaded: Option<Loaded>,
    mail: Vec<Mail>,
    since: Arrival,
}

/// Loads a process anew that another kernel changed.
pub(crate) fn reload(shared: &Arc<Shared>, core: &mut Core, pid: Pid) {
    core.in_flight.loads += 1;
    let (teller, epoch, since) = (Arc::clone(shared), core.epoch, core.cursor);
    shared.runtime.spawn(async move {
        let ask = || again(&teller, pid, epoch, since);
        let found = patiently(teller.parts.limits.store_patience, KernelError::retry, ask).await;
        teller.tell(Message::Reloaded(pid, found));
    });
}

async fn again(shared: &Shared, pid: Pid, epoch: Epoch, since: Arrival) -> Result<Again, KernelError> {
    let loaded = match shared.parts.store.agent(pid).await? {
        Some(row) if row.epoch < epoch && !row.exited => {
            // Before its mail is read: a child that ends meanwhile is in one of the two.
            let children = children(&*shared.parts.store, pid).await?;
            let mut loaded = crate::recover::load(&shared.parts, &shared.bodies, row).await?;
            loaded.process.children.extend(children);
            Some(loaded)
        }
        _ => None,
    };
    let (mut mail, mut last) = (Vec::new(), since);
    loop {
        let arrived = shared.parts.store.arrivals(last, 256).await?;
        let Some((newest, _)) = arrived.last() else { return Ok(Again { loaded, mail, since }) };
        last = *newest;
        mail.extend(arrived.into_iter().map(|(_, mail)| mail));
    }
}

/// The children of a process that have not ended, whoever runs them.
async fn children(store: &dyn Store, pid: Pid) -> Result<Vec<Pid>, KernelError> {
    let (mut children, mut last) = (Vec::new(), None);
    loop {
        let rows = store.agents(last, true, 1024).await?;
        let Some(row) = rows.last() else { return Ok(children) };
        last = Some(row.pid);
        children.extend(rows.iter().filter(|row| row.parent == pid).map(|row| row.pid));
    }
}

impl Core {
    /// What a kernel before this one had on its way was committed after this one had loaded the process: it is loaded again. Until
    /// then it is known of, though nobody can reach it.
    pub(crate) fn reload(&mut self, pid: Pid) {
        self.put_down(pid);
        if self.reloading.insert(pid) {
            self.reloads.push(pid);
        }
    }

    /// Takes it over as the store has it now, unless it ended or yet another kernel has it.
    pub(crate) fn reloaded(&mut self, pid: Pid, found: Result<Again, KernelError>) {
        self.reloading.remove(&pid);
        self.topics.forget(pid);
        let Again { loaded, mail, since } = match found {
            Ok(again) => again,
            Err(error) => return self.fail(error),
        };
        if let Some(loaded) = loaded {
            let parent = loaded.process.parent;
            self.adopt(vec![loaded]);
            // It may be a child that the kernel before had made already.
            self.spawned(pid, parent);
        }
        // What came with the late commit, before anything that its sender sends from now on; to those as well that are not loaded yet.
        self.late_mail.extend(mail);
        let late = self.late_mail.clone();
        self.deliver_all(late, false);
        if self.reloading.is_empty() {
            self.late_mail.clear();
        }
        self.cursor = self.cursor.min(since);
    }
}
