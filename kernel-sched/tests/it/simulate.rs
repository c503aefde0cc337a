//! What the simulator says of a load, and of what is none.

use kernel_sched::sim::trace::{BrokenTrace, parse};
use kernel_sched::sim::{Agents, Report, Setting, agents, simulate};
use kernel_sched::{
    Charge, Demand, Entry, Fair, FeedbackQueue, Fifo, Grant, LeastAttained, Micros, PriorityRoundRobin,
    SchedError, Scheduler, Slot, Standing, TokenCounter,
};
use kernel_types::Pid;

fn call(at_ms: u64, client: &str, input: u64) -> String {
    format!("{{\"at_ms\":{at_ms},\"client\":\"{client}\",\"input_tokens\":{input},\"output_tokens\":1}}\n")
}

fn report(trace: &str) -> Report {
    let setting = Setting { slots: 1, ..Setting::default() };
    simulate(&mut Fifo::new(), &setting, &parse(trace).unwrap())
}

#[test]
fn a_broken_line_is_named_once() {
    let good = call(0, "a", 10);
    for (broken, says) in [
        ("{\"at_ms\":0,", "line 3: EOF while parsing a value at column 11"),
        ("nonsense", "line 3: expected ident at column 2"),
        ("{\"at_ms\":0}", "line 3: missing field `client` at column 11"),
    ] {
        let error = parse(&format!("{good}\n{broken}\n{good}")).unwrap_err().to_string();
        assert_eq!(error, says);
        assert_eq!(error.matches("line").count(), 1);
    }
    assert!(parse(&good).is_ok(), "without it the trace is sound");
}

#[test]
fn a_trace_without_calls_is_an_error() {
    for text in ["", "\n", " \n\n"] {
        assert_eq!(parse(text), Err(BrokenTrace::Empty), "{text:?}");
    }
    assert_eq!(BrokenTrace::Empty.to_string(), "no calls: a trace has at least one line");
}

/// A difference of nothing is not none: where no two clients wanted slots for a whole window there is nothing to compare.
#[test]
fn a_service_difference_is_null_where_nobody_is_compared() {
    let short = report(&(call(0, "a", 6_000) + &call(0, "b", 6_000)));
    assert_eq!((short.max_service_difference, short.mean_service_difference), (None, None));
    let json = serde_json::to_value(&short).unwrap();
    assert!(json["max_service_difference"].is_null() && json["mean_service_difference"].is_null(), "{json}");
    assert_eq!(json.as_object().unwrap().len(), 12, "the keys stay");
    let long: String = (0..600).map(|n| call(0, if n % 2 == 0 { "a" } else { "b" }, 6_000)).collect();
    let long = report(&long);
    let most = long.max_service_difference.expect("both want the slot for minutes");
    assert!(most > 0.0, "one is served before the other");
    assert!(long.mean_service_difference.is_some_and(|mean| mean <= most));
}

/// Time counts from the first call: a trace may say when by the clock on the wall.
#[test]
fn times_of_day_give_the_same_report_as_times_from_zero() {
    let trace = |start: u64| -> String {
        (0..40).map(|n| call(start + n * 700, if n % 3 == 0 { "a" } else { "b" }, 5_000)).collect()
    };
    let expected = serde_json::to_string(&report(&trace(0))).unwrap();
    // A second, an hour that is no whole number of windows, a Unix time, the latest there is.
    for start in [1_000, 3_601_234, 1_790_000_000_000, 1_000_000_000_000_000 - 28_000] {
        assert_eq!(serde_json::to_string(&report(&trace(start))).unwrap(), expected, "from {start} ms on");
    }
    // The earliest call need not be the first line.
    let (early, late) = (call(1_790_000_000_000, "a", 5_000), call(1_790_000_000_900, "b", 5_000));
    assert_eq!(parse(&(late + &early)).unwrap().clients[0].calls[0].after.0, 900_000);
}

#[test]
fn a_time_beyond_all_bounds_is_named() {
    let good = call(0, "a", 10);
    for at_ms in [1_000_000_000_000_001, 19_000_000_000_000_000, u64::MAX] {
        let error = parse(&(good.clone() + &call(at_ms, "b", 10))).unwrap_err().to_string();
        assert_eq!(error, format!("line 2: at_ms of {at_ms} exceeds the limit of 1000000000000000"));
    }
    for (field, value) in [("at_ms", "-1"), ("input_tokens", "-5"), ("output_tokens", "18446744073709551616")]
    {
        let mut line: serde_json::Value = serde_json::from_str(&good).unwrap();
        line[field] = 7.into();
        let line = line.to_string().replace(":7", &format!(":{value}"));
        let error = parse(&(good.clone() + &line)).unwrap_err().to_string();
        assert!(error.starts_with("line 2: invalid ") && error.contains("expected u64"), "{error}");
    }
}

/// A thousand years between two calls, and calls that take longer than microseconds count: no window is looked at by itself.
#[test]
fn long_times_take_neither_memory_nor_time() {
    let apart = report(&(call(0, "a", 6_000) + &call(1_000_000_000_000_000, "b", 6_000)));
    assert_eq!((apart.requests, apart.max_service_difference), (2, None));
    // Both want to be served all the time for three thousand years.
    let line = |client: &str| call(0, client, 100_000_000);
    let slow = Setting { slots: 1, prefill: 0.002, ..Setting::default() };
    let lines = line("a") + &line("b") + &line("a");
    let report = simulate(&mut Fifo::new(), &slow, &parse(&lines).unwrap());
    assert!(report.worst_wait_s > 9.9e10, "{report:?}");
    let (most, mean) = (report.max_service_difference.unwrap(), report.mean_service_difference.unwrap());
    assert!(
        most > 0.0 && mean > 0.0 && mean < 1.0,
        "one call ends in a thousand million windows: {most}, {mean}"
    );
    let never = Setting { slots: 1, prefill: 0.0, decode: 0.0, ..Setting::default() };
    let report = simulate(&mut Fifo::new(), &never, &parse(&lines).unwrap());
    assert_eq!(report.requests, 3);
}

/// A scheduler that writes down who got which slot when.
struct Recorder {
    inner: Box<dyn Scheduler>,
    grants: Vec<(u32, Grant, Micros)>,
}

impl Scheduler for Recorder {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn admit(&mut self, entry: Entry, now: Micros) -> Result<(), SchedError> {
        self.inner.admit(entry, now)
    }
    fn request(&mut self, pid: Pid, demand: Demand, now: Micros) -> Result<(), SchedError> {
        self.inner.request(pid, demand, now)
    }
    fn next(&mut self, slot: &Slot<'_>, now: Micros) -> Option<Grant> {
        let grant = self.inner.next(slot, now)?;
        self.grants.push((slot.number, grant, now));
        Some(grant)
    }
    fn settle(&mut self, pid: Pid, charge: Charge, now: Micros) -> Result<(), SchedError> {
        self.inner.settle(pid, charge, now)
    }
    fn withdraw(&mut self, pid: Pid, leave: bool, now: Micros) -> Result<bool, SchedError> {
        self.inner.withdraw(pid, leave, now)
    }
    fn standing(&self, pid: Pid) -> Option<Standing> {
        self.inner.standing(pid)
    }
}

#[test]
fn one_seed_gives_one_schedule_of_every_policy() {
    let policies: [fn() -> Box<dyn Scheduler>; 6] = [
        || Box::new(Fair::new()),
        || Box::new(Fifo::new()),
        || Box::new(PriorityRoundRobin::new()),
        || Box::new(FeedbackQueue::new()),
        || Box::new(LeastAttained::new()),
        || Box::new(TokenCounter::new()),
    ];
    for make in policies {
        let run = |seed: u64| {
            let shape = Agents { agents: 120, rate: 1.0, ..Agents::default() };
            let mut recorder = Recorder { inner: make(), grants: Vec::new() };
            let setting = Setting { slots: 4, ..Setting::default() };
            let report = simulate(&mut recorder, &setting, &agents(&shape, seed));
            (recorder.grants, serde_json::to_string(&report).unwrap())
        };
        for seed in 0..3 {
            let first = run(seed);
            assert!(first.0.len() > 500, "a schedule: {} grants", first.0.len());
            assert_eq!(run(seed), first, "{} with seed {seed}", make().name());
        }
        assert_ne!(run(0).0, run(1).0, "{}: another seed is another load", make().name());
    }
}
