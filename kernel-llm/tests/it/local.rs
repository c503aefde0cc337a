//! The local server as a child: it dies with its owner, comes back after a crash, and lets in only who has the key.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use kernel_llm::{
    Anthropic, AnthropicConfig, ApiKey, Cpu, CpuErrorKind, LocalConfig, LocalModel, NoDeltas, OpenAi,
    OpenAiConfig, RetryPolicy, Retrying,
};
use kernel_types::{Prompt, Role, Tokens};

use crate::install::until;
use crate::requests::{ask, request, says};
use crate::served::{self, Quiet};

fn process(id: u32) -> std::path::PathBuf {
    Path::new("/proc").join(id.to_string())
}

#[expect(clippy::disallowed_methods, reason = "a test that kills its own children")]
fn kill_9(id: u32) {
    assert!(Command::new("kill").args(["-9", &id.to_string()]).status().unwrap().success());
}

fn short(text: &str) -> kernel_llm::InferRequest {
    kernel_llm::InferRequest { max_output: Tokens(2), ..ask("smollm2-135m", text) }
}

#[tokio::test]
async fn the_small_model_is_in_the_catalogue_and_free() {
    let model = LocalConfig::new("anywhere").model_info();
    assert_eq!((model.name.as_str(), model.window), ("smollm2-135m", Tokens(4096)));
    assert_eq!(model.pricing, Some(kernel_types::Pricing::default()));
    let other = LocalConfig { model: LocalModel::Gguf("models/tiny.gguf".into()), ..LocalConfig::new("x") };
    assert_eq!(other.model_info().name, "tiny");
}

#[tokio::test]
async fn a_crashed_server_is_started_again_and_a_crashing_one_is_given_up() {
    let local = served::local().await;
    // While the killed process is on its way out, calls fail with errors worth retrying.
    let patient = Retrying::new(local.clone(), RetryPolicy::default());
    for _ in 0..3 {
        let id = local.process_id().await;
        kill_9(id);
        patient.infer(short("hello"), &NoDeltas).await.unwrap();
        assert_ne!(local.process_id().await, id);
    }
    let id = local.process_id().await;
    kill_9(id);
    let error = patient.infer(short("hello"), &NoDeltas).await.unwrap_err();
    assert_eq!(error.kind(), CpuErrorKind::Setup);
    assert!(error.message().contains("crashed 4 times") && error.message().contains("log"), "{error}");
}

/// Neither gone nor a zombie that waits to be reaped.
fn is_alive(id: u32) -> bool {
    let stat = std::fs::read_to_string(process(id).join("stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

#[tokio::test]
async fn a_dropped_model_leaves_no_process() {
    let local = served::local().await;
    let id = local.process_id().await;
    assert!(is_alive(id));
    drop(local);
    assert!(!process(id).exists(), "killed and reaped");
}

#[tokio::test]
async fn the_server_dies_with_a_killed_owner() {
    let this = std::env::current_exe().unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test that starts itself again")]
    let mut owner = Command::new(this)
        .args(["--exact", "local::owns_a_server_until_killed", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(owner.stdout.take().unwrap());
    let mut lines = output.lines().map(Result::unwrap);
    let id = lines.find_map(|line| line.split("SERVER ").nth(1).map(|id| id.trim().parse().unwrap()));
    let id: u32 = id.expect("the owner says which server it started");
    assert!(is_alive(id));
    owner.kill().unwrap();
    owner.wait().unwrap();
    until(|| !is_alive(id)).await;
}

#[tokio::test]
#[ignore = "run by the test above, which kills it"]
async fn owns_a_server_until_killed() {
    let local = served::local().await;
    println!("SERVER {}", local.process_id().await);
    std::io::stdout().flush().unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_model_file_that_is_none_is_reported_with_the_servers_words() {
    drop(served::local().await); // The server is installed by now.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken.gguf");
    std::fs::write(&file, "no model at all").unwrap();
    let config = LocalConfig { model: LocalModel::Gguf(file), ..served::config() };
    let error = kernel_llm::Local::start(config, &Quiet).await.unwrap_err();
    assert_eq!(error.kind(), CpuErrorKind::Setup);
    assert!(error.message().contains("ended while starting") && error.message().contains("log: "), "{error}");
}

#[tokio::test]
async fn both_protocols_refuse_a_wrong_key_and_a_prompt_that_is_too_long() {
    let local = served::local().await;
    let (address, key) = local.endpoint().await;
    let model = local.models()[0].clone();
    let clients = |key: Option<ApiKey>| -> [Box<dyn Cpu>; 2] {
        let mut config = AnthropicConfig::new(key.clone(), model.clone());
        config.base_url = address.clone();
        let openai = OpenAi::with_config(OpenAiConfig::new(&address, key, model.clone()));
        [Box::new(Anthropic::new(config).unwrap()), Box::new(openai.unwrap())]
    };
    for cpu in clients(ApiKey::new("agentos-wrong-key")) {
        let error = cpu.infer(short("hello"), &NoDeltas).await.unwrap_err();
        assert_eq!(error.kind(), CpuErrorKind::Auth, "{error}");
    }
    for cpu in clients(Some(key)) {
        let error = cpu.infer(short(&"word ".repeat(5000)), &NoDeltas).await.unwrap_err();
        assert_eq!(error.kind(), CpuErrorKind::TooLong, "{error}");
        cpu.infer(short("hello"), &NoDeltas).await.unwrap();
    }
}

#[tokio::test]
async fn prefixes_of_two_conversations_survive_each_other() {
    let local = served::local().await;
    let talk = |topic: &str, question: &str| {
        let system = format!("You know all about {topic}. ").repeat(12);
        let messages = vec![says(Role::System, &system), says(Role::User, question)];
        let prompt = Prompt { messages, ..Prompt::default() };
        kernel_llm::InferRequest { max_output: Tokens(2), ..request("smollm2-135m", prompt) }
    };
    for topic in ["rivers", "mountains"] {
        local.infer(talk(topic, "Hello?"), &NoDeltas).await.unwrap();
    }
    for topic in ["rivers", "mountains"] {
        let usage = local.infer(talk(topic, "Which is longest?"), &NoDeltas).await.unwrap().usage;
        assert!(usage.cached.0 * 10 >= usage.input.0 * 7, "{topic}: {usage:?}");
    }
}
