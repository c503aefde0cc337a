//! Calls that fail for a passing reason: tried again by the kernel, on record, in nobody's way; and slots that the urgent have.

use std::sync::Arc;
use std::time::Duration;

use kernel::{Kernel, KernelBuilder, Limits, Until};
use kernel_llm::{Canned, CpuError, CpuErrorKind, FnCpu, model_info};
use kernel_sched::Fifo;
use kernel_types::{
    Answer, Budget, Call, ErrorKind, Event, InferArgs, Millis, Pid, Priority, ProcessState, Spec, WaitCause,
};
use parking_lot::Mutex;

use crate::world::{page, script};

type Served = Arc<Mutex<Vec<Pid>>>;

/// A Cpu that fails its first calls so, then answers after a while; and whom it was called for.
fn failing(times: usize, kind: CpuErrorKind, slots: u32, takes: Duration) -> (FnCpu, Served) {
    let served = Served::default();
    let seen = Arc::clone(&served);
    let cpu = FnCpu::new(model_info("frail"), move |request| {
        let mut seen = seen.lock();
        seen.push(request.key.pid);
        if seen.len() <= times {
            return Err(CpuError::new(kind, "frail", format!("no luck {}", seen.len())));
        }
        Ok(Canned { delay: takes, ..Canned::text("Yes.") })
    });
    (cpu.with_slots(slots), served)
}

fn builder(cpu: FnCpu, attempts: u32) -> KernelBuilder {
    let limits = Limits { attempts, ..Limits::default() };
    Kernel::builder().cpu(cpu).limits(limits).keep_warm(false)
}

/// Asks so often, a step each, and ends.
fn asker(times: usize) -> Spec {
    let think = || vec![Call::Infer(InferArgs::default())];
    script(std::iter::once(vec![page("Is it so?")]).chain((0..times).map(|_| think())).collect())
}

async fn events(kernel: &Kernel, pid: Pid) -> Vec<Event> {
    let records = kernel.store().records(pid, 1, 1024).await.unwrap();
    records.iter().map(|record| serde_json::from_str(record.body.as_deref().unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn a_call_is_tried_again_and_each_attempt_is_on_record() {
    let (cpu, served) = failing(2, CpuErrorKind::Unreachable, 1, Duration::ZERO);
    let kernel = builder(cpu, 5).build().await.unwrap();
    let pid = kernel.spawn(asker(1)).await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    assert_eq!(*served.lock(), [pid; 3]);
    let events = events(&kernel, pid).await;
    let attempts: Vec<(u32, String)> = events
        .iter()
        .filter_map(|event| match event {
            Event::Attempt { number, why, charged } => {
                assert_eq!(charged.tokens.0, 0, "who was not reached charges nothing");
                Some((*number, why.clone().expect("it is known")))
            }
            _ => None,
        })
        .collect();
    let numbers: Vec<u32> = attempts.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [2, 3]);
    assert!(attempts[0].1.contains("no luck 1") && attempts[1].1.contains("no luck 2"), "{attempts:?}");
    let (result, causes) = events
        .iter()
        .rev()
        .find_map(|event| match event {
            Event::Outcome { result, causes, .. } if matches!(result, Ok(Answer::Inference(_))) => {
                Some((result, causes))
            }
            _ => None,
        })
        .expect("one answer");
    assert!(result.is_ok());
    assert!(causes.iter().any(|waited| waited.cause == WaitCause::Backoff), "{causes:?}");
    let info = kernel.process(pid).await.unwrap();
    assert!(matches!(info.state, ProcessState::Exited(_)), "{:?}", info.state);
    assert_eq!(info.usage.calls, 1, "attempts that cost nothing count for none");
}

#[tokio::test]
async fn one_that_keeps_failing_fails_after_so_many() {
    for (kind, calls) in [(CpuErrorKind::Failed, 3), (CpuErrorKind::InvalidRequest, 1)] {
        let (cpu, served) = failing(usize::MAX, kind, 1, Duration::ZERO);
        let kernel = builder(cpu, 3).build().await.unwrap();
        let pid = kernel.spawn(asker(1)).await.unwrap();
        kernel.run_until(Until::Idle).await.unwrap();
        assert_eq!(served.lock().len(), calls, "{kind:?}");
        let failed = events(&kernel, pid).await.into_iter().find_map(|event| match event {
            Event::Outcome { result: Err(error), .. } => Some(error),
            _ => None,
        });
        let failed = failed.expect("the program is told");
        assert!(failed.message.contains("no luck"), "{failed}");
        let expected = if calls == 1 { ErrorKind::InvalidArgument } else { ErrorKind::Failed };
        assert_eq!(failed.kind, expected, "{failed}");
    }
}

/// A budget that has no room for another try ends it; what was tried stays charged, and no more than the limit is.
#[tokio::test]
async fn attempts_stay_within_the_budget() {
    let (cpu, served) = failing(usize::MAX, CpuErrorKind::Timeout, 1, Duration::ZERO);
    let kernel = builder(cpu, 10).build().await.unwrap();
    let budget = Budget { calls: Some(4), ..Budget::default() };
    let pid = kernel.spawn(Spec { budget, ..asker(1) }).await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    assert_eq!(served.lock().len(), 4, "as many as the budget has");
    assert_eq!(kernel.process(pid).await.unwrap().usage.calls, 4);
}

/// One slot: while the first waits to be tried again, the others have it.
#[tokio::test]
async fn who_waits_to_try_again_holds_no_slot() {
    let (cpu, served) = failing(3, CpuErrorKind::Unreachable, 1, Duration::from_millis(5));
    let kernel = builder(cpu, 20).build().await.unwrap();
    let first = kernel.spawn(asker(1)).await.unwrap();
    kernel.run_until(Until::Steps(1)).await.unwrap();
    let other = kernel.spawn(asker(6)).await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    let served = served.lock();
    assert_eq!(
        served.iter().filter(|pid| **pid == other).count()
            + served.iter().filter(|pid| **pid == first).count(),
        10
    );
    let back_off = served.iter().position(|pid| *pid == other).expect("it was served");
    let last = served.iter().rposition(|pid| *pid == first).expect("it was answered");
    assert!(back_off < last, "the other went while the first waited: {served:?}");
}

/// With first come, first served, an urgent process still has a slot as soon as one is free, if there is more than one; a process of priority
/// 10 waits its turn.
#[tokio::test]
async fn one_slot_is_kept_for_the_urgent() {
    for (priority, slots, ahead) in [(9, 2, true), (10, 2, false), (9, 1, false)] {
        let (cpu, served) = failing(0, CpuErrorKind::Failed, slots, Duration::from_millis(20));
        let kernel = builder(cpu, 1).scheduler(Fifo::new).build().await.unwrap();
        for _ in 0..20 {
            kernel.spawn(asker(2)).await.unwrap();
        }
        let wait = vec![Call::Sleep { ms: Millis(60) }];
        let late = script(vec![vec![page("Is it so?")], wait, vec![Call::Infer(InferArgs::default())]]);
        let late = Spec { priority: Priority::new(priority).unwrap(), ..late };
        let late = kernel.spawn(late).await.unwrap();
        kernel.run_until(Until::Idle).await.unwrap();
        let served = served.lock();
        assert_eq!(served.len(), 41, "whatever is kept is lent while nobody urgent wants it");
        let place = served.iter().position(|pid| *pid == late).expect("it was served");
        assert_eq!(place < 18, ahead, "priority {priority}, {slots} slots: it was served as number {place}");
    }
}

/// A provider that refuses and says to come back at once is not asked in a circle, and fails no task.
#[tokio::test]
async fn refusals_that_ask_for_no_pause_are_not_a_hot_loop() {
    let begun = std::time::Instant::now();
    let sent = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = Arc::clone(&sent);
    let cpu = FnCpu::new(model_info("full"), move |_| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if begun.elapsed() < Duration::from_secs(2) {
            let error = CpuError::new(CpuErrorKind::Overloaded, "full", "come back at once");
            return Err(error.retry_after(Some(Millis::ZERO)));
        }
        Ok(Canned::text("Yes."))
    });
    let kernel = builder(cpu.with_slots(8), 5).build().await.unwrap();
    let mut pids = Vec::new();
    for _ in 0..8 {
        pids.push(kernel.spawn(asker(1)).await.unwrap());
    }
    kernel.run_until(Until::Idle).await.unwrap();
    for pid in pids {
        let info = kernel.process(pid).await.unwrap();
        assert!(
            matches!(info.state, ProcessState::Exited(kernel_types::ExitStatus::Ok(_))),
            "{:?}",
            info.state
        );
    }
    let sent = sent.load(std::sync::atomic::Ordering::Relaxed);
    assert!(sent < 150, "{sent} calls in two seconds of refusals");
    assert!(begun.elapsed() < Duration::from_secs(30), "and they come back: {:?}", begun.elapsed());
}
