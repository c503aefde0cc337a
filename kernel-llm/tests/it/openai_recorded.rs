//! The chat completions protocol by recorded exchanges: what is sent, byte for byte, and what is understood.

use kernel_llm::{
    ApiKey, Cpu, CpuErrorKind, INVALID_ARGS, LimitField, NoDeltas, OpenAi, OpenAiConfig, model_info,
};
use kernel_types::{JsonText, Retry, TokenUsage, Tokens};
use serde_json::{Value, json};

use crate::loopback::{Loopback, Prepared};
use crate::requests::{Text, ask, request, whole_prompt};

const MODEL: &str = "gpt-4.1";

pub(crate) fn client(address: &str) -> OpenAi {
    OpenAi::new(address, ApiKey::new("sk-recorded"), model_info(MODEL)).unwrap()
}

#[tokio::test]
async fn text_parallel_tool_calls_and_cached_usage_are_understood() {
    let server = Loopback::start(vec![Prepared::stream(include_str!("recorded/openai.sse"))]).await;
    let sink = Text::default();
    let answer = client(&server.address).infer(request(MODEL, whole_prompt()), &sink).await.unwrap();
    assert_eq!(answer.model, "gpt-4.1-2025-04-14");
    assert_eq!(answer.text(), "I read both files: é 😀.");
    assert_eq!(sink.all(), answer.text());
    let calls: Vec<_> = answer.tool_calls().map(|(id, name, args)| (id, name, args.as_str())).collect();
    let expected =
        [("call_a", "read_file", r#"{"path":"a.txt"}"#), ("call_b", "read_file", r#"{"path":"b.txt"}"#)];
    assert_eq!((calls.as_slice(), answer.finish.as_str()), (&expected[..], "tool_calls"));
    let usage =
        TokenUsage { input: Tokens(2360), cached: Tokens(2048), output: Tokens(89), ..TokenUsage::default() };
    assert_eq!(answer.usage, usage);
}

#[tokio::test]
async fn the_request_has_the_form_of_the_api() {
    let server = Loopback::start(vec![Prepared::stream(include_str!("recorded/openai.sse"))]).await;
    let mut config = OpenAiConfig::new(&server.address, ApiKey::new("sk-recorded"), model_info(MODEL));
    config.extra = JsonText::parse(r#"{"cache_prompt":true,"repeat_penalty":1.1}"#).unwrap();
    config.temperature = Some(0);
    let cpu = OpenAi::with_config(config).unwrap();
    cpu.infer(request(MODEL, whole_prompt()), &NoDeltas).await.unwrap();
    cpu.infer(request(MODEL, whole_prompt()), &NoDeltas).await.unwrap();
    let received = server.received();
    assert_eq!(received[0].body, received[1].body, "the same prompt is the same bytes");
    for line in ["post /v1/chat/completions http/1.1", "authorization: bearer sk-recorded"] {
        assert!(received[0].head.contains(line), "{line} in {}", received[0].head);
    }
    let schema = json!({"type": "object", "properties": {"path": {"type": "string"}}});
    let tool = |name: &str| {
        let function = json!({"name": name, "description": format!("Does {name}."), "parameters": schema});
        json!({"type": "function", "function": function})
    };
    let call = |id: &str, path: &str| {
        let arguments = format!(r#"{{"deep":{{"a":[true,null],"z":1}},"path":"{path}"}}"#);
        json!({"id": id, "type": "function", "function": {"name": "read_file", "arguments": arguments}})
    };
    let expected = json!({
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "You read files."},
            {"role": "system", "content": [
                {"type": "text", "text": "Rules:"}, {"type": "text", "text": "be brief"}]},
            {"role": "user", "content": "Read a and b."},
            {"role": "assistant", "content": "I read.", "tool_calls": [call("c1", "a"), call("c2", "b")]},
            {"role": "tool", "tool_call_id": "c1", "content": "text of a"},
            {"role": "tool", "tool_call_id": "c2", "content": "no b"},
        ],
        "tools": [tool("read_file"), tool("list_dir")],
        "stream": true,
        "stream_options": {"include_usage": true},
        "max_tokens": 64,
        "temperature": 0.0,
        "cache_prompt": true,
        "repeat_penalty": 1.1,
    });
    assert_eq!(serde_json::from_slice::<Value>(&received[0].body).unwrap(), expected);
}

#[test]
fn without_settings_nothing_but_the_standard_is_sent() {
    let body = client("http://127.0.0.1:1").body(&ask(MODEL, "hello")).unwrap();
    let expected = json!({
        "model": MODEL,
        "messages": [{"role": "user", "content": "hello"}],
        "stream": true,
        "stream_options": {"include_usage": true},
        "max_tokens": 64,
    });
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), expected);
    let own = OpenAiConfig::new("https://api.openai.com/v1", None, model_info(MODEL));
    assert_eq!(own.limit_field, LimitField::MaxCompletionTokens, "OpenAI's newer models refuse max_tokens");
}

#[tokio::test]
async fn an_error_event_ends_the_call_with_its_kind() {
    let server = Loopback::start(vec![Prepared::stream(include_str!("recorded/openai-error.sse"))]).await;
    let sink = Text::default();
    let error = client(&server.address).infer(ask(MODEL, "hello"), &sink).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (CpuErrorKind::Failed, Retry::Now));
    assert_eq!(sink.all(), "I re", "what came before the error was shown");
}

/// Streams one chunk for each delta, then the end.
async fn answer(deltas: &[Value], finish: &str) -> Result<kernel_types::Inference, kernel_llm::CpuError> {
    let mut body = String::new();
    for delta in deltas {
        body.push_str(&format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta}]})));
    }
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]});
    body.push_str(&format!("data: {end}\n\ndata: [DONE]\n\n"));
    let server = Loopback::start(vec![Prepared::stream(body)]).await;
    client(&server.address).infer(ask(MODEL, "hello"), &NoDeltas).await
}

#[tokio::test]
async fn arguments_that_are_no_object_are_kept_under_a_name_of_their_own() {
    let call = |args: &str| json!({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": args}}]});
    let got = answer(&[call(r#"{"path": "a"#)], "length").await.unwrap();
    let (_, name, args) = got.tool_calls().next().unwrap();
    assert_eq!((name, args.value()), ("f", json!({INVALID_ARGS: r#"{"path": "a"#})));
}

#[tokio::test]
async fn calls_without_index_id_or_finish_word_still_come_apart() {
    let first = json!({"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]});
    let got = answer(&[first], "stop").await.unwrap();
    let ids: Vec<_> = got.tool_calls().map(|(id, ..)| id).collect();
    assert_eq!((ids.as_slice(), got.finish.as_str()), (&["call_3_1_0"][..], "tool_calls"));

    let call = |id: &str, index: Option<u64>| json!({"tool_calls": [{"index": index, "id": id, "function": {"name": "f", "arguments": "{}"}}]});
    let got = answer(&[call("a", None), call("b", None)], "tool_calls").await.unwrap();
    assert_eq!(got.tool_calls().map(|(id, ..)| id).collect::<Vec<_>>(), ["a", "b"]);
    let got = answer(&[call("same", Some(0)), call("same", Some(1))], "tool_calls").await.unwrap();
    assert_eq!(got.tool_calls().map(|(id, ..)| id).collect::<Vec<_>>(), ["same", "call_3_1_1"]);
}

#[tokio::test]
async fn an_endless_list_of_calls_is_cut() {
    let call = |n: u64| json!({"tool_calls": [{"index": n, "id": n.to_string(), "function": {"name": "f"}}]});
    let error = answer(&(0..500).map(call).collect::<Vec<_>>(), "tool_calls").await.unwrap_err();
    assert_eq!(error.kind(), CpuErrorKind::Protocol);
}

#[tokio::test]
async fn usage_that_is_not_reported_is_estimated_and_says_so() {
    let got = answer(&[json!({"content": "Twelve characters and some more."})], "stop").await.unwrap();
    assert!(got.usage.estimated);
    assert!(got.usage.input > Tokens(0) && got.usage.output == Tokens(8), "{:?}", got.usage);
}
