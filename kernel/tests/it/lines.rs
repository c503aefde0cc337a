//! Lines for rates: a call holds its line up until it starts, and no longer.

use std::time::{Duration, Instant};

use kernel::{Kernel, Quota, Until};
use kernel_llm::CpuErrorKind;
use kernel_tools::{Behaviour, ScriptedDriver, ToolOutput};
use kernel_types::{JsonText, Millis, RateLimit, RateUnit, Recovery, Signal};

use crate::paid::{AT_ONCE, Act, Paid, ended_well, of, steps, thinker, with_model};
use crate::world::tool;

fn calls(amount: u64, per: u64) -> Quota {
    let rate = RateLimit::new(RateUnit::Calls, amount, Millis(per)).unwrap().with_burst(1);
    Quota { rates: vec![rate], ..Quota::default() }
}

#[tokio::test]
async fn a_rate_is_of_starts_however_long_calls_take() {
    let slow = Paid::new("m", |_| Act::Answer(Duration::from_millis(600)));
    let kernel = Kernel::builder().cpu(slow).keep_warm(false).tenant("press", calls(20, 1_000));
    let kernel = kernel.build().await.unwrap();
    let mut pids = Vec::new();
    for _ in 0..5 {
        pids.push(kernel.spawn(of("press", thinker(1))).await.unwrap());
    }
    let start = Instant::now();
    kernel.run_until(Until::Idle).await.unwrap();
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(790), "four times 50 ms and one call: {took:?}");
    assert!(took < Duration::from_millis(1_700), "not one call after another: {took:?}");
    for pid in pids {
        ended_well(&kernel, pid).await;
    }
}

#[tokio::test]
async fn who_waits_for_a_cpu_that_is_down_holds_up_nobody_who_asks_another() {
    let down = Paid::new("down", |_| Act::Fail(CpuErrorKind::Overloaded, Some(Millis(60_000))));
    let up = Paid::new("up", |_| AT_ONCE);
    let kernel =
        Kernel::builder().cpu(down.clone()).cpu(up).keep_warm(false).tenant("press", calls(10, 1_000));
    let kernel = kernel.build().await.unwrap();
    let mut stuck = Vec::new();
    for _ in 0..3 {
        stuck.push(kernel.spawn(of("press", with_model("down", thinker(1)))).await.unwrap());
    }
    let meanwhile = async {
        down.called(1).await;
        let pid = kernel.spawn(of("press", with_model("up", thinker(3)))).await.unwrap();
        let patience = Instant::now() + Duration::from_secs(10);
        while kernel.exit_status(pid).await.unwrap().is_none() {
            assert!(Instant::now() < patience, "it waits behind who waits for another Cpu");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for pid in &stuck {
            kernel.signal(*pid, Signal::Kill).await.unwrap();
        }
        pid
    };
    let (run, pid) = tokio::join!(kernel.run_until(Until::Idle), meanwhile);
    run.unwrap();
    ended_well(&kernel, pid).await;
}

#[tokio::test]
async fn calls_of_tools_take_nothing_from_rates() {
    let done = Behaviour::Answer(ToolOutput::ok(JsonText::empty_object(), "done"));
    let tools = ScriptedDriver::new().with("work", Recovery::Reread, done);
    let kernel = Kernel::builder().cpu(Paid::new("m", |_| AT_ONCE)).driver(tools).keep_warm(false);
    let kernel = kernel.quota(calls(10, 60_000)).build().await.unwrap();
    let worker = kernel.spawn(steps(vec![vec![tool("work"); 20]; 3])).await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    ended_well(&kernel, worker).await;
    let start = Instant::now();
    let pid = kernel.spawn(thinker(1)).await.unwrap();
    let run = tokio::time::timeout(Duration::from_secs(4), kernel.run_until(Until::Idle)).await;
    run.unwrap_or_else(|_| panic!("it waits for a rate that tools used up: {:?}", start.elapsed())).unwrap();
    ended_well(&kernel, pid).await;
}

/// The rate is the tenant's, the Cpus are two. The first of the line waits a minute for its own.
#[tokio::test]
async fn who_waits_for_a_cpu_that_takes_one_call_a_minute_holds_up_nobody_who_asks_another() {
    let minute = kernel_sched::Rate { amount: 1, per: kernel_sched::Micros(60_000_000), burst: 1 };
    let limits = kernel_sched::CpuLimits { requests: Some(minute), tokens: None };
    let (slow, full, quick) = (
        Paid::new("slow", |_| AT_ONCE),
        Paid::new("full", |_| Act::Hang).with_slots(1),
        Paid::new("quick", |_| AT_ONCE),
    );
    for held in ["slow", "full"] {
        let kernel = Kernel::builder().cpu_within(slow.clone(), limits).cpu(full.clone()).cpu(quick.clone());
        let kernel = kernel.keep_warm(false).tenant("press", calls(20, 1_000)).build().await.unwrap();
        let mut stuck = Vec::new();
        for _ in 0..4 {
            stuck.push(kernel.spawn(of("press", with_model(held, thinker(1)))).await.unwrap());
        }
        let meanwhile = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let pid = kernel.spawn(of("press", with_model("quick", thinker(5)))).await.unwrap();
            let patience = Instant::now() + Duration::from_secs(10);
            while kernel.exit_status(pid).await.unwrap().is_none() {
                assert!(Instant::now() < patience, "{held}: it waits behind who waits for another Cpu");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            for pid in &stuck {
                kernel.signal(*pid, Signal::Kill).await.unwrap();
            }
            pid
        };
        let start = Instant::now();
        let (run, pid) = tokio::join!(kernel.run_until(Until::Idle), meanwhile);
        run.unwrap();
        ended_well(&kernel, pid).await;
        assert!(start.elapsed() >= Duration::from_millis(500), "the rate is kept: {:?}", start.elapsed());
    }
}
