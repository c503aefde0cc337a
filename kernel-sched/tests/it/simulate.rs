//! What the simulator says of a load, and of what is none.

use kernel_sched::Fifo;
use kernel_sched::sim::trace::{BrokenTrace, parse};
use kernel_sched::sim::{Report, Setting, simulate};

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
