//! Writes groups of commits on one connection, and finds out what became of them.
//!
//! Every statement may be run again: what landed before does not apply twice, and is recognised by its epoch, revision
//! and head. So the answer to everything that goes wrong for a while (a deadlock, a connection that is cut, a server
//! that starts again) is to run the statement again, for as long as [`PostgresOptions::patience`] says. A write whose
//! answer was lost and that cannot be decided in this time is reported as unknown.
//!
//! [`PostgresOptions::patience`]: crate::PostgresOptions::patience

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use kernel_types::Pid;
use sqlx::QueryBuilder;
use tokio::time::{Instant, sleep};

use super::failpoint;
use super::link::Link;
use super::plan::{self, Part};
use super::row;
use super::statement::{Rows, bodies, uuid, write_bodies};
use super::tries::{Failure, Tries};
use crate::batcher::Lane;
use crate::check::{Tip, judge};
use crate::pack::Packed;
use crate::work::Work;
use crate::{CommitOutcome, StoreError, StoreErrorKind};

/// The bytes of bodies of one statement, unless one body has more.
const BODIES: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct PostgresLane {
    link: Link,
    patience: Duration,
}

/// What became of one part.
type Written = Result<CommitOutcome, StoreError>;

impl Lane<Work> for PostgresLane {
    async fn write(&mut self, group: Vec<Work>) {
        let parts = plan::parts(&group);
        let mut written = Vec::with_capacity(parts.len());
        for round in plan::rounds(&parts) {
            written.extend(self.round(round).await);
        }
        let mut places: Vec<Vec<(usize, Written)>> = group.iter().map(|_| Vec::new()).collect();
        for (part, written) in parts.iter().zip(written) {
            places[part.work].push((part.position, written));
        }
        let _ = failpoint::ANSWER.before();
        for (work, written) in group.into_iter().zip(places) {
            let result = answer(&work, written);
            // A caller that has gone needs no answer.
            let _ = work.answer.send(result);
        }
        let _ = failpoint::ANSWER.after();
    }

    async fn close(self) {
        self.link.close().await;
    }
}

/// The answer to one item: an error of one of its parts is one of all of it.
fn answer(work: &Work, written: Vec<(usize, Written)>) -> Result<Vec<CommitOutcome>, StoreError> {
    let landed = written.iter().any(|(_, written)| matches!(written, Ok(CommitOutcome::Committed)));
    let mut outcomes: Vec<_> = work
        .batch
        .iter()
        .map(|checked| CommitOutcome::Refused { reason: checked.malformed.clone().unwrap_or_default() })
        .collect();
    for (position, written) in written {
        match written {
            Ok(outcome) if position < outcomes.len() => outcomes[position] = outcome,
            Ok(_) => {}
            Err(error) if landed => {
                let message = format!("a part of the batch landed, then: {}", error.words());
                return Err(
                    StoreError::new(StoreErrorKind::CommitUnknown, work.operation, message).because(error)
                );
            }
            Err(error) => return Err(error.repeated(work.operation)),
        }
    }
    Ok(outcomes)
}

impl PostgresLane {
    pub(super) const fn new(link: Link, patience: Duration) -> Self {
        Self { link, patience }
    }

    /// Writes a round; if a row is to blame for a failure, in halves, so that one bad row harms one commit.
    async fn round(&mut self, parts: &[Part<'_>]) -> Vec<Written> {
        let mut written = Vec::with_capacity(parts.len());
        let mut left = vec![parts];
        while let Some(parts) = left.pop() {
            match self.attempt(parts).await {
                Ok(outcomes) => written.extend(outcomes.into_iter().map(Ok)),
                Err((error, true)) if parts.len() > 1 => {
                    let (first, second) = parts.split_at(parts.len() / 2);
                    left.extend([second, first]);
                    drop(error);
                }
                Err((error, true)) if parts[0].commit.is_some() => {
                    written.push(Ok(CommitOutcome::Refused { reason: error.to_string() }));
                }
                Err((error, _)) => written.extend(parts.iter().map(|_| Err(error.repeated("commit")))),
            }
        }
        written
    }

    /// Writes parts together, as often as it takes. With an error comes whether a row is to blame.
    async fn attempt(&mut self, parts: &[Part<'_>]) -> Result<Vec<CommitOutcome>, (StoreError, bool)> {
        let mut tries = Tries { end: Instant::now() + self.patience, again: 0, lost: None };
        let mut outcomes: Vec<Option<CommitOutcome>> = parts.iter().map(|_| None).collect();
        loop {
            let open: Vec<usize> = (0..parts.len()).filter(|n| outcomes[*n].is_none()).collect();
            if open.is_empty() {
                return Ok(outcomes.into_iter().flatten().collect());
            }
            let left: Vec<Part<'_>> = open.iter().map(|n| parts[*n]).collect();
            match self.once(&left).await {
                Ok(found) => {
                    for (n, outcome) in open.into_iter().zip(found) {
                        outcomes[n] = outcome.map(|outcome| tries.own(outcome));
                    }
                    tries.overtaken()?;
                }
                Err(failure) => {
                    if failure.breaks() {
                        self.link.cut();
                    }
                    let pause = tries.after(failure)?;
                    sleep(pause).await;
                }
            }
        }
    }

    /// One attempt: the bodies, the rows, and, for what did not apply, why not. What did not apply and would now is left
    /// open.
    async fn once(&mut self, parts: &[Part<'_>]) -> Result<Vec<Option<CommitOutcome>>, Failure> {
        self.bodies(parts).await?;
        let rows = Rows::of(parts).map_err(Failure::Store)?;
        failpoint::COMMIT.before().map_err(Failure::Before)?;
        let applied = self.link.run(rows.statement(), rows.bytes()).await.map_err(Failure::of)?;
        failpoint::COMMIT.after().map_err(Failure::Sent)?;
        let applied =
            applied.iter().map(row::pid).collect::<Result<HashSet<_>, _>>().map_err(Failure::Store)?;
        let pid = |part: &Part<'_>| part.commit.map(|commit| commit.row.pid);
        let missed: Vec<_> = parts.iter().filter_map(pid).filter(|pid| !applied.contains(pid)).collect();
        let tips = if missed.is_empty() { HashMap::new() } else { self.tips(&missed).await? };
        let outcome = |part: &Part<'_>| match part.commit {
            Some(commit) if !applied.contains(&commit.row.pid) => match tips.get(&commit.row.pid) {
                Some(Err(reason)) => Some(CommitOutcome::Refused { reason: reason.clone() }),
                Some(Ok(tip)) => judge(*tip, commit).err(),
                None => judge(Tip::default(), commit).err(),
            },
            _ => Some(CommitOutcome::Committed),
        };
        Ok(parts.iter().map(outcome).collect())
    }

    /// Writes the bodies ahead of what refers to them, a few at a time.
    async fn bodies(&mut self, parts: &[Part<'_>]) -> Result<(), Failure> {
        for bodies in bodies(parts) {
            self.bodies_of_one_kind(&bodies).await?;
        }
        Ok(())
    }

    async fn bodies_of_one_kind(&mut self, mut rest: &[&Packed]) -> Result<(), Failure> {
        while !rest.is_empty() {
            let mut bytes = rest[0].bytes.len();
            let more = rest[1..].iter().take_while(|packed| {
                bytes += packed.bytes.len();
                bytes <= BODIES
            });
            let (now, later) = rest.split_at(1 + more.count());
            let size = now.iter().map(|packed| packed.bytes.len()).sum();
            failpoint::BODIES.before().map_err(Failure::Before)?;
            self.link.run(write_bodies(now), size).await.map_err(|broken| Failure::Before(broken.error))?;
            failpoint::BODIES.after().map_err(Failure::Before)?;
            rest = later;
        }
        Ok(())
    }

    /// The rows of these processes as far as they are judged by; in words, what is wrong with one that is damaged.
    async fn tips(&mut self, pids: &[Pid]) -> Result<HashMap<Pid, Result<Tip, String>>, Failure> {
        let mut query =
            QueryBuilder::new("SELECT pid, epoch, revision, records, head FROM agent WHERE pid = ANY(");
        query.push_bind(pids.iter().map(|pid| uuid(*pid)).collect::<Vec<_>>());
        query.push(")");
        // What applied has landed: a failure here is that of an answer which was lost.
        let rows = self.link.run(query, 0).await.map_err(|broken| Failure::After(broken.error))?;
        let tip = |found| Ok((row::pid(found)?, row::tip(found).map_err(|error| error.to_string())));
        rows.iter().map(tip).collect::<Result<_, _>>().map_err(Failure::Store)
    }
}
