//! The laws of [`Sandbox`], one function each. `sandbox_conformance!` expands them to one named test each.
//!
//! A law fails by panicking. What the laws need to know of an implementation, a [`Harness`] tells them.

use std::sync::Arc;
use std::time::Duration;

use kernel_types::{CallKey, Millis, Pid, Seq, StepNo};

use crate::{ExecOutput, ExecRequest, ExecStatus, Sandbox, SandboxError, SandboxErrorKind};

/// No law waits longer for a sandbox than this.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that a law wants to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Probe {
    /// Prints its arguments, one a line; these.
    Args(Vec<String>),
    /// Prints its whole environment, one `NAME=value` a line, in any order.
    Env,
    /// Copies its input to its output.
    CopyInput,
    /// Ends with this code.
    Exit(i32),
    /// Prints so many bytes.
    Flood(usize),
    /// Never ends by itself.
    Sleep,
    /// A program that is not there.
    Missing,
}

/// An implementation and what the laws must know of it. Each law makes its own.
pub trait Harness: Send + Sync {
    /// The sandbox.
    fn sandbox(&self) -> Arc<dyn Sandbox>;

    /// The same sandbox where isolation cannot be set up, counted by this harness too; `None` if it needs no set-up.
    fn without_isolation(&self) -> Option<Arc<dyn Sandbox>>;

    /// Program and arguments of a probe.
    fn program(&self, probe: &Probe) -> (String, Vec<String>);

    /// How many programs were started so far.
    fn started(&self) -> usize;

    /// How many started programs, and what they started, are alive.
    fn alive(&self) -> usize;

    /// The sandbox lives on tokio's clock alone, so that the laws may pause it.
    fn virtual_time(&self) -> bool;
}

/// A request as the laws make it: ten seconds, a megabyte, no environment.
#[must_use]
pub fn request(harness: &dyn Harness, probe: &Probe) -> ExecRequest {
    let (program, args) = harness.program(probe);
    ExecRequest {
        key: CallKey { pid: Pid::from_parts(1, 1), step: StepNo(1), seq: Seq(0) },
        program,
        args,
        env: std::collections::BTreeMap::new(),
        stdin: Vec::new(),
        timeout: Millis(10_000),
        max_output: 1 << 20,
    }
}

/// A sandbox that says it runs nothing refuses every program, and nothing runs.
pub async fn says_what_it_does(harness: impl Harness) {
    let runs = harness.sandbox().enforcement().runs;
    assert!(!harness.sandbox().enforcement().backend.is_empty(), "a sandbox has a name");
    let answer = exec(&harness, request(&harness, &Probe::Exit(0))).await;
    assert_eq!(answer.is_ok(), runs, "enforcement says runs = {runs}, exec answered {answer:?}");
    assert_eq!(harness.started(), usize::from(runs), "programs started");
}

/// Without isolation nothing runs, and the refusal says so.
pub async fn without_isolation_nothing_runs(harness: impl Harness) {
    let Some(sandbox) = harness.without_isolation() else { return };
    assert!(!sandbox.enforcement().runs, "a sandbox without isolation says that it runs nothing");
    let answer = patiently(sandbox.exec(request(&harness, &Probe::Exit(0)))).await;
    assert_kind(&answer, SandboxErrorKind::Setup);
    assert_eq!(harness.started(), 0, "a program ran without isolation");
}

/// Malformed requests are refused and nothing runs.
pub async fn malformed_requests_are_refused(harness: impl Harness) {
    let good = request(&harness, &Probe::Exit(0));
    let with_env = |name: &str, value: &str| ExecRequest {
        env: [(name.to_owned(), value.to_owned())].into(),
        ..good.clone()
    };
    let malformed = [
        ExecRequest { program: String::new(), ..good.clone() },
        ExecRequest { program: "a\0b".to_owned(), ..good.clone() },
        ExecRequest { args: vec!["a\0b".to_owned()], ..good.clone() },
        with_env("", "value"),
        with_env("A=B", "value"),
        with_env("A", "val\0ue"),
    ];
    for request in malformed {
        let answer = exec(&harness, request.clone()).await;
        let expected = if harness.sandbox().enforcement().runs {
            SandboxErrorKind::Invalid
        } else {
            SandboxErrorKind::Denied
        };
        assert_kind(&answer, expected);
    }
    assert_eq!(harness.started(), 0, "a malformed request ran");
}

/// A program that is not there is an error, and nothing runs.
pub async fn a_missing_program_is_not_found(harness: impl Harness) {
    if let Some(answer) = run(&harness, request(&harness, &Probe::Missing)).await {
        assert_kind(&answer, SandboxErrorKind::NotFound);
        assert_eq!(harness.started(), 0, "something ran in place of a missing program");
    }
}

/// The program sees the environment of the request and nothing else.
pub async fn the_environment_is_the_requests(harness: impl Harness) {
    for env in [vec![], vec![("GREETING", "good day"), ("EMPTY", "")]] {
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let wanted = ExecRequest { env, ..request(&harness, &Probe::Env) };
        let Some(answer) = run(&harness, wanted.clone()).await else { return };
        let printed = text(&output(answer));
        let mut lines: Vec<&str> = printed.lines().collect();
        lines.sort_unstable();
        let expected: Vec<String> =
            wanted.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(lines, expected, "the environment a program saw");
    }
}

/// Arguments arrive literally: no shell reads them.
pub async fn arguments_are_literal(harness: impl Harness) {
    let args: Vec<String> = ["$HOME", "a b", "; exit 1", "*", "", "`id`"].map(str::to_owned).into();
    if let Some(answer) = run(&harness, request(&harness, &Probe::Args(args.clone()))).await {
        assert_eq!(text(&output(answer)), args.iter().map(|arg| format!("{arg}\n")).collect::<String>());
    }
}

/// The program reads the input of the request.
pub async fn input_reaches_the_program(harness: impl Harness) {
    let stdin = b"one\ntwo\0three".to_vec();
    let wanted = ExecRequest { stdin: stdin.clone(), ..request(&harness, &Probe::CopyInput) };
    if let Some(answer) = run(&harness, wanted).await {
        assert_eq!(output(answer).stdout, stdin);
    }
}

/// A program that fails is an output, not an error.
pub async fn a_failing_program_is_an_output(harness: impl Harness) {
    for code in [0, 1, 77] {
        let Some(answer) = run(&harness, request(&harness, &Probe::Exit(code))).await else { return };
        assert_eq!(output(answer).status, ExecStatus::Exited(code));
    }
}

/// No more output is kept than asked for, and what was dropped is said.
pub async fn output_is_bounded(harness: impl Harness) {
    for (written, kept, truncated) in [(1000, 1000, false), (1001, 1000, true), (100_000, 1000, true)] {
        let wanted = ExecRequest { max_output: 1000, ..request(&harness, &Probe::Flood(written)) };
        let Some(answer) = run(&harness, wanted).await else { return };
        let output = output(answer);
        assert_eq!(
            (output.stdout.len(), output.truncated),
            (kept, truncated),
            "{written} bytes were written"
        );
    }
}

/// A program is killed at its deadline.
pub async fn a_deadline_kills(harness: impl Harness) {
    keep_time(&harness);
    let wanted = ExecRequest { timeout: Millis(300), ..request(&harness, &Probe::Sleep) };
    if let Some(answer) = run(&harness, wanted).await {
        assert_eq!(output(answer).status, ExecStatus::Deadline);
        assert_eq!(harness.alive(), 0, "alive after the deadline");
    }
}

/// Dropping the future kills the program.
pub async fn dropping_kills(harness: impl Harness) {
    if !harness.sandbox().enforcement().runs {
        return;
    }
    keep_time(&harness);
    let sandbox = harness.sandbox();
    let running = sandbox.exec(request(&harness, &Probe::Sleep));
    let ended = tokio::time::timeout(Duration::from_millis(300), running).await;
    assert!(ended.is_err(), "the program should sleep, it answered {ended:?}");
    assert_eq!(harness.started(), 1, "programs started");
    assert_eq!(harness.alive(), 0, "alive after the future was dropped");
}

/// Programs run beside each other, each with its own output.
pub async fn execs_do_not_mix(harness: impl Harness) {
    let say = |word: &str| run(&harness, request(&harness, &Probe::Args(vec![word.to_owned()])));
    let (one, two) = tokio::join!(say("one"), say("two"));
    if let (Some(one), Some(two)) = (one, two) {
        assert_eq!((text(&output(one)), text(&output(two))), ("one\n".to_owned(), "two\n".to_owned()));
        assert_eq!((harness.started(), harness.alive()), (2, 0), "programs started, programs alive");
    }
}

/// Laws that wait do not really wait where the sandbox has no clock of its own.
fn keep_time(harness: &dyn Harness) {
    if harness.virtual_time() {
        tokio::time::pause();
    }
}

/// Runs a request; `None` for a sandbox that runs nothing, which must have refused.
async fn run(harness: &dyn Harness, request: ExecRequest) -> Option<Result<ExecOutput, SandboxError>> {
    let answer = exec(harness, request).await;
    if harness.sandbox().enforcement().runs {
        assert_eq!(harness.alive(), 0, "alive after exec returned");
        return Some(answer);
    }
    assert!(answer.is_err(), "a sandbox that runs nothing answered {answer:?}");
    assert_eq!(harness.started(), 0, "a sandbox that runs nothing ran something");
    None
}

async fn exec(harness: &dyn Harness, request: ExecRequest) -> Result<ExecOutput, SandboxError> {
    patiently(harness.sandbox().exec(request)).await
}

async fn patiently<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("a sandbox answers in time")
}

fn assert_kind(answer: &Result<ExecOutput, SandboxError>, expected: SandboxErrorKind) {
    let kind = answer.as_ref().err().map(SandboxError::kind);
    assert_eq!(kind, Some(expected), "the sandbox answered {answer:?}");
}

fn output(answer: Result<ExecOutput, SandboxError>) -> ExecOutput {
    answer.expect("a sandbox that runs programs runs this one")
}

fn text(output: &ExecOutput) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Expands to a module `$name` with one test for each law, each on the harness that `$make` makes.
#[macro_export]
macro_rules! sandbox_conformance {
    ($name:ident, $make:expr) => {
        $crate::sandbox_conformance!(@laws $name, $make;
            says_what_it_does
            without_isolation_nothing_runs
            malformed_requests_are_refused
            a_missing_program_is_not_found
            the_environment_is_the_requests
            arguments_are_literal
            input_reaches_the_program
            a_failing_program_is_an_output
            output_is_bounded
            a_deadline_kills
            dropping_kills
            execs_do_not_mix
        );
    };
    (@laws $name:ident, $make:expr; $($law:ident)*) => {
        mod $name {
            use super::*;

            $(
                #[tokio::test]
                async fn $law() {
                    $crate::conformance::$law($make).await;
                }
            )*
        }
    };
}
