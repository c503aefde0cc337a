//! Every way in which a server can fail, and what becomes of it; on both protocols where they share the code.

use std::time::Duration;

use kernel_llm::detect::probe;
use kernel_llm::{
    Anthropic, AnthropicConfig, ApiKey, Cpu, CpuError, CpuErrorKind, Limits, NoDeltas, OpenAi, OpenAiConfig,
    RetryPolicy, Retrying, model_info,
};
use kernel_types::{Millis, Retry};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::loopback::{Loopback, Prepared};
use crate::requests::{Text, ask};

const KEY: &str = "sk-secret-0123456789";
const OPENAI_CHUNK: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"half\"}}]}\n\n";

fn limits() -> Limits {
    Limits { idle: Duration::from_millis(200), line: 64 << 10, total: 256 << 10, ..Limits::default() }
}

fn openai(address: &str) -> OpenAi {
    let mut config = OpenAiConfig::new(address, ApiKey::new(KEY), model_info("gpt-4.1"));
    config.limits = limits();
    OpenAi::with_config(config).unwrap()
}

fn anthropic(address: &str) -> Anthropic {
    let mut config = AnthropicConfig::new(ApiKey::new(KEY), model_info("claude-sonnet-4-5"));
    config.base_url = address.to_owned();
    config.limits = limits();
    Anthropic::new(config).unwrap()
}

/// The error of one call that must not hold the key; the answer is the same whatever the protocol.
async fn fails(answer: Prepared) -> CpuError {
    let server = Loopback::start(vec![answer]).await;
    let one = openai(&server.address).infer(ask("gpt-4.1", "hello"), &NoDeltas).await.unwrap_err();
    let other =
        anthropic(&server.address).infer(ask("claude-sonnet-4-5", "hello"), &NoDeltas).await.unwrap_err();
    assert_eq!((one.kind(), one.retry(), one.message()), (other.kind(), other.retry(), other.message()));
    for shown in [format!("{one} {one:?}"), format!("{other} {other:?}")] {
        assert!(!shown.contains(KEY), "the key shows");
    }
    one
}

async fn check(answer: Prepared, kind: CpuErrorKind, retry: Retry, words: &str) {
    let error = fails(answer.clone()).await;
    assert_eq!((error.kind(), error.retry()), (kind, retry), "{error}");
    assert!(error.to_string().contains(words), "{words:?} in {error}");
}

fn refusal(class: &str, message: &str) -> String {
    format!(r#"{{"type":"error","error":{{"type":"{class}","message":"{message}"}}}}"#)
}

#[tokio::test]
async fn statuses_become_kinds() {
    use CpuErrorKind::*;
    let status = |code, class: &str, message: &str| Prepared::status(code, "", &refusal(class, message));
    check(status(401, "authentication_error", "invalid key"), Auth, Retry::Never, "invalid key").await;
    check(status(403, "permission_error", "not yours"), Auth, Retry::Never, "not yours").await;
    check(status(429, "insufficient_quota", "you ran out"), Auth, Retry::Never, "you ran out").await;
    check(status(404, "not_found_error", "model: x"), UnknownModel, Retry::Never, "model: x").await;
    check(status(400, "invalid_request_error", "roles"), InvalidRequest, Retry::Never, "roles").await;
    let long = "prompt is too long: 210000 tokens > 200000 maximum";
    check(status(400, "invalid_request_error", long), TooLong, Retry::Never, "210000").await;
    check(status(400, "exceed_context_size_error", "6031 tokens"), TooLong, Retry::Never, "6031").await;
    check(status(413, "request_too_large", "too large"), TooLong, Retry::Never, "too large").await;
    check(status(500, "api_error", "internal"), Failed, Retry::Now, "status 500: internal").await;
    check(Prepared::status(502, "", "<html>bad gateway</html>"), Failed, Retry::Now, "bad gateway").await;
    check(status(529, "overloaded_error", "overloaded"), Overloaded, Retry::Now, "overloaded").await;
    check(Prepared::status(503, "", ""), Overloaded, Retry::Now, "status 503").await;
    let by_code =
        r#"{"error":{"message":"no gpt-9","type":"invalid_request_error","code":"model_not_found"}}"#;
    check(Prepared::status(400, "", by_code), UnknownModel, Retry::Never, "no gpt-9").await;
    check(Prepared::status(400, "", r#"{"error":"just words"}"#), InvalidRequest, Retry::Never, "just words")
        .await;
}

#[tokio::test]
async fn a_retry_after_is_passed_on() {
    let busy = Prepared::status(429, "retry-after: 7\r\n", &refusal("rate_limit_error", "slow down"));
    check(busy, CpuErrorKind::Overloaded, Retry::After(Millis(7000)), "slow down").await;
}

#[tokio::test]
async fn a_key_that_the_server_echoes_is_masked() {
    let echo = Prepared::status(401, "", &refusal("authentication_error", &format!("bad key {KEY}!")));
    check(echo, CpuErrorKind::Auth, Retry::Never, "bad key [key]!").await;
    let garbage = Prepared::stream(format!("data: {KEY}\n\n"));
    check(garbage, CpuErrorKind::Protocol, Retry::Never, "[key]").await;

    let words: Vec<String> = KEY
        .chars()
        .map(|c| format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{c}\"}}}}]}}\n\n"))
        .collect();
    let end = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" sk-s\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let server = Loopback::start(vec![Prepared::stream(words.concat() + end)]).await;
    let sink = Text::default();
    let answer = openai(&server.address).infer(ask("gpt-4.1", "hello"), &sink).await.unwrap();
    assert_eq!((answer.text().as_str(), sink.all().as_str()), ("[key] sk-s", "[key] sk-s"));
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_broken_and_what_came_was_shown() {
    let server = Loopback::start(vec![Prepared::stream(OPENAI_CHUNK)]).await;
    let sink = Text::default();
    let error = openai(&server.address).infer(ask("gpt-4.1", "hello"), &sink).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (CpuErrorKind::Broken, Retry::Now), "{error}");
    assert_eq!(sink.all(), "half");

    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    check(Prepared::raw(format!("{head}ff\r\ndata: ")), CpuErrorKind::Broken, Retry::Now, "broke").await;
    check(Prepared::stream(""), CpuErrorKind::Broken, Retry::Now, "before the answer was complete").await;
}

#[tokio::test]
async fn silence_ends_a_call_before_and_in_the_stream() {
    let silent = Prepared::raw("").then_stall();
    check(silent, CpuErrorKind::Timeout, Retry::Now, "nothing came for 200 ms").await;
    let stalled = Prepared::stream(": hello\n\n").then_stall();
    check(stalled, CpuErrorKind::Timeout, Retry::Now, "nothing came for 200 ms").await;
}

#[tokio::test]
async fn what_is_not_the_protocol_is_refused() {
    use CpuErrorKind::Protocol;
    check(Prepared::stream("data: what?\n\n"), Protocol, Retry::Never, "cannot read the event").await;
    check(Prepared::stream(b"data: \xff\xfe\n\n"), Protocol, Retry::Never, "not an event stream").await;
    let page = Prepared::status(200, "content-type: text/html\r\n", "<html>");
    check(page, Protocol, Retry::Never, "text/html instead of an event stream").await;
    check(
        Prepared::stream(format!("data: {}", "x".repeat(300 << 10))),
        Protocol,
        Retry::Never,
        "a line of more",
    )
    .await;
    let flood = format!(": {}\n", "x".repeat(1 << 10)).repeat(400);
    check(Prepared::stream(flood), Protocol, Retry::Never, "an answer of more").await;
    check(Prepared::stream("\u{feff}data: what?\n\n"), Protocol, Retry::Never, "cannot read").await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Loopback::start(vec![Prepared::stream("")]).await;
    let away = Prepared::status(307, &format!("location: {}\r\n", other.address), "");
    check(away, CpuErrorKind::InvalidRequest, Retry::Never, "redirects are not followed").await;
    assert!(other.received().is_empty(), "no key went to another address");
}

#[tokio::test]
async fn nobody_at_the_address_is_unreachable() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error =
        openai(&format!("http://{address}")).infer(ask("gpt-4.1", "hello"), &NoDeltas).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (CpuErrorKind::Unreachable, Retry::Now));
    assert!(error.to_string().to_lowercase().contains("connection refused"), "{error}");
    assert!(openai(&format!("http://{address}")).health().await.is_err());
    assert_eq!(probe(&[address.port()]).await, None);
}

#[tokio::test]
async fn tls_is_spoken_without_a_provider_of_the_process() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let greeting = tokio::spawn(async move {
        let mut byte = [0];
        listener.accept().await.unwrap().0.read_exact(&mut byte).await.unwrap();
        byte[0]
    });
    let cpu = openai(&format!("https://{address}"));
    let error = cpu.infer(ask("gpt-4.1", "hello"), &NoDeltas).await.unwrap_err();
    assert_eq!(error.kind(), CpuErrorKind::Unreachable, "{error}");
    assert_eq!(greeting.await.unwrap(), 0x16, "the first byte is that of a TLS handshake");
}

#[tokio::test]
async fn a_dropped_call_closes_the_connection() {
    let server = Loopback::start(vec![Prepared::stream(OPENAI_CHUNK).then_stall()]).await;
    let cpu = openai(&server.address);
    let sink = kernel_llm::conformance::Watch::default();
    tokio::select! {
        biased;
        () = sink.some_text() => {}
        end = cpu.infer(ask("gpt-4.1", "hello"), &sink) => panic!("ended: {end:?}"),
    }
    tokio::time::timeout(Duration::from_secs(10), server.client_gone()).await.unwrap();
}

#[tokio::test]
async fn addresses_that_cannot_be_right_are_refused() {
    let refused = |base: &str| OpenAi::new(base, None, model_info("m")).unwrap_err();
    for base in ["", "127.0.0.1:80", "ftp://host", "http://user:sk-secret@host/v1", "http://"] {
        let error = refused(base);
        assert_eq!(error.kind(), CpuErrorKind::InvalidRequest, "{base}");
        assert!(!error.to_string().contains("sk-secret"), "{error}");
    }
    assert!(!format!("{:?}", openai("http://127.0.0.1:1")).contains(KEY), "a printed client shows its key");
    assert!(
        !format!("{:?}", anthropic("http://127.0.0.1:1")).contains(KEY),
        "a printed client shows its key"
    );
    let key = ApiKey::new("sk-with\nnewline");
    let error = OpenAi::new("http://127.0.0.1:1", key, model_info("m")).unwrap_err();
    assert_eq!(error.kind(), CpuErrorKind::Auth);
    assert!(!error.to_string().contains("sk-with"), "{error}");
}

#[tokio::test]
async fn a_busy_server_is_asked_again_over_the_wire() {
    let good = include_str!("recorded/openai.sse");
    let answers = vec![
        Prepared::status(429, "retry-after: 0\r\n", ""),
        Prepared::status(500, "", ""),
        Prepared::stream(""),
        Prepared::stream(good),
    ];
    let server = Loopback::start(answers).await;
    let policy = RetryPolicy {
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(2),
        ..RetryPolicy::default()
    };
    let cpu = Retrying::new(openai(&server.address), policy);
    let sink = Text::default();
    let answer = cpu.infer(ask("gpt-4.1", "hello"), &sink).await.unwrap();
    assert_eq!(answer.text(), sink.all());
    let received = server.received();
    assert_eq!(received.len(), 4);
    assert!(received.iter().all(|request| request.body == received[0].body), "the same bytes each time");
}

#[tokio::test]
async fn a_listening_server_is_found_with_its_model() {
    let list = r#"{"object":"list","data":[{"id":"llama-3"},{"id":"other"}]}"#;
    let server = Loopback::start(vec![Prepared::status(200, "", list)]).await;
    let port: u16 = server.address.rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(probe(&[port]).await, Some((format!("{}/v1", server.address), "llama-3".to_owned())));
    let page = Loopback::start(vec![Prepared::status(200, "", "<html>")]).await;
    let other: u16 = page.address.rsplit(':').next().unwrap().parse().unwrap();
    assert_eq!(probe(&[other]).await, None, "another kind of server");
}
