//! kernel-tools: checking arguments, calling a tool that does nothing, cutting a text into pages.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use kernel_tools::{FnTool, NullHost, Registry, ScriptedDriver, ToolOutput, split_pages};
use kernel_types::{CallKey, JsonText, Millis, Pid, Recovery, Seq, StepNo, ToolCallRequest, ToolSpec};

const SCHEMA: &str = r#"{"type": "object", "required": ["path"], "additionalProperties": false, "properties": {
    "path": {"type": "string"}, "depth": {"type": "integer", "minimum": 1, "maximum": 8}}}"#;

fn json(text: &str) -> JsonText {
    JsonText::parse(text).expect("a JSON literal")
}

fn registry() -> Registry {
    let spec = ToolSpec {
        input: json(SCHEMA),
        timeout: Millis(1_000),
        reads: vec!["path".to_owned()],
        ..ScriptedDriver::spec("nothing", Recovery::Reread)
    };
    let nothing = FnTool::new(spec, |_, _| async { Ok(ToolOutput::default()) });
    let mut registry = Registry::new();
    registry.register(Arc::new(nothing)).expect("a valid spec");
    registry
}

fn checks(criterion: &mut Criterion) {
    let registry = registry();
    let args = json(r#"{"path": "docs/design.md", "depth": 3}"#);
    let mut group = criterion.benchmark_group("tools");
    group.throughput(Throughput::Elements(1));
    group.bench_function("schema_check", |b| b.iter(|| registry.check("nothing", black_box(&args))));
    group.bench_function("paths", |b| b.iter(|| registry.paths("nothing", black_box(&args))));
    group.finish();
}

fn calls(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (registry, context) = (registry(), NullHost::context());
    let request = ToolCallRequest {
        key: CallKey { pid: Pid::INIT, step: StepNo(1), seq: Seq(0) },
        tool: "nothing".to_owned(),
        args: json(r#"{"path": "docs/design.md", "depth": 3}"#),
    };
    let mut group = criterion.benchmark_group("tools");
    group.throughput(Throughput::Elements(1));
    group.bench_function("call_of_no_op", |b| {
        b.to_async(&runtime).iter(|| registry.call(black_box(&request), &context));
    });
    group.finish();
}

fn pages(criterion: &mut Criterion) {
    let paragraph =
        "A page is cut at a blank line where one is near, so that it tends to hold a thought.\n".repeat(7);
    let text = format!("# A heading\n\n{paragraph}\n").repeat(1_600);
    let mut group = criterion.benchmark_group("tools");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("split_pages", |b| b.iter(|| split_pages(black_box(&text))));
    group.finish();
}

criterion_group!(benches, checks, calls, pages);
criterion_main!(benches);
