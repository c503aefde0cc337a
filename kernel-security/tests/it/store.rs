//! A small synthetic store to be audited and tampered with.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use kernel_security::{
    AuditError, AuditSource, RecordBody, RecordDraft, Report, seal_record, seal_row, verify,
};
use kernel_types::{
    AgentRow, Answer, BlobHash, Call, Decision, Epoch, Event, Hash, JsonText, MicroUsd, Millis, Pid, Record,
    Recovery, Reservation, Seq, Spec, StepNo, SyscallNo, Timestamp, ToolResult, hash_bytes,
};

/// Rows in order, not keyed: a tampered table may hold anything.
#[derive(Clone, Default)]
pub(crate) struct Tables {
    pub(crate) agents: Vec<AgentRow>,
    pub(crate) events: Vec<Record>,
    pub(crate) blobs: Vec<(BlobHash, Arc<[u8]>)>,
    /// Earlier rows; one that cannot be read is its words.
    pub(crate) versions: Vec<(Pid, u64, Result<AgentRow, String>)>,
}

/// The tables behind the port of the audit.
pub(crate) struct Source {
    tables: Tables,
    /// Done to the tables when a record is first read: a kernel that writes meanwhile.
    meanwhile: Mutex<Option<Tables>>,
    late: Mutex<Option<Tables>>,
}

impl Source {
    pub(crate) fn new(tables: Tables) -> Self {
        Self { tables, meanwhile: Mutex::new(None), late: Mutex::new(None) }
    }

    /// The tables become `later` once the first records are read.
    pub(crate) fn growing(tables: Tables, later: Tables) -> Self {
        Self { meanwhile: Mutex::new(Some(later)), ..Self::new(tables) }
    }

    fn read<T>(&self, what: impl FnOnce(&Tables) -> T) -> T {
        match &*self.late.lock() {
            Some(late) => what(late),
            None => what(&self.tables),
        }
    }
}

fn page<K: Ord + Copy, T: Clone>(
    rows: &[T],
    key: impl Fn(&T) -> K,
    after: Option<K>,
    limit: usize,
) -> Vec<T> {
    let mut rows: Vec<&T> = rows.iter().filter(|row| after.is_none_or(|after| key(row) > after)).collect();
    rows.sort_by_key(|row| key(row));
    rows.into_iter().take(limit).cloned().collect()
}

#[async_trait]
impl AuditSource for Source {
    async fn agents(&self, after: Option<Pid>, limit: usize) -> Result<Vec<AgentRow>, AuditError> {
        Ok(self.read(|tables| page(&tables.agents, |row| row.pid, after, limit)))
    }

    async fn records(&self, pid: Pid, from: u64, limit: usize) -> Result<Vec<Record>, AuditError> {
        if let Some(later) = self.meanwhile.lock().take() {
            *self.late.lock() = Some(later);
        }
        Ok(self.read(|tables| {
            let of_pid: Vec<Record> =
                tables.events.iter().filter(|record| record.pid == pid).cloned().collect();
            page(&of_pid, |record| record.number, from.checked_sub(1), limit)
        }))
    }

    async fn addresses(&self, after: Option<BlobHash>, limit: usize) -> Result<Vec<BlobHash>, AuditError> {
        Ok(self
            .read(|tables| page(&tables.blobs, |(hash, _)| *hash, after, limit))
            .into_iter()
            .map(|b| b.0)
            .collect())
    }

    async fn bodies(&self, addresses: &[BlobHash]) -> Result<Vec<Option<Arc<[u8]>>>, AuditError> {
        Ok(self.read(|tables| {
            let body = |address| {
                tables.blobs.iter().find(|(hash, _)| hash == address).map(|(_, bytes)| bytes.clone())
            };
            addresses.iter().map(body).collect()
        }))
    }

    async fn version(&self, pid: Pid, number: u64) -> Result<Option<Result<AgentRow, String>>, AuditError> {
        Ok(self.read(|tables| {
            let kept = tables.versions.iter().filter(|(of, end, _)| *of == pid && *end <= number);
            kept.max_by_key(|(_, end, _)| *end).map(|(_, _, version)| version.clone())
        }))
    }
}

pub(crate) async fn audit(tables: &Tables) -> Report {
    verify(&Source::new(tables.clone()), &|_| {}).await.expect("memory does not fail")
}

/// Writes the chain of one process.
pub(crate) struct Writer {
    pub(crate) row: AgentRow,
    pub(crate) records: Vec<Record>,
    pub(crate) blobs: Vec<(BlobHash, Arc<[u8]>)>,
    pub(crate) versions: Vec<AgentRow>,
}

impl Writer {
    pub(crate) fn new(pid: Pid, parent: Pid) -> Self {
        let row = AgentRow {
            pid,
            parent,
            epoch: Epoch(3),
            revision: 0,
            records: 0,
            head: Hash::ZERO,
            exited: false,
            image: Vec::new(),
            seal: Hash::ZERO,
        };
        Self { row, records: Vec::new(), blobs: Vec::new(), versions: Vec::new() }
    }

    pub(crate) fn blob(&mut self, bytes: &[u8]) -> BlobHash {
        let hash = hash_bytes(bytes);
        self.blobs.push((hash, Arc::from(bytes)));
        hash
    }

    /// Appends an event, in a blob if it is long.
    pub(crate) fn event(&mut self, event: &Event, call: Option<Seq>) {
        let text = serde_json::to_string(event).expect("plain data");
        let body = if text.len() > 1024 {
            let hash = self.blob(text.as_bytes());
            RecordBody::Blob { hash, bytes: Arc::from(text.as_bytes()) }
        } else {
            RecordBody::Inline(text)
        };
        self.row.records += 1;
        let draft = RecordDraft {
            pid: self.row.pid,
            number: self.row.records,
            step: StepNo(self.row.revision + 1),
            call,
            kind: event.kind() as u8,
            at: Timestamp(1_700_000_000_000 + self.row.records),
            body,
        };
        let salt = [u8::try_from(self.row.records % 251).expect("small"); 16];
        let record = seal_record(&self.row.head, draft, salt);
        self.row.head = record.hash;
        self.records.push(record);
    }

    /// Ends a step: its event and the row.
    pub(crate) fn step(&mut self) {
        self.row.revision += 1;
        self.row.image = format!("image {} of {}", self.row.revision, self.row.pid).into_bytes();
        let step = Event::Step {
            program: hash_bytes(b"program"),
            image: hash_bytes(&self.row.image),
            pages: hash_bytes(b"pages"),
            epoch: self.row.epoch.0,
        };
        self.event(&step, None);
        self.row.seal = seal_row(&self.row);
        self.versions.push(self.row.clone());
    }

    /// A process that spawned `child`, called a tool with an attachment and made a page of it.
    pub(crate) fn life(pid: Pid, parent: Pid, child: Option<Pid>) -> Self {
        let mut writer = Self::new(pid, parent);
        let capabilities = Default::default();
        writer.event(&Event::Spawned { spec: Spec::default(), parent, capabilities }, None);
        writer.step();
        let intent = Event::Intent {
            call: Call::List,
            no: SyscallNo::List,
            decision: Decision::Allow,
            reserved: Reservation::default(),
            recovery: Recovery::Reread,
            view: None,
            child,
        };
        writer.event(&intent, Some(Seq(0)));
        if let Some(child) = child {
            writer.outcome(Answer::Pid(child));
        }
        let attachment = writer.blob(format!("attachment of {pid}").as_bytes());
        let text = "long ".repeat(400);
        writer.outcome(Answer::Tool(ToolResult {
            text,
            attachments: vec![attachment],
            ..ToolResult::default()
        }));
        let page = writer.blob(format!("page of {pid}").as_bytes());
        let changes = format!(
            r#"[{{"allocate":[{{"kind":"document","body":"{page}","origin":{{"path":"a","file":"{}"}}}}]}},{{"evict":[1]}}]"#,
            hash_bytes(b"a file that is not kept")
        );
        writer.event(&Event::Pages { changes: JsonText::parse(&changes).expect("valid") }, None);
        writer.step();
        writer
    }

    fn outcome(&mut self, answer: Answer) {
        let (took, waited) = (Millis(5), Millis(1));
        let (cost, expected_cached) = (MicroUsd(7), None);
        self.event(
            &Event::Outcome { result: Ok(answer), cost, took, waited, causes: Vec::new(), expected_cached },
            Some(Seq(0)),
        );
    }

    pub(crate) fn into(self, tables: &mut Tables) {
        tables.agents.push(self.row);
        tables.events.extend(self.records);
        tables.blobs.extend(self.blobs);
        let versions = self.versions.into_iter().map(|row| (row.pid, row.records, Ok(row)));
        tables.versions.extend(versions);
    }
}

pub(crate) fn pid(number: u64) -> Pid {
    Pid::from_parts(1_700_000_000_000 + number, u128::from(number))
}

/// Three processes, one with a child, and a blob that nothing names.
pub(crate) fn sample() -> Tables {
    let mut tables = Tables::default();
    Writer::life(pid(1), Pid::INIT, Some(pid(2))).into(&mut tables);
    Writer::life(pid(2), pid(1), None).into(&mut tables);
    Writer::life(pid(3), Pid::INIT, None).into(&mut tables);
    tables.blobs.push((hash_bytes(b"unused"), Arc::from(&b"unused"[..])));
    tables
}
