//! What the gate and the journal pay for security: a decision, a sealed record, a verified record.

use std::hint::black_box;
use std::sync::Arc;

use async_trait::async_trait;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

use kernel_security::{
    AuditError, AuditSource, Policy, RecordBody, RecordDraft, Request, decide, seal_record, seal_row, verify,
};
use kernel_types::{
    AgentRow, BlobHash, Call, Capabilities, Epoch, Event, EventKind, Hash, JsonText, Millis, PageNo, Pid,
    Record, Recovery, Seq, StepNo, Timestamp, ToolCallArgs, ToolGrant, ToolSpec, hash_bytes,
};

fn capabilities() -> Capabilities {
    let list = |items: &[&str]| items.iter().map(|&item| item.to_owned()).collect();
    let tool = |name: &str| ToolGrant { tool: name.to_owned(), ..ToolGrant::default() };
    Capabilities {
        calls: list(&["infer", "tool_call", "recall", "page_*", "put", "get"]),
        tools: vec![tool("calculator"), tool("list_dir"), tool("read_file")],
        read: list(&["docs", "src"]),
        models: list(&["claude-*"]),
        ..Capabilities::default()
    }
}

fn decisions(c: &mut Criterion) {
    let (policy, capabilities) = (Policy::default(), capabilities());
    let mut group = c.benchmark_group("security/decide");

    let local = Call::PageRead { page: PageNo(1) };
    group.bench_function("page_read", |b| {
        b.iter(|| decide(&policy, &capabilities, black_box(&Request::new(&local))));
    });

    let args = JsonText::parse(r#"{"path":"src/kernel/gate.rs","from":1}"#).expect("valid");
    let call = Call::ToolCall(ToolCallArgs { tool: "read_file".to_owned(), args, timeout: None });
    let spec = ToolSpec {
        name: "read_file".to_owned(),
        description: String::new(),
        input: JsonText::empty_object(),
        recovery: Recovery::Reread,
        timeout: Millis(1000),
        reads: vec!["path".to_owned()],
        writes: Vec::new(),
    };
    let request = Request { tool: Some(&spec), ..Request::new(&call) };
    assert!(decide(&policy, &capabilities, &request).is_allow());
    group.bench_function("tool_call", |b| b.iter(|| decide(&policy, &capabilities, black_box(&request))));
    group.finish();
}

fn draft(number: u64, body: String) -> RecordDraft {
    RecordDraft {
        pid: Pid::from_parts(1, 1),
        number,
        step: StepNo(number),
        call: Some(Seq(0)),
        kind: EventKind::Step as u8,
        at: Timestamp(1),
        body: RecordBody::Inline(body),
    }
}

fn sealing(c: &mut Criterion) {
    let mut group = c.benchmark_group("security/seal_record");
    for size in [100, 300, 1000] {
        let body = "x".repeat(size);
        group.bench_function(format!("body of {size} bytes"), |b| {
            b.iter_batched(
                || draft(1, body.clone()),
                |draft| seal_record(&Hash::ZERO, draft, [7; 16]),
                criterion::BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// One process with a long chain, in memory.
struct Chain {
    row: AgentRow,
    records: Vec<Record>,
}

impl Chain {
    fn of(length: u64) -> Self {
        let image = b"image".to_vec();
        let (zero, epoch) = (Hash::ZERO, 1);
        let step = Event::Step { program: zero, image: hash_bytes(&image), pages: zero, epoch };
        let body = serde_json::to_string(&step).expect("plain data");
        let mut head = zero;
        let mut records = Vec::new();
        for number in 1..=length {
            let record = seal_record(&head, draft(number, body.clone()), [7; 16]);
            head = record.hash;
            records.push(record);
        }
        let (pid, parent, epoch) = (Pid::from_parts(1, 1), Pid::INIT, Epoch(epoch));
        let row = AgentRow {
            pid,
            parent,
            epoch,
            revision: 1,
            records: length,
            head,
            exited: false,
            image,
            seal: zero,
        };
        Self { row: AgentRow { seal: seal_row(&row), ..row }, records }
    }
}

#[async_trait]
impl AuditSource for Chain {
    async fn agents(&self, after: Option<Pid>, _limit: usize) -> Result<Vec<AgentRow>, AuditError> {
        Ok(if after.is_none_or(|after| after < self.row.pid) { vec![self.row.clone()] } else { Vec::new() })
    }

    async fn records(&self, _pid: Pid, from: u64, limit: usize) -> Result<Vec<Record>, AuditError> {
        let start = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX).min(self.records.len());
        Ok(self.records[start..].iter().take(limit).cloned().collect())
    }

    async fn addresses(&self, _after: Option<BlobHash>, _limit: usize) -> Result<Vec<BlobHash>, AuditError> {
        Ok(Vec::new())
    }

    async fn bodies(&self, addresses: &[BlobHash]) -> Result<Vec<Option<Arc<[u8]>>>, AuditError> {
        Ok(vec![None; addresses.len()])
    }

    async fn version(&self, _: Pid, _: u64) -> Result<Option<Result<AgentRow, String>>, AuditError> {
        Ok(None)
    }
}

fn verifying(c: &mut Criterion) {
    const RECORDS: u64 = 10_000;
    let chain = Chain::of(RECORDS);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut group = c.benchmark_group("security/verify");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("records", |b| {
        b.iter(|| {
            let report = runtime.block_on(verify(&chain, &|_| {})).expect("memory does not fail");
            assert!(report.is_clean() && report.records == RECORDS);
        });
    });
    group.finish();
}

criterion_group!(benches, decisions, sealing, verifying);
criterion_main!(benches);
