//! Patience with a Cpu: counted from when a call was sent, or from when the Cpu began to fail; never from when a call queued up.

use std::time::Duration;

use kernel::{Kernel, Limits, Quota, Until};
use kernel_llm::CpuErrorKind;
use kernel_types::{ExitStatus, Millis, ProcessState, RateLimit, RateUnit, WaitCause};

use crate::paid::{AT_ONCE, Act, Paid, ended_well, of, state, thinker};

fn patient_for(retry: Duration) -> Limits {
    Limits { retry, ..Limits::default() }
}

#[tokio::test]
async fn a_call_that_waited_long_for_its_rate_is_tried_again_like_any_other() {
    let cpu = Paid::new("m", |n| if n == 1 { Act::Fail(CpuErrorKind::Overloaded, None) } else { AT_ONCE });
    let rate = RateLimit::new(RateUnit::Calls, 1, Millis(1_900)).unwrap();
    let kernel =
        Kernel::builder().cpu(cpu).keep_warm(false).limits(patient_for(Duration::from_millis(1_600)));
    let kernel =
        kernel.tenant("press", Quota { rates: vec![rate], ..Quota::default() }).build().await.unwrap();
    let pids = [
        kernel.spawn(of("press", thinker(1))).await.unwrap(),
        kernel.spawn(of("press", thinker(1))).await.unwrap(),
    ];
    kernel.run_until(Until::Idle).await.unwrap();
    for pid in pids {
        ended_well(&kernel, pid).await;
    }
}

#[tokio::test]
async fn a_pause_longer_than_the_patience_is_not_waited_for() {
    let day = Act::Fail(CpuErrorKind::Overloaded, Some(Millis(86_400_000)));
    let cpu = Paid::new("m", move |_| day.clone());
    let kernel = Kernel::builder().cpu(cpu.clone()).keep_warm(false).build().await.unwrap();
    for said in ["as it was told", "takes no call for another 86"] {
        let pid = kernel.spawn(thinker(1)).await.unwrap();
        let run = tokio::time::timeout(Duration::from_secs(10), kernel.run_until(Until::Idle)).await;
        run.expect("nobody waits for a day").unwrap();
        let state = state(&kernel, pid).await;
        assert!(
            matches!(&state, ProcessState::Exited(ExitStatus::Failed(why)) if why.contains(said)),
            "{state:?}"
        );
    }
    assert_eq!(cpu.calls(), 1);
}

/// The patience of those who queue behind a slow call ends when the Cpu has failed for a moment only.
#[tokio::test]
async fn a_cpu_that_failed_for_a_moment_is_not_given_up_by_who_queued_for_longer() {
    let cpu = Paid::new("m", |n| match n {
        0 => Act::Answer(Duration::from_millis(1_200)),
        1..=5 => Act::Fail(CpuErrorKind::Unreachable, None),
        _ => AT_ONCE,
    });
    let limits = Limits { attempts: 20, ..patient_for(Duration::from_millis(1_250)) };
    let kernel = Kernel::builder().cpu(cpu.with_slots(1)).keep_warm(false).limits(limits);
    let kernel = kernel.build().await.unwrap();
    let mut pids = Vec::new();
    for _ in 0..9 {
        pids.push(kernel.spawn(thinker(1)).await.unwrap());
    }
    kernel.run_until(Until::Idle).await.unwrap();
    for pid in pids {
        ended_well(&kernel, pid).await;
    }
}

/// A Cpu that is dead: who was sent gives up after its attempts, who waits gives up when the Cpu has failed for as long as one is
/// patient, and says so.
#[tokio::test]
async fn a_cpu_that_is_dead_is_given_up_by_all_who_wait_for_it() {
    let cpu = Paid::new("m", |_| Act::Fail(CpuErrorKind::Unreachable, None)).with_slots(2);
    let limits = Limits { attempts: 100, ..patient_for(Duration::from_millis(1_500)) };
    let kernel = Kernel::builder().cpu(cpu.clone()).keep_warm(false).limits(limits).build().await.unwrap();
    let mut pids = Vec::new();
    for _ in 0..10 {
        pids.push(kernel.spawn(thinker(1)).await.unwrap());
    }
    let run = tokio::time::timeout(Duration::from_secs(30), kernel.run_until(Until::Idle)).await;
    run.expect("nobody waits for ever").unwrap();
    let (mut gave_up, mut breaker) = (0, 0);
    for pid in pids {
        let state = state(&kernel, pid).await;
        let ProcessState::Exited(ExitStatus::Failed(why)) = &state else { panic!("{state:?}") };
        assert!(why.contains("as it was told"), "the last that was heard of it: {why}");
        gave_up += u32::from(why.contains("has failed for 1.5s"));
        for entry in kernel::mediation::entries(&*kernel.store(), pid).await {
            if let kernel_types::Event::Outcome { causes, .. } = entry.event {
                breaker += u32::from(causes.iter().any(|waited| waited.cause == WaitCause::Breaker));
            }
        }
        assert_eq!(kernel.process(pid).await.unwrap().usage.calls, 0, "who was not reached charges nothing");
    }
    assert!(gave_up >= 1, "some waited and gave up");
    assert!(breaker >= gave_up, "the journal says what they waited for: {breaker} of {gave_up}");
    assert!(cpu.calls() < 60, "the breaker kept calls from being sent: {}", cpu.calls());
}
