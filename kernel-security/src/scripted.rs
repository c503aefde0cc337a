//! A sandbox that runs nothing and answers from a table: for tests and examples.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use crate::{Enforcement, ExecOutput, ExecRequest, ExecStatus, Sandbox, SandboxError, SandboxErrorKind};

/// What a program of the table does, or what the sandbox does instead.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Script {
    /// The program ends with this output.
    Output(ExecOutput),
    /// The program prints its arguments, one a line.
    PrintArgs,
    /// The program prints its whole environment, one `NAME=value` a line, by name.
    PrintEnv,
    /// The program copies its input to its output.
    CopyInput,
    /// The program never ends by itself; it is killed at its deadline.
    Sleep,
    /// The sandbox fails; the program does not run unless the kind is `Lost`.
    Fail(SandboxError),
    /// The sandbox never answers, not even at the deadline: a broken driver.
    Hang,
    /// The sandbox panics: a broken driver.
    Panic,
}

impl Script {
    /// A program that prints `text` and ends well.
    #[must_use]
    pub fn print(text: impl Into<Vec<u8>>) -> Self {
        Self::Output(ended(ExecStatus::Exited(0), text.into()))
    }

    /// A program that ends with this code and no output.
    #[must_use]
    pub fn exit(code: i32) -> Self {
        Self::Output(ended(ExecStatus::Exited(code), Vec::new()))
    }
}

struct Row {
    program: String,
    /// Any arguments if `None`.
    args: Option<Vec<String>>,
    script: Script,
}

/// Answers from a table of programs and arguments, and counts what it is asked.
///
/// ```
/// use kernel_security::{ScriptedSandbox, Script};
///
/// let sandbox = ScriptedSandbox::new()
///     .with_args("git", &["status"], Script::print("clean\n"))
///     .with("git", Script::exit(1));
/// assert_eq!(sandbox.execs(), 0);
/// ```
#[derive(Default)]
pub struct ScriptedSandbox {
    table: Vec<Row>,
    broken: Option<String>,
    execs: AtomicUsize,
    started: AtomicUsize,
    alive: AtomicUsize,
}

impl ScriptedSandbox {
    /// A sandbox that knows no program.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A sandbox on a machine that lacks what isolation needs, as `reason` says: it refuses everything.
    #[must_use]
    pub fn without_isolation(reason: impl Into<String>) -> Self {
        Self { broken: Some(reason.into()), ..Self::default() }
    }

    /// The same sandbox with one more program, whatever its arguments. Of several rows that fit the first counts.
    #[must_use]
    pub fn with(self, program: &str, script: Script) -> Self {
        self.row(program, None, script)
    }

    /// The same sandbox with one more program, called with exactly these arguments.
    #[must_use]
    pub fn with_args(self, program: &str, args: &[&str], script: Script) -> Self {
        self.row(program, Some(args.iter().map(|&arg| arg.to_owned()).collect()), script)
    }

    /// How often it was asked to run something, refusals included.
    #[must_use]
    pub fn execs(&self) -> usize {
        self.execs.load(Ordering::SeqCst)
    }

    /// How many programs ran.
    #[must_use]
    pub fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }

    /// How many programs run now.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.alive.load(Ordering::SeqCst)
    }

    fn row(mut self, program: &str, args: Option<Vec<String>>, script: Script) -> Self {
        self.table.push(Row { program: program.to_owned(), args, script });
        self
    }

    fn script(&self, request: &ExecRequest) -> Result<&Script, SandboxError> {
        if let Some(reason) = &self.broken {
            return Err(SandboxError::new(SandboxErrorKind::Setup, reason));
        }
        request.check()?;
        let fits = |row: &&Row| {
            row.program == request.program && row.args.as_ref().is_none_or(|args| *args == request.args)
        };
        self.table.iter().find(fits).map(|row| &row.script).ok_or_else(|| {
            let message = format!(
                "program {:?} with arguments {:?} is not in the table",
                request.program, request.args
            );
            SandboxError::new(SandboxErrorKind::NotFound, message)
        })
    }

    fn start(&self) -> Alive<'_> {
        self.started.fetch_add(1, Ordering::SeqCst);
        self.alive.fetch_add(1, Ordering::SeqCst);
        Alive(self)
    }
}

/// A program that runs; it ends with this value, also when the future that holds it is dropped.
struct Alive<'a>(&'a ScriptedSandbox);

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Sandbox for ScriptedSandbox {
    fn enforcement(&self) -> Enforcement {
        Enforcement {
            backend: "scripted".to_owned(),
            runs: self.broken.is_none(),
            enforces: vec!["answers come from a table".to_owned()],
            missing: self.broken.iter().cloned().collect(),
        }
    }

    async fn exec(&self, request: ExecRequest) -> Result<ExecOutput, SandboxError> {
        self.execs.fetch_add(1, Ordering::SeqCst);
        let script = self.script(&request)?;
        let lost = matches!(script, Script::Fail(error) if error.kind() == SandboxErrorKind::Lost);
        let runs = lost || !matches!(script, Script::Fail(_) | Script::Hang | Script::Panic);
        let _alive = runs.then(|| self.start());
        let output = match script {
            Script::Output(output) => output.clone(),
            Script::PrintArgs => printed(request.args.iter().map(String::as_str)),
            Script::PrintEnv => {
                let lines: Vec<String> =
                    request.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
                printed(lines.iter().map(String::as_str))
            }
            Script::CopyInput => ended(ExecStatus::Exited(0), request.stdin),
            Script::Sleep => {
                tokio::time::sleep(request.timeout.into()).await;
                ended(ExecStatus::Deadline, Vec::new())
            }
            Script::Fail(error) => return Err(error.clone()),
            Script::Hang => std::future::pending().await,
            Script::Panic => panic!("the script says so"),
        };
        Ok(cut(output, request.max_output))
    }
}

fn printed<'a>(lines: impl Iterator<Item = &'a str>) -> ExecOutput {
    let mut text = String::new();
    lines.for_each(|line| {
        let _ = writeln!(text, "{line}");
    });
    ended(ExecStatus::Exited(0), text.into_bytes())
}

fn ended(status: ExecStatus, stdout: Vec<u8>) -> ExecOutput {
    ExecOutput { status, stdout, stderr: Vec::new(), truncated: false }
}

fn cut(mut output: ExecOutput, most: usize) -> ExecOutput {
    output.truncated |= output.stdout.len() > most || output.stderr.len() > most;
    output.stdout.truncate(most);
    output.stderr.truncate(most);
    output
}
