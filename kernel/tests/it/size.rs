//! How many bytes a conversation takes on disk.

use std::path::Path;

use async_trait::async_trait;
use kernel::{Input, Kernel, Program, ProgramError, ProgramFactory, Saved, Step, Until};
use kernel_llm::{Cpu, CpuError, DeltaSink, InferRequest, model_info};
use kernel_storage::SqliteStore;
use kernel_types::{
    Answer, Call, ExitStatus, InferArgs, Inference, MailBody, ModelInfo, NewPage, PageKind, Part,
    ReceiveArgs, Spec, TokenUsage, Tokens,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

const MODEL: &str = "talker";
/// What a message has, in bytes.
const LENGTH: usize = 2000;

/// Messages as people write them, none of them twice.
fn messages() -> Vec<String> {
    let lines = include_str!("../../../kernel-context/tests/recall/chats.jsonl").lines();
    let said = lines.filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["text"].as_str().map(str::to_owned)
    });
    let mut messages = vec![String::new()];
    for said in said {
        let last = messages.last_mut().unwrap();
        last.push_str(&said);
        last.push('\n');
        if last.len() >= LENGTH {
            last.truncate(last.floor_char_boundary(LENGTH));
            messages.push(String::new());
        }
    }
    messages.pop();
    messages
}

/// A model that says what was prepared.
struct Prepared {
    answers: Mutex<std::vec::IntoIter<String>>,
}

#[async_trait]
impl Cpu for Prepared {
    fn models(&self) -> Vec<ModelInfo> {
        vec![ModelInfo { window: Tokens(1_000_000), ..model_info(MODEL) }]
    }

    fn slots(&self) -> u32 {
        1
    }

    async fn infer(&self, request: InferRequest, _: &dyn DeltaSink) -> Result<Inference, CpuError> {
        let text = self.answers.lock().next().expect("one answer a message");
        let usage = TokenUsage { input: Tokens(500), output: Tokens(500), ..TokenUsage::default() };
        let parts = vec![Part::Text(text.into())];
        Ok(Inference { model: request.model, parts, finish: "stop".to_owned(), usage })
    }

    async fn health(&self) -> Result<(), CpuError> {
        Ok(())
    }
}

/// Keeps what it is told and what the model answers.
#[derive(Serialize, Deserialize, Default)]
struct Talker {
    left: u32,
}

struct Talkers;

impl ProgramFactory for Talkers {
    fn start(&self, spec: &Spec) -> Result<Box<dyn Program>, ProgramError> {
        let left = spec.task.parse().map_err(|_| ProgramError::Arguments("how many".to_owned()))?;
        Ok(Box::new(Talker { left }))
    }

    fn load(&self, saved: &Saved) -> Result<Box<dyn Program>, ProgramError> {
        saved.read::<Talker>(1).map(|talker| Box::new(talker) as Box<dyn Program>)
    }
}

impl Program for Talker {
    fn step(&mut self, input: Input) -> Step {
        let Input::Replies(replies) = input else {
            return Step::Calls(vec![Call::Receive(ReceiveArgs::default())]);
        };
        match replies.into_iter().next_back().map(|reply| reply.result) {
            Some(Ok(Answer::Message(mail))) => {
                let MailBody::Message(text) = mail.body else {
                    return Step::Exit(ExitStatus::Failed("no message".to_owned()));
                };
                Step::Calls(vec![
                    Call::PageAlloc { pages: vec![NewPage::text(PageKind::User, text)] },
                    Call::Infer(InferArgs::default()),
                ])
            }
            Some(Ok(Answer::Inference(inference))) => {
                self.left -= 1;
                let page = NewPage::text(PageKind::Assistant, inference.text());
                let next = Call::Receive(ReceiveArgs::default());
                let mut calls = vec![Call::PageAlloc { pages: vec![page] }];
                calls.extend((self.left > 0).then_some(next));
                Step::Calls(calls)
            }
            Some(Ok(_)) => Step::Exit(ExitStatus::Ok("all is said".to_owned())),
            other => Step::Exit(ExitStatus::Failed(format!("{other:?}"))),
        }
    }

    fn save(&self) -> Result<Saved, ProgramError> {
        Saved::of(1, self)
    }
}

/// The bytes of the database after a conversation of so many questions, and those of what was said.
async fn talk(path: &Path, questions: usize) -> (u64, u64) {
    let messages: Vec<String> = messages().into_iter().take(2 * questions).collect();
    assert_eq!(messages.len(), 2 * questions, "there is enough to say");
    let raw: usize = messages.iter().map(String::len).sum();
    let answers: Vec<String> = messages.iter().skip(1).step_by(2).cloned().collect();
    let store = SqliteStore::open(path).await.unwrap();
    let kernel = Kernel::builder()
        .store(store.clone())
        .cpu(Prepared { answers: Mutex::new(answers.into_iter()) })
        .program("talker", Talkers)
        .seed(7)
        .build()
        .await
        .unwrap();
    let spec = Spec { program: "talker".to_owned(), task: questions.to_string(), ..Spec::default() };
    let pid = kernel.spawn(spec).await.unwrap();
    for question in messages.iter().step_by(2) {
        kernel.run_until(Until::Idle).await.unwrap();
        kernel.send(pid, question.clone()).await.unwrap();
    }
    kernel.run_until(Until::Idle).await.unwrap();
    assert_eq!(kernel.exit_status(pid).await.unwrap(), Some(ExitStatus::Ok("all is said".to_owned())));
    kernel.shutdown().await.unwrap();
    store.close().await.unwrap();
    (std::fs::metadata(path).unwrap().len(), raw as u64)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_growing_conversation_takes_so_many_bytes_for_each_that_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let (none, _) = talk(&folder.path().join("none.db"), 1).await;
    let (half, half_raw) = talk(&folder.path().join("half.db"), 35).await;
    let (whole, whole_raw) = talk(&folder.path().join("whole.db"), 70).await;
    let ratio = |bytes: u64, raw: u64| (bytes - none) as f64 / raw as f64;
    let (half, whole) = (ratio(half, half_raw), ratio(whole, whole_raw));
    // Less than half of that is texts: each call has two records, with hashes and salts that nothing makes smaller.
    assert!(whole < 3.0, "{whole:.3} bytes of the database a byte that was said");
    assert!((whole - half).abs() < 0.3, "twice as much said takes twice as much: {half:.3} and {whole:.3}");
}
