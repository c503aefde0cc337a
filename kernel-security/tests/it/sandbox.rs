//! The sandboxes against the laws, and the laws against broken sandboxes.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use kernel_security::conformance::{self, Harness, Probe, request};
use kernel_security::{
    DenyAll, Enforcement, ExecOutput, ExecRequest, ExecStatus, Sandbox, SandboxError, SandboxErrorKind,
    Script, ScriptedSandbox, sandbox_conformance,
};

/// Names of the programs in the table.
fn program_of(probe: &Probe) -> (String, Vec<String>) {
    let (program, args) = match probe {
        Probe::Args(args) => ("echo", args.clone()),
        Probe::Env => ("env", vec![]),
        Probe::CopyInput => ("cat", vec![]),
        Probe::Exit(code) => ("exit", vec![code.to_string()]),
        Probe::Flood(bytes) => ("flood", vec![bytes.to_string()]),
        Probe::Sleep => ("sleep", vec![]),
        Probe::Missing => ("missing", vec![]),
    };
    (program.to_owned(), args)
}

fn table() -> ScriptedSandbox {
    let mut sandbox = ScriptedSandbox::new()
        .with("echo", Script::PrintArgs)
        .with("env", Script::PrintEnv)
        .with("cat", Script::CopyInput)
        .with("sleep", Script::Sleep);
    for code in [0, 1, 77] {
        sandbox = sandbox.with_args("exit", &[&code.to_string()], Script::exit(code));
    }
    for bytes in [1000, 1001, 100_000] {
        sandbox = sandbox.with_args("flood", &[&bytes.to_string()], Script::print(vec![b'x'; bytes]));
    }
    sandbox
}

struct Scripted {
    sandbox: Arc<ScriptedSandbox>,
    unset: Arc<ScriptedSandbox>,
    /// Hand out the sandbox behind one more pointer.
    boxed: bool,
    defect: Option<Defect>,
}

fn scripted() -> Scripted {
    let unset = Arc::new(ScriptedSandbox::without_isolation("no user namespaces"));
    Scripted { sandbox: Arc::new(table()), unset, boxed: false, defect: None }
}

fn boxed() -> Scripted {
    Scripted { boxed: true, ..scripted() }
}

fn broken(defect: Defect) -> Scripted {
    Scripted { defect: Some(defect), ..scripted() }
}

impl Harness for Scripted {
    fn sandbox(&self) -> Arc<dyn Sandbox> {
        let inner: Arc<dyn Sandbox> = self.sandbox.clone();
        match self.defect {
            Some(defect) => Arc::new(Broken { inner: inner.clone(), host: inner, defect }),
            None if self.boxed => Arc::new(inner),
            None => inner,
        }
    }

    fn without_isolation(&self) -> Option<Arc<dyn Sandbox>> {
        match self.defect {
            Some(defect) => {
                Some(Arc::new(Broken { inner: self.unset.clone(), host: self.sandbox.clone(), defect }))
            }
            None => Some(self.unset.clone()),
        }
    }

    fn program(&self, probe: &Probe) -> (String, Vec<String>) {
        program_of(probe)
    }

    fn started(&self) -> usize {
        self.sandbox.started() + self.unset.started()
    }

    fn alive(&self) -> usize {
        self.sandbox.alive() + self.unset.alive()
    }

    fn virtual_time(&self) -> bool {
        true
    }
}

struct Nothing;

impl Harness for Nothing {
    fn sandbox(&self) -> Arc<dyn Sandbox> {
        Arc::new(DenyAll)
    }

    fn without_isolation(&self) -> Option<Arc<dyn Sandbox>> {
        None
    }

    fn program(&self, probe: &Probe) -> (String, Vec<String>) {
        program_of(probe)
    }

    fn started(&self) -> usize {
        0
    }

    fn alive(&self) -> usize {
        0
    }

    fn virtual_time(&self) -> bool {
        true
    }
}

sandbox_conformance!(scripted_sandbox, scripted());
sandbox_conformance!(scripted_sandbox_behind_a_pointer, boxed());
sandbox_conformance!(deny_all, Nothing);

/// What is wrong with a broken sandbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Defect {
    /// Falls back to the host when isolation cannot be set up.
    RunsAnyway,
    /// Hands the host's environment on.
    LeaksEnvironment,
    /// Joins arguments and splits them again.
    Shell,
    /// Forgets the deadline.
    NoDeadline,
    /// Leaves programs behind when dropped.
    Survives,
    /// Keeps all output.
    Unbounded,
    /// Reports a failing program as an error.
    FailureIsError,
    /// Says that it runs nothing.
    Understates,
    /// Runs what is malformed.
    Sloppy,
}

struct Broken {
    inner: Arc<dyn Sandbox>,
    host: Arc<dyn Sandbox>,
    defect: Defect,
}

#[async_trait]
impl Sandbox for Broken {
    fn enforcement(&self) -> Enforcement {
        let enforcement = self.inner.enforcement();
        Enforcement { runs: enforcement.runs && self.defect != Defect::Understates, ..enforcement }
    }

    async fn exec(&self, mut request: ExecRequest) -> Result<ExecOutput, SandboxError> {
        match self.defect {
            Defect::RunsAnyway => match self.inner.exec(request.clone()).await {
                Err(error) if error.kind() == SandboxErrorKind::Setup => self.host.exec(request).await,
                answer => answer,
            },
            Defect::LeaksEnvironment => {
                request.env.insert("ANTHROPIC_API_KEY".to_owned(), "secret".to_owned());
                self.inner.exec(request).await
            }
            Defect::Shell => {
                request.args = request.args.join(" ").split(' ').map(str::to_owned).collect();
                self.inner.exec(request).await
            }
            Defect::NoDeadline => {
                request.timeout = kernel_types::Millis(1 << 40);
                self.inner.exec(request).await
            }
            Defect::Survives => {
                let inner = self.inner.clone();
                tokio::spawn(async move { inner.exec(request).await })
                    .await
                    .expect("the program does not panic")
            }
            Defect::Unbounded => {
                request.max_output = usize::MAX;
                self.inner.exec(request).await
            }
            Defect::FailureIsError => match self.inner.exec(request).await {
                Ok(ExecOutput { status: ExecStatus::Exited(code), .. }) if code != 0 => {
                    Err(SandboxError::new(SandboxErrorKind::Lost, format!("exit code {code}")))
                }
                answer => answer,
            },
            Defect::Understates => self.inner.exec(request).await,
            Defect::Sloppy => {
                request.env = BTreeMap::new();
                self.inner.exec(request).await
            }
        }
    }
}

async fn fails(law: impl Future<Output = ()> + Send + 'static, defect: Defect) {
    let ended = tokio::spawn(law).await;
    assert!(ended.is_err_and(|e| e.is_panic()), "the laws do not notice {defect:?}");
}

macro_rules! broken_sandboxes_fail {
    ($($test:ident: $defect:ident => $law:ident;)*) => {$(
        #[tokio::test]
        async fn $test() {
            fails(conformance::$law(broken(Defect::$defect)), Defect::$defect).await;
        }
    )*};
}

broken_sandboxes_fail! {
    running_without_isolation_is_noticed: RunsAnyway => without_isolation_nothing_runs;
    a_leaked_environment_is_noticed: LeaksEnvironment => the_environment_is_the_requests;
    a_shell_is_noticed: Shell => arguments_are_literal;
    a_forgotten_deadline_is_noticed: NoDeadline => a_deadline_kills;
    a_surviving_program_is_noticed: Survives => dropping_kills;
    unbounded_output_is_noticed: Unbounded => output_is_bounded;
    failure_as_error_is_noticed: FailureIsError => a_failing_program_is_an_output;
    an_understatement_is_noticed: Understates => says_what_it_does;
    sloppy_requests_are_noticed: Sloppy => malformed_requests_are_refused;
}

#[tokio::test]
async fn a_script_can_fail_and_lose_a_program() {
    let error = |kind| SandboxError::new(kind, "scripted");
    let sandbox = ScriptedSandbox::new()
        .with("refused", Script::Fail(error(SandboxErrorKind::Setup)))
        .with("lost", Script::Fail(error(SandboxErrorKind::Lost)));
    let exec = |program: &str| {
        sandbox.exec(ExecRequest { program: program.to_owned(), ..request(&scripted(), &Probe::Env) })
    };
    assert_eq!(exec("refused").await.map_err(|e| e.kind()), Err(SandboxErrorKind::Setup));
    assert_eq!((sandbox.execs(), sandbox.started()), (1, 0));
    assert_eq!(exec("lost").await.map_err(|e| e.kind()), Err(SandboxErrorKind::Lost));
    assert_eq!((sandbox.execs(), sandbox.started(), sandbox.alive()), (2, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_script_can_hang_and_panic() {
    let sandbox = Arc::new(ScriptedSandbox::new().with("hang", Script::Hang).with("panic", Script::Panic));
    let wanted =
        |program: &str| ExecRequest { program: program.to_owned(), ..request(&scripted(), &Probe::Env) };
    let hour = std::time::Duration::from_secs(3600);
    assert!(tokio::time::timeout(hour, sandbox.exec(wanted("hang"))).await.is_err());
    let shared = sandbox.clone();
    let request = wanted("panic");
    let ended = tokio::spawn(async move { shared.exec(request).await.map(|_| ()) }).await;
    assert!(ended.is_err_and(|e| e.is_panic()));
    assert_eq!((sandbox.execs(), sandbox.started()), (2, 0));
}
