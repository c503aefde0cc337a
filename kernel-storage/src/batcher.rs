//! Group commit: turns what many callers ask for at once into few writes on a few connections.
//!
//! A task holds the queue. While all lanes are busy, what comes in waits and forms groups; a lane that is free takes
//! one. Nothing waits in an idle system: with no write under way, what comes is written at once. Else it waits until a
//! group is full, or for [`Limits::linger`], so that many connections do not each write a little.
//!
//! Items that touch the same process are written in the order they came, never in two groups at the same time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use kernel_types::Pid;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

/// What is asked for: written whole, in one group.
pub(crate) trait Item: Send + 'static {
    /// How many commits it counts for.
    fn commits(&self) -> usize;
    /// How many bytes, roughly.
    fn bytes(&self) -> usize;
    /// The processes that it writes.
    fn pids(&self) -> impl Iterator<Item = Pid> + '_;
}

/// A connection that writes one group at a time, and answers whoever asked.
pub(crate) trait Lane<T>: Send + 'static {
    fn write(&mut self, group: Vec<T>) -> impl Future<Output = ()> + Send;
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Bounds of a [`Batcher`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Groups at the same time.
    pub(crate) lanes: usize,
    /// The most commits of a group, unless a single item has more.
    pub(crate) commits: usize,
    /// The most bytes of a group, unless a single item has more.
    pub(crate) bytes: usize,
    /// How long an item waits for company while others are being written.
    pub(crate) linger: Duration,
    /// Items that wait; callers beyond this many wait for a place.
    pub(crate) queue: usize,
}

#[derive(Debug)]
enum Request<T> {
    Write(T),
    Close(oneshot::Sender<()>),
}

/// The callers' end. It ends, after what is queued is written, when all clones are gone or one of them closes it.
#[derive(Debug)]
pub(crate) struct Batcher<T> {
    requests: mpsc::Sender<Request<T>>,
}

impl<T> Clone for Batcher<T> {
    fn clone(&self) -> Self {
        Self { requests: self.requests.clone() }
    }
}

impl<T: Item> Batcher<T> {
    /// Starts the task. `lane` makes a lane; one whose task panicked is made anew.
    pub(crate) fn start<L: Lane<T>>(limits: Limits, lane: impl Fn() -> L + Send + 'static) -> Self {
        let (requests, queue) = mpsc::channel(limits.queue.max(1));
        let dispatcher = Dispatcher {
            idle: (0..limits.lanes.max(1)).map(|_| lane()).collect(),
            lane,
            limits,
            writing: JoinSet::new(),
            held: HashMap::new(),
            busy: HashSet::new(),
            waiting: VecDeque::new(),
        };
        tokio::spawn(dispatcher.run(queue));
        Self { requests }
    }

    /// Queues an item; false if the batcher is closed.
    pub(crate) async fn send(&self, item: T) -> bool {
        self.requests.send(Request::Write(item)).await.is_ok()
    }

    /// Writes what is queued, closes the lanes, and takes nothing more.
    pub(crate) async fn close(&self) {
        let (answer, closed) = oneshot::channel();
        if self.requests.send(Request::Close(answer)).await.is_ok() {
            // An error means that the runtime is going down: it is closed then too.
            let _ = closed.await;
        }
    }
}

struct Waiting<T> {
    item: T,
    since: Instant,
}

struct Dispatcher<T, L, F> {
    lane: F,
    limits: Limits,
    idle: Vec<L>,
    writing: JoinSet<L>,
    /// The processes of each group under way, by its task.
    held: HashMap<Id, Vec<Pid>>,
    /// All of them.
    busy: HashSet<Pid>,
    waiting: VecDeque<Waiting<T>>,
}

impl<T: Item, L: Lane<T>, F: Fn() -> L> Dispatcher<T, L, F> {
    async fn run(mut self, mut queue: mpsc::Receiver<Request<T>>) {
        let mut closing = Vec::new();
        let mut open = true;
        loop {
            self.dispatch(!open);
            if !open && self.waiting.is_empty() && self.writing.is_empty() {
                break;
            }
            let room = open && self.waiting.len() < self.limits.queue.max(1);
            let wake = self.wake();
            tokio::select! {
                request = queue.recv(), if room => match request {
                    Some(request) => {
                        self.take(request, &mut queue, &mut closing);
                        if !closing.is_empty() {
                            queue.close();
                        }
                    }
                    None => open = false,
                },
                Some(ended) = self.writing.join_next_with_id() => self.ended(ended),
                () = tokio::time::sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
            }
        }
        for lane in self.idle {
            lane.close().await;
        }
        for answer in closing {
            // Who asked may have gone.
            let _ = answer.send(());
        }
    }

    /// Takes a request and what else is queued behind it.
    fn take(
        &mut self,
        first: Request<T>,
        queue: &mut mpsc::Receiver<Request<T>>,
        closing: &mut Vec<oneshot::Sender<()>>,
    ) {
        let since = Instant::now();
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Write(item) => self.waiting.push_back(Waiting { item, since }),
                Request::Close(answer) => closing.push(answer),
            }
            let room = self.waiting.len() < self.limits.queue.max(1);
            next = if room { queue.try_recv().ok() } else { None };
        }
    }

    /// Hands groups to the lanes that are free, as far as it is time.
    fn dispatch(&mut self, closing: bool) {
        while !self.idle.is_empty() && (closing || self.due()) {
            let group = self.group();
            let Some(mut lane) = (if group.is_empty() { None } else { self.idle.pop() }) else { return };
            let pids: Vec<_> = group.iter().flat_map(Item::pids).collect();
            self.busy.extend(&pids);
            let task = self.writing.spawn(async move {
                lane.write(group).await;
                lane
            });
            self.held.insert(task.id(), pids);
        }
    }

    /// Whether what waits should go now.
    fn due(&self) -> bool {
        let Some(oldest) = self.waiting.front() else { return false };
        self.writing.is_empty()
            || oldest.since.elapsed() >= self.limits.linger
            || self.waiting.iter().map(|waiting| waiting.item.commits().max(1)).sum::<usize>()
                >= self.limits.commits
    }

    /// When to look again, if nothing happens before: only if there is a lane to give a group to. What waits for a
    /// process that is being written goes when that has ended.
    fn wake(&self) -> Option<Instant> {
        let oldest = self.waiting.front().filter(|_| !self.idle.is_empty())?;
        let due = oldest.since + self.limits.linger;
        (due > Instant::now()).then_some(due)
    }

    /// Takes out what may be written together now, in order.
    fn group(&mut self) -> Vec<T> {
        let mut group = Vec::new();
        let (mut commits, mut bytes) = (0, 0);
        // Processes of items that stay behind: what comes after them must not overtake.
        let mut behind: HashSet<Pid> = HashSet::new();
        let mut left = VecDeque::new();
        while let Some(waiting) = self.waiting.pop_front() {
            let item = &waiting.item;
            let more = (commits + item.commits().max(1), bytes + item.bytes());
            if !group.is_empty() && (more.0 > self.limits.commits || more.1 > self.limits.bytes) {
                self.waiting.push_front(waiting);
                break;
            }
            if item.pids().any(|pid| self.busy.contains(&pid) || behind.contains(&pid)) {
                behind.extend(item.pids());
                left.push_back(waiting);
                continue;
            }
            (commits, bytes) = more;
            group.push(waiting.item);
        }
        while let Some(waiting) = left.pop_back() {
            self.waiting.push_front(waiting);
        }
        group
    }

    fn ended(&mut self, ended: Result<(Id, L), JoinError>) {
        let (id, lane) = match ended {
            Ok((id, lane)) => (id, lane),
            Err(error) => (error.id(), (self.lane)()),
        };
        for pid in self.held.remove(&id).unwrap_or_default() {
            self.busy.remove(&pid);
        }
        self.idle.push(lane);
    }
}

#[cfg(test)]
mod tests;
