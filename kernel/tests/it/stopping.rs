//! A shutdown waits for what was sent and sends nothing more.

use std::time::{Duration, Instant};

use kernel::{Kernel, KernelBuilder, Until};
use kernel_storage::MemoryStore;
use kernel_tools::{Behaviour, ScriptedDriver, ToolOutput};
use kernel_types::{JsonText, MicroUsd, Millis, Recovery};

use crate::paid::{AT_ONCE, Act, Paid, USED, cost, ended_well, spent, steps, thinker};
use crate::world::tool;

const TAKES: Duration = Duration::from_millis(300);

fn builder(store: &MemoryStore, cpu: &Paid, tools: &ScriptedDriver) -> KernelBuilder {
    let builder = Kernel::builder().store(store.clone()).cpu(cpu.clone()).driver(tools.clone());
    builder.tool_slots("work", 1).keep_warm(false)
}

fn tools(takes: u64) -> ScriptedDriver {
    let done = ToolOutput::ok(JsonText::empty_object(), "done");
    ScriptedDriver::new().with("work", Recovery::Unsafe, Behaviour::Slow(Millis(takes), done))
}

#[tokio::test]
async fn queued_calls_are_not_sent_after_a_shutdown_began() {
    let (store, cpu, slow) = (MemoryStore::new(), Paid::new("a", |_| Act::Answer(TAKES)), tools(300));
    let cpu = cpu.with_slots(1);
    let first = builder(&store, &cpu, &slow).build().await.unwrap();
    let mut pids = Vec::new();
    for _ in 0..6 {
        pids.push(first.spawn(thinker(1)).await.unwrap());
        pids.push(first.spawn(steps(vec![vec![tool("work")]])).await.unwrap());
    }
    let both = async {
        cpu.called(1).await;
        while slow.calls_of("work") < 1 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        _ = first.run_until(Until::Idle) => panic!("it has not begun"),
        () = both => {}
    }
    let start = Instant::now();
    first.shutdown().await.unwrap();
    assert!(start.elapsed() < 2 * TAKES, "one call is waited for, not the queue: {:?}", start.elapsed());
    assert_eq!((cpu.calls(), slow.calls_of("work")), (1, 1), "what waited was not sent");

    let (cpu, quick) = (Paid::new("a", |_| AT_ONCE), tools(0));
    let second = builder(&store, &cpu, &quick).quota(cost(100_000)).build().await.unwrap();
    let before = spent(&second).await;
    assert_eq!((before.calls, before.cost), (2, MicroUsd(USED)), "what was not sent costs nothing");
    second.recover().await.unwrap();
    second.run_until(Until::Idle).await.unwrap();
    for pid in pids {
        ended_well(&second, pid).await;
        assert_eq!(second.process(pid).await.unwrap().usage.calls, 1, "each was made once");
    }
    assert_eq!((cpu.calls(), quick.calls_of("work")), (5, 5));
}

/// Calls that are being prepared or committed when the shutdown begins have no effect either, and are made afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_at_any_moment_loses_nothing_and_charges_nothing_twice() {
    for pause in 0..12 {
        let (store, cpu) = (MemoryStore::new(), Paid::new("a", |_| AT_ONCE).with_slots(2));
        let first = builder(&store, &cpu, &tools(0)).build().await.unwrap();
        let mut pids = Vec::new();
        for _ in 0..20 {
            pids.push(first.spawn(thinker(5)).await.unwrap());
        }
        let run = tokio::time::timeout(Duration::from_micros(pause * 700), first.run_until(Until::Idle));
        drop(run.await);
        first.shutdown().await.unwrap();
        let second = builder(&store, &cpu, &tools(0)).build().await.unwrap();
        second.recover().await.unwrap();
        second.run_until(Until::Idle).await.unwrap();
        for pid in pids {
            let ended = store_info(&store, pid).await;
            assert_eq!(ended.usage.calls, 5, "after {pause}: {ended:?}");
            assert_eq!(ended.usage.cost, MicroUsd(5 * USED), "after {pause}");
        }
        assert_eq!(cpu.calls(), 100, "after {pause}");
    }
}

async fn store_info(store: &MemoryStore, pid: kernel_types::Pid) -> kernel_types::ProcessInfo {
    use kernel_storage::Journal;
    kernel::process_info(&store.agent(pid).await.unwrap().unwrap()).unwrap()
}
