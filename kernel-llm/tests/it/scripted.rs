//! Scripts: which reply is given, what it counts, how it fails.

use std::time::Duration;

use kernel_llm::{Canned, Cpu, CpuErrorKind, InferRequest, NoDeltas, Script, ScriptError, Scripted};
use kernel_types::{Millis, Prompt, Retry, Role, Tokens};
use tokio::time::{Instant, timeout};

use crate::requests::{Text, ask, request, says};

const SCRIPT: &str = r#"
    exhausted = "error"
    chunk = 3

    [[reply]]
    text = "Let me look."
    [[reply.tool]]
    name = "read_file"
    args = { path = "LICENSE", deep = { z = 1, a = [1, 2] } }
    [[reply.tool]]
    name = "list_dir"

    [[reply]]
    text = "It is MIT."

    [[reply]]
    when = "which year"
    text = "1988."

    [[reply]]
    when_prompt = "PIRATE"
    text = "Arr."
"#;

fn scripted() -> Scripted {
    Scripted::new(Script::parse(SCRIPT).unwrap())
}

fn talk(texts: &[&str]) -> InferRequest {
    let roles = [Role::User, Role::Assistant].into_iter().cycle();
    let messages = texts.iter().zip(roles).map(|(text, role)| says(role, text)).collect();
    request("scripted", Prompt { messages, ..Prompt::default() })
}

async fn check(texts: &[&str], expected: &str) {
    // A fresh one each time: nothing but the prompt decides.
    let answer = scripted().infer(talk(texts), &NoDeltas).await.unwrap();
    assert_eq!(answer.text(), expected, "to {texts:?}");
}

#[tokio::test]
async fn the_reply_depends_on_the_prompt_alone() {
    check(&["hello"], "Let me look.").await;
    check(&["hello", "Let me look.", "go on"], "It is MIT.").await;
    check(&["hello", "Let me look.", "which year was it?"], "1988.").await;
    check(&["which year was it?", "1988.", "go on"], "It is MIT.").await;
    check(&["PIRATE", "Arr.", "go on"], "Arr.").await;
}

#[tokio::test]
async fn an_exhausted_script_says_so_or_goes_on_as_told() {
    let error = scripted().infer(talk(&["a", "b", "c", "d", "e"]), &NoDeltas).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (CpuErrorKind::InvalidRequest, Retry::Never));
    assert!(error.to_string().contains("exhausted"), "{error}");
    for (word, expected) in [("last", "It is MIT."), ("loop", "Let me look.")] {
        let script = SCRIPT.replace("exhausted = \"error\"", &format!("exhausted = \"{word}\""));
        let cpu = Scripted::new(Script::parse(&script).unwrap());
        let answer = cpu.infer(talk(&["a", "b", "c", "d", "e"]), &NoDeltas).await.unwrap();
        assert_eq!(answer.text(), expected, "{word}");
    }
}

#[tokio::test]
async fn tool_calls_come_with_arguments_in_normal_form() {
    let sink = Text::default();
    let answer = scripted().infer(talk(&["hello"]), &sink).await.unwrap();
    let calls: Vec<_> = answer.tool_calls().map(|(id, name, args)| (id, name, args.as_str())).collect();
    assert_eq!(
        calls,
        [
            ("call_3_1_0", "read_file", r#"{"deep":{"a":[1,2],"z":1},"path":"LICENSE"}"#),
            ("call_3_1_1", "list_dir", "{}")
        ]
    );
    assert_eq!((answer.finish.as_str(), sink.all().as_str()), ("tool_calls", "Let me look."));
}

#[tokio::test]
async fn cached_tokens_are_the_shared_beginning() {
    let cpu = Scripted::texts(["yes", "yes"]);
    let long = "The same words at the start. ".repeat(20);
    let usage = async |text: String| cpu.infer(ask("scripted", &text), &NoDeltas).await.unwrap().usage;
    let first = usage(format!("{long} first")).await;
    let second = usage(format!("{long} second")).await;
    assert_eq!(first.cached, Tokens(0));
    assert!(second.cached >= Tokens(140) && second.cached < second.input, "{second:?}");
    assert!(!second.estimated, "the simulated provider counts itself");
    let other = usage("Other words".to_owned()).await;
    assert!(other.cached < Tokens(4), "{other:?}");
}

#[tokio::test(start_paused = true)]
async fn faults_happen_as_often_as_told() {
    let script = r#"
        [[reply]]
        error = "overloaded"
        message = "try later"
        retry_after_ms = 1500
        times = 1
        delay_ms = 250
        text = "here"
    "#;
    let cpu = Scripted::new(Script::parse(script).unwrap());
    let start = Instant::now();
    let error = cpu.infer(ask("scripted", "hello"), &NoDeltas).await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_millis(250));
    assert_eq!((error.kind(), error.retry()), (CpuErrorKind::Overloaded, Retry::After(Millis(1500))));
    assert_eq!(error.message(), "try later");
    assert_eq!(cpu.infer(ask("scripted", "hello"), &NoDeltas).await.unwrap().text(), "here");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_reply_hangs_and_a_panicking_one_panics() {
    let cpu = |fault: &str| Scripted::new(Script::parse(&format!("[[reply]]\n{fault}")).unwrap());
    let hanging = cpu("hang = true");
    let call = hanging.infer(ask("scripted", "hello"), &NoDeltas);
    assert!(timeout(Duration::from_secs(3600), call).await.is_err());
    let panicking = cpu("panic = 'boom'");
    let run = tokio::spawn(async move { panicking.infer(ask("scripted", "hello"), &NoDeltas).await });
    assert!(run.await.unwrap_err().is_panic());
}

#[tokio::test]
async fn a_prompt_beyond_the_window_is_refused() {
    let cpu = Scripted::new(Script::parse("[model]\nwindow = 100\n[[reply]]\ntext = 'ok'").unwrap());
    assert!(cpu.infer(ask("scripted", &"word ".repeat(60)), &NoDeltas).await.is_ok());
    let error = cpu.infer(ask("scripted", &"word ".repeat(100)), &NoDeltas).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (CpuErrorKind::TooLong, Retry::Never));
    assert!(error.message().contains("window of 100 tokens"), "{error}");
}

#[tokio::test]
async fn tool_calls_that_do_not_fit_the_limit_are_not_made() {
    let args = kernel_types::JsonText::parse(r#"{"path":"a path of some length"}"#).unwrap();
    let canned = Canned { text: "I look.".to_owned(), ..Canned::tool("read_file", args) };
    let cpu = Scripted::new(Script::new([canned]));
    let mut small = ask("scripted", "hello");
    small.max_output = Tokens(5);
    let answer = cpu.infer(small, &NoDeltas).await.unwrap();
    assert_eq!((answer.tool_calls().count(), answer.finish.as_str()), (0, "length"));
    assert_eq!(cpu.infer(ask("scripted", "hello"), &NoDeltas).await.unwrap().tool_calls().count(), 1);
}

#[test]
fn a_script_that_cannot_be_right_is_refused() {
    let refused = |text: &str| Script::parse(text).unwrap_err();
    assert!(matches!(refused(""), ScriptError::Empty));
    assert!(matches!(refused("slots = 0\n[[reply]]\ntext = 'x'"), ScriptError::NoSlots));
    assert!(matches!(refused("[[reply]]\nhang = true\npanic = 'x'"), ScriptError::ManyFaults(1)));
    let unknown = refused("[[reply]]\nwhem = 'x'").to_string();
    assert!(unknown.contains("line 2") && unknown.contains("whem"), "{unknown}");
    let missing = Script::load(std::path::Path::new("no/such/script.toml")).unwrap_err().to_string();
    assert!(missing.contains("no/such/script.toml"), "{missing}");
}
