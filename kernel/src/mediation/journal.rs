//! What a store's journal says, and the check of a whole store: every intent has its outcome, every chain holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel_security::verify;
use kernel_storage::Store;
use kernel_types::{AgentRow, Call, CallResult, Decision, Event, Pid, Record, Seq, StepNo};

use crate::{StoreAudit, event_of};

const PAGE: usize = 512;

/// One record and what it says.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The record.
    pub record: Record,
    /// The event in it.
    pub event: Event,
}

/// All records of a process, in order.
///
/// # Panics
/// If the store cannot be read, or a record does not say what happened.
pub async fn entries(store: &dyn Store, pid: Pid) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let page = store.records(pid, entries.len() as u64 + 1, PAGE).await.expect("the journal is readable");
        if page.is_empty() {
            return entries;
        }
        for record in page {
            let event = event_of(store, Some(&record)).await.expect("the journal is readable");
            let event = event.unwrap_or_else(|| panic!("record {} of {pid} says nothing", record.number));
            entries.push(Entry { record, event });
        }
    }
}

/// The rows of all processes.
pub(super) async fn rows(store: &dyn Store) -> Vec<AgentRow> {
    let mut rows: Vec<AgentRow> = Vec::new();
    loop {
        let page =
            store.agents(rows.last().map(|row| row.pid), false, PAGE).await.expect("the rows are readable");
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}

/// What the journal says of one call.
#[derive(Clone, Default, Debug)]
pub(super) struct CallTrace {
    pub(super) intents: Vec<(Call, Decision)>,
    pub(super) outcomes: Vec<CallResult>,
}

impl CallTrace {
    /// The decision and the result of a call that was recorded as the contract says.
    pub(super) fn once(&self, what: &str) -> (&Decision, &CallResult) {
        let Self { intents, outcomes } = self;
        assert_eq!((intents.len(), outcomes.len()), (1, 1), "{what}: one intent, one outcome: {self:?}");
        (&intents[0].1, &outcomes[0])
    }
}

/// The calls of a process by their place.
pub(super) fn calls(entries: &[Entry]) -> BTreeMap<(StepNo, Seq), CallTrace> {
    let mut calls: BTreeMap<(StepNo, Seq), CallTrace> = BTreeMap::new();
    for Entry { record, event } in entries {
        let place = || (record.step, record.call.expect("intents and outcomes name their call"));
        match event {
            Event::Intent { call: made, decision, .. } => {
                calls.entry(place()).or_default().intents.push((made.clone(), decision.clone()));
            }
            Event::Outcome { result, .. } => {
                let call = calls.entry(place()).or_default();
                assert!(!call.intents.is_empty(), "an outcome before its intent: record {}", record.number);
                call.outcomes.push(result.clone());
            }
            _ => {}
        }
    }
    calls
}

/// Checks a store in which no call is in flight: for each process, every intent has exactly one outcome at the same step
/// and place and the reverse; and the audit finds nothing.
///
/// # Panics
/// If it does not hold.
pub async fn check_store(store: &Arc<dyn Store>) {
    for row in rows(&**store).await {
        let entries = entries(&**store, row.pid).await;
        assert_eq!(entries.len() as u64, row.records, "{}: the row counts all records", row.pid);
        for ((step, seq), call) in calls(&entries) {
            call.once(&format!("call {}/{step}/{seq}", row.pid));
        }
    }
    let report = verify(&StoreAudit(&**store), &|_| {}).await.expect("the store is readable");
    assert!(report.findings.is_empty(), "the audit found {:?}", report.findings);
}
