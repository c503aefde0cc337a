//! What the child's processes do: a worker that infers and calls two counting tools, and a pair that exchanges messages.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use kernel::{Input, Program, ProgramError, ProgramFactory, Saved, Step};
use kernel_tools::{CallContext, Driver, ToolError, ToolOutput};
use kernel_types::{
    Answer, Call, ErrorKind, ExitStatus, InferArgs, JsonText, MailBody, Millis, NewPage, PageKind, Pid,
    ReceiveArgs, Recovery, RememberArgs, SendArgs, Spec, ToolCallArgs, ToolCallRequest, ToolSpec,
};
use serde::{Deserialize, Serialize};

use crate::marks::{Marks, Phase};

/// Two tools that write down each call: `count_keyed` works once for a key, `count_unsafe` each time it is called.
pub(crate) struct Counters {
    folder: PathBuf,
    marks: Marks,
}

impl Counters {
    pub(crate) fn new(folder: &Path, marks: Marks) -> Self {
        Self { folder: folder.to_owned(), marks }
    }

    pub(crate) fn calls(folder: &Path, tool: &str) -> Vec<String> {
        let Ok(file) = File::open(folder.join(tool)) else { return Vec::new() };
        BufReader::new(file).lines().map_while(Result::ok).collect()
    }
}

#[async_trait]
impl Driver for Counters {
    fn tools(&self) -> Vec<ToolSpec> {
        let tool = |name: &str, recovery| ToolSpec {
            name: name.to_owned(),
            description: "counts its calls".to_owned(),
            input: JsonText::parse(r#"{"type":"object"}"#).expect("is JSON"),
            recovery,
            timeout: Millis(10_000),
            reads: Vec::new(),
            writes: Vec::new(),
        };
        vec![tool("count_keyed", Recovery::Keyed), tool("count_unsafe", Recovery::Unsafe)]
    }

    async fn call(&self, request: &ToolCallRequest, _: &CallContext) -> Result<ToolOutput, ToolError> {
        self.marks.set(Phase::Start);
        let path = self.folder.join(&request.tool);
        let mut file =
            OpenOptions::new().append(true).create(true).open(path).expect("the tool's file opens");
        file.write_all(format!("{}\n", request.key).as_bytes()).expect("the line is written");
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.marks.set(Phase::Outcome);
        Ok(ToolOutput::ok(JsonText::empty_object(), "counted"))
    }
}

/// Infers and calls both tools, so many rounds.
pub(crate) struct WorkerFactory(pub(crate) Marks);

#[derive(Clone, Serialize, Deserialize)]
struct WorkerState {
    rounds: u32,
    interrupted: u32,
}

struct Worker {
    state: WorkerState,
    marks: Marks,
}

impl ProgramFactory for WorkerFactory {
    fn start(&self, spec: &Spec) -> Result<Box<dyn Program>, ProgramError> {
        let rounds = spec.task.parse().map_err(|_| ProgramError::Arguments("not a number".to_owned()))?;
        Ok(Box::new(Worker { state: WorkerState { rounds, interrupted: 0 }, marks: self.0.clone() }))
    }
    fn load(&self, saved: &Saved) -> Result<Box<dyn Program>, ProgramError> {
        Ok(Box::new(Worker { state: saved.read(1)?, marks: self.0.clone() }))
    }
}

impl Program for Worker {
    fn step(&mut self, input: Input) -> Step {
        self.marks.set(Phase::Prepare);
        if let Input::Replies(replies) = input {
            for reply in replies {
                match reply.result {
                    Ok(_) => {}
                    Err(error) if error.kind == ErrorKind::Interrupted => self.state.interrupted += 1,
                    Err(error) => return Step::Exit(ExitStatus::Failed(error.message)),
                }
            }
            self.state.rounds -= 1;
        }
        if self.state.rounds == 0 {
            return Step::Exit(ExitStatus::Ok(self.state.interrupted.to_string()));
        }
        let tool = |name: &str| {
            Call::ToolCall(ToolCallArgs {
                tool: name.to_owned(),
                args: JsonText::empty_object(),
                timeout: None,
            })
        };
        let page = NewPage::text(PageKind::User, format!("round {}", self.state.rounds));
        Step::Calls(vec![
            Call::PageAlloc { pages: vec![page] },
            remember(self.state.rounds),
            Call::Infer(InferArgs::default()),
            tool("count_keyed"),
            tool("count_unsafe"),
        ])
    }
    fn save(&self) -> Result<Saved, ProgramError> {
        Saved::of(1, &self.state)
    }
}

/// A fact of this round, which is found again by its number.
fn remember(round: u32) -> Call {
    let text = format!("round {round}");
    Call::Remember(RememberArgs { namespace: "rounds".to_owned(), text, ..RememberArgs::default() })
}

/// Sends numbers to a peer and checks that the peer's come in order, none lost, none twice.
pub(crate) struct PeerFactory;

#[derive(Clone, Serialize, Deserialize)]
struct Peer {
    peer: Option<Pid>,
    sent: u64,
    received: u64,
    total: u64,
    /// The numbers of the sends in the step at hand.
    sending: Vec<u64>,
}

const BURST: u64 = 20;

impl ProgramFactory for PeerFactory {
    fn start(&self, spec: &Spec) -> Result<Box<dyn Program>, ProgramError> {
        let total = spec.task.parse().map_err(|_| ProgramError::Arguments("not a number".to_owned()))?;
        Ok(Box::new(Peer { peer: None, sent: 0, received: 0, total, sending: Vec::new() }))
    }
    fn load(&self, saved: &Saved) -> Result<Box<dyn Program>, ProgramError> {
        saved.read::<Peer>(1).map(|peer| Box::new(peer) as Box<dyn Program>)
    }
}

impl Peer {
    /// Takes a message: the first names the peer, the others are its numbers.
    fn take(&mut self, body: &str) -> Result<(), String> {
        if self.peer.is_none() {
            self.peer = body.parse().ok();
            return self.peer.map(|_| ()).ok_or_else(|| format!("not a pid: {body}"));
        }
        let number: u64 = body.parse().map_err(|_| format!("not a number: {body}"))?;
        if number != self.received + 1 {
            return Err(format!("got {number} after {}", self.received));
        }
        self.received = number;
        Ok(())
    }

    fn calls(&mut self) -> Step {
        let Some(peer) = self.peer else { return Step::call(Call::Receive(ReceiveArgs::default())) };
        if self.sent == self.total && self.received == self.total {
            return Step::Exit(ExitStatus::Ok(self.received.to_string()));
        }
        let mut calls = Vec::new();
        self.sending = (self.sent + 1..=self.total).take(BURST as usize).collect();
        for number in &self.sending {
            calls.push(Call::Send(SendArgs { to: peer, body: number.to_string() }));
        }
        // The two never wait for each other with nothing under way: each has sent before it waits.
        let expected = (self.total - self.received).min(BURST);
        for n in 0..expected {
            let timeout = if n == 0 && self.sending.is_empty() { None } else { Some(Millis(0)) };
            calls.push(Call::Receive(ReceiveArgs { from: Some(peer), timeout }));
        }
        Step::Calls(calls)
    }
}

impl Program for Peer {
    fn step(&mut self, input: Input) -> Step {
        if let Input::Replies(replies) = input {
            let sends = self.sending.len();
            let mut refused = false;
            for (at, reply) in replies.into_iter().enumerate() {
                match reply.result {
                    Ok(Answer::Done) if refused => {
                        return Step::Exit(ExitStatus::Failed(
                            "a send went out after one that did not".to_owned(),
                        ));
                    }
                    Ok(Answer::Done) => self.sent = self.sending[at],
                    Ok(Answer::Message(mail)) => {
                        let MailBody::Message(body) = mail.body else { continue };
                        if let Err(why) = self.take(&body) {
                            return Step::Exit(ExitStatus::Failed(why));
                        }
                    }
                    Err(error) if at < sends && error.kind == ErrorKind::Busy => refused = true,
                    // The peer is done with this one and has ended.
                    Err(error) if error.kind == ErrorKind::Deadline => {}
                    Err(error) => return Step::Exit(ExitStatus::Failed(error.message)),
                    Ok(_) => {}
                }
            }
        }
        self.calls()
    }
    fn save(&self) -> Result<Saved, ProgramError> {
        Saved::of(1, self)
    }
}

/// The distinct lines.
pub(crate) fn distinct(lines: &[String]) -> BTreeSet<&str> {
    lines.iter().map(String::as_str).collect()
}
