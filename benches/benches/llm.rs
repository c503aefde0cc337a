//! kernel-llm: building requests, reading recorded streams, a scripted inference.

use std::hint::black_box;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::stream;
use kernel_llm::{
    Anthropic, AnthropicConfig, Cpu, Exhausted, InferRequest, NoDeltas, OpenAi, Script, Scripted, model_info,
};
use kernel_types::{CallKey, Message, Part, Pid, Prompt, Role, Seq, StepNo, Tokens};
use tokio::runtime::Builder;

/// Bytes of a network read.
const READ: usize = 4096;

fn request(model: &str, turns: usize) -> InferRequest {
    let text = "A page of some eight hundred characters, as a window is made of. ".repeat(12);
    let roles = [Role::User, Role::Assistant].into_iter().cycle();
    let messages = roles.take(turns).map(|role| {
        let parts = vec![Part::Text(text.as_str().into())];
        Message { role, parts, breakpoint: false }
    });
    InferRequest {
        key: CallKey { pid: Pid::from_parts(1, 1), step: StepNo(1), seq: Seq(0) },
        model: model.to_owned(),
        prompt: Arc::new(Prompt { messages: messages.collect(), ..Prompt::default() }),
        max_output: Tokens(512),
        temperature: None,
    }
}

/// The stream of an answer of so many words in the Messages protocol.
fn anthropic_stream(words: usize) -> Vec<u8> {
    let start =
        r#"{"type":"message_start","message":{"model":"m","usage":{"input_tokens":9,"output_tokens":1}}}"#;
    let delta = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"words "}}"#;
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}"#;
    let mut out = format!("event: message_start\ndata: {start}\n\n");
    out.push_str(&format!("event: content_block_delta\ndata: {delta}\n\n").repeat(words));
    out.push_str(&format!(
        "event: message_delta\ndata: {end}\n\nevent: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n"
    ));
    out.into_bytes()
}

/// The same as chat completion chunks.
fn openai_stream(words: usize) -> Vec<u8> {
    let chunk = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"content":"words "},"finish_reason":null}]}"#;
    let end = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":9}}"#;
    let mut out = format!("data: {chunk}\n\n").repeat(words);
    out.push_str(&format!("data: {end}\n\ndata: [DONE]\n\n"));
    out.into_bytes()
}

fn reads(bytes: &[u8]) -> Vec<Bytes> {
    bytes.chunks(READ).map(Bytes::copy_from_slice).collect()
}

fn llm(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let mut config = AnthropicConfig::new(None, model_info("claude-sonnet-4-5"));
    config.base_url = "http://127.0.0.1:1".to_owned();
    let anthropic = Anthropic::new(config).expect("a plain address");
    let openai = OpenAi::new("http://127.0.0.1:1", None, model_info("gpt-4.1")).expect("a plain address");
    let to_anthropic = request("claude-sonnet-4-5", 200);
    let to_openai = request("gpt-4.1", 200);

    let mut group = criterion.benchmark_group("llm/request");
    let size = anthropic.body(&to_anthropic).expect("a plain prompt").len();
    group.throughput(Throughput::Bytes(size as u64));
    group.bench_function("anthropic", |bencher| bencher.iter(|| anthropic.body(black_box(&to_anthropic))));
    group.bench_function("openai", |bencher| bencher.iter(|| openai.body(black_box(&to_openai))));
    group.finish();

    let mut group = criterion.benchmark_group("llm/stream");
    let recorded = anthropic_stream(5000);
    group.throughput(Throughput::Bytes(recorded.len() as u64));
    let chunks = reads(&recorded);
    group.bench_function("anthropic", |bencher| {
        bencher.to_async(&runtime).iter(async || {
            let body = stream::iter(chunks.iter().cloned().map(Ok::<_, io::Error>));
            anthropic.decode(&to_anthropic, body, &NoDeltas).await.expect("a whole answer")
        });
    });
    let recorded = openai_stream(5000);
    group.throughput(Throughput::Bytes(recorded.len() as u64));
    let chunks = reads(&recorded);
    group.bench_function("openai", |bencher| {
        bencher.to_async(&runtime).iter(async || {
            let body = stream::iter(chunks.iter().cloned().map(Ok::<_, io::Error>));
            openai.decode(&to_openai, body, &NoDeltas).await.expect("a whole answer")
        });
    });
    group.finish();

    let mut group = criterion.benchmark_group("llm/scripted");
    let script = Script { exhausted: Exhausted::Last, ..Script::new(["An answer."]) };
    let scripted = Scripted::new(script);
    for turns in [1, 20] {
        let ask = request("scripted", turns);
        group.bench_function(format!("{turns} messages"), |bencher| {
            bencher
                .to_async(&runtime)
                .iter(async || scripted.infer(ask.clone(), &NoDeltas).await.expect("a scripted answer"));
        });
    }
    group.finish();
}

criterion_group!(benches, llm);
criterion_main!(benches);
