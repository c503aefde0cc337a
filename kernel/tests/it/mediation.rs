//! The mediation suite on kernels of every store, and on kernels with a seeded defect, which must fail it.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use kernel::{Kernel, KernelBuilder, Until, mediation, mediation_suite};
use kernel_sched::{
    Charge, Demand, Entry, Grant, Micros, PriorityRoundRobin, SchedError, Scheduler, Slot, Standing,
};
use kernel_storage::{Commit, CommitOutcome, Journal, MemoryStore, StoreError, Version, delegate_store};
use kernel_types::{AgentRow, Epoch, EventKind, Pid, ProcessState, Record, Signal, WaitReason};

use crate::scratch::{Scratch, behind_a_queue};

mediation_suite!(memory, async |builder: KernelBuilder| builder.store(MemoryStore::new()));

mediation_suite!(memory_behind_a_queue, async |builder: KernelBuilder| {
    builder.store(behind_a_queue(MemoryStore::new()))
});

mediation_suite!(sqlite, {
    let folder = Scratch::new();
    async move |builder: KernelBuilder| builder.store(folder.sqlite().await)
});

mediation_suite!(sqlite_behind_a_queue, {
    let folder = Scratch::new();
    async move |builder: KernelBuilder| builder.store(behind_a_queue(folder.sqlite().await))
});

/// What a defective store does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Defect {
    /// It gives no outcome back that was written.
    HidesOutcomes,
    /// It drops named values.
    DropsValues,
    /// It drops mail that a commit sends.
    DropsMail,
    /// It keeps mail that was consumed.
    KeepsMail,
    /// It writes times that are not those of the records.
    ForgesTimes,
}

#[derive(Clone)]
struct Defective {
    store: MemoryStore,
    defect: Defect,
}

impl Defective {
    fn new(defect: Defect) -> Self {
        Self { store: MemoryStore::new(), defect }
    }

    fn is(&self, defect: Defect) -> bool {
        self.defect == defect
    }
}

#[async_trait]
impl Journal for Defective {
    async fn claim(&self) -> Result<Epoch, StoreError> {
        self.store.claim().await
    }
    async fn commit(&self, mut batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        for commit in &mut batch {
            match self.defect {
                Defect::DropsValues => commit.values.clear(),
                Defect::DropsMail => commit.sent.clear(),
                Defect::KeepsMail => commit.consumed.clear(),
                Defect::HidesOutcomes | Defect::ForgesTimes => {}
            }
        }
        self.store.commit(batch).await
    }
    async fn agent(&self, pid: Pid) -> Result<Option<AgentRow>, StoreError> {
        self.store.agent(pid).await
    }
    async fn agents(
        &self,
        after: Option<Pid>,
        live: bool,
        limit: usize,
    ) -> Result<Vec<AgentRow>, StoreError> {
        self.store.agents(after, live, limit).await
    }
    async fn records(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        let mut records = self.store.records(pid, from, limit).await?;
        if self.is(Defect::HidesOutcomes) {
            records.retain(|record| record.kind != EventKind::Outcome as u8);
        }
        if self.is(Defect::ForgesTimes) {
            records.iter_mut().for_each(|record| record.at.0 += 1);
        }
        Ok(records)
    }
    async fn values(&self, pid: Pid) -> Result<Vec<(String, String)>, StoreError> {
        self.store.values(pid).await
    }
    async fn as_of(&self, pid: Pid, records: u64) -> Result<Option<Version>, StoreError> {
        self.store.as_of(pid, records).await
    }
}

delegate_store!(Defective, store);

/// The words of the law's failure; panics if it held.
async fn fails(law: impl Future<Output = ()>) -> String {
    let panic =
        AssertUnwindSafe(law).catch_unwind().await.expect_err("a kernel with a defect passes the law");
    let words = panic.downcast_ref::<String>().cloned();
    words.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

async fn check_defect(defect: Defect, words: &str) {
    let make = async |builder: KernelBuilder| builder.store(Defective::new(defect));
    let failure = fails(mediation::allowed_calls_happen_once(&make)).await;
    assert!(failure.contains(words), "{defect:?}: {failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hides_outcomes_fails_the_suite() {
    check_defect(Defect::HidesOutcomes, "one intent, one outcome").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_drops_values_fails_the_suite() {
    check_defect(Defect::DropsValues, "put").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_drops_mail_fails_the_suite() {
    check_defect(Defect::DropsMail, "send").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_keeps_mail_fails_the_suite() {
    check_defect(Defect::KeepsMail, "the effect is there once").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_forges_records_fails_the_suite() {
    check_defect(Defect::ForgesTimes, "the audit found").await;
}

/// Takes requests and grants nothing.
struct Miser(PriorityRoundRobin);

impl Scheduler for Miser {
    fn name(&self) -> &'static str {
        "miser"
    }
    fn admit(&mut self, entry: Entry, now: Micros) -> Result<(), SchedError> {
        self.0.admit(entry, now)
    }
    fn request(&mut self, pid: Pid, demand: Demand, now: Micros) -> Result<(), SchedError> {
        self.0.request(pid, demand, now)
    }
    fn next(&mut self, _: &Slot<'_>, _: Micros) -> Option<Grant> {
        None
    }
    fn settle(&mut self, pid: Pid, charge: Charge, now: Micros) -> Result<(), SchedError> {
        self.0.settle(pid, charge, now)
    }
    fn withdraw(&mut self, pid: Pid, leave: bool, now: Micros) -> Result<bool, SchedError> {
        self.0.withdraw(pid, leave, now)
    }
    fn standing(&self, pid: Pid) -> Option<Standing> {
        self.0.standing(pid)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_that_grants_nothing_fails_the_suite() {
    let make = async |builder: KernelBuilder| builder.scheduler(|| Miser(PriorityRoundRobin::default()));
    let failure = fails(mediation::allowed_calls_happen_once(&make)).await;
    assert!(failure.contains("infer") && failure.contains("one intent, one outcome"), "{failure}");
}

/// Grants one who is not there, again and again, and takes the slot back as often.
struct Ghost(PriorityRoundRobin);

const NOBODY: Pid = Pid::INIT;

impl Scheduler for Ghost {
    fn name(&self) -> &'static str {
        "ghost"
    }
    fn admit(&mut self, entry: Entry, now: Micros) -> Result<(), SchedError> {
        self.0.admit(entry, now)
    }
    fn request(&mut self, pid: Pid, demand: Demand, now: Micros) -> Result<(), SchedError> {
        self.0.request(pid, demand, now)
    }
    fn next(&mut self, _: &Slot<'_>, _: Micros) -> Option<Grant> {
        Some(Grant { pid: NOBODY, demand: Demand::default(), waited: Micros(0) })
    }
    fn settle(&mut self, pid: Pid, charge: Charge, now: Micros) -> Result<(), SchedError> {
        if pid == NOBODY { Ok(()) } else { self.0.settle(pid, charge, now) }
    }
    fn withdraw(&mut self, pid: Pid, leave: bool, now: Micros) -> Result<bool, SchedError> {
        self.0.withdraw(pid, leave, now)
    }
    fn standing(&self, pid: Pid) -> Option<Standing> {
        self.0.standing(pid)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_that_grants_who_is_not_there_keeps_no_thread() {
    let cpu = crate::paid::Paid::new("m", |_| crate::paid::AT_ONCE);
    let builder = Kernel::builder().cpu(cpu).scheduler(|| Ghost(PriorityRoundRobin::default()));
    let kernel = builder.keep_warm(false).build().await.unwrap();
    let pid = kernel.spawn(crate::paid::thinker(1)).await.unwrap();
    let killed = async {
        while !matches!(crate::paid::state(&kernel, pid).await, ProcessState::Blocked(WaitReason::Llm)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        kernel.signal(pid, Signal::Kill).await.unwrap();
    };
    let both = async { tokio::join!(kernel.run_until(Until::Idle), killed) };
    let (run, ()) = tokio::time::timeout(Duration::from_secs(20), both).await.expect("it answers");
    run.unwrap();
}
