//! A sample of every syscall, and how to see whether it had an effect.

use kernel_context::Change;
use kernel_types::{
    Answer, Budget, Call, Event, ExitStatus, InferArgs, MailBody, MemoryQuery, Millis, NewPage, PageKind,
    PageNo, Pid, Priority, RecallArgs, RecallQuery, ReceiveArgs, RememberArgs, SendArgs, Spec, StepNo,
    SyscallNo, Tokens, ToolMode, WaitArgs,
};

use super::journal::rows;
use super::probe::Behaviour;
use super::rig::{Rig, park, script, tool};
use crate::longterm::namespace_of;

/// What a call changes when it is carried out.
#[derive(Clone, Copy)]
pub(super) enum Effect {
    /// Nothing: it answers.
    None,
    /// A process begins.
    Child,
    /// A child is reaped.
    Reaped,
    /// The caller ends in its own words.
    Exited,
    /// A signal reaches the peer.
    Signalled,
    /// The peer is as urgent as the caller says.
    Prioritised,
    /// A message reaches the peer.
    Sent(Pid),
    /// The caller goes back.
    Restored,
    /// A message reaches the caller itself by a topic.
    Published,
    /// Something is in the caller's own long-term memory.
    Remembered,
    /// A message is taken from the inbox.
    Taken,
    /// The page table changes like this.
    Paged(fn(&Change) -> bool),
    /// A named value is there.
    Valued,
    /// A model is asked.
    Inferred,
    /// A tool is called.
    Called,
}

/// A call and what must be there before.
#[derive(Clone)]
pub(super) struct Sample {
    setup: Vec<Vec<Call>>,
    pub(super) call: Call,
    /// What keeps the process there, where its end would hide the effect.
    after: Vec<Vec<Call>>,
    effect: Effect,
    /// Steps that the setup takes out of the budget for a child.
    lent: u64,
    peer: Pid,
}

const NAME: &str = "mediation";
/// A namespace of each process's own.
const MEMORY: &str = "self/mediation";
const FIRST: PageNo = PageNo(1);

impl Sample {
    fn new(call: Call, effect: Effect, peer: Pid) -> Self {
        Self { setup: Vec::new(), call, after: Vec::new(), effect, lent: 0, peer }
    }

    fn after(self, setup: Call) -> Self {
        Self { setup: vec![vec![setup]], ..self }
    }

    pub(super) fn steps(&self) -> Vec<Vec<Call>> {
        let call = std::iter::once(vec![self.call.clone()]);
        self.setup.iter().cloned().chain(call).chain(self.after.iter().cloned()).collect()
    }

    /// The step of the call.
    pub(super) fn step(&self) -> StepNo {
        StepNo(self.setup.len() as u64 + 1)
    }

    /// A budget that ends right before the call's step.
    pub(super) fn steps_before(&self) -> Budget {
        Budget { steps: Some(self.setup.len() as u64 + self.lent), ..Budget::default() }
    }

    pub(super) fn name(&self) -> String {
        format!("{} as {:?}", self.call.number(), self.call)
    }

    /// The process stays after the call.
    pub(super) fn parks(&self) -> bool {
        !self.after.is_empty()
    }

    /// How often the effect of the call is there to be seen.
    pub(super) async fn effects(&self, rig: &Rig, pid: Pid) -> usize {
        let store = rig.store();
        let unread = async |wanted: fn(&MailBody) -> bool| {
            let mail = store.inbox(pid).await.expect("the inbox is readable");
            mail.iter().filter(|mail| wanted(&mail.body)).count()
        };
        match self.effect {
            Effect::None => 0,
            Effect::Child => {
                let mut children = 0;
                for row in rows(&*store).await {
                    let first = rig.journal(row.pid).await.into_iter().next().map(|entry| entry.event);
                    children +=
                        usize::from(matches!(first, Some(Event::Spawned { parent, .. }) if parent == pid));
                }
                children
            }
            Effect::Reaped => 1 - unread(|body| matches!(body, MailBody::ChildExit { .. })).await.min(1),
            Effect::Remembered => match rig.kernel.memory() {
                Some(memory) => {
                    let count = memory.count(&namespace_of(MEMORY, pid, "")).await;
                    usize::try_from(count.expect("the memory answers")).expect("few")
                }
                None => 0,
            },
            Effect::Restored => {
                let journal = rig.journal(pid).await;
                journal.iter().filter(|entry| matches!(entry.event, Event::Restored { .. })).count()
            }
            Effect::Published => unread(|body| matches!(body, MailBody::Published { .. })).await,
            Effect::Taken => 1 - unread(|body| matches!(body, MailBody::Message(_))).await.min(1),
            Effect::Exited => {
                let journal = rig.journal(pid).await;
                let ours = |event: &Event| matches!(event, Event::Exited { status } if *status == farewell());
                journal.iter().filter(|entry| ours(&entry.event)).count()
            }
            Effect::Signalled => {
                let journal = rig.journal(self.peer).await;
                let signal = |event: &Event| matches!(event, Event::Signalled { from, .. } if *from == pid);
                journal.iter().filter(|entry| signal(&entry.event)).count()
            }
            Effect::Prioritised => {
                let journal = rig.journal(self.peer).await;
                let ours = |event: &Event| {
                    matches!(event, Event::MailTaken { mail } if mail.id.sender == pid
                        && matches!(mail.body, MailBody::Priority(_)))
                };
                journal.iter().filter(|entry| ours(&entry.event)).count()
            }
            Effect::Sent(to) => {
                let mail = store.inbox(to).await.expect("the inbox is readable");
                mail.iter().filter(|mail| mail.id.sender == pid).count()
            }
            Effect::Paged(wanted) => {
                let mut changes = 0;
                for entry in rig.journal(pid).await {
                    if let Event::Pages { changes: json } = entry.event {
                        let made: Vec<Change> = json.read().expect("page changes are readable");
                        changes += made.iter().filter(|change| wanted(change)).count();
                    }
                }
                changes
            }
            Effect::Valued => {
                let values = store.values(pid).await.expect("the values are readable");
                values.iter().filter(|(name, _)| name == NAME).count()
            }
            Effect::Inferred => rig.seen.inferences(pid),
            Effect::Called => rig.seen.tool_calls(pid),
        }
    }

    /// How often the effect is there after the call was carried out once.
    pub(super) const fn expected(&self) -> usize {
        if matches!(self.effect, Effect::None) { 0 } else { 1 }
    }

    /// The answer is one that this call gives.
    pub(super) fn fits(&self, answer: &Answer) -> bool {
        match (self.call.number(), answer) {
            (SyscallNo::Probe, Answer::Probe { calls, .. }) => calls.contains(&SyscallNo::Probe),
            (SyscallNo::Spawn | SyscallNo::Fork, Answer::Pid(_))
            | (SyscallNo::Wait, Answer::Exited { .. })
            | (SyscallNo::ProcessInfo, Answer::Process(_))
            | (SyscallNo::PageAlloc | SyscallNo::Note, Answer::Pages(_))
            | (SyscallNo::PageRead, Answer::Page(_))
            | (SyscallNo::Infer, Answer::Inference(_))
            | (SyscallNo::ToolCall, Answer::Tool(_))
            | (SyscallNo::Receive, Answer::Message(_))
            | (SyscallNo::Get, Answer::Value(Some(_)))
            | (SyscallNo::Now, Answer::Time(_))
            | (SyscallNo::Remember, Answer::Remembered { .. })
            | (SyscallNo::Random, Answer::Random(_)) => true,
            (SyscallNo::Search, Answer::Memories(found)) => found.len() == 1,
            (SyscallNo::List, Answer::Processes(all)) => !all.is_empty(),
            (SyscallNo::ToolList, Answer::Tools(all)) => !all.is_empty(),
            (SyscallNo::Recall, Answer::Recalled(pages)) => pages.len() == 1,
            (
                SyscallNo::Exit
                | SyscallNo::Signal
                | SyscallNo::SetPriority
                | SyscallNo::Sleep
                | SyscallNo::PagePin
                | SyscallNo::PageUnpin
                | SyscallNo::PageFree
                | SyscallNo::Send
                | SyscallNo::Publish
                | SyscallNo::Subscribe
                | SyscallNo::Lock
                | SyscallNo::Unlock
                | SyscallNo::Checkpoint
                | SyscallNo::Restore
                | SyscallNo::Put,
                Answer::Done,
            ) => true,
            _ => false,
        }
    }
}

/// What the sample of `exit` ends with.
fn farewell() -> ExitStatus {
    ExitStatus::Ok("farewell of the mediation suite".to_owned())
}

fn page() -> NewPage {
    NewPage::text(PageKind::User, "a page of the mediation suite")
}

fn alloc(page: NewPage) -> Call {
    Call::PageAlloc { pages: vec![page] }
}

fn put() -> Call {
    Call::Put { name: NAME.to_owned(), value: Some("1".to_owned()) }
}

fn remember() -> Call {
    let (namespace, text) = (MEMORY.to_owned(), "a fact".to_owned());
    Call::Remember(RememberArgs { namespace, text, ..RememberArgs::default() })
}

fn published(topic: &str) -> Call {
    Call::Publish { topic: topic.to_owned(), body: "hello".to_owned() }
}

/// An inference by one of the suite's own models.
pub(super) fn infer(behaviour: Behaviour) -> Call {
    let model = Some(behaviour.name().to_owned());
    Call::Infer(InferArgs { model, max_output: Tokens(64), tools: ToolMode::None, ..InferArgs::default() })
}

/// What an inference needs: a page in the window.
pub(super) fn window() -> Call {
    alloc(page())
}

/// A sample of every call of the table. `peer` is a process of another tree.
///
/// # Panics
/// For a call without one: add it here when it is built.
pub(super) fn sample(no: SyscallNo, peer: Pid) -> Sample {
    let plain = |call| Sample::new(call, Effect::None, peer);
    let acts = |call, effect| Sample::new(call, effect, peer);
    let topic = || NAME.to_owned();
    match no {
        SyscallNo::Probe => plain(Call::Probe),
        SyscallNo::Spawn => acts(Call::Spawn(Box::new(script(vec![vec![Call::Now]]))), Effect::Child),
        SyscallNo::Fork => acts(Call::Fork, Effect::Child),
        SyscallNo::Exit => acts(Call::Exit(farewell()), Effect::Exited),
        SyscallNo::Wait => {
            let lent = 2;
            let budget = Budget { steps: Some(lent), ..Budget::default() };
            let child = Spec { budget, ..script(vec![vec![Call::Now]]) };
            let wait =
                acts(Call::Wait(WaitArgs::default()), Effect::Reaped).after(Call::Spawn(Box::new(child)));
            Sample { after: vec![vec![park()]], lent, ..wait }
        }
        SyscallNo::Signal => {
            acts(Call::Signal { pid: peer, signal: kernel_types::Signal::Cont }, Effect::Signalled)
        }
        SyscallNo::Sleep => plain(Call::Sleep { ms: Millis(1) }),
        SyscallNo::SetPriority => {
            acts(Call::SetPriority { pid: peer, priority: Priority::default() }, Effect::Prioritised)
        }
        SyscallNo::ProcessInfo => plain(Call::ProcessInfo { pid: None }),
        SyscallNo::List => plain(Call::List),
        SyscallNo::PageAlloc => {
            acts(alloc(page()), Effect::Paged(|change| matches!(change, Change::Allocate(_))))
        }
        SyscallNo::PageRead => {
            let faulted = Effect::Paged(|change| matches!(change, Change::Recall(_)));
            acts(Call::PageRead { page: FIRST }, faulted).after(alloc(NewPage { swapped: true, ..page() }))
        }
        SyscallNo::PagePin => {
            let pinned = Effect::Paged(|change| matches!(change, Change::Pin(_)));
            acts(Call::PagePin { page: FIRST }, pinned).after(alloc(page()))
        }
        SyscallNo::PageUnpin => {
            let unpinned = Effect::Paged(|change| matches!(change, Change::Unpin(_)));
            acts(Call::PageUnpin { page: FIRST }, unpinned).after(alloc(page().pinned()))
        }
        SyscallNo::PageFree => {
            let freed = Effect::Paged(|change| matches!(change, Change::Free(_)));
            acts(Call::PageFree { page: FIRST }, freed).after(alloc(page()))
        }
        SyscallNo::Recall => {
            let recalled = Effect::Paged(|change| matches!(change, Change::Recall(_)));
            let args = RecallArgs { what: RecallQuery::Pages(vec![FIRST]), budget: Tokens(1000) };
            acts(Call::Recall(args), recalled).after(alloc(NewPage { swapped: true, ..page() }))
        }
        SyscallNo::Note => {
            let noted = Effect::Paged(|change| matches!(change, Change::Allocate(_)));
            acts(Call::Note { name: topic(), text: "a note".to_owned() }, noted)
        }
        SyscallNo::Infer => acts(infer(Behaviour::Answer), Effect::Inferred).after(window()),
        SyscallNo::ToolList => plain(Call::ToolList),
        SyscallNo::ToolCall => acts(tool(Behaviour::Answer.name()), Effect::Called),
        SyscallNo::Send => {
            acts(Call::Send(SendArgs { to: peer, body: "hello".to_owned() }), Effect::Sent(peer))
        }
        SyscallNo::Receive => {
            acts(Call::Receive(ReceiveArgs { from: None, timeout: Some(Millis(10_000)) }), Effect::Taken)
        }
        SyscallNo::Publish => {
            let topic = format!("{NAME} to publish to");
            let publish = acts(published(&topic), Effect::Published).after(Call::Subscribe { topic });
            Sample { after: vec![vec![park()]], ..publish }
        }
        SyscallNo::Subscribe => {
            // What it publishes itself reaches it if it subscribes.
            let subscribe = acts(Call::Subscribe { topic: topic() }, Effect::Published);
            Sample { after: vec![vec![published(NAME)], vec![park()]], ..subscribe }
        }
        SyscallNo::Lock => plain(Call::Lock { name: topic(), timeout: Millis(10) }),
        SyscallNo::Unlock => {
            let name = format!("{NAME} to give up");
            let lock = Call::Lock { name: name.clone(), timeout: Millis(10) };
            plain(Call::Unlock { name }).after(lock)
        }
        SyscallNo::Checkpoint => plain(Call::Checkpoint { name: topic() }),
        SyscallNo::Restore => {
            // Once it is back, it waits for a message that it has taken before: it goes back once only.
            let (name, topic) = (topic(), format!("{NAME} to go back"));
            let taken = Call::Receive(ReceiveArgs::default());
            let subscribe = Call::Subscribe { topic: topic.clone() };
            let setup = [subscribe, published(&topic), Call::Checkpoint { name: name.clone() }, taken];
            let restore = acts(Call::Restore { name }, Effect::Restored);
            Sample { setup: setup.map(|call| vec![call]).to_vec(), after: vec![vec![park()]], ..restore }
        }
        SyscallNo::Remember => acts(remember(), Effect::Remembered),
        SyscallNo::Search => {
            let (namespace, text) = (MEMORY.to_owned(), "fact".to_owned());
            plain(Call::Search(MemoryQuery { namespace, text, limit: 1, ..MemoryQuery::default() }))
                .after(remember())
        }
        SyscallNo::Put => acts(put(), Effect::Valued),
        SyscallNo::Get => plain(Call::Get { name: topic() }).after(put()),
        SyscallNo::Now => plain(Call::Now),
        SyscallNo::Random => plain(Call::Random),
        SyscallNo::Ask => plain(Call::Ask { question: "may I?".to_owned(), timeout: Millis(10) }),
        other => panic!("no sample of the syscall {other}: add one to the mediation suite"),
    }
}
