//! The kernel's state: the process table and the queues. One lock guards it; code of others (programs, devices, stores)
//! runs while the lock is free.
//!
//! Split by subject: [`crate::prepare`] takes a step's calls through the gate, [`crate::local`] carries local calls out,
//! [`crate::commit`] makes work durable, [`crate::device`] starts and ends device calls, [`crate::mail`] delivers,
//! [`crate::tree`] spawns and ends, [`crate::warm`] keeps prefixes warm, [`crate::recover`] takes over from a store. [`crate::engine`] drives it all.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kernel_sched::{Locks, Micros, Resources, Scheduler};
use kernel_storage::Arrival;
use kernel_types::{
    CallKey, CallResult, Epoch, Event, Mail, MicroUsd, Millis, Pid, Priority, ProcessInfo, Reservation, Seq,
    StepNo, Timestamp, Tokens,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::bodies::Bodies;
use crate::commit::Batch;
use crate::device::Start;
use crate::error::KernelError;
use crate::ledger::Ledger;
use crate::parts::Parts;
use crate::prepare::Fault;
use crate::process::{Process, Running};
use crate::seal::Said;
use crate::slots::Slots;
use crate::timers::{Timed, Timers};
use crate::topics::Topics;

/// How far a run goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// No step runs; what is in flight ends and is made durable.
    Paused,
    /// Until nothing is left that could go on by itself.
    Idle,
    /// So many more steps.
    Steps(u64),
}

pub(crate) struct Core {
    pub(crate) parts: Arc<Parts>,
    pub(crate) bodies: Arc<Bodies>,
    pub(crate) processes: foldhash::HashMap<Pid, Box<Process>>,
    /// The processes of each family.
    pub(crate) families: HashMap<Pid, BTreeSet<Pid>>,
    /// Those that ended, as many of the latest as [`Limits::ended`](crate::Limits::ended) says, and in which order.
    pub(crate) exited: BTreeMap<Pid, ProcessInfo>,
    ended: VecDeque<Pid>,
    pub(crate) ready: VecDeque<Pid>,
    pub(crate) commits: VecDeque<Pid>,
    /// Batches to commit again after a passing failure of the store.
    pub(crate) retries: Vec<Batch>,
    pub(crate) starts: VecDeque<Start>,
    /// Who waits for a process's first commit.
    pub(crate) births: HashMap<Pid, tokio::sync::oneshot::Sender<Result<Pid, KernelError>>>,
    pub(crate) loads: Vec<(Pid, Fault)>,
    /// Processes to be loaded again, and those that are or will be.
    pub(crate) reloads: Vec<Pid>,
    pub(crate) reloading: HashSet<Pid>,
    /// Mail that was found meanwhile, kept until all of them are there.
    pub(crate) late_mail: Vec<Mail>,
    /// Deadlines that programs asked for: they hold whichever kernel runs.
    pub(crate) timers: Timers<Timestamp>,
    /// Looks at calls that nobody asked for: patience, pauses, devices that do not return.
    pub(crate) alarms: Timers<Micros>,
    pub(crate) slots: Vec<Slots>,
    pub(crate) ledger: Ledger,
    pub(crate) locks: Locks<Pid>,
    pub(crate) topics: Topics,
    /// The urgency that families have of locks their processes hold.
    pub(crate) lent: BTreeMap<Pid, BTreeMap<Pid, Priority>>,
    pub(crate) resources: Resources<CallKey>,
    /// Calls that have what they waited for.
    pub(crate) supplied: Vec<CallKey>,
    /// When processes have used their time up.
    pub(crate) clocks: BTreeSet<(Micros, Pid)>,
    /// Processes to be pinged, by time; each is there once.
    pub(crate) pings: BTreeSet<(Timestamp, Pid)>,
    /// Pings are sent: a run goes on or came to rest. Not while the kernel is paused in between.
    pub(crate) pinging: bool,
    pub(crate) epoch: Epoch,
    pub(crate) rng: StdRng,
    /// Rises when a stuck engine thread is replaced; a thread of an older generation stops.
    pub(crate) generation: u64,
    pub(crate) mode: Mode,
    pub(crate) waiter: Option<tokio::sync::oneshot::Sender<Result<u64, KernelError>>>,
    /// The number of the run at hand.
    pub(crate) run: u64,
    pub(crate) steps: u64,
    pub(crate) in_flight: InFlight,
    /// Device calls that kept their thread past the deadline: answered and no longer counted as in flight.
    pub(crate) left_behind: HashSet<(CallKey, u32)>,
    pub(crate) cursor: Arrival,
    /// To whom somebody outside wrote, and who, in order.
    pub(crate) senders: VecDeque<(Pid, Pid)>,
    pub(crate) last_poll: tokio::time::Instant,
    pub(crate) fatal: Option<KernelError>,
    /// It is to shut down: nothing more is sent, what is in flight is waited for.
    pub(crate) leaving: bool,
    /// Nothing is in flight any more, and time brings no news.
    pub(crate) closed: bool,
    pub(crate) quit: bool,
}

/// What was started and has not come back.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct InFlight {
    pub(crate) batches: usize,
    pub(crate) devices: usize,
    pub(crate) loads: usize,
    pub(crate) polls: usize,
}

impl Core {
    pub(crate) fn new(
        parts: Arc<Parts>,
        schedulers: Vec<Box<dyn Scheduler>>,
        ledger: Ledger,
        epoch: Epoch,
        seed: u64,
    ) -> Self {
        let slots = parts
            .cpus
            .iter()
            .zip(schedulers)
            .zip(&parts.cpu_limits)
            .map(|((cpu, scheduler), limits)| Slots::new(scheduler, cpu.slots(), *limits))
            .collect();
        let resources = Resources::new(parts.resources.clone());
        Self {
            ledger,
            locks: Locks::new(),
            topics: Topics::default(),
            lent: BTreeMap::new(),
            resources,
            supplied: Vec::new(),
            clocks: BTreeSet::new(),
            bodies: Arc::new(Bodies::new(parts.limits.bodies)),
            parts,
            processes: foldhash::HashMap::default(),
            families: HashMap::new(),
            exited: BTreeMap::new(),
            ended: VecDeque::new(),
            ready: VecDeque::new(),
            commits: VecDeque::new(),
            retries: Vec::new(),
            starts: VecDeque::new(),
            births: HashMap::new(),
            loads: Vec::new(),
            reloads: Vec::new(),
            reloading: HashSet::new(),
            late_mail: Vec::new(),
            timers: Timers::new(),
            alarms: Timers::new(),
            slots,
            pings: BTreeSet::new(),
            pinging: false,
            epoch,
            rng: StdRng::seed_from_u64(seed),
            generation: 0,
            mode: Mode::Paused,
            waiter: None,
            run: 0,
            steps: 0,
            in_flight: InFlight::default(),
            left_behind: HashSet::new(),
            cursor: Arrival(0),
            senders: VecDeque::new(),
            last_poll: tokio::time::Instant::now(),
            fatal: None,
            leaving: false,
            closed: false,
            quit: false,
        }
    }

    /// Wall time, for records and deadlines.
    pub(crate) fn now(&self) -> Timestamp {
        self.parts.clock.wall()
    }

    /// Time that never goes back, for schedulers.
    pub(crate) fn micros(&self) -> Micros {
        Micros(u64::try_from(self.parts.clock.monotonic().as_micros()).unwrap_or(u64::MAX))
    }

    /// How long ago that was.
    pub(crate) fn since(&self, earlier: Micros) -> Duration {
        Duration::from_micros(self.micros().0.saturating_sub(earlier.0))
    }

    pub(crate) fn salt(&mut self) -> [u8; 16] {
        let mut salt = [0; 16];
        self.rng.fill_bytes(&mut salt);
        salt
    }

    pub(crate) fn fresh_pid(&mut self) -> Pid {
        let random = (u128::from(self.rng.next_u64()) << 64) | u128::from(self.rng.next_u64());
        Pid::from_parts(self.now().0, random)
    }

    /// Appends an event to a process's chain.
    pub(crate) fn log(&mut self, process: &mut Process, call: Option<Seq>, event: Event) -> u64 {
        let (at, salt) = (self.now(), self.salt());
        process.record(at, call, Said::Event(Box::new(event)), salt)
    }

    /// Runs `work` on a process taken out of the table, and puts it back.
    pub(crate) fn with<T>(&mut self, pid: Pid, work: impl FnOnce(&mut Self, &mut Process) -> T) -> Option<T> {
        let mut process = self.processes.remove(&pid)?;
        let result = work(self, &mut process);
        self.processes.insert(pid, process);
        Some(result)
    }

    /// Ends a call of the last step: exactly one outcome.
    pub(crate) fn finish(&mut self, process: &mut Process, index: usize, result: CallResult, spent: Spent) {
        debug_assert!(process.results[index].is_none(), "a call ends once");
        let used = spent.used;
        let seq = process.image.open[index].seq;
        self.end_wait(process, seq);
        let waits = process.running.get(&seq).map(|running| (running.waits.total(), running.waits.causes()));
        let (waited, causes) = waits.unwrap_or_default();
        let event = Event::Outcome {
            result: result.clone(),
            cost: spent.cost,
            took: spent.took,
            waited,
            causes,
            expected_cached: spent.expected_cached,
        };
        let number = self.log(process, Some(seq), event);
        let open = &mut process.image.open[index];
        open.outcome = Some(number);
        if let Some(pending) = open.pending.take() {
            process.release(&pending.reserved);
        }
        self.settle_above(process, seq, used);
        if spent.beyond != Reservation::default() {
            self.ledger.charge(process.account, spent.beyond);
        }
        self.frees_line(process, seq);
        self.free_resources(process, seq);
        process.prompts.remove(&seq);
        process.running.remove(&seq);
        process.results[index] = Some(result);
    }

    /// Puts a process into the queue its state calls for, if any.
    pub(crate) fn settle(&mut self, process: &mut Process) {
        if process.runnable() {
            if !process.ready_queued {
                process.ready_queued = true;
                self.ready.push_back(process.pid);
            }
            if self.mode == Mode::Paused && process.dirty() {
                self.queue_commit(process);
            }
        } else if process.dirty() && !process.stepping && process.preparing.is_none() {
            self.queue_commit(process);
        }
    }

    /// The process's state shall be committed soon.
    pub(crate) fn queue_commit(&mut self, process: &mut Process) {
        if let Some(preparing) = &mut process.preparing {
            // Not in the middle of a step: what is arranged later would start with the commit before its own.
            preparing.must_commit = true;
            return;
        }
        if !process.commit_queued && !process.committing {
            process.commit_queued = true;
            self.commits.push_back(process.pid);
        }
    }

    /// A process of the table.
    pub(crate) fn process(&self, pid: Pid) -> Option<&Process> {
        self.processes.get(&pid).map(|process| &**process)
    }

    /// The same, to change it.
    pub(crate) fn process_mut(&mut self, pid: Pid) -> Option<&mut Process> {
        self.processes.get_mut(&pid).map(|process| &mut **process)
    }

    /// A process comes into the table.
    pub(crate) fn enter(&mut self, process: Box<Process>) {
        self.families.entry(process.image.family).or_default().insert(process.pid);
        self.processes.insert(process.pid, process);
    }

    /// It leaves it for good.
    pub(crate) fn remove(&mut self, pid: Pid) -> Option<Box<Process>> {
        let process = self.processes.remove(&pid)?;
        let family = process.image.family;
        if let Some(members) = self.families.get_mut(&family) {
            members.remove(&pid);
            if members.is_empty() {
                self.families.remove(&family);
            }
        }
        Some(process)
    }

    /// Keeps how a process was at its end; the oldest such memory goes.
    pub(crate) fn keep_ended(&mut self, info: ProcessInfo) {
        self.ended.push_back(info.pid);
        self.exited.insert(info.pid, info);
        while self.ended.len() > self.parts.limits.ended {
            let Some(oldest) = self.ended.pop_front() else { return };
            self.exited.remove(&oldest);
        }
    }

    /// Whether calls may be sent: not while the kernel shuts down, and never once it has failed.
    pub(crate) fn may_send(&self) -> bool {
        self.fatal.is_none() && !self.leaving
    }

    /// Whether anything could still happen without help from outside.
    pub(crate) fn busy(&self) -> bool {
        let InFlight { batches, devices, loads, .. } = self.in_flight;
        batches + devices + loads > 0
            || !self.commits.is_empty()
            || !self.retries.is_empty()
            || !self.starts.is_empty()
            || !self.supplied.is_empty()
            || !self.loads.is_empty()
            || !self.reloads.is_empty()
    }

    /// Nothing is with a device or the store: only time, or someone outside, can bring news.
    pub(crate) fn is_idle(&self) -> bool {
        let InFlight { batches, devices, loads, polls } = self.in_flight;
        let pinging = || self.processes.values().any(|process| process.pinging.is_some());
        self.mode != Mode::Paused && batches + devices + loads + polls == 0 && !pinging()
    }

    /// Time alone will let something go on. The timers of suspended processes are kept for when they are resumed.
    pub(crate) fn waits_for_time(&self) -> bool {
        // A call that waits for a slot starts when another ends: only its patience is a matter of time.
        let queues = |process: &Process, seq| {
            let waits = |running: &Running| running.cpu.is_some() && running.slot.is_none();
            process.running.get(&seq).is_some_and(waits)
        };
        self.timers.calls().chain(self.alarms.calls()).any(|(pid, step, seq)| {
            self.processes.get(pid).is_some_and(|process| {
                process.image.suspended.is_none()
                    && process.pending_index(*step, *seq).is_some()
                    && !queues(process, *seq)
            })
        })
    }

    /// Sets a timer by the wall's clock.
    pub(crate) fn set_timer(&mut self, at: Timestamp, pid: Pid, step: StepNo, seq: Seq) {
        let waits = waits(&self.processes);
        // The process that sets this one is out of the table now: its other timers are kept.
        self.timers.set(at, (pid, step, seq), |call| call.0 == pid || waits(call));
    }

    /// Sets one that goes off after so long, whatever the wall's clock shows then.
    pub(crate) fn set_alarm(&mut self, after: Duration, pid: Pid, step: StepNo, seq: Seq) {
        let at = self.in_future(after);
        let waits = waits(&self.processes);
        self.alarms.set(at, (pid, step, seq), |call| call.0 == pid || waits(call));
    }

    /// So long from now.
    pub(crate) fn in_future(&self, after: Duration) -> Micros {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        Micros(self.micros().0.saturating_add(micros))
    }

    /// The earliest timer by the wall's clock whose call still waits.
    pub(crate) fn next_timer(&mut self) -> Option<Timestamp> {
        self.timers.next(waits(&self.processes))
    }

    /// Likewise by the steady one.
    pub(crate) fn next_alarm(&mut self) -> Option<Micros> {
        self.alarms.next(waits(&self.processes))
    }
}

/// Whether a call that is timed has not ended yet.
fn waits(processes: &foldhash::HashMap<Pid, Box<Process>>) -> impl Fn(&Timed) -> bool {
    |(pid, step, seq)| processes.get(pid).is_some_and(|process| process.pending_index(*step, *seq).is_some())
}

/// What a call cost.
#[derive(Clone, Default, Debug)]
pub(crate) struct Spent {
    pub(crate) cost: MicroUsd,
    /// What limits above the process are charged.
    pub(crate) used: Reservation,
    /// What budgets above the process are charged beyond that, and rates are not.
    pub(crate) beyond: Reservation,
    pub(crate) took: Millis,
    /// Of an inference: tokens that the provider's cache was expected to have.
    pub(crate) expected_cached: Option<Tokens>,
}
