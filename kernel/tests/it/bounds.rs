//! Budgets of money and tokens against a provider that counts more than the kernel expects.

use std::time::Duration;

use kernel::{Kernel, Quota, Until};
use kernel_llm::CpuErrorKind;
use kernel_types::{Budget, Event, LimitName, MicroUsd, Pid, Spec, Tokens};

use crate::paid::{AT_ONCE, Act, Paid, USED, cost, ended_well, of, state, suspended, thinker};

/// Four times what the page and its frame are expected to count.
const FOURFOLD: u64 = 2_400;

/// What the first inference of a process held of tokens.
async fn held(kernel: &Kernel, pid: Pid) -> u64 {
    let entries = kernel::mediation::entries(&*kernel.store(), pid).await;
    let held = entries.into_iter().find_map(|entry| match entry.event {
        Event::Intent { reserved, view: Some(_), .. } => Some(reserved.tokens.0),
        _ => None,
    });
    held.expect("it asked")
}

#[tokio::test]
async fn a_provider_that_counts_four_times_as_much_overspends_nothing() {
    let tokens = |limit| Budget { tokens: Some(Tokens(limit)), ..Budget::default() };
    let money = |limit| Budget { cost: Some(MicroUsd(limit)), ..Budget::default() };
    let quota = |budget| Quota { budget, ..Quota::default() };
    for limit in [500, 5_000, 20_000] {
        for (budget, name) in
            [(tokens(limit), LimitName::TenantTokens), (money(limit), LimitName::TenantCost)]
        {
            let cpu = Paid::new("m", |_| Act::Answer(Duration::from_millis(5))).counting(FOURFOLD);
            let kernel = Kernel::builder().cpu(cpu).keep_warm(false).tenant("press", quota(budget));
            let kernel = kernel.build().await.unwrap();
            let mut pids = Vec::new();
            for _ in 0..12 {
                pids.push(kernel.spawn(of("press", thinker(3))).await.unwrap());
            }
            let own = if name == LimitName::TenantCost { money(limit) } else { tokens(limit) };
            let own = kernel.spawn(Spec { budget: own, ..thinker(30) }).await.unwrap();
            kernel.run_until(Until::Idle).await.unwrap();
            let spent = kernel.spent(Some("press")).await.unwrap().unwrap();
            let spent = if name == LimitName::TenantCost { spent.cost.0 } else { spent.tokens.0 };
            assert!(spent <= limit, "{spent} of {limit}");
            assert!(limit - spent < 3_100, "no more is left than a call may need: {spent} of {limit}");
            assert!(state(&kernel, pids[11]).await == suspended(name));
            let used = kernel.process(own).await.unwrap().usage;
            assert!(used.tokens().0 <= limit, "{used:?}");
        }
    }
}

#[tokio::test]
async fn where_only_calls_are_limited_the_estimate_is_held() {
    let kernel = Kernel::builder().cpu(Paid::new("m", |_| AT_ONCE)).keep_warm(false).build().await.unwrap();
    let calls = Budget { calls: Some(5), ..Budget::default() };
    let money = Budget { cost: Some(MicroUsd(90_000)), ..Budget::default() };
    let estimated = kernel.spawn(Spec { budget: calls, ..thinker(1) }).await.unwrap();
    let bounded = kernel.spawn(Spec { budget: money, ..thinker(1) }).await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    let estimated = held(&kernel, estimated).await;
    assert!((300..900).contains(&estimated), "{estimated}");
    let bounded = held(&kernel, bounded).await;
    assert!((2_900..3_100).contains(&bounded), "a token a byte: {bounded}");
}

/// Nobody says what a call used that broke off: it is charged what it held, whether it is tried again or was the last. One that the
/// provider says it failed at costs nothing.
#[tokio::test]
async fn a_call_that_came_to_nothing_is_charged_the_most_it_can_have_used() {
    for kind in [CpuErrorKind::Failed, CpuErrorKind::Broken, CpuErrorKind::Timeout] {
        for last in [false, true] {
            let cpu = Paid::new("m", move |n| if n == 0 { Act::Fail(kind, None) } else { AT_ONCE });
            let limits = kernel::Limits { attempts: if last { 1 } else { 3 }, ..kernel::Limits::default() };
            let kernel = Kernel::builder().cpu(cpu).keep_warm(false).limits(limits).quota(cost(50_000));
            let kernel = kernel.build().await.unwrap();
            let pid = kernel.spawn(thinker(1)).await.unwrap();
            kernel.run_until(Until::Idle).await.unwrap();
            if !last {
                ended_well(&kernel, pid).await;
            }
            let lost = if kind == CpuErrorKind::Failed { 0 } else { held(&kernel, pid).await };
            let expected = lost + if last { 0 } else { USED };
            let (usage, spent) =
                (kernel.process(pid).await.unwrap().usage, kernel.spent(None).await.unwrap().unwrap());
            assert_eq!(usage.cost, MicroUsd(expected), "{kind:?}, last: {last}");
            assert_eq!((spent.cost, spent.tokens), (usage.cost, usage.tokens()), "{kind:?}, last: {last}");
        }
    }
}
