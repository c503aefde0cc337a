//! A law over random histories: a store answers as the model does, call by call.
//!
//! The model is [`MemoryStore`]. Its own suite is the other laws.

use std::sync::Arc;

use kernel_types::Epoch;
use rand::rngs::{StdRng, SysRng};
use rand::{RngExt, SeedableRng, TryRng};

use super::Fixture;
use super::sample::{Process, blob, contents, message, ok, pid};
use crate::{Arrival, Commit, CommitOutcome, MemoryStore, Store};

const PROCESSES: u64 = 6;
const ROUNDS: usize = 120;

/// Random batches, right and wrong ones, posts and restarts: the same answers and the same contents. The seed is in
/// the message of a failure; `AGENTOS_SEED` repeats it.
pub async fn random_histories_agree_with_the_model(fixture: &dyn Fixture) {
    let seed = std::env::var("AGENTOS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed =
        seed.unwrap_or_else(|| SysRng.try_next_u64().expect("a machine that runs tests has randomness"));
    let mut history = History::new(seed);
    let model: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut store = fixture.open().await;
    let pids: Vec<_> = (0..PROCESSES).map(pid).collect();
    for round in 0..ROUNDS {
        let at = format!("AGENTOS_SEED={seed} round {round}");
        match history.random.random_range(0..20) {
            0 => store = fixture.reopen(store).await,
            1..5 => {
                let mail: Vec<_> = (0..3).map(|_| history.mail()).collect();
                ok(model.post(mail.clone()).await);
                ok(store.post(mail).await);
            }
            _ => {
                let batch = history.batch();
                let expected = ok(model.commit(batch.clone()).await);
                let found = ok(store.commit(batch.clone()).await);
                assert_eq!(outline(&found), outline(&expected), "{at}");
                history.learn(&batch, &expected);
            }
        }
        if round % 8 == 7 {
            assert_eq!(contents(&store, &pids).await, contents(&model, &pids).await, "{at}");
            let (after, limit) = (pid(history.random.random_range(0..PROCESSES)), 3);
            let found = ok(store.agents(Some(after), true, limit).await);
            assert_eq!(found, ok(model.agents(Some(after), true, limit).await), "{at}");
        }
    }
    let arrivals = ok(store.arrivals(Arrival(0), usize::MAX).await);
    assert!(arrivals.is_sorted_by(|(a, _), (b, _)| a < b), "AGENTOS_SEED={seed}");
}

/// Answers without the words of a refusal, which are each store's own.
fn outline(answers: &[CommitOutcome]) -> Vec<CommitOutcome> {
    let plain = |answer: &CommitOutcome| match answer {
        CommitOutcome::Refused { .. } => CommitOutcome::Refused { reason: String::new() },
        other => other.clone(),
    };
    answers.iter().map(plain).collect()
}

struct History {
    random: StdRng,
    /// As the model has them.
    processes: Vec<Process>,
}

impl History {
    fn new(seed: u64) -> Self {
        let processes = (0..PROCESSES).map(|n| Process::new(n, Epoch(1))).collect();
        Self { random: StdRng::seed_from_u64(seed), processes }
    }

    fn mail(&mut self) -> kernel_types::Mail {
        let to = pid(self.random.random_range(0..PROCESSES));
        message(self.random.random_range(0..4), self.random.random_range(0..12), to)
    }

    /// Commits of different processes, so that what the model says of each is all there is to know. One that exits
    /// is alone: whether mail sent to it by its neighbours in a batch is known is left open by the contract.
    fn batch(&mut self) -> Vec<Commit> {
        let first = self.random.random_range(0..self.processes.len());
        let count = self.random.random_range(1..=self.processes.len());
        let mut batch: Vec<_> =
            (first..first + count).map(|n| self.commit(n % self.processes.len())).collect();
        if let Some(exit) = batch.iter().position(|commit| commit.row.exited) {
            batch = vec![batch.swap_remove(exit)];
        }
        batch
    }

    fn commit(&mut self, n: usize) -> Commit {
        let mut process = self.processes[n].clone();
        match self.random.random_range(0..12) {
            0 => process.row.revision += 1,
            1 => process.row.epoch = Epoch(process.row.epoch.0.saturating_sub(1)),
            2 => process.row.epoch = process.row.epoch.next(),
            3 => process.row.records += 1,
            _ => {}
        }
        process.row.exited = self.random.random_ratio(1, 15);
        let mut commit = process.step(self.random.random_range(0..4));
        for _ in 0..self.random.random_range(0..4) {
            let value = self.random.random_bool(0.7).then(|| format!("{}", self.random.random::<u32>()));
            commit.values.push((format!("name {}", self.random.random_range(0..5)), value));
        }
        for _ in 0..self.random.random_range(0..3) {
            commit.consumed.push(self.mail().id);
        }
        // Nor is it said whether mail that a process sends itself with its last commit is known.
        if !commit.row.exited {
            commit.sent = (0..self.random.random_range(0..3)).map(|_| self.mail()).collect();
        }
        commit.blobs = (0..self.random.random_range(0..3))
            .map(|_| blob(&format!("body {}", self.random.random_range(0..10))))
            .collect();
        commit
    }

    fn learn(&mut self, batch: &[Commit], answers: &[CommitOutcome]) {
        for (commit, answer) in batch.iter().zip(answers) {
            if *answer == CommitOutcome::Committed {
                let process = self.processes.iter_mut().find(|process| process.row.pid == commit.row.pid);
                process.expect("batches are made of these").row = commit.row.clone();
            }
        }
    }
}
