//! The audit against every kind of tampering.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use kernel_security::{AuditError, AuditSource, Fault, Finding, Report, Table, seal_row, verify};
use kernel_types::{AgentRow, BlobHash, Epoch, Hash, Pid, Record, Seq, StepNo, Timestamp, hash_bytes};

use crate::store::{Source, Tables, Writer, audit, pid, sample};

fn lines(report: &Report) -> String {
    report.findings.iter().map(|finding| format!("{finding}\n")).collect()
}

fn has(report: &Report, fits: impl Fn(&Finding) -> bool) -> bool {
    report.findings.iter().any(fits)
}

fn names_record(report: &Report, pid: Pid, number: u64) -> bool {
    has(report, |f| f.table == Table::Event && f.pid == Some(pid) && f.number == Some(number))
}

#[tokio::test]
async fn what_was_not_touched_is_clean() {
    let report = audit(&sample()).await;
    assert!(report.is_clean(), "{}", lines(&report));
    let tables = sample();
    let counts = (report.agents, report.records, report.blobs, report.erased);
    assert_eq!(counts, (3, tables.events.len() as u64, tables.blobs.len() as u64, 0));
    assert!(audit(&Tables::default()).await.is_clean());
}

type Edit<T> = (&'static str, fn(&mut T));

fn flip(hash: &mut Hash) {
    hash.0[31] ^= 1;
}

/// A single edit of each column of a record. Edits that change nothing are skipped by the caller.
const RECORD_EDITS: &[Edit<Record>] = &[
    ("pid", |r| r.pid = pid(99)),
    ("pid of another", |r| r.pid = if r.pid == pid(1) { pid(2) } else { pid(1) }),
    ("number to the next", |r| r.number += 1),
    ("number to 0", |r| r.number = 0),
    ("number far up", |r| r.number = 1000),
    ("number to the largest", |r| r.number = u64::MAX),
    ("step", |r| r.step = StepNo(r.step.0 + 1)),
    ("call", |r| r.call = Some(Seq(r.call.map_or(0, |seq| seq.0 + 1)))),
    ("call to none", |r| r.call = None),
    ("kind", |r| r.kind = if r.kind == 4 { 2 } else { 4 }),
    ("kind unknown", |r| r.kind = 200),
    ("at", |r| r.at = Timestamp(r.at.0 + 1)),
    ("salt", |r| r.salt[0] ^= 1),
    ("body", |r| {
        if let Some(body) = &mut r.body {
            body.push(' ');
        }
    }),
    ("body beside the blob", |r| {
        if r.blob.is_some() {
            r.body = Some(String::new());
        }
    }),
    ("blob", |r| {
        if let Some(blob) = &mut r.blob {
            flip(blob);
        }
    }),
    ("blob to another that exists", |r| r.blob = Some(hash_bytes(b"unused"))),
    ("blob to none", |r| r.blob = None),
    ("body_hash", |r| flip(&mut r.body_hash)),
    ("hash", |r| flip(&mut r.hash)),
];

#[tokio::test]
async fn an_edit_of_any_column_of_any_record_names_that_record() {
    let original = sample();
    let mut edited = 0;
    for place in 0..original.events.len() {
        for (column, edit) in RECORD_EDITS {
            let mut tables = original.clone();
            edit(&mut tables.events[place]);
            let before = &original.events[place];
            if tables.events[place] == *before {
                continue;
            }
            edited += 1;
            let report = audit(&tables).await;
            assert!(
                names_record(&report, before.pid, before.number),
                "{column} of record {} of {}:\n{}",
                before.number,
                before.pid,
                lines(&report)
            );
        }
    }
    assert!(edited > 15 * original.events.len(), "{edited} edits");
}

const ROW_EDITS: &[Edit<AgentRow>] = &[
    ("pid", |r| r.pid = pid(99)),
    ("parent", |r| r.parent = pid(3)),
    ("epoch", |r| r.epoch = Epoch(r.epoch.0 + 1)),
    ("revision", |r| r.revision += 1),
    ("records up", |r| r.records += 1),
    ("records down", |r| r.records -= 1),
    ("records to 0", |r| r.records = 0),
    ("records to the largest", |r| r.records = u64::MAX),
    ("head", |r| flip(&mut r.head)),
    ("exited", |r| r.exited = !r.exited),
    ("image", |r| r.image[0] ^= 1),
    ("image to nothing", |r| r.image.clear()),
    ("seal", |r| flip(&mut r.seal)),
];

#[tokio::test]
async fn an_edit_of_any_column_of_any_row_names_that_row() {
    let original = sample();
    for place in 0..original.agents.len() {
        for (column, edit) in ROW_EDITS {
            let mut tables = original.clone();
            edit(&mut tables.agents[place]);
            let pid = tables.agents[place].pid;
            let report = audit(&tables).await;
            let named =
                has(&report, |f| f.table == Table::Agent && f.pid == Some(pid) && f.fault == Fault::Seal);
            assert!(named, "{column} of {pid}:\n{}", lines(&report));
        }
    }
}

/// The same edits by someone who can compute a seal.
#[tokio::test]
async fn a_row_sealed_again_is_held_against_its_chain() {
    let faults = [
        ("pid", Some(Fault::Truncated)),
        ("epoch", Some(Fault::Epoch)),
        ("records up", Some(Fault::Truncated)),
        ("records down", Some(Fault::Head)),
        ("records to 0", Some(Fault::Head)),
        ("records to the largest", Some(Fault::Truncated)),
        ("head", Some(Fault::Head)),
        ("image", Some(Fault::Image)),
        ("image to nothing", Some(Fault::Image)),
    ];
    for (column, edit) in ROW_EDITS {
        let Some((_, Some(fault))) = faults.iter().find(|(name, _)| name == column) else { continue };
        let mut tables = sample();
        edit(&mut tables.agents[0]);
        tables.agents[0].seal = seal_row(&tables.agents[0]);
        let report = audit(&tables).await;
        assert!(has(&report, |f| f.fault == *fault), "{column}:\n{}", lines(&report));
    }
}

type BlobRow = (BlobHash, Arc<[u8]>);

const BLOB_EDITS: &[Edit<BlobRow>] = &[
    ("bytes", |b| {
        let mut bytes = b.1.to_vec();
        bytes[0] ^= 1;
        b.1 = bytes.into();
    }),
    ("bytes to nothing", |b| b.1 = Arc::from(&b""[..])),
    ("bytes of another", |b| b.1 = Arc::from(&b"unusual"[..])),
    ("address", |b| flip(&mut b.0)),
];

#[tokio::test]
async fn an_edit_of_any_column_of_any_blob_names_that_blob() {
    let original = sample();
    for place in 0..original.blobs.len() {
        for (column, edit) in BLOB_EDITS {
            let mut tables = original.clone();
            edit(&mut tables.blobs[place]);
            let (before, after) = (original.blobs[place].0, tables.blobs[place].0);
            let report = audit(&tables).await;
            let named = |hash, fault| {
                has(&report, |f| f.table == Table::Blob && f.blob == Some(hash) && f.fault == fault)
            };
            assert!(named(after, Fault::Content), "{column} of {after}:\n{}", lines(&report));
            let unused = before == hash_bytes(b"unused");
            assert!(before == after || unused || named(before, Fault::Removed), "{column} of {before}");
        }
    }
}

#[tokio::test]
async fn one_edit_is_not_blamed_on_others() {
    for edit in ["step", "hash", "salt", "body_hash", "body", "at"] {
        let mut tables = sample();
        let (_, change) = RECORD_EDITS.iter().find(|(name, _)| *name == edit).expect("a column");
        change(&mut tables.events[2]);
        let report = audit(&tables).await;
        let number = tables.events[2].number;
        let strangers = report.findings.iter().filter(|f| f.number != Some(number)).count();
        assert_eq!(strangers, 0, "{edit}:\n{}", lines(&report));
    }
}

#[tokio::test]
async fn a_removed_record_is_named_wherever_it_was() {
    let original = sample();
    for place in 0..original.events.len() {
        let mut tables = original.clone();
        let removed = tables.events.remove(place);
        let report = audit(&tables).await;
        assert!(
            names_record(&report, removed.pid, removed.number),
            "{}:\n{}",
            removed.number,
            lines(&report)
        );
    }
}

#[tokio::test]
async fn a_truncated_chain_is_named_from_its_first_missing_record() {
    let original = sample();
    let last = original.agents[0].records;
    for kept in 0..last {
        let mut tables = original.clone();
        tables.events.retain(|record| record.pid != pid(1) || record.number <= kept);
        let report = audit(&tables).await;
        let named = has(&report, |f| {
            f.fault == Fault::Truncated && f.pid == Some(pid(1)) && f.number == Some(kept + 1)
        });
        assert!(named, "kept {kept}:\n{}", lines(&report));
    }
}

#[tokio::test]
async fn records_cannot_be_swapped_renumbered_or_doubled() {
    let original = sample();
    let (a, b) = (1, 2);
    let numbers = (original.events[a].number, original.events[b].number);

    let mut swapped = original.clone();
    swapped.events[a].number = numbers.1;
    swapped.events[b].number = numbers.0;
    let report = audit(&swapped).await;
    assert!(
        names_record(&report, pid(1), numbers.0) && names_record(&report, pid(1), numbers.1),
        "{}",
        lines(&report)
    );

    let mut doubled = original.clone();
    doubled.events.push(original.events[a].clone());
    let report = audit(&doubled).await;
    assert!(names_record(&report, pid(1), numbers.0), "{}", lines(&report));

    let mut copied = original.clone();
    let next = original.agents[0].records + 1;
    copied.events.push(Record { number: next, ..original.events[a].clone() });
    let report = audit(&copied).await;
    assert!(names_record(&report, pid(1), next), "{}", lines(&report));

    let mut moved = original.clone();
    moved.events[a].pid = pid(3);
    moved.events[a].number = 50;
    let report = audit(&moved).await;
    assert!(
        names_record(&report, pid(1), numbers.0) && names_record(&report, pid(3), 50),
        "{}",
        lines(&report)
    );
}

#[tokio::test]
async fn an_erased_body_verifies_and_is_counted() {
    let original = sample();
    for place in 0..original.events.len() {
        let record = &original.events[place];
        let last_step = record.number
            == original.agents.iter().find(|row| row.pid == record.pid).map_or(0, |r| r.records);
        if record.blob.is_some() || last_step {
            continue;
        }
        let mut tables = original.clone();
        tables.events[place].body = None;
        let report = audit(&tables).await;
        assert!(report.is_clean(), "record {}:\n{}", record.number, lines(&report));
        assert_eq!(report.erased, 1);
    }
}

#[tokio::test]
async fn the_body_that_vouches_for_a_row_cannot_be_erased_quietly() {
    let mut tables = sample();
    let last = tables.agents[0].records;
    let record = tables.events.iter_mut().find(|r| r.pid == pid(1) && r.number == last).expect("there");
    record.body = None;
    let report = audit(&tables).await;
    assert!(has(&report, |f| f.fault == Fault::Image && f.pid == Some(pid(1))), "{}", lines(&report));
}

#[tokio::test]
async fn a_missing_body_is_named_once_wherever_it_was_named() {
    let original = sample();
    for place in 0..original.blobs.len() - 1 {
        let mut tables = original.clone();
        let (hash, _) = tables.blobs.remove(place);
        let report = audit(&tables).await;
        let named =
            report.findings.iter().filter(|f| f.blob == Some(hash) && f.fault == Fault::Removed).count();
        assert_eq!((named, report.findings.len()), (1, 1), "{}", lines(&report));
    }
    // A body that nothing names may go.
    let mut tables = original;
    tables.blobs.pop();
    assert!(audit(&tables).await.is_clean());
}

#[tokio::test]
async fn a_removed_row_is_named_and_its_records_are_orphans() {
    let mut tables = sample();
    // The parent is named by its child's row, the child by its parent's record.
    for gone in [0, 1] {
        let mut tables = tables.clone();
        let row = tables.agents.remove(gone);
        let report = audit(&tables).await;
        assert!(has(&report, |f| f.table == Table::Agent
            && f.pid == Some(row.pid)
            && f.fault == Fault::Removed));
        assert!(has(&report, |f| f.table == Table::Event
            && f.pid == Some(row.pid)
            && f.fault == Fault::Orphan));
    }
    // With its records gone too, the row is still missed.
    tables.agents.remove(1);
    tables.events.retain(|record| record.pid != pid(2));
    let report = audit(&tables).await;
    assert_eq!(report.findings.len(), 1, "{}", lines(&report));
}

#[tokio::test]
async fn what_a_kernel_writes_meanwhile_is_not_reported() {
    let mut writer = Writer::life(pid(1), Pid::INIT, None);
    let mut early = Tables::default();
    Writer {
        row: writer.row.clone(),
        records: writer.records.clone(),
        blobs: writer.blobs.clone(),
        versions: writer.versions.clone(),
    }
    .into(&mut early);
    writer.step();
    writer.step();
    let mut late = Tables::default();
    writer.into(&mut late);
    let source = Source::growing(early.clone(), late.clone());
    let report = verify(&source, &|_| {}).await.expect("memory does not fail");
    assert!(report.is_clean(), "{}", lines(&report));
    // The positive control: the same records without the row that goes with them.
    let forged = Tables { agents: early.agents.clone(), ..late };
    let report = audit(&forged).await;
    assert!(names_record(&report, pid(1), early.agents[0].records + 1), "{}", lines(&report));
}

#[tokio::test]
async fn long_chains_are_read_page_by_page_with_progress() {
    let mut writer = Writer::new(pid(1), Pid::INIT);
    (0..1000).for_each(|_| writer.step());
    let mut tables = Tables::default();
    writer.into(&mut tables);
    (2..300).for_each(|n| Writer::life(pid(n), Pid::INIT, None).into(&mut tables));
    let seen = Mutex::new(Vec::new());
    let source = Source::new(tables.clone());
    let report =
        verify(&source, &|report| seen.lock().push(report.records)).await.expect("memory does not fail");
    assert!(report.is_clean(), "{}", lines(&report));
    assert_eq!((report.agents, report.records), (299, tables.events.len() as u64));
    assert!(seen.lock().is_sorted() && seen.lock().len() > 300);
    // An edit behind a border of pages.
    for number in [256, 257, 512, 1000] {
        let mut tables = tables.clone();
        let record = tables.events.iter_mut().find(|r| r.pid == pid(1) && r.number == number).expect("there");
        record.at = Timestamp(0);
        let report = audit(&tables).await;
        assert!(names_record(&report, pid(1), number) && report.findings.len() == 1, "{}", lines(&report));
    }
}

#[tokio::test]
async fn a_finding_is_one_clear_line() {
    let mut tables = sample();
    tables.events[1].at = Timestamp(0);
    let report = audit(&tables).await;
    let expected = format!(
        "event {} record 2: hash: its hash does not follow from its columns and the record before",
        pid(1)
    );
    assert_eq!(lines(&report).trim_end(), expected);
    let written = serde_json::to_string(&report).expect("plain data");
    assert_eq!(serde_json::from_str::<Report>(&written).expect("just written"), report);
}

struct Unreadable;

#[async_trait]
impl AuditSource for Unreadable {
    async fn agents(&self, _: Option<Pid>, _: usize) -> Result<Vec<AgentRow>, AuditError> {
        Err(AuditError::new("the disk is gone").because("input/output error"))
    }
    async fn records(&self, _: Pid, _: u64, _: usize) -> Result<Vec<Record>, AuditError> {
        Ok(Vec::new())
    }
    async fn addresses(&self, _: Option<BlobHash>, _: usize) -> Result<Vec<BlobHash>, AuditError> {
        Ok(Vec::new())
    }
    async fn bodies(&self, _: &[BlobHash]) -> Result<Vec<Option<Arc<[u8]>>>, AuditError> {
        Ok(Vec::new())
    }
    async fn version(&self, _: Pid, _: u64) -> Result<Option<Result<AgentRow, String>>, AuditError> {
        Ok(None)
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_an_error_not_a_clean_report() {
    let error = verify(&Unreadable, &|_| {}).await.expect_err("unreadable");
    assert_eq!(error.to_string(), "audit: the disk is gone");
    assert!(std::error::Error::source(&error).is_some());
}

/// What is found when the first version of process 3 is another; the others are checked all the same.
async fn check_version(change: impl FnOnce(&mut (Pid, u64, Result<AgentRow, String>)), expected: &[&str]) {
    let mut tables = sample();
    let at = tables.versions.iter().position(|(of, ..)| *of == pid(3)).expect("it has versions");
    change(&mut tables.versions[at]);
    let found = lines(&audit(&tables).await);
    assert_eq!(found.lines().count(), expected.len(), "{found}");
    assert!(expected.iter().all(|expected| found.contains(expected)), "{found}");
}

#[tokio::test]
async fn an_earlier_version_that_was_changed_is_named() {
    let row = |version: &mut (Pid, u64, Result<AgentRow, String>)| version.2.clone().expect("it is readable");
    check_version(|_| {}, &[]).await;
    let seal = "record 2: version: the version kept with it does not match its seal";
    check_version(|version| version.2 = Ok(AgentRow { image: b"forged".to_vec(), ..row(version) }), &[seal])
        .await;
    check_version(|version| version.2 = Ok(AgentRow { exited: true, ..row(version) }), &[seal]).await;
    let sealed = |row: AgentRow| AgentRow { seal: kernel_security::seal_row(&row), ..row };
    let other = "record 2: version: the version kept with it is not the one of its step";
    check_version(
        |version| version.2 = Ok(sealed(AgentRow { image: b"forged".to_vec(), ..row(version) })),
        &[other],
    )
    .await;
    check_version(|version| version.2 = Ok(sealed(AgentRow { epoch: Epoch(9), ..row(version) })), &[other])
        .await;
    let misplaced = "record 1: version: a version is kept with it, but no step ends with it";
    check_version(
        |version| *version = (version.0, 1, Ok(sealed(AgentRow { records: 1, ..row(version) }))),
        &[misplaced],
    )
    .await;
    check_version(|version| version.2 = Err("row 3/2: no version".to_owned()), &["row 3/2: no version"])
        .await;
}
