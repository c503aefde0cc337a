//! Stores with one defect each: the suite must find every one of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;

use kernel_storage::conformance::{Fixture, LAWS, run};
use kernel_storage::{
    Arrival, Blobs, Commit, CommitOutcome, Journal, Mailboxes, MemoryStore, Store, StoreError,
    StoreErrorKind, Version,
};
use kernel_types::{AgentRow, BlobHash, Epoch, Hash, Mail, Pid, Record};

use crate::sample::{message, pid};

#[derive(Clone, Copy, PartialEq, Debug)]
enum Defect {
    /// The control: no defect.
    None,
    EpochNeverRises,
    IgnoresEpoch,
    IgnoresRevision,
    AnswersConflictForAlready,
    AppliesHalfOfACommit,
    LosesValuesOfLaterCommits,
    ReordersRecords,
    CutsTextAtNul,
    ForgetsCallOfRecord,
    RoundsLargeNumbers,
    PageIncludesItsStart,
    ListsExitedAsLive,
    OneBadCommitStopsTheBatch,
    ReversesAnswers,
    LosesConsumption,
    DeliversConsumedMailAgain,
    DeliversTwice,
    ReversesInbox,
    LosesSentMail,
    TakesAnyBlob,
    SortsBodies,
    SweepsAll,
    ArrivalsStartAnew,
    ForgetsOnReopening,
    IsNotEmptyAtFirst,
    FailsOnAnEmptyBatch,
    ReadsFromTheNextRecord,
    LosesConcurrentCommits,
    ListsSharedBodiesTwice,
    DropsMailForStrangers,
    ArrivalsIncludeTheirStart,
    SeesThePresentOnly,
    SeesPresentValues,
    ForgetsVersions,
    SeesWhatDidNotApply,
}

struct Broken {
    inner: Mutex<MemoryStore>,
    defect: Defect,
    swept: AtomicBool,
    committing: AtomicBool,
    refused: AtomicBool,
    reposted: Mutex<HashMap<(Pid, u64), u32>>,
}

impl Broken {
    fn new(defect: Defect) -> Self {
        Self {
            inner: Mutex::new(MemoryStore::new()),
            defect,
            swept: AtomicBool::new(false),
            committing: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            reposted: Mutex::default(),
        }
    }

    fn inner(&self) -> MemoryStore {
        self.inner.lock().clone()
    }

    fn has(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    async fn damage(&self, commit: &mut Commit) {
        let found = self.inner().agent(commit.row.pid).await.unwrap();
        match self.defect {
            Defect::IgnoresEpoch => commit.row.epoch = Epoch(1),
            Defect::IgnoresRevision => commit.row.revision = found.map_or(0, |row| row.revision) + 1,
            Defect::LosesValuesOfLaterCommits if commit.row.revision > 1 => commit.values.clear(),
            Defect::LosesConsumption => commit.consumed.clear(),
            Defect::LosesSentMail => commit.sent.clear(),
            Defect::CutsTextAtNul => {
                for body in commit.records.iter_mut().filter_map(|record| record.body.as_mut()) {
                    body.truncate(body.find('\0').unwrap_or(body.len()));
                }
            }
            Defect::ForgetsCallOfRecord => commit.records.iter_mut().for_each(|record| record.call = None),
            Defect::RoundsLargeNumbers => {
                commit.records.iter_mut().for_each(|record| record.at.0 &= u64::MAX >> 1);
            }
            Defect::TakesAnyBlob => {
                for blob in &mut commit.blobs {
                    blob.hash = kernel_types::hash_bytes(&blob.bytes);
                }
            }
            _ => {}
        }
    }

    /// Mail whose id was seen twice, made new.
    fn renumber(&self, mail: &mut Mail) {
        let mut reposted = self.reposted.lock();
        let times = reposted.entry((mail.id.sender, mail.id.number)).or_default();
        *times += 1;
        if *times > 1 {
            mail.id.number += u64::from(*times) << 32;
        }
    }
}

#[async_trait]
impl Journal for Broken {
    async fn claim(&self) -> Result<Epoch, StoreError> {
        let epoch = self.inner().claim().await?;
        Ok(if self.has(Defect::EpochNeverRises) { Epoch(1) } else { epoch })
    }

    async fn commit(&self, mut batch: Vec<Commit>) -> Result<Vec<CommitOutcome>, StoreError> {
        if batch.is_empty() && self.has(Defect::FailsOnAnEmptyBatch) {
            return Err(StoreError::new(StoreErrorKind::Invalid, "commit", "nothing to do"));
        }
        if self.has(Defect::LosesConcurrentCommits) {
            let lost = self.committing.swap(true, Ordering::AcqRel);
            tokio::task::yield_now().await;
            if lost {
                return Ok(vec![CommitOutcome::Committed; batch.len()]);
            }
            self.committing.store(false, Ordering::Release);
        }
        let mut answers = Vec::new();
        let mut stopped = false;
        for mut commit in batch.drain(..) {
            self.damage(&mut commit).await;
            if stopped {
                answers.push(CommitOutcome::Refused { reason: "after a bad one".to_owned() });
                continue;
            }
            let sent = commit.sent.clone();
            let answer = self.inner().commit(vec![commit]).await?.remove(0);
            if self.has(Defect::AppliesHalfOfACommit) {
                self.inner().post(sent).await?;
            }
            let refused = matches!(answer, CommitOutcome::Refused { .. });
            if answer != CommitOutcome::Committed {
                self.refused.store(true, Ordering::Release);
            }
            stopped = refused && self.has(Defect::OneBadCommitStopsTheBatch);
            answers.push(match answer {
                CommitOutcome::Already if self.has(Defect::AnswersConflictForAlready) => {
                    CommitOutcome::Conflict { revision: 1 }
                }
                answer => answer,
            });
        }
        if self.has(Defect::ReversesAnswers) {
            answers.reverse();
        }
        Ok(answers)
    }

    async fn agent(&self, pid: Pid) -> Result<Option<AgentRow>, StoreError> {
        self.inner().agent(pid).await
    }

    async fn agents(
        &self,
        after: Option<Pid>,
        live: bool,
        limit: usize,
    ) -> Result<Vec<AgentRow>, StoreError> {
        let live = live && !self.has(Defect::ListsExitedAsLive);
        let mut rows = self.inner().agents(after, live, limit).await?;
        if let Some(after) = after.filter(|_| self.has(Defect::PageIncludesItsStart)) {
            rows.splice(..0, self.inner().agent(after).await?);
            rows.truncate(limit.min(rows.len().saturating_sub(1)));
        }
        Ok(rows)
    }

    async fn records(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Record>, StoreError> {
        let from = if self.has(Defect::ReadsFromTheNextRecord) && from > 1 { from + 1 } else { from };
        let mut records = self.inner().records(pid, from, limit).await?;
        if self.has(Defect::ReordersRecords) && records.len() > 100 {
            records.swap(99, 100);
        }
        Ok(records)
    }

    async fn values(&self, pid: Pid) -> Result<Vec<(String, String)>, StoreError> {
        self.inner().values(pid).await
    }
    async fn as_of(&self, pid: Pid, records: u64) -> Result<Option<Version>, StoreError> {
        let inner = self.inner();
        if self.has(Defect::ForgetsVersions) && records != u64::MAX {
            return Ok(None);
        }
        let records = if self.has(Defect::SeesThePresentOnly) { u64::MAX } else { records };
        let mut found = inner.as_of(pid, records).await?;
        if let Some(found) = found.as_mut().filter(|_| self.has(Defect::SeesPresentValues)) {
            found.values = inner.values(pid).await?;
        }
        if let Some(found) = found.as_mut().filter(|_| self.has(Defect::SeesWhatDidNotApply)) {
            found.row.revision += u64::from(self.refused.load(Ordering::Acquire));
        }
        Ok(found)
    }
}

#[async_trait]
impl Blobs for Broken {
    async fn blobs(&self, hashes: &[BlobHash]) -> Result<Vec<Option<Arc<[u8]>>>, StoreError> {
        let mut bodies = self.inner().blobs(hashes).await?;
        if self.has(Defect::SortsBodies) {
            bodies.sort();
        }
        if self.swept.load(Ordering::Relaxed) {
            bodies.fill(None);
        }
        Ok(bodies)
    }

    async fn list_blobs(&self, after: Option<Hash>, limit: usize) -> Result<Vec<BlobHash>, StoreError> {
        let mut hashes = self.inner().list_blobs(after, limit).await?;
        if self.has(Defect::ListsSharedBodiesTwice) {
            hashes.extend(hashes.first().copied());
        }
        Ok(hashes)
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.swept.store(self.has(Defect::SweepsAll), Ordering::Relaxed);
        self.inner().sweep().await
    }
}

#[async_trait]
impl Mailboxes for Broken {
    async fn post(&self, mut mail: Vec<Mail>) -> Result<(), StoreError> {
        if self.has(Defect::DeliversTwice) {
            mail.iter_mut().for_each(|mail| self.renumber(mail));
        }
        if self.has(Defect::DeliversConsumedMailAgain) {
            for mail in &mut mail {
                let waiting = self.inner().inbox(mail.to).await?;
                if !waiting.iter().any(|other| other.id == mail.id) {
                    self.renumber(mail);
                }
            }
        }
        if self.has(Defect::DropsMailForStrangers) {
            for stranger in std::mem::take(&mut mail) {
                mail.extend(self.inner().agent(stranger.to).await?.map(|_| stranger));
            }
        }
        self.inner().post(mail).await
    }

    async fn inbox(&self, pid: Pid) -> Result<Vec<Mail>, StoreError> {
        let mut mail = self.inner().inbox(pid).await?;
        if self.has(Defect::ReversesInbox) {
            mail.reverse();
        }
        Ok(mail)
    }

    async fn arrivals(&self, after: Arrival, limit: usize) -> Result<Vec<(Arrival, Mail)>, StoreError> {
        if self.has(Defect::ArrivalsStartAnew) {
            let all = self.inner().arrivals(Arrival(0), usize::MAX).await?;
            let numbered = (1..).map(Arrival).zip(all).map(|(arrival, (_, mail))| (arrival, mail));
            return Ok(numbered.filter(|(arrival, _)| *arrival > after).take(limit).collect());
        }
        let start =
            if self.has(Defect::ArrivalsIncludeTheirStart) { after.0.saturating_sub(1) } else { after.0 };
        self.inner().arrivals(Arrival(start), limit).await
    }
}

struct BrokenFixture(Arc<Broken>);

#[async_trait]
impl Fixture for BrokenFixture {
    async fn open(&self) -> Arc<dyn Store> {
        if self.0.has(Defect::IsNotEmptyAtFirst) {
            self.0.post(vec![message(pid(1), 1, pid(1))]).await.unwrap();
        }
        Arc::clone(&self.0) as Arc<dyn Store>
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        if self.0.has(Defect::ForgetsOnReopening) {
            *self.0.inner.lock() = MemoryStore::new();
        }
        store
    }
}

/// The laws that a store with this defect breaks.
fn broken_laws(defect: Defect) -> Vec<&'static str> {
    let breaks = |law: kernel_storage::conformance::Law| {
        std::panic::catch_unwind(|| {
            run(async { law(&BrokenFixture(Arc::new(Broken::new(defect)))).await });
        })
        .is_err()
    };
    LAWS.iter().filter(|(_, law)| breaks(*law)).map(|(name, _)| *name).collect()
}

#[test]
fn the_suite_finds_every_seeded_defect() {
    let cases = [
        (Defect::EpochNeverRises, "epochs_rise_with_every_claim"),
        (Defect::IgnoresEpoch, "a_lower_epoch_is_fenced"),
        (Defect::IgnoresRevision, "another_revision_conflicts"),
        (Defect::AnswersConflictForAlready, "the_same_commit_again_is_already_there"),
        (Defect::AppliesHalfOfACommit, "a_commit_that_does_not_apply_changes_nothing"),
        (Defect::LosesValuesOfLaterCommits, "values_are_set_replaced_and_deleted"),
        (Defect::ReordersRecords, "records_come_back_as_written_in_order"),
        (Defect::CutsTextAtNul, "records_come_back_as_written_in_order"),
        (Defect::ForgetsCallOfRecord, "records_come_back_as_written_in_order"),
        (Defect::RoundsLargeNumbers, "records_come_back_as_written_in_order"),
        (Defect::PageIncludesItsStart, "agents_are_listed_in_pages_by_pid"),
        (Defect::ListsExitedAsLive, "exited_processes_are_listed_unless_live_ones_are_asked_for"),
        (Defect::OneBadCommitStopsTheBatch, "a_refused_commit_harms_no_other"),
        (Defect::ReversesAnswers, "answers_have_the_order_of_the_batch"),
        (Defect::LosesConsumption, "consumed_mail_is_gone"),
        (Defect::DeliversConsumedMailAgain, "consumed_mail_posted_again_stays_gone"),
        (Defect::DeliversTwice, "the_same_mail_is_delivered_once"),
        (Defect::ReversesInbox, "an_inbox_is_in_order_of_arrival"),
        (Defect::LosesSentMail, "mail_sent_with_a_commit_arrives_with_it"),
        (Defect::TakesAnyBlob, "malformed_commits_are_refused"),
        (Defect::SortsBodies, "bodies_come_back_byte_for_byte_in_the_order_asked"),
        (Defect::SweepsAll, "sweep_keeps_what_a_process_committed"),
        (Defect::ArrivalsStartAnew, "arrivals_are_not_reused_after_reopening"),
        (Defect::ForgetsOnReopening, "what_was_committed_is_there_after_reopening"),
        (Defect::IsNotEmptyAtFirst, "a_new_store_is_empty"),
        (Defect::FailsOnAnEmptyBatch, "an_empty_batch_is_answered"),
        (Defect::ReadsFromTheNextRecord, "records_are_read_from_any_number"),
        (Defect::LosesConcurrentCommits, "concurrent_commits_all_land"),
        (Defect::ListsSharedBodiesTwice, "a_body_is_shared_by_all_who_commit_it"),
        (Defect::DropsMailForStrangers, "mail_may_wait_for_a_process_to_come"),
        (Defect::ArrivalsIncludeTheirStart, "arrivals_rise_and_are_read_in_pages"),
        (Defect::SeesThePresentOnly, "a_process_is_seen_as_each_commit_left_it"),
        (Defect::SeesPresentValues, "values_are_seen_as_each_commit_left_them"),
        (Defect::ForgetsVersions, "versions_are_there_after_reopening"),
        (Defect::SeesWhatDidNotApply, "what_did_not_apply_is_no_version"),
    ];
    let mut never_broken: Vec<_> = LAWS.iter().map(|(name, _)| *name).collect();
    assert_eq!(broken_laws(Defect::None), [""; 0], "the control");
    for (defect, law) in cases {
        let broken = broken_laws(defect);
        assert!(broken.contains(&law), "{defect:?} should break {law}, broke {broken:?}");
        never_broken.retain(|law| !broken.contains(law));
    }
    assert_eq!(never_broken, [""; 0], "no defect shows that these laws can fail");
}
