//! The events of a simulation: calls are made, slots are granted, calls end.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use kernel_types::{Pid, Priority, Tokens};

use crate::{Charge, Demand, Entry, Grant, Micros, Scheduler, Slot};

use super::Setting;
use super::cache::Cache;
use super::load::{Call, Load};
use super::report::{Done, Report};

/// A call of a client; all of one agent are one process, those of a trace are processes of one family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Event {
    Ends { slot: u32 },
    Made { client: usize, call: usize },
}

struct Serving {
    client: usize,
    call: usize,
    pid: Pid,
    made: u64,
    started: u64,
    cached: u64,
}

struct Pool<'a> {
    scheduler: &'a mut dyn Scheduler,
    setting: &'a Setting,
    load: &'a Load,
    caches: Vec<Cache>,
    serving: Vec<Option<Serving>>,
    /// Who waits: client, call, when it was made.
    waiting: HashMap<Pid, (usize, usize, u64)>,
    /// The processes of a client that wait.
    waits: Vec<Vec<Pid>>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    done: Vec<Done>,
}

/// Runs a load through a pool whose slots `scheduler` gives away; it must be new. Time ends where microseconds do, after 584,000
/// years: what takes longer ends then.
#[must_use]
pub fn simulate(scheduler: &mut dyn Scheduler, setting: &Setting, load: &Load) -> Report {
    let slots = setting.slots.max(1) as usize;
    let cache = Cache::new(setting.contexts, setting.blocks, micros(setting.ttl_s));
    let mut pool = Pool {
        scheduler,
        setting,
        load,
        caches: vec![cache; slots],
        serving: (0..slots).map(|_| None).collect(),
        waiting: HashMap::new(),
        waits: vec![Vec::new(); load.clients.len()],
        events: BinaryHeap::new(),
        order: 0,
        done: Vec::new(),
    };
    pool.run();
    let name = pool.scheduler.name();
    Report::new(name, load, pool.done)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds of a simulation, above zero"
)]
fn micros(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1e6) as u64
}

impl Pool<'_> {
    fn run(&mut self) {
        for (number, client) in self.load.clients.iter().enumerate() {
            let first = if client.in_turn { 1 } else { client.calls.len() };
            for (call, made) in client.calls.iter().take(first).enumerate() {
                self.at(made.after.0, Event::Made { client: number, call });
            }
        }
        while let Some(Reverse((now, _, event))) = self.events.pop() {
            self.happen(now, event);
            while let Some(Reverse((at, _, _))) = self.events.peek()
                && *at == now
                && let Some(Reverse((_, _, event))) = self.events.pop()
            {
                self.happen(now, event);
            }
            self.grant(now);
        }
    }

    fn at(&mut self, time: u64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((time, self.order, event)));
    }

    fn call(&self, client: usize, call: usize) -> &Call {
        &self.load.clients[client].calls[call]
    }

    fn happen(&mut self, now: u64, event: Event) {
        match event {
            Event::Made { client, call } => self.made(client, call, now),
            Event::Ends { slot } => self.end(slot, now),
        }
    }

    fn made(&mut self, client: usize, call: usize, now: u64) {
        let in_turn = self.load.clients[client].in_turn;
        let family = Pid::from_parts(client as u64 + 1, 0);
        let pid = if in_turn { family } else { Pid::from_parts(client as u64 + 1, call as u128 + 1) };
        let made = self.call(client, call);
        let cached = self.caches.iter().map(|cache| cache.cached(&made.prefix, made.input, now)).max();
        let demand = Demand {
            input: Tokens(made.input),
            cached: Tokens(cached.unwrap_or(0)),
            output: Tokens(made.output),
        };
        self.scheduler
            .admit(Entry::new(pid).below(family, Priority::default()), Micros(now))
            .expect("time goes on");
        self.scheduler.request(pid, demand, Micros(now)).expect("a client's process waits once");
        self.waiting.insert(pid, (client, call, now));
        self.waits[client].push(pid);
    }

    /// Gives free slots away: first those that are warm for somebody who waits.
    fn grant(&mut self, now: u64) {
        loop {
            if self.waiting.is_empty() {
                return;
            }
            let free = (0..self.serving.len()).filter(|slot| self.serving[*slot].is_none());
            let mut free: Vec<(Vec<Pid>, usize)> = free.map(|slot| (self.warm(slot, now), slot)).collect();
            free.sort_by_key(|(warm, slot)| (warm.is_empty(), *slot));
            let Some((warm, slot)) = free.first() else { return };
            let number = u32::try_from(*slot).unwrap_or(u32::MAX);
            let offered = Slot { number, of: self.setting.slots.max(1), warm };
            let Some(grant) = self.scheduler.next(&offered, Micros(now)) else { return };
            self.start(*slot, &grant, now);
        }
    }

    fn warm(&self, slot: usize, now: u64) -> Vec<Pid> {
        let cache = &self.caches[slot];
        let waiting = cache.clients(now).flat_map(|client| self.waits[client].iter().copied());
        let is_warm = |pid: &Pid| {
            let (client, call, _) = self.waiting[pid];
            let Call { input, prefix, .. } = self.call(client, call);
            cache.cached(prefix, *input, now) * 2 >= *input
        };
        waiting.filter(is_warm).collect()
    }

    fn start(&mut self, slot: usize, grant: &Grant, now: u64) {
        let (client, call, made) = self.waiting.remove(&grant.pid).expect("a grant goes to who waits");
        self.waits[client].retain(|pid| *pid != grant.pid);
        let load = self.load;
        let Call { input, output, prefix, .. } = &load.clients[client].calls[call];
        let cached = self.caches[slot].serve(client, prefix, *input, now);
        let time = (input - cached) as f64 / self.setting.prefill + *output as f64 / self.setting.decode;
        self.serving[slot] = Some(Serving { client, call, pid: grant.pid, made, started: now, cached });
        let slot = u32::try_from(slot).unwrap_or(u32::MAX);
        self.at(now.saturating_add(micros(time).max(1)), Event::Ends { slot });
    }

    fn end(&mut self, slot: u32, now: u64) {
        let Some(served) = self.serving[slot as usize].take() else { return };
        let load = self.load;
        let client = &load.clients[served.client];
        let call = &client.calls[served.call];
        let whole = client.in_turn.then(|| call.input + call.output);
        self.caches[slot as usize].touch(&call.prefix, whole, now);
        let charge = Charge {
            uncached: Tokens(call.input - served.cached),
            cached: Tokens(served.cached),
            output: Tokens(call.output),
            held: Micros(now - served.started),
        };
        self.done.push(Done {
            client: served.client,
            made: served.made,
            started: served.started,
            ended: now,
            input: call.input,
            cached: served.cached,
            output: call.output,
        });
        self.scheduler.settle(served.pid, charge, Micros(now)).expect("it holds the slot");
        match client.calls.get(served.call + 1).filter(|_| client.in_turn) {
            Some(next) => {
                let made = Event::Made { client: served.client, call: served.call + 1 };
                self.at(now.saturating_add(next.after.0), made);
            }
            None => {
                self.scheduler.withdraw(served.pid, true, Micros(now)).expect("it is admitted");
            }
        }
    }
}
