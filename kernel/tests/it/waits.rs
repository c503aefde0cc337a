//! How long a call waited and for what: in the journal, in `ps` and in `top`, while it waits and afterwards.

use std::time::Duration;

use kernel::{Kernel, Limits, ProcessStatus, Quota, Until};
use kernel_llm::CpuErrorKind;
use kernel_types::{Budget, Event, Millis, Pid, RateLimit, RateUnit, Signal, Spec, Timestamp, WaitCause};

use crate::paid::{AT_ONCE, Act, Paid, cost, of, steps, thinker};
use crate::world::tool;

/// What the journal says that a process's calls waited for.
async fn waited(kernel: &Kernel, pid: Pid) -> Vec<(WaitCause, u64)> {
    let mut all = Vec::new();
    for entry in kernel::mediation::entries(&*kernel.store(), pid).await {
        if let Event::Outcome { causes, .. } = entry.event {
            all.extend(causes.iter().map(|waited| (waited.cause, waited.ms.0)));
        }
    }
    all
}

/// One process waits as it is told for so long, is looked at, and is killed: what a status says of it meanwhile, and the journal of
/// it in the end.
async fn held(
    kernel: Kernel,
    spec: Spec,
    others: Vec<Spec>,
) -> (Timestamp, ProcessStatus, Vec<(WaitCause, u64)>) {
    // Something goes on all the time, so that the run does.
    let sleep = steps(vec![vec![kernel_types::Call::Sleep { ms: Millis(1_500) }]]);
    let mut first = vec![kernel.spawn(sleep).await.unwrap()];
    for other in others {
        first.push(kernel.spawn(other).await.unwrap());
    }
    let look = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let pid = kernel.spawn(spec).await.unwrap();
        tokio::time::sleep(Duration::from_millis(400)).await;
        let status = kernel.snapshot().await.unwrap();
        let found = status.processes.iter().find(|process| process.info.pid == pid).cloned().unwrap();
        let info = kernel.process(pid).await.unwrap();
        assert!(info.waited >= Millis(300), "ps: {info:?}");
        for pid in std::iter::once(pid).chain(first.iter().copied()) {
            kernel.signal(pid, Signal::Kill).await.unwrap();
        }
        (pid, status.at, found)
    };
    let (run, (pid, at, found)) = tokio::join!(kernel.run_until(Until::Idle), look);
    run.unwrap();
    assert!(kernel.process(pid).await.unwrap().waited >= Millis(300), "and afterwards");
    let waited = waited(&kernel, pid).await;
    (at, found, waited)
}

#[track_caller]
fn check(
    (at, status, waited): (Timestamp, ProcessStatus, Vec<(WaitCause, u64)>),
    words: &str,
    cause: WaitCause,
) {
    assert_eq!(status.wait.as_deref(), Some(words));
    assert!(status.slot.is_none(), "{status:?}");
    let since = status.waiting_since.expect("it waits");
    assert!((300..2_000).contains(&(at.0 - since.0)), "{at:?} {status:?}");
    let found = waited.iter().find(|(known, _)| *known == cause);
    assert!(found.is_some_and(|(_, ms)| *ms >= 300), "{cause:?}: {waited:?}");
}

#[tokio::test]
async fn who_waits_says_what_for_and_how_long() {
    let kernel = || Kernel::builder().keep_warm(false);
    let rate = RateLimit::new(RateUnit::Calls, 1, Millis(60_000)).unwrap().with_burst(1);
    let rated = Quota { rates: vec![rate], ..Quota::default() };

    let world =
        kernel().cpu(Paid::new("m", |_| AT_ONCE)).tenant("press", rated.clone()).build().await.unwrap();
    let found = held(world, of("press", thinker(1)), vec![of("press", thinker(1))]).await;
    check(found, "its rate: m", WaitCause::Rate);

    let world = kernel().cpu(Paid::new("m", |_| AT_ONCE)).quota(rated).build().await.unwrap();
    let found = held(world, thinker(1), vec![thinker(1)]).await;
    check(found, "its rate: m", WaitCause::Rate);

    let world = kernel().cpu(Paid::new("m", |_| Act::Hang)).quota(cost(3_100)).build().await.unwrap();
    let found = held(world, thinker(1), vec![thinker(1)]).await;
    check(found, "a budget that others hold: m", WaitCause::Budget);

    let world = kernel().cpu(Paid::new("m", |_| Act::Hang)).resource("gpu", 1).model_needs("m", "gpu", 1);
    let found = held(world.build().await.unwrap(), thinker(1), vec![thinker(1)]).await;
    check(found, "what it needs beside it: m", WaitCause::Resource);

    let world = kernel().cpu(Paid::new("m", |_| Act::Hang).with_slots(1)).build().await.unwrap();
    let found = held(world, thinker(1), vec![thinker(1)]).await;
    check(found, "a slot of m", WaitCause::Slot);

    let minute = Act::Fail(CpuErrorKind::Overloaded, Some(Millis(60_000)));
    let world = kernel().cpu(Paid::new("m", move |_| minute.clone())).build().await.unwrap();
    let found = held(world, thinker(1), vec![thinker(1)]).await;
    check(found, "the pause the provider asked for: m", WaitCause::RetryAfter);

    let failing = Act::Fail(CpuErrorKind::Failed, Some(Millis(5_000)));
    let limits = Limits { attempts: 50, ..Limits::default() };
    let world = kernel().cpu(Paid::new("m", move |_| failing.clone())).limits(limits).build().await.unwrap();
    let found = held(world, thinker(1), Vec::new()).await;
    check(found, "another try: m", WaitCause::Backoff);

    let hang = kernel_tools::ScriptedDriver::new().with(
        "work",
        kernel_types::Recovery::Reread,
        kernel_tools::Behaviour::Hang,
    );
    let world = kernel().driver(hang).tool_slots("work", 1).build().await.unwrap();
    let works = || steps(vec![vec![tool("work")]]);
    let found = held(world, works(), vec![works()]).await;
    check(found, "what it needs beside it: tool work", WaitCause::Resource);
}

/// Each time a budget is freed those who wait for it are looked at; that is one wait, not many.
#[tokio::test]
async fn a_wait_for_a_budget_is_one_wait_however_often_it_is_looked_at() {
    let quick = Paid::new("m", |n| if n == 0 { Act::Answer(Duration::from_millis(600)) } else { AT_ONCE });
    let budget = Budget { cost: Some(kernel_types::MicroUsd(9_000)), ..Budget::default() };
    let kernel = Kernel::builder().cpu(quick).keep_warm(false);
    let kernel = kernel.tenant("press", Quota { budget, ..Quota::default() }).build().await.unwrap();
    // The first holds its part for long; the others come and go.
    let slow = kernel.spawn(of("press", thinker(1))).await.unwrap();
    let big = kernel_types::NewPage::text(kernel_types::PageKind::User, "word ".repeat(1_250));
    let needy =
        steps(vec![vec![kernel_types::Call::PageAlloc { pages: vec![big] }], vec![crate::paid::think()]]);
    let look = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let needy = kernel.spawn(of("press", needy)).await.unwrap();
        for _ in 0..3 {
            kernel.spawn(of("press", thinker(10))).await.unwrap();
        }
        needy
    };
    let (run, needy) = tokio::join!(kernel.run_until(Until::Idle), look);
    run.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    crate::paid::ended_well(&kernel, slow).await;
    crate::paid::ended_well(&kernel, needy).await;
    let waited = waited(&kernel, needy).await;
    let held: Vec<u64> =
        waited.iter().filter(|(cause, _)| *cause == WaitCause::Budget).map(|(_, ms)| *ms).collect();
    assert!(held.len() == 1 && held[0] >= 400, "{waited:?}");
}
