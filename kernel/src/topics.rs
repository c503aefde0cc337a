//! Topics: what is published to one reaches every process that subscribes to it, as mail.
//!
//! A subscription is part of its process's image and holds from the commit that says so until the process ends. A message goes out with
//! its sender's commit, as one piece of mail a subscriber: to all of them or, where one cannot take it, to none, so that nobody misses
//! what others have. As with locks, each tenant has topics of its own, and a kernel knows of the processes that it runs.

use std::collections::{BTreeMap, HashMap};

use kernel_types::{Answer, CallResult, ErrorKind, MailBody, Pid, SysError};

use crate::core::Core;
use crate::locks::of_tenant;
use crate::mail::{MAX_MESSAGE, being_loaded, check_size};
use crate::process::Process;

/// Bytes of a topic's name.
const MAX_NAME: usize = 256;
/// Topics that a process may subscribe to.
const MAX_TOPICS: usize = 64;
/// Bytes of a message times its subscribers: what one `publish` adds to a commit.
const MAX_FAN_OUT: usize = 64 * MAX_MESSAGE;

/// Who subscribes to what, by the names that [`of_tenant`] gives.
#[derive(Default)]
pub(crate) struct Topics {
    subscribers: HashMap<String, BTreeMap<Pid, Standing>>,
}

/// How far a subscription is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It counts, and nothing reaches it: it may not be durable.
    Coming,
    /// It is durable.
    Holds,
}

impl Topics {
    /// Enters a subscription that is not durable yet; `false` where there are `limit` already.
    fn enter(&mut self, whole: String, pid: Pid, limit: usize) -> bool {
        let subscribers = self.subscribers.entry(whole).or_default();
        let room = subscribers.len() < limit || subscribers.contains_key(&pid);
        if room {
            subscribers.entry(pid).or_insert(Standing::Coming);
        }
        room
    }

    /// It is durable: messages reach it.
    fn hold(&mut self, whole: String, pid: Pid) {
        self.subscribers.entry(whole).or_default().insert(pid, Standing::Holds);
    }

    fn leave(&mut self, whole: &str, pid: Pid) {
        if let Some(subscribers) = self.subscribers.get_mut(whole) {
            subscribers.remove(&pid);
            if subscribers.is_empty() {
                self.subscribers.remove(whole);
            }
        }
    }

    /// Nothing reaches a process any more.
    pub(crate) fn forget(&mut self, pid: Pid) {
        self.subscribers.retain(|_, subscribers| {
            subscribers.remove(&pid);
            !subscribers.is_empty()
        });
    }

    /// Whom a message reaches, in the order of their pids.
    fn reached(&self, whole: &str) -> Vec<Pid> {
        let all = self.subscribers.get(whole).into_iter().flatten();
        all.filter(|(_, standing)| **standing == Standing::Holds).map(|(pid, _)| *pid).collect()
    }
}

impl Core {
    /// `subscribe`: holds with this step's commit.
    pub(crate) fn subscribe(&mut self, process: &mut Process, topic: &str) -> CallResult {
        check_name("subscribe", topic)?;
        if process.image.topics.iter().any(|known| known == topic) {
            return Ok(Answer::Done);
        }
        if process.image.topics.len() >= MAX_TOPICS {
            let message = format!("subscribe: the process subscribes to {MAX_TOPICS} topics, its limit");
            return Err(SysError::new(ErrorKind::Busy, message));
        }
        let limit = self.parts.limits.subscribers;
        if !self.topics.enter(of_tenant(&process.image.tenant, topic), process.pid, limit) {
            let message = format!("subscribe: topic {topic:?} has {limit} subscribers, its limit");
            return Err(SysError::new(ErrorKind::Busy, message));
        }
        process.image.topics.push(topic.to_owned());
        process.subscribed.push(topic.to_owned());
        if let Some(preparing) = &mut process.preparing {
            preparing.must_commit = true;
        }
        Ok(Answer::Done)
    }

    /// `publish`: goes out with this step's commit, to all subscribers or to none.
    pub(crate) fn publish(&mut self, process: &mut Process, topic: &str, body: &str) -> CallResult {
        check_name("publish", topic)?;
        check_size(body)?;
        let limit = self.parts.limits.mailbox;
        let (mut reached, mut full) = (Vec::new(), None);
        for pid in self.topics.reached(&of_tenant(&process.image.tenant, topic)) {
            if self.reloading.contains(&pid) {
                return Err(being_loaded(pid));
            }
            let target = if pid == process.pid { Some(&*process) } else { self.process(pid) };
            let Some(target) = target.filter(|target| target.image.exited.is_none()) else { continue };
            if target.mail_waiting() >= limit {
                full.get_or_insert(pid);
            }
            reached.push(pid);
        }
        if reached.is_empty() {
            let message = format!("publish: no process subscribes to {topic:?}");
            return Err(SysError::new(ErrorKind::NotFound, message));
        }
        if body.len().saturating_mul(reached.len()) > MAX_FAN_OUT {
            let (size, count) = (body.len(), reached.len());
            let message = format!("publish: {size} bytes to {count} subscribers exceed {MAX_FAN_OUT} in all");
            return Err(SysError::new(ErrorKind::TooLarge, message));
        }
        if let Some(full) = full {
            let message = format!("publish: the mailbox of {full} holds {limit} messages, its limit");
            return Err(SysError::new(ErrorKind::Busy, message));
        }
        for pid in reached {
            let target = if pid == process.pid { Some(&mut *process) } else { self.process_mut(pid) };
            if let Some(target) = target {
                target.coming += 1;
            }
            self.mail_to(
                process,
                pid,
                MailBody::Published { topic: topic.to_owned(), body: body.to_owned() },
            );
        }
        Ok(Answer::Done)
    }

    /// What a process subscribed to with a commit holds now.
    pub(crate) fn subscriptions_hold(&mut self, process: &Process, topics: Vec<String>) {
        for topic in topics {
            self.topics.hold(of_tenant(&process.image.tenant, &topic), process.pid);
        }
    }

    /// A process that was taken over subscribes to what its image says, whatever the limit is now.
    pub(crate) fn subscriptions_again(&mut self, process: &Process) {
        self.subscriptions_hold(process, process.image.topics.clone());
    }

    /// A process ends, or another kernel runs it: nothing reaches it any more.
    pub(crate) fn forget_subscriptions(&mut self, process: &Process) {
        for topic in &process.image.topics {
            self.topics.leave(&of_tenant(&process.image.tenant, topic), process.pid);
        }
    }
}

fn check_name(call: &str, name: &str) -> Result<(), SysError> {
    if name.is_empty() || name.len() > MAX_NAME {
        let message = format!("{call}: a topic's name has 1 to {MAX_NAME} bytes, not {}", name.len());
        return Err(SysError::new(ErrorKind::InvalidArgument, message));
    }
    Ok(())
}
