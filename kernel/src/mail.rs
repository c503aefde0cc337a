//! Mail: messages between processes, signals, grants, the end of children. All of it lies in the store until consumed.

use kernel_security::Relation;
use kernel_types::{
    Answer, Budget, CallResult, ErrorKind, Event, ExitStatus, Mail, MailBody, MailId, Pid, Priority,
    ReceiveArgs, Retry, SendArgs, Signal, SuspendReason, SysError, WaitArgs,
};

use crate::core::{Core, Spent};
use crate::process::Process;
use crate::tree::give_back;

/// Bytes of one message.
pub(crate) const MAX_MESSAGE: usize = 256 << 10;
/// Senders outside the kernel that are remembered.
const SENDERS: usize = 4096;

impl Core {
    /// `send`: goes out with this step's commit.
    pub(crate) fn send(&mut self, process: &mut Process, args: &SendArgs) -> CallResult {
        check_size(&args.body)?;
        let limit = self.parts.limits.mailbox;
        let own = process.pid == args.to;
        let target = if own {
            Some(&mut *process)
        } else {
            self.processes.get_mut(&args.to).map(|found| &mut **found)
        };
        let Some(target) = target.filter(|target| target.image.exited.is_none()) else {
            return Err(self.unreached(args.to));
        };
        if target.mail_waiting() >= limit {
            let message = format!("the mailbox of {} holds {limit} messages, its limit", args.to);
            return Err(SysError::new(ErrorKind::Busy, message));
        }
        target.coming += 1;
        self.mail_to(process, args.to, MailBody::Message(args.body.clone()));
        Ok(Answer::Done)
    }

    /// `signal`: goes out with this step's commit.
    pub(crate) fn send_signal(&mut self, process: &mut Process, pid: Pid, signal: Signal) -> CallResult {
        let alive = pid == process.pid
            || self.processes.get(&pid).is_some_and(|target| target.image.exited.is_none());
        if !alive {
            return Err(self.unreached(pid));
        }
        self.mail_to(process, pid, MailBody::Signal(signal));
        Ok(Answer::Done)
    }

    /// `set_priority`: goes out with this step's commit. A process makes those below it as urgent as itself at most, and itself
    /// and others only less urgent than they are.
    pub(crate) fn send_priority(
        &mut self,
        process: &mut Process,
        pid: Pid,
        priority: Priority,
    ) -> CallResult {
        let alive = pid == process.pid
            || self.processes.get(&pid).is_some_and(|target| target.image.exited.is_none());
        if !alive {
            return Err(self.unreached(pid));
        }
        let own = process.image.priority;
        let below = matches!(self.relation(process, pid), Relation::Child | Relation::Descendant);
        let now = self.processes.get(&pid).map_or(own, |target| target.image.priority);
        let most = if below { own } else { own.max(now) };
        if priority < most {
            let message = format!("set_priority: {priority} is more urgent than the caller may set, {most}");
            return Err(SysError::new(ErrorKind::Denied, message));
        }
        self.mail_to(process, pid, MailBody::Priority(priority));
        Ok(Answer::Done)
    }

    /// Why a process is not reached.
    fn unreached(&self, pid: Pid) -> SysError {
        if self.reloading.contains(&pid) {
            return being_loaded(pid);
        }
        SysError::new(ErrorKind::NotFound, format!("no process {pid}"))
    }

    /// Adds mail to what the process's next commit sends.
    pub(crate) fn mail_to(&mut self, process: &mut Process, to: Pid, body: MailBody) {
        process.image.mail_number += 1;
        let id = MailId { sender: process.pid, number: process.image.mail_number };
        process.sent.push(Mail { id, to, body, sent_at: self.now() });
        if let Some(preparing) = &mut process.preparing {
            preparing.must_commit = true;
        }
    }

    /// Delivers mail that is durable; `own` comes with a commit of this kernel and was counted when it was sent.
    pub(crate) fn deliver_all(&mut self, mail: Vec<Mail>, own: bool) {
        for mail in mail {
            self.deliver(mail, own);
        }
    }

    fn deliver(&mut self, mail: Mail, own: bool) {
        let outside = !own && mail.id.sender != mail.to && !self.processes.contains_key(&mail.id.sender);
        if outside {
            self.forget_oldest_sender();
        }
        self.with(mail.to, |core, process| {
            if own && mail.body.is_message() {
                process.coming = process.coming.saturating_sub(1);
            }
            if outside && !process.delivered.contains_key(&mail.id.sender) {
                core.senders.push_back((process.pid, mail.id.sender));
            }
            let newest = process.delivered.entry(mail.id.sender).or_insert(0);
            if mail.id.number <= *newest || process.image.exited.is_some() {
                return;
            }
            *newest = mail.id.number;
            match mail.body {
                MailBody::Signal(signal) => {
                    process.consumed.push(mail.id);
                    core.signalled(process, signal, mail.id.sender);
                }
                MailBody::Grant(more) => {
                    process.consumed.push(mail.id);
                    core.log(process, None, Event::MailTaken { mail });
                    core.granted(process, &more);
                }
                MailBody::Priority(priority) => {
                    process.consumed.push(mail.id);
                    core.log(process, None, Event::MailTaken { mail });
                    core.prioritised(process, priority);
                }
                MailBody::Checkpoint { .. } => {
                    process.consumed.push(mail.id);
                    core.named(process, mail);
                }
                _ => {
                    process.mailbox += usize::from(mail.body.is_message());
                    process.inbox.push_back(mail);
                    core.serve_waiting(process);
                }
            }
            core.settle(process);
        });
    }

    /// Who posts from outside does so once, under a name of its own, and is seen twice at most, one after the other: when it is posted,
    /// and when the store is asked for what is new. The latest are remembered for that.
    fn forget_oldest_sender(&mut self) {
        while self.senders.len() >= SENDERS {
            let Some((to, sender)) = self.senders.pop_front() else { return };
            if let Some(process) = self.processes.get_mut(&to) {
                process.delivered.remove(&sender);
            }
        }
    }

    /// Acts on a signal.
    pub(crate) fn signalled(&mut self, process: &mut Process, signal: Signal, from: Pid) {
        self.log(process, None, Event::Signalled { signal, from });
        match signal {
            Signal::Kill => self.end(process, ExitStatus::Killed(Signal::Kill)),
            Signal::Term => {
                self.cancel_open(process, "ended by TERM");
                process.image.signal = Some(Signal::Term);
                if process.image.suspended.take().is_some() {
                    self.start_clock(process);
                    self.log(process, None, Event::Resumed { why: "TERM".to_owned() });
                }
            }
            Signal::Stop => {
                self.stop_infers(process, "stopped");
                if process.image.suspended.is_none() {
                    self.suspend(process, SuspendReason::Stopped);
                }
            }
            Signal::Cont => {
                if process.image.suspended == Some(SuspendReason::Stopped) {
                    self.resume(process, "CONT");
                }
            }
        }
    }

    /// Raises limits; resumes a process that was suspended by one.
    pub(crate) fn granted(&mut self, process: &mut Process, more: &Budget) {
        give_back(&mut process.image.budget, more);
        // What it was refused may still be on its way to it: it may ask again.
        process.quota_hit = None;
        if process.runs_since.is_some() {
            self.start_clock(process);
        }
        if matches!(process.image.suspended, Some(SuspendReason::Limit(_))) {
            self.resume(process, "a grant");
        }
    }

    /// Changes how urgent a process is, also of a request that waits.
    pub(crate) fn prioritised(&mut self, process: &mut Process, priority: Priority) {
        process.image.priority = priority;
        self.locks.set_urgency(process.pid, priority);
        self.borrow(process);
        self.reprioritise(process);
        if let Some((_, holder)) = self.locks.waits_for(process.pid) {
            self.lend(holder);
        }
    }

    /// Takes a name for a moment that came from outside.
    pub(crate) fn named(&mut self, process: &mut Process, mail: Mail) {
        if let MailBody::Checkpoint { name, at } = &mail.body {
            process.image.name_moment(name, *at);
        }
        self.log(process, None, Event::MailTaken { mail });
    }

    /// Sets a process aside.
    pub(crate) fn suspend(&mut self, process: &mut Process, reason: SuspendReason) {
        self.end_ping(process, "the process is suspended");
        process.give_up();
        process.image.suspended = Some(reason);
        self.stop_clock(process);
        self.log(process, None, Event::Suspended { reason });
        self.queue_commit(process);
    }

    /// A process that was set aside goes on.
    pub(crate) fn resume(&mut self, process: &mut Process, why: &str) {
        process.image.suspended = None;
        process.quota_hit = None;
        self.start_clock(process);
        self.log(process, None, Event::Resumed { why: why.to_owned() });
    }

    /// Cancels all calls in flight.
    pub(crate) fn cancel_open(&mut self, process: &mut Process, why: &str) {
        self.abandon(process, why);
        for index in 0..process.image.open.len() {
            if process.image.open[index].pending.is_some() {
                self.cancel(process, index, why, Retry::Never);
            }
        }
    }

    /// Answers open `receive` and `wait` calls from the inbox.
    pub(crate) fn serve_waiting(&mut self, process: &mut Process) {
        for index in 0..process.image.open.len() {
            let open = &process.image.open[index];
            let Some(pending) = open.pending.as_ref().filter(|_| open.outcome.is_none()) else { continue };
            let started = process.running.contains_key(&open.seq);
            let result = match &pending.call {
                kernel_types::Call::Receive(args) if started => {
                    let args = ReceiveArgs { timeout: None, ..args.clone() };
                    self.try_receive(process, &args)
                }
                kernel_types::Call::Wait(args) if started => {
                    let args = WaitArgs { timeout: None, ..args.clone() };
                    self.try_wait(process, &args)
                }
                _ => None,
            };
            if let Some(result) = result {
                self.finish(process, index, result, Spent::default());
            }
        }
    }

    /// Takes the next message, if there is one.
    pub(crate) fn try_receive(&mut self, process: &mut Process, args: &ReceiveArgs) -> Option<CallResult> {
        let wanted =
            |mail: &Mail| mail.body.is_message() && args.from.is_none_or(|from| mail.id.sender == from);
        if let Some(at) = process.inbox.iter().position(wanted) {
            let mail = process.inbox.remove(at).expect("just found");
            process.consumed.push(mail.id);
            process.mailbox = process.mailbox.saturating_sub(1);
            return Some(Ok(Answer::Message(mail)));
        }
        let at_once = args.timeout.is_some_and(|timeout| timeout.0 == 0);
        at_once.then(|| Err(SysError::new(ErrorKind::Deadline, "receive: no message is there")))
    }

    /// Reaps a child that ended, if there is one. A `wait` for what can never come is an error.
    pub(crate) fn try_wait(&mut self, process: &mut Process, args: &WaitArgs) -> Option<CallResult> {
        let wanted = |mail: &Mail| matches!(&mail.body, MailBody::ChildExit { pid, .. } if args.pid.is_none_or(|wanted| wanted == *pid));
        if let Some(at) = process.inbox.iter().position(wanted) {
            let mail = process.inbox.remove(at).expect("just found");
            process.consumed.push(mail.id);
            let MailBody::ChildExit { pid, status, refund } = mail.body else { return None };
            process.children.remove(&pid);
            give_back(&mut process.image.budget, &refund);
            return Some(Ok(Answer::Exited { pid, status }));
        }
        let none = match args.pid {
            Some(pid) => !process.children.contains(&pid),
            None => process.children.is_empty(),
        };
        if none {
            let what = args.pid.map_or_else(|| "no child".to_owned(), |pid| format!("{pid} is not a child"));
            return Some(Err(SysError::new(ErrorKind::NotFound, format!("wait: {what}"))));
        }
        let at_once = args.timeout.is_some_and(|timeout| timeout.0 == 0);
        at_once.then(|| Err(SysError::new(ErrorKind::Deadline, "wait: no child has ended")))
    }
}

/// The process is there, and soon to be reached again.
pub(crate) fn being_loaded(pid: Pid) -> SysError {
    SysError::new(ErrorKind::Busy, format!("process {pid} is being loaded from the store"))
}

/// Whether a message is small enough for a mailbox.
pub(crate) fn check_size(body: &str) -> Result<(), SysError> {
    if body.len() > MAX_MESSAGE {
        let message = format!("message of {} bytes exceeds the limit of {MAX_MESSAGE}", body.len());
        return Err(SysError::new(ErrorKind::TooLarge, message));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails where it panics")]
mod tests {
    use kernel_types::{Call, Priority};

    use super::*;
    use crate::programs::Script;
    use crate::{Kernel, Until};

    #[tokio::test]
    async fn who_writes_from_outside_is_not_remembered_for_ever_and_counts_once() {
        let kernel = Kernel::builder().build().await.unwrap();
        let waits = Script::once(vec![Call::Receive(ReceiveArgs::default())]).spec("test").unwrap();
        let budget = Budget { calls: Some(0), ..Budget::default() };
        let pid = kernel.spawn(kernel_types::Spec { budget, ..waits }).await.unwrap();
        let post = async {
            for number in 0..SENDERS + 500 {
                kernel.set_priority(pid, Priority::new(50 + (number % 2) as u8).unwrap()).await.unwrap();
            }
            for _ in 0..20 {
                kernel.grant(pid, Budget { calls: Some(1), ..Budget::default() }).await.unwrap();
            }
            // The store is asked for what is new meanwhile, and has it all.
            tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
            kernel.signal(pid, Signal::Kill).await.unwrap();
        };
        let look = || kernel.shared.core.lock().processes.get(&pid).map(|process| process.delivered.len());
        let (run, ()) = tokio::join!(kernel.run_until(Until::Idle), async {
            post.await;
            assert!(look().is_none_or(|known| known <= SENDERS), "{:?}", look());
        });
        run.unwrap();
        kernel.run_until(Until::Idle).await.unwrap();
        assert_eq!(kernel.process(pid).await.unwrap().budget.calls, Some(20), "no grant counts twice");
        assert!(kernel.shared.core.lock().senders.len() <= SENDERS);
    }
}
