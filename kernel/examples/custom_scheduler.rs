//! A kernel with a scheduler of its own: whoever used the model least goes first.
//!
//! Swapping it in is the one line in [`assemble`].

#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use std::collections::BTreeMap;

use kernel::{Kernel, KernelBuilder, Until};
use kernel_llm::{Canned, FnCpu, model_info};
use kernel_sched::{Charge, Demand, Entry, Grant, Micros, SchedError, Scheduler, Slot, Standing};
use kernel_types::{Pid, Spec};

/// Grants the slot to the waiting process that was charged the fewest tokens so far. A newcomer starts level with the
/// least served, so that nobody waits for it to catch up.
#[derive(Default)]
pub(crate) struct LeastServed {
    processes: BTreeMap<Pid, Account>,
    latest: Micros,
}

struct Account {
    served: u64,
    demand: Demand,
    standing: Standing,
}

impl LeastServed {
    fn at(&mut self, now: Micros) -> Result<(), SchedError> {
        let before = self.latest;
        if now < before {
            return Err(SchedError::TimeWentBack { before, now });
        }
        self.latest = now;
        Ok(())
    }

    fn account(&mut self, pid: Pid) -> Result<&mut Account, SchedError> {
        self.processes.get_mut(&pid).ok_or(SchedError::Unknown(pid))
    }
}

impl Scheduler for LeastServed {
    fn name(&self) -> &'static str {
        "least_served"
    }

    fn admit(&mut self, entry: Entry, now: Micros) -> Result<(), SchedError> {
        self.at(now)?;
        if self.processes.contains_key(&entry.pid) {
            return Ok(());
        }
        let served = self.processes.values().map(|account| account.served).min().unwrap_or(0);
        let account = Account { served, demand: Demand::default(), standing: Standing::Idle };
        self.processes.insert(entry.pid, account);
        Ok(())
    }

    fn request(&mut self, pid: Pid, demand: Demand, now: Micros) -> Result<(), SchedError> {
        if self.account(pid)?.standing != Standing::Idle {
            return Err(SchedError::AlreadyAsked(pid));
        }
        self.at(now)?;
        let account = self.account(pid)?;
        (account.demand, account.standing) = (demand, Standing::Waiting(now));
        Ok(())
    }

    fn next(&mut self, _: &Slot<'_>, now: Micros) -> Option<Grant> {
        let waiting = self.processes.iter_mut().filter_map(|(pid, account)| match account.standing {
            Standing::Waiting(since) => Some((account.served, since, *pid, account)),
            _ => None,
        });
        let (_, since, pid, account) =
            waiting.min_by_key(|(served, since, pid, _)| (*served, *since, *pid))?;
        account.standing = Standing::Holding(now);
        Some(Grant { pid, demand: account.demand, waited: Micros(now.0.saturating_sub(since.0)) })
    }

    fn settle(&mut self, pid: Pid, charge: Charge, now: Micros) -> Result<(), SchedError> {
        if !matches!(self.account(pid)?.standing, Standing::Holding(_)) {
            return Err(SchedError::NoGrant(pid));
        }
        self.at(now)?;
        let account = self.account(pid)?;
        account.served += charge.uncached.0 + charge.output.0;
        account.standing = Standing::Idle;
        Ok(())
    }

    fn withdraw(&mut self, pid: Pid, leave: bool, now: Micros) -> Result<bool, SchedError> {
        let waiting = matches!(self.account(pid)?.standing, Standing::Waiting(_));
        self.at(now)?;
        if leave {
            self.processes.remove(&pid);
        } else if waiting {
            self.account(pid)?.standing = Standing::Idle;
        }
        Ok(waiting)
    }

    fn standing(&self, pid: Pid) -> Option<Standing> {
        self.processes.get(&pid).map(|account| account.standing)
    }
}

/// The swap.
pub(crate) fn assemble(builder: KernelBuilder) -> KernelBuilder {
    builder.scheduler(LeastServed::default)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = FnCpu::new(model_info("echo"), |_| Ok(Canned::text("done"))).with_slots(1);
    let kernel = assemble(Kernel::builder()).cpu(model).build().await?;
    for name in ["ada", "grace", "edsger"] {
        kernel.spawn(Spec { name: name.to_owned(), task: "say done".to_owned(), ..Spec::default() }).await?;
    }
    let steps = kernel.run_until(Until::Idle).await?;
    println!("{steps} steps");
    for process in kernel.status().await? {
        println!("{:8} {} after waiting {}", process.name, process.state, process.waited);
    }
    Ok(())
}
