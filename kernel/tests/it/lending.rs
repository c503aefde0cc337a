//! What the holder of a lock is lent by those who wait for it, as the scheduler is told of it.

use std::sync::Arc;
use std::time::Duration;

use kernel::{Kernel, Until};
use kernel_llm::{Canned, FnCpu, model_info};
use kernel_sched::{Charge, Demand, Entry, Fifo, Grant, Micros, SchedError, Scheduler, Slot, Standing};
use kernel_types::{Call, InferArgs, Millis, Pid, Priority, Signal, Spec};
use parking_lot::Mutex;

use crate::world::{page, script};

type Told = Arc<Mutex<Vec<Entry>>>;

/// Notes what it is told of processes.
struct Noting(Fifo, Told);

impl Scheduler for Noting {
    fn name(&self) -> &'static str {
        "noting"
    }
    fn admit(&mut self, entry: Entry, now: Micros) -> Result<(), SchedError> {
        self.1.lock().push(entry);
        self.0.admit(entry, now)
    }
    fn request(&mut self, pid: Pid, demand: Demand, now: Micros) -> Result<(), SchedError> {
        self.0.request(pid, demand, now)
    }
    fn next(&mut self, slot: &Slot<'_>, now: Micros) -> Option<Grant> {
        self.0.next(slot, now)
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

async fn kernel() -> (Kernel, Told) {
    let told = Told::default();
    let noted = Arc::clone(&told);
    let scheduler = move || Noting(Fifo::new(), Arc::clone(&noted));
    let cpu = FnCpu::new(model_info("quick"), |_| Ok(Canned::text("Yes.")));
    (Kernel::builder().cpu(cpu).scheduler(scheduler).build().await.unwrap(), told)
}

fn urgent(priority: u8, steps: Vec<Vec<Call>>) -> Spec {
    Spec { priority: Priority::new(priority).unwrap(), ..script(steps) }
}

fn lock() -> Vec<Call> {
    vec![Call::Lock { name: "a".to_owned(), timeout: Millis(20_000) }]
}

fn think() -> Vec<Call> {
    vec![Call::Infer(InferArgs::default())]
}

fn sleep(ms: u64) -> Vec<Call> {
    vec![Call::Sleep { ms: Millis(ms) }]
}

/// The last that was said of a process: its own urgency and its family's.
fn last(told: &Told, pid: Pid) -> (u8, u8) {
    let told = told.lock();
    let entry = told.iter().rfind(|entry| entry.pid == pid).expect("the scheduler knows it");
    (entry.priority.value(), entry.share.value())
}

/// A family whose member held a lock is as urgent as its root again when that member is gone, however it went.
#[tokio::test]
async fn what_a_family_was_lent_ends_with_the_holder() {
    for killed in [false, true] {
        let (kernel, told) = kernel().await;
        let end = if killed { sleep(60_000) } else { sleep(80) };
        let child = urgent(90, vec![vec![page("Is it so?")], think(), lock(), end]);
        let spawn = vec![page("Is it so?"), Call::Spawn(Box::new(child))];
        let root = kernel.spawn(urgent(90, vec![spawn, think(), sleep(300), think()])).await.unwrap();
        let waiter = kernel.spawn(urgent(5, vec![sleep(40), lock()])).await.unwrap();
        let kill = async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let all = kernel.status().await.unwrap();
            let child = all.iter().find(|info| info.pid != root && info.pid != waiter);
            if killed {
                kernel.signal(child.unwrap().pid, Signal::Kill).await.unwrap();
            }
        };
        tokio::join!(async { kernel.run_until(Until::Idle).await.unwrap() }, kill);
        let lent = told.lock().iter().any(|entry| entry.family == root && entry.share.value() == 5);
        assert!(lent, "while another waited the family was as urgent");
        assert_eq!(last(&told, root), (90, 90), "killed: {killed}");
    }
}

/// A holder that is made less urgent stays as urgent as who waits.
#[tokio::test]
async fn a_holder_made_less_urgent_keeps_what_it_is_lent() {
    let (kernel, told) = kernel().await;
    let steps = vec![vec![page("Is it so?")], think(), lock(), sleep(120), think()];
    let holder = kernel.spawn(urgent(5, steps)).await.unwrap();
    kernel.spawn(urgent(10, vec![sleep(20), lock()])).await.unwrap();
    let nice = async {
        tokio::time::sleep(Duration::from_millis(80)).await;
        kernel.set_priority(holder, Priority::new(90).unwrap()).await.unwrap();
    };
    tokio::join!(async { kernel.run_until(Until::Idle).await.unwrap() }, nice);
    assert_eq!(last(&told, holder), (10, 10));
}
