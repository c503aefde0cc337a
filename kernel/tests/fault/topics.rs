//! One process publishes to a topic with many subscribers while their kernel is killed.

use std::path::Path;
use std::time::{Duration, Instant};

use kernel::{Input, Kernel, Program, ProgramError, ProgramFactory, Saved, Step};
use kernel_types::{
    Answer, Call, ErrorKind, Event, ExitStatus, MailBody, Millis, Pid, ReceiveArgs, Reply, SendArgs, Spec,
};
use serde::{Deserialize, Serialize};

use crate::family::{Random, Started, kills, left, seed};
use crate::messages::acknowledged;

const TOPIC: &str = "news";
/// Messages that a subscriber takes in one step.
const AT_ONCE: u64 = 10;

#[tokio::test]
async fn a_topic_loses_nothing_and_keeps_the_order_whatever_is_killed() {
    let (subscribers, messages, kills) = (kills(200, 1000), kills(30, 100), 10);
    let mut random = Random(seed() ^ 0x746f_7069);
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = format!("speaker {subscribers} {messages}");
    // A subscriber commits at least this often, so that the last kill comes before the end.
    let commits = subscribers * (1 + messages / AT_ONCE);
    for n in 0..kills {
        let mut child = Started::start(folder.path(), &scenario);
        assert!(child.wait_ready(), "it was over after {n} kills");
        let enough = acknowledged(folder.path()) + random.below(commits * 3 / 4 / kills);
        while acknowledged(folder.path()) < enough {
            assert!(!child.ended(), "it was over after {n} kills");
            std::thread::sleep(Duration::from_millis(1));
        }
        let moment = Instant::now() + Duration::from_micros(random.below(5000));
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        child.kill();
    }
    let before_the_last = acknowledged(folder.path());
    Started::start(folder.path(), &scenario).finish();
    check(folder.path(), subscribers, messages).await;
    println!(
        "{subscribers} subscribers, {messages} messages, {kills} kills, the last after {before_the_last} commits"
    );
}

/// Each subscriber ended with the count of all messages, having taken each once and in order.
async fn check(folder: &Path, subscribers: u64, messages: u64) {
    let left = left(folder).await;
    assert_eq!(left.rows.len() as u64, subscribers + 1);
    for records in left.records.values() {
        let status = records.iter().find_map(|(_, event)| match event {
            Event::Exited { status } => Some(status.clone()),
            _ => None,
        });
        assert_eq!(status, Some(ExitStatus::Ok(messages.to_string())));
        let bodies = records.iter().filter_map(|(_, event)| match event {
            Event::Outcome { result: Ok(Answer::Message(mail)), .. } => match &mail.body {
                MailBody::Published { body, .. } => Some(body.parse::<u64>().expect("a number")),
                _ => None,
            },
            _ => None,
        });
        let bodies: Vec<u64> = bodies.collect();
        assert!(bodies.is_empty() || bodies.iter().copied().eq(1..=messages), "{bodies:?}");
    }
}

/// Starts the speaker and its listeners.
pub(crate) async fn begin(kernel: &Kernel, task: &str) {
    let spec = |program: &str, task: String| Spec {
        name: program.to_owned(),
        program: program.to_owned(),
        task,
        ..Spec::default()
    };
    let speaker = kernel.spawn(spec("speaker", task.to_owned())).await.expect("spawns");
    let (subscribers, messages) = numbers(task).expect("two numbers");
    for _ in 0..subscribers {
        kernel.spawn(spec("listener", format!("{messages} {speaker}"))).await.expect("spawns");
    }
}

fn numbers(task: &str) -> Option<(u64, u64)> {
    let (one, other) = task.split_once(' ')?;
    Some((one.parse().ok()?, other.parse().ok()?))
}

/// Publishes numbers once all who shall hear them have said so.
pub(crate) struct SpeakerFactory;

#[derive(Serialize, Deserialize)]
struct Speaker {
    waits_for: u64,
    published: u64,
    total: u64,
}

impl ProgramFactory for SpeakerFactory {
    fn start(&self, spec: &Spec) -> Result<Box<dyn Program>, ProgramError> {
        let found = numbers(&spec.task).ok_or_else(|| ProgramError::Arguments("not two numbers".to_owned()));
        let (waits_for, total) = found?;
        Ok(Box::new(Speaker { waits_for, published: 0, total }))
    }
    fn load(&self, saved: &Saved) -> Result<Box<dyn Program>, ProgramError> {
        saved.read::<Speaker>(1).map(|speaker| Box::new(speaker) as Box<dyn Program>)
    }
}

impl Speaker {
    fn take(&mut self, replies: Vec<Reply>) -> Result<Option<Call>, String> {
        for reply in replies {
            match reply.result {
                Ok(Answer::Message(_)) => self.waits_for -= 1,
                Ok(Answer::Done) => {}
                // A mailbox is full: somewhat later.
                Err(error) if error.kind == ErrorKind::Busy => {
                    self.published -= 1;
                    return Ok(Some(Call::Sleep { ms: Millis(5) }));
                }
                other => return Err(format!("{other:?}")),
            }
        }
        Ok(None)
    }
}

impl Program for Speaker {
    fn step(&mut self, input: Input) -> Step {
        if let Input::Replies(replies) = input {
            match self.take(replies) {
                Ok(None) => {}
                Ok(Some(call)) => return Step::call(call),
                Err(why) => return Step::Exit(ExitStatus::Failed(why)),
            }
        }
        if self.waits_for > 0 {
            let receive = Call::Receive(ReceiveArgs::default());
            return Step::Calls(vec![receive; self.waits_for.min(50) as usize]);
        }
        if self.published == self.total {
            return Step::Exit(ExitStatus::Ok(self.total.to_string()));
        }
        self.published += 1;
        Step::call(Call::Publish { topic: TOPIC.to_owned(), body: self.published.to_string() })
    }
    fn save(&self) -> Result<Saved, ProgramError> {
        Saved::of(1, self)
    }
}

/// Subscribes, says so to the speaker, and takes its numbers.
pub(crate) struct ListenerFactory;

#[derive(Serialize, Deserialize)]
struct Listener {
    speaker: Pid,
    heard: u64,
    total: u64,
}

impl ProgramFactory for ListenerFactory {
    fn start(&self, spec: &Spec) -> Result<Box<dyn Program>, ProgramError> {
        let wrong = || ProgramError::Arguments("not a number and a pid".to_owned());
        let (total, speaker) = spec.task.split_once(' ').ok_or_else(wrong)?;
        let total = total.parse().map_err(|_| wrong())?;
        let speaker = speaker.parse().map_err(|_| wrong())?;
        Ok(Box::new(Listener { speaker, heard: 0, total }))
    }
    fn load(&self, saved: &Saved) -> Result<Box<dyn Program>, ProgramError> {
        saved.read::<Listener>(1).map(|listener| Box::new(listener) as Box<dyn Program>)
    }
}

impl Listener {
    fn take(&mut self, reply: Reply) -> Result<(), String> {
        match reply.result {
            Ok(Answer::Message(mail)) => {
                let MailBody::Published { topic, body } = mail.body else { return Err("sent".to_owned()) };
                if mail.id.sender != self.speaker || topic != TOPIC || body != (self.heard + 1).to_string() {
                    return Err(format!("got {body} of {topic} after {}", self.heard));
                }
                self.heard += 1;
                Ok(())
            }
            Ok(Answer::Done) => Ok(()),
            Err(error) if error.kind == ErrorKind::Deadline => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }
}

impl Program for Listener {
    fn step(&mut self, input: Input) -> Step {
        let Input::Replies(replies) = input else {
            let ready = SendArgs { to: self.speaker, body: "ready".to_owned() };
            return Step::Calls(vec![Call::Subscribe { topic: TOPIC.to_owned() }, Call::Send(ready)]);
        };
        if let Some(why) = replies.into_iter().find_map(|reply| self.take(reply).err()) {
            return Step::Exit(ExitStatus::Failed(why));
        }
        if self.heard == self.total {
            return Step::Exit(ExitStatus::Ok(self.heard.to_string()));
        }
        let wanted = (self.total - self.heard).min(AT_ONCE);
        let receive = |n| Call::Receive(ReceiveArgs { from: None, timeout: (n > 0).then_some(Millis(0)) });
        Step::Calls((0..wanted).map(receive).collect())
    }
    fn save(&self) -> Result<Saved, ProgramError> {
        Saved::of(1, self)
    }
}
