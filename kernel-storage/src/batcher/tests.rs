//! The laws of a batcher, on lanes that sleep.

use std::sync::Arc;
use std::time::Duration;

use kernel_types::Pid;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::{Batcher, Item, Lane, Limits};

const WRITE: Duration = Duration::from_millis(10);
const LINGER: Duration = Duration::from_millis(2);

struct Job {
    pids: Vec<u64>,
    bytes: usize,
    panics: bool,
    done: oneshot::Sender<Instant>,
}

impl Item for Job {
    fn commits(&self) -> usize {
        self.pids.len()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn pids(&self) -> impl Iterator<Item = Pid> + '_ {
        self.pids.iter().map(|n| Pid::from_parts(1, u128::from(*n)))
    }
}

#[derive(Default)]
struct Log {
    /// Processes of each group, in the order of their starts.
    groups: Vec<Vec<u64>>,
    running: Vec<u64>,
    most: usize,
    lanes: usize,
    closed: usize,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Log>>);

struct Sleeper(Shared);

impl Lane<Job> for Sleeper {
    async fn write(&mut self, group: Vec<Job>) {
        let pids: Vec<u64> = group.iter().flat_map(|job| job.pids.clone()).collect();
        {
            let mut log = self.0.0.lock();
            let clash = pids.iter().find(|pid| log.running.contains(pid));
            assert_eq!(clash, None, "a process is in two groups at once");
            log.running.extend(&pids);
            log.groups.push(pids.clone());
            log.lanes += 1;
            log.most = log.most.max(log.lanes);
        }
        sleep(WRITE).await;
        {
            let mut log = self.0.0.lock();
            log.running.retain(|pid| !pids.contains(pid));
            log.lanes -= 1;
        }
        assert!(!group.iter().any(|job| job.panics), "a lane that breaks");
        for job in group {
            let _ = job.done.send(Instant::now());
        }
    }

    async fn close(self) {
        self.0.0.lock().closed += 1;
    }
}

fn start(lanes: usize, commits: usize, queue: usize) -> (Batcher<Job>, Shared) {
    let shared = Shared::default();
    let limits = Limits { lanes, commits, bytes: 1000, linger: LINGER, queue };
    let made = shared.clone();
    (Batcher::start(limits, move || Sleeper(made.clone())), shared)
}

fn job(pids: &[u64], bytes: usize, panics: bool) -> (Job, oneshot::Receiver<Instant>) {
    let (done, waits) = oneshot::channel();
    (Job { pids: pids.to_vec(), bytes, panics, done }, waits)
}

async fn send(batcher: &Batcher<Job>, pids: &[u64]) -> oneshot::Receiver<Instant> {
    let (job, done) = job(pids, 1, false);
    assert!(batcher.send(job).await, "the batcher takes it");
    done
}

#[tokio::test(start_paused = true)]
async fn an_idle_batcher_writes_at_once() {
    let (batcher, _) = start(4, 64, 100);
    let began = Instant::now();
    let done = send(&batcher, &[1]).await.await.unwrap();
    assert_eq!(done - began, WRITE);
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_another_is_written_waits_for_company_but_not_for_long() {
    let (batcher, log) = start(4, 64, 100);
    let began = Instant::now();
    let first = send(&batcher, &[1]).await;
    sleep(Duration::from_millis(1)).await;
    let second = send(&batcher, &[2]).await;
    sleep(Duration::from_millis(1)).await;
    let third = send(&batcher, &[3]).await;
    assert_eq!(first.await.unwrap() - began, WRITE);
    for done in [second, third] {
        assert_eq!(done.await.unwrap() - began, Duration::from_millis(1) + LINGER + WRITE);
    }
    assert_eq!(log.0.lock().groups, [vec![1], vec![2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn a_full_group_does_not_wait_and_is_no_larger_than_its_limits() {
    let (batcher, log) = start(8, 4, 100);
    let mut waits = vec![send(&batcher, &[0]).await];
    tokio::task::yield_now().await;
    for n in 1..=9 {
        waits.push(send(&batcher, &[n]).await);
    }
    let large: Vec<u64> = (20..30).collect();
    waits.push(send(&batcher, &large).await);
    for wait in waits {
        wait.await.unwrap();
    }
    let groups = log.0.lock().groups.clone();
    assert_eq!(groups, [vec![0], vec![1, 2, 3, 4], vec![5, 6, 7, 8], vec![9], large]);
}

#[tokio::test(start_paused = true)]
async fn bytes_bound_a_group_too() {
    let (batcher, log) = start(1, 64, 100);
    let mut waits = Vec::new();
    for (n, bytes) in [(1, 1), (2, 600), (3, 600), (4, 5000), (5, 1)] {
        let (job, done) = job(&[n], bytes, false);
        assert!(batcher.send(job).await);
        waits.push(done);
        tokio::task::yield_now().await;
    }
    for wait in waits {
        wait.await.unwrap();
    }
    assert_eq!(log.0.lock().groups, [vec![1], vec![2], vec![3], vec![4], vec![5]]);
}

#[tokio::test(start_paused = true)]
async fn a_process_is_never_in_two_groups_at_once_and_stays_in_order() {
    let (batcher, log) = start(4, 8, 1000);
    let mut seed = 7_u64;
    let mut waits = Vec::new();
    for n in 0..500_u64 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let pid = (seed >> 33) % 5;
        // The second number tells which it is; the lane panics if the first is in two groups.
        waits.push(send(&batcher, &[pid, 1000 + n]).await);
        if n % 7 == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    for wait in waits {
        wait.await.unwrap();
    }
    let log = log.0.lock();
    let mut last = [0; 5];
    for pair in log.groups.concat().chunks(2) {
        let process = usize::try_from(pair[0]).unwrap();
        assert!(last[process] < pair[1], "process {process}: {} after {}", pair[1], last[process]);
        last[process] = pair[1];
    }
    assert!(log.most > 1, "several groups were written at once");
}

#[tokio::test(start_paused = true)]
async fn callers_wait_when_the_queue_is_full() {
    let (batcher, _) = start(1, 1, 2);
    let mut waits = Vec::new();
    let began = Instant::now();
    for n in 0..20 {
        waits.push(send(&batcher, &[n]).await);
    }
    let sent = began.elapsed();
    assert!(sent >= WRITE * 10, "twenty were taken in {sent:?}, with room for a few");
    for wait in waits {
        wait.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn closing_writes_what_is_queued_and_takes_nothing_more() {
    let (batcher, log) = start(2, 1, 100);
    let mut waits = Vec::new();
    for n in 0..10 {
        waits.push(send(&batcher, &[n]).await);
    }
    let other = batcher.clone();
    batcher.close().await;
    for mut wait in waits {
        assert!(wait.try_recv().is_ok(), "it was written before the batcher closed");
    }
    assert_eq!(log.0.lock().closed, 2);
    assert!(!other.send(job(&[1], 1, false).0).await);
    other.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_panics_is_replaced_and_its_processes_go_on() {
    let (batcher, log) = start(1, 64, 100);
    let (broken, lost) = job(&[1], 1, true);
    assert!(batcher.send(broken).await);
    assert!(lost.await.is_err(), "nobody answers what broke its lane");
    send(&batcher, &[1]).await.await.unwrap();
    batcher.close().await;
    assert_eq!(log.0.lock().closed, 1);
}
