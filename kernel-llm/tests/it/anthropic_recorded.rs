//! The Messages protocol by recorded exchanges: what is sent, byte for byte, and what is understood.

use kernel_llm::{Anthropic, AnthropicConfig, ApiKey, Cpu, CpuErrorKind, NoDeltas, model_info};
use kernel_types::{Part, Prompt, Retention, Retry, Role, TokenUsage, Tokens};
use serde_json::{Value, json};

use crate::loopback::{Loopback, Prepared};
use crate::requests::{Text, ask, marked, request, says, whole_prompt};

const MODEL: &str = "claude-sonnet-4-5";

pub(crate) fn client(address: &str) -> Anthropic {
    let mut config = AnthropicConfig::new(ApiKey::new("sk-ant-recorded"), model_info(MODEL));
    config.base_url = address.to_owned();
    Anthropic::new(config).unwrap()
}

#[tokio::test]
async fn text_parallel_tool_calls_and_cached_usage_are_understood() {
    let server = Loopback::start(vec![Prepared::stream(include_str!("recorded/anthropic.sse"))]).await;
    let sink = Text::default();
    let answer = client(&server.address).infer(request(MODEL, whole_prompt()), &sink).await.unwrap();
    assert_eq!(answer.model, "claude-sonnet-4-5-20250929");
    assert_eq!(answer.text(), "I read both files: é 😀.");
    assert_eq!(sink.all(), answer.text());
    let calls: Vec<_> = answer.tool_calls().map(|(id, name, args)| (id, name, args.as_str())).collect();
    let expected =
        [("toolu_a", "read_file", r#"{"path":"a.txt"}"#), ("toolu_b", "read_file", r#"{"path":"b.txt"}"#)];
    assert_eq!((calls.as_slice(), answer.finish.as_str()), (&expected[..], "tool_calls"));
    let usage = TokenUsage {
        input: Tokens(2360),
        cached: Tokens(2048),
        cache_written: Tokens(300),
        written_long: Tokens(100),
        output: Tokens(89),
        estimated: false,
    };
    assert_eq!(answer.usage, usage, "input is all of it: 12 + 2048 + 300");
}

#[tokio::test]
async fn the_request_has_the_form_of_the_api() {
    let server = Loopback::start(vec![Prepared::stream(include_str!("recorded/anthropic.sse"))]).await;
    let cpu = client(&server.address);
    let mut sent = request(MODEL, whole_prompt());
    sent.temperature = Some(700);
    cpu.infer(sent.clone(), &NoDeltas).await.unwrap();
    cpu.infer(sent, &NoDeltas).await.unwrap();
    let received = server.received();
    assert_eq!(received[0].body, received[1].body, "the same prompt is the same bytes");
    for line in ["post /v1/messages http/1.1", "x-api-key: sk-ant-recorded", "anthropic-version: 2023-06-01"]
    {
        assert!(received[0].head.contains(line), "{line} in {}", received[0].head);
    }
    let cut = json!({"type": "ephemeral"});
    let schema = json!({"type": "object", "properties": {"path": {"type": "string"}}});
    let input = |path: &str| json!({"path": path, "deep": {"a": [true, null], "z": 1}});
    let expected = json!({
        "model": MODEL,
        "max_tokens": 64,
        "stream": true,
        "temperature": 0.7,
        "tools": [
            {"name": "read_file", "description": "Does read_file.", "input_schema": schema},
            {"name": "list_dir", "description": "Does list_dir.", "input_schema": schema},
        ],
        "system": [
            {"type": "text", "text": "You read files."},
            {"type": "text", "text": "Rules:"},
            {"type": "text", "text": "be brief", "cache_control": cut},
        ],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Read a and b.", "cache_control": cut}]},
            {"role": "assistant", "content": [
                {"type": "text", "text": "I read."},
                {"type": "tool_use", "id": "c1", "name": "read_file", "input": input("a")},
                {"type": "tool_use", "id": "c2", "name": "read_file", "input": input("b")},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "text of a"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "no b", "is_error": true,
                 "cache_control": cut},
            ]},
        ],
    });
    assert_eq!(serde_json::from_slice::<Value>(&received[0].body).unwrap(), expected);
}

#[test]
fn a_longer_time_to_live_is_asked_for_where_the_model_offers_it() {
    let asked = |cpu: Anthropic| {
        let prompt = Prompt { retention: Retention::Long, ..whole_prompt() };
        let body: Value = serde_json::from_slice(&cpu.body(&request(MODEL, prompt)).unwrap()).unwrap();
        body["system"][2]["cache_control"].clone()
    };
    assert_eq!(asked(client("http://127.0.0.1:1")), json!({"type": "ephemeral", "ttl": "1h"}));
    let mut model = model_info(MODEL);
    model.cache.long = None;
    let config = AnthropicConfig::new(ApiKey::new("sk-ant-recorded"), model);
    assert_eq!(asked(Anthropic::new(config).unwrap()), json!({"type": "ephemeral"}));
}

#[test]
fn at_most_four_breakpoints_are_sent_the_first_and_the_last_ones() {
    let roles = [Role::User, Role::Assistant].into_iter().cycle();
    let messages = (0..9).zip(roles).map(|(n, role)| marked(says(role, &n.to_string()))).collect();
    let body = client("http://127.0.0.1:1").body(&request(MODEL, Prompt { messages, ..Prompt::default() }));
    let body: Value = serde_json::from_slice(&body.unwrap()).unwrap();
    let sent: Vec<_> = body["messages"].as_array().unwrap().iter().enumerate().collect();
    let cut = sent.iter().filter(|(_, message)| message["content"][0].get("cache_control").is_some());
    assert_eq!(cut.map(|(n, _)| *n).collect::<Vec<_>>(), [0, 6, 7, 8]);
}

#[tokio::test]
async fn a_prompt_grown_by_one_message_keeps_its_bytes() {
    let cpu = client("http://127.0.0.1:1");
    let before = cpu.body(&request(MODEL, whole_prompt())).unwrap();
    let mut longer = whole_prompt();
    longer.messages.push(says(Role::Assistant, "Done."));
    let after = cpu.body(&request(MODEL, longer)).unwrap();
    let shared = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
    assert!(shared >= before.len() - 2, "all but the closing brackets: {shared} of {}", before.len());
}

#[test]
fn a_system_message_behind_others_is_refused() {
    let mut prompt = whole_prompt();
    prompt.messages.push(says(Role::System, "late"));
    let error = client("http://127.0.0.1:1").body(&request(MODEL, prompt)).unwrap_err();
    assert_eq!(error.kind(), CpuErrorKind::InvalidRequest);
}

#[test]
fn empty_texts_beside_others_are_left_out() {
    let mut prompt = whole_prompt();
    prompt.messages[0].parts.push(Part::Text("".into()));
    let cpu = client("http://127.0.0.1:1");
    let bodies = [prompt, whole_prompt()].map(|prompt| cpu.body(&request(MODEL, prompt)).unwrap());
    assert_eq!(bodies[0], bodies[1]);
}

#[tokio::test]
async fn an_error_event_ends_the_call_with_its_kind() {
    let server = Loopback::start(vec![Prepared::stream(include_str!("recorded/anthropic-error.sse"))]).await;
    let sink = Text::default();
    let error = client(&server.address).infer(ask(MODEL, "hello"), &sink).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (CpuErrorKind::Overloaded, Retry::Now));
    assert!(error.to_string().contains("Overloaded"), "{error}");
    assert_eq!(sink.all(), "I re", "what came before the error was shown");
}
