//! Laws of rows, records and values.

use kernel_types::{AgentRow, Epoch, Hash, Pid, Record, Seq, StepNo, Timestamp};

use super::Fixture;
use super::sample::{HARD_TEXT, Process, claim, land, of, ok, pid};
use crate::{Arrival, Commit, CommitOutcome, Journal};

/// Nothing is in a store that nothing was put into, and asking is no error.
pub async fn a_new_store_is_empty(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    assert_eq!(ok(store.agent(pid(1)).await), None);
    assert_eq!(ok(store.agents(None, false, 10).await), []);
    assert_eq!(ok(store.records(pid(1), 1, 10).await), []);
    assert_eq!(ok(store.values(pid(1)).await), []);
    assert_eq!(ok(store.inbox(pid(1)).await), []);
    assert_eq!(ok(store.arrivals(Arrival(0), 10).await), []);
    assert_eq!(ok(store.list_blobs(None, 10).await), []);
    assert_eq!(ok(store.blobs(&[Hash([7; 32])]).await), [None]);
    assert_eq!(ok(store.sweep().await), 0);
}

/// Every column of a row comes back, at the ends of its range too.
pub async fn a_row_comes_back_as_written(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let plain = AgentRow {
        pid: pid(1),
        parent: Pid::INIT,
        epoch: Epoch(0),
        revision: 1,
        records: 0,
        head: Hash::ZERO,
        exited: false,
        image: Vec::new(),
        seal: Hash::ZERO,
    };
    let extreme = AgentRow {
        pid: Pid::from_bytes([0xff; 16]),
        parent: Pid::from_bytes([0x80; 16]),
        epoch: Epoch(u64::MAX),
        head: Hash([0xff; 32]),
        exited: true,
        image: every_byte.repeat(300),
        seal: Hash([0; 32]),
        ..plain.clone()
    };
    let middle = AgentRow { epoch: Epoch(1 << 63), image: every_byte, pid: Pid::INIT, ..plain.clone() };
    for row in [plain, extreme, middle] {
        land(&store, of(row.clone())).await;
        assert_eq!(ok(store.agent(row.pid).await), Some(row));
    }
}

/// Every column of a record comes back byte for byte, and the records in the order of their numbers.
pub async fn records_come_back_as_written_in_order(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut process = Process::new(1, claim(&store).await);
    let mut written = process.step(5);
    let extreme = |number: u64, n: u64, byte: u8, body: Option<&str>, blob, call| Record {
        pid: pid(1),
        number,
        step: StepNo(n),
        call,
        kind: byte,
        at: Timestamp(n),
        salt: [byte; 16],
        body: body.map(str::to_owned),
        blob,
        body_hash: Hash([byte; 32]),
        hash: Hash([!byte; 32]),
    };
    written.records[1] = extreme(2, u64::MAX, 255, Some(HARD_TEXT), None, Some(Seq(u32::MAX)));
    written.records[2] = extreme(3, 0, 0, None, Some(Hash([9; 32])), None);
    written.records[3] = extreme(4, 1 << 63, 128, Some(""), None, Some(Seq(1 << 31)));
    let first = written.records.clone();
    land(&store, written).await;
    let second = process.step(150);
    let expected: Vec<_> = first.into_iter().chain(second.records.clone()).collect();
    land(&store, second).await;
    assert_eq!(ok(store.records(pid(1), 1, usize::MAX).await), expected);
}

/// Reading begins at the number asked for and ends at the limit or the end.
pub async fn records_are_read_from_any_number(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    land(&store, Process::new(1, Epoch(1)).step(10)).await;
    let cases: [(u64, usize, &[u64]); 9] = [
        (1, 3, &[1, 2, 3]),
        (4, 3, &[4, 5, 6]),
        (9, 5, &[9, 10]),
        (10, 1, &[10]),
        (11, 1, &[]),
        (0, 2, &[1, 2]),
        (3, 0, &[]),
        (u64::MAX, 5, &[]),
        (8, usize::MAX, &[8, 9, 10]),
    ];
    for (from, limit, expected) in cases {
        let found = ok(store.records(pid(1), from, limit).await);
        let numbers: Vec<_> = found.iter().map(|record| record.number).collect();
        assert_eq!(numbers, expected, "from {from}, at most {limit}");
    }
}

/// Values are set, replaced and deleted by name; the last word on a name counts; all text is kept.
pub async fn values_are_set_replaced_and_deleted(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut process = Process::new(1, Epoch(1));
    let set = |pairs: &[(&str, Option<&str>)]| -> Vec<(String, Option<String>)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect()
    };
    let first = set(&[("b", Some("1")), ("a", Some("")), (HARD_TEXT, Some(HARD_TEXT)), ("gone", Some("x"))]);
    land(&store, Commit { values: first, ..process.step(0) }).await;
    let names = |values: Vec<(String, String)>| values.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(ok(store.values(pid(1)).await)), [HARD_TEXT, "a", "b", "gone"], "by name");

    let second =
        set(&[("b", Some("2")), ("b", Some("3")), ("gone", None), ("never", None), ("c", Some("4"))]);
    land(&store, Commit { values: second, ..process.step(1) }).await;
    let third = set(&[("c", None), ("d", Some("5")), ("d", None), ("e", None), ("e", Some("6"))]);
    land(&store, Commit { values: third, ..process.step(0) }).await;
    let expected = [(HARD_TEXT, HARD_TEXT), ("a", ""), ("b", "3"), ("e", "6")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(ok(store.values(pid(1)).await), expected);
}

/// Paging through all rows shows each once, in the order of pids, whatever the order they came in.
pub async fn agents_are_listed_in_pages_by_pid(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    for n in [3, 1, 5, 2, 4, 7, 6] {
        land(&store, Process::new(n, Epoch(1)).step(0)).await;
    }
    let mut after = None;
    let mut seen = Vec::new();
    while seen.len() <= 7 {
        let page = ok(store.agents(after, false, 3).await);
        assert!(page.len() <= 3, "a page of {} rows, at most 3 were asked for", page.len());
        let Some(last) = page.last() else { break };
        after = Some(last.pid);
        seen.extend(page.iter().map(|row| row.pid));
    }
    assert_eq!(seen, (1..=7).map(pid).collect::<Vec<_>>());
    assert_eq!(ok(store.agents(None, false, 0).await), []);
}

/// With `live`, processes that exited are passed over, and pages are still full.
pub async fn exited_processes_are_listed_unless_live_ones_are_asked_for(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    for n in 1..=6 {
        let mut process = Process::new(n, Epoch(1));
        land(&store, process.step(1)).await;
        if n % 2 == 0 {
            process.row.exited = true;
            land(&store, process.step(1)).await;
        }
    }
    let pids = |rows: Vec<AgentRow>| rows.iter().map(|row| row.pid).collect::<Vec<_>>();
    assert_eq!(pids(ok(store.agents(None, true, 10).await)), [pid(1), pid(3), pid(5)]);
    assert_eq!(pids(ok(store.agents(None, true, 2).await)), [pid(1), pid(3)]);
    assert_eq!(pids(ok(store.agents(Some(pid(3)), true, 2).await)), [pid(5)]);
    assert_eq!(pids(ok(store.agents(None, false, 10).await)), (1..=6).map(pid).collect::<Vec<_>>());
}

/// Records and values of one process are not found under another.
pub async fn processes_do_not_mix(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let (mut one, mut two) = (Process::new(1, Epoch(1)), Process::new(2, Epoch(1)));
    let value = |text: &str| vec![("name".to_owned(), Some(text.to_owned()))];
    let first = Commit { values: value("one"), ..one.step(2) };
    let second = Commit { values: value("two"), ..two.step(3) };
    let (of_one, of_two) = (first.records.clone(), second.records.clone());
    assert_eq!(ok(store.commit(vec![first, second]).await), vec![CommitOutcome::Committed; 2]);
    assert_eq!(ok(store.records(pid(1), 1, 10).await), of_one);
    assert_eq!(ok(store.records(pid(2), 1, 10).await), of_two);
    land(&store, Commit { values: vec![("name".to_owned(), None)], ..one.step(0) }).await;
    assert_eq!(ok(store.values(pid(1)).await), []);
    assert_eq!(ok(store.values(pid(2)).await), [("name".to_owned(), "two".to_owned())]);
}

/// The answers stand where their commits stood.
pub async fn answers_have_the_order_of_the_batch(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut there = Process::new(5, Epoch(3));
    let repeated = there.step(1);
    land(&store, repeated.clone()).await;
    let mut skipped = Process::new(2, Epoch(3));
    skipped.step(0);
    let batch = vec![
        Process::new(9, Epoch(3)).step(1),
        skipped.step(0),
        repeated,
        there.under(Epoch(2)).step(1),
        Process::new(1, Epoch(3)).step(1),
    ];
    let expected = [
        CommitOutcome::Committed,
        CommitOutcome::Conflict { revision: 0 },
        CommitOutcome::Already,
        CommitOutcome::Fenced { epoch: Epoch(3) },
        CommitOutcome::Committed,
    ];
    assert_eq!(ok(store.commit(batch).await), expected);
}

/// Two commits of one process may stand in one batch: the second finds what the first left.
pub async fn commits_of_one_process_in_one_batch_apply_in_order(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    let mut process = Process::new(1, Epoch(1));
    let value = |text: &str| vec![("v".to_owned(), Some(text.to_owned()))];
    let first = Commit { values: value("first"), ..process.step(2) };
    let second = Commit { values: value("second"), ..process.step(2) };
    let last = process.row.clone();
    let batch = vec![first.clone(), second.clone(), first.clone(), second];
    let expected = [
        CommitOutcome::Committed,
        CommitOutcome::Committed,
        CommitOutcome::Conflict { revision: 2 },
        CommitOutcome::Already,
    ];
    assert_eq!(ok(store.commit(batch).await), expected);
    assert_eq!(ok(store.agent(pid(1)).await), Some(last));
    assert_eq!(ok(store.values(pid(1)).await), [("v".to_owned(), "second".to_owned())]);
    assert_eq!(ok(store.records(pid(1), 1, 10).await).len(), 4);

    let mut reversed = Process::new(2, Epoch(1));
    let (first, second) = (reversed.step(1), reversed.step(1));
    let expected = [CommitOutcome::Conflict { revision: 0 }, CommitOutcome::Committed];
    assert_eq!(ok(store.commit(vec![second, first]).await), expected);
}

/// A batch of nothing has no answers, and is no error.
pub async fn an_empty_batch_is_answered(fixture: &dyn Fixture) {
    let store = fixture.open().await;
    assert_eq!(ok(store.commit(Vec::new()).await), []);
    ok(store.post(Vec::new()).await);
    assert_eq!(ok(store.blobs(&[]).await), []);
}
