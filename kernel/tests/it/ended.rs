//! Processes that have ended: the latest in memory, the others in the store.

use kernel::{Kernel, KernelError, Limits, Until};
use kernel_types::{Call, ExitStatus, Pid, ProcessState};

use crate::world::script;

#[tokio::test]
async fn a_kernel_keeps_the_latest_and_reads_the_others() {
    let kernel = Kernel::builder().limits(Limits { ended: 3, ..Limits::default() }).build().await.unwrap();
    let mut pids = Vec::new();
    for number in 0..8 {
        let exit = Call::Exit(ExitStatus::Ok(number.to_string()));
        pids.push(kernel.spawn(script(vec![vec![exit]])).await.unwrap());
        kernel.run_until(Until::Idle).await.unwrap();
    }
    let kept: Vec<Pid> = kernel.status().await.unwrap().into_iter().map(|info| info.pid).collect();
    let mut latest = pids[5..].to_vec();
    latest.sort_unstable();
    assert_eq!(kept, latest, "the latest three");
    assert_eq!(kernel.snapshot().await.unwrap().processes.len(), 3);
    for (pid, number) in pids.iter().zip(0..) {
        let info = kernel.process(*pid).await.unwrap();
        assert_eq!(info.state, ProcessState::Exited(ExitStatus::Ok(number.to_string())));
        assert_eq!(kernel.exit_status(*pid).await.unwrap(), Some(ExitStatus::Ok(number.to_string())));
    }
    let nobody = kernel.process(Pid::fresh()).await;
    assert!(matches!(nobody, Err(KernelError::UnknownProcess(_))), "{nobody:?}");
}

/// One that another kernel ran is none of this one's.
#[tokio::test]
async fn a_process_that_another_kernel_ran_is_not_known() {
    let store = kernel_storage::MemoryStore::new();
    let first = Kernel::builder().store(store.clone()).build().await.unwrap();
    let pid = first.spawn(script(vec![vec![Call::Now]])).await.unwrap();
    first.run_until(Until::Idle).await.unwrap();
    let second = Kernel::builder().store(store).build().await.unwrap();
    assert!(matches!(second.process(pid).await, Err(KernelError::UnknownProcess(_))));
    assert!(first.process(pid).await.is_ok(), "control");
}
