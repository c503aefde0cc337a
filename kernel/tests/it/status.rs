//! What a kernel says of itself while it runs.

use std::time::Duration;

use kernel::{Kernel, KernelStatus, ProcessStatus, Until};
use kernel_llm::{Canned, FnCpu, model_info};
use kernel_types::{Call, ExitStatus, Millis, Pid, ProcessState, ReceiveArgs, Signal, Spec, WaitReason};

use crate::world::{infer, page, script};

const MODEL: &str = "slow";

/// One slot; each answer takes a minute.
async fn kernel() -> Kernel {
    let cpu = FnCpu::new(model_info(MODEL), |_| Ok(Canned::text("Yes.").after(Duration::from_secs(60))));
    Kernel::builder().cpu(cpu.with_slots(1)).build().await.unwrap()
}

fn named(name: &str, steps: Vec<Vec<Call>>) -> Spec {
    Spec { name: name.to_owned(), ..script(steps) }
}

fn of(status: &KernelStatus, pid: Pid) -> ProcessStatus {
    status.processes.iter().find(|process| process.info.pid == pid).cloned().expect("it is there")
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_waits_and_ends_are_told() {
    let kernel = kernel().await;
    let asks = || vec![vec![page("What?")], vec![infer(MODEL)]];
    let mut asking = Vec::new();
    for name in ["first", "second"] {
        asking.push(kernel.spawn(named(name, asks())).await.unwrap());
    }
    let receive = Call::Receive(ReceiveArgs { from: Some(asking[0]), timeout: Some(Millis(90_000)) });
    let listening = kernel.spawn(named("third", vec![vec![receive]])).await.unwrap();
    let long = "x".repeat(10_000);
    let exit = Call::Exit(ExitStatus::Ok(long));
    let done = kernel.spawn(named(&"n".repeat(500), vec![vec![exit]])).await.unwrap();
    let outside = async {
        let status = loop {
            let status = kernel.snapshot().await.unwrap();
            let is_there = status.cpus[0].waiting == 1 && status.cpus[0].held == 1;
            if is_there && matches!(of(&status, done).info.state, ProcessState::Exited(_)) {
                break status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        for pid in [asking[0], asking[1], listening] {
            kernel.signal(pid, Signal::Kill).await.unwrap();
        }
        status
    };
    let (run, status) = tokio::join!(kernel.run_until(Until::Idle), outside);
    run.unwrap();

    let cpu = &status.cpus[0];
    assert_eq!((cpu.models.as_slice(), cpu.slots, cpu.pinging), ([MODEL.to_owned()].as_slice(), 1, 0));
    assert_eq!((cpu.scheduler.as_str(), cpu.limits.len()), ("fair", 0));
    let both = [of(&status, asking[0]), of(&status, asking[1])];
    let [holder, waiter] = if both[0].slot.is_some() {
        both
    } else {
        let [a, b] = both;
        [b, a]
    };
    assert_eq!((holder.slot, holder.waiting_since, holder.wait.as_deref()), (Some(0), None, Some(MODEL)));
    assert_eq!((waiter.slot, waiter.wait.as_deref()), (None, Some("a slot of slow")));
    let since = waiter.waiting_since.expect("it waits");
    assert!(since <= status.at && since.0 + 60_000 > status.at.0, "{since:?} {:?}", status.at);
    assert!(holder.lag.is_some_and(|lag| lag < waiter.lag.unwrap()), "{holder:?} {waiter:?}");
    let listener = of(&status, listening);
    assert_eq!(listener.info.state, ProcessState::Blocked(WaitReason::Message));
    let wait = listener.wait.unwrap();
    assert!(
        wait.starts_with(&format!("mail from first {}, ", asking[0])) && wait.ends_with(" s at most"),
        "{wait}"
    );
    assert_eq!((listener.lag, listener.slot), (None, None), "no scheduler knows it");
    let ended = of(&status, done);
    assert_eq!(ended.info.name.len(), 200);
    assert!(matches!(&ended.info.state, ProcessState::Exited(ExitStatus::Ok(text)) if text.len() == 200));
    let written = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<KernelStatus>(&written).unwrap(), status);

    // All over: nobody holds or waits for anything.
    let after = kernel.snapshot().await.unwrap();
    assert_eq!((after.processes.len(), after.cpus[0].held, after.cpus[0].waiting), (4, 0, 0));
}
