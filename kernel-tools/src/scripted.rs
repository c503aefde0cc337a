//! A driver in memory: its tools do what a script says, and every call is counted.
//!
//! For tests of kernels and programs: what happens when a tool errs, panics, hangs or is slow, and whether a call was made
//! once, twice or never.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kernel_types::{CallKey, JsonText, Millis, Recovery, ToolCallRequest, ToolSpec};
use parking_lot::Mutex;

use crate::{CallContext, Driver, HostExec, ToolError, ToolErrorKind, ToolOutput};

/// What a scripted tool does when it is called.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Behaviour {
    /// Answers this.
    Answer(ToolOutput),
    /// Answers its own arguments.
    Echo,
    /// Fails with this error.
    Error(ToolError),
    /// Panics with this message.
    Panic(String),
    /// Never answers.
    Hang,
    /// Answers this after a time.
    Slow(Millis, ToolOutput),
    /// Asks the host to run this program, and answers its output.
    Exec(HostExec),
    /// Asks the host whether these may be read (first list) and written (second), and is denied if one may not.
    Touch(Vec<String>, Vec<String>),
}

/// The driver; clones share their tools and counters.
///
/// A `keyed` tool answers a key it has answered before from memory: the call counts as an attempt and not as work.
///
/// ```
/// use kernel_tools::{Behaviour, Driver, NullHost, ScriptedDriver, ToolOutput};
/// use kernel_types::{CallKey, JsonText, Pid, Recovery, Seq, StepNo, ToolCallRequest};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let answer = ToolOutput::ok(JsonText::empty_object(), "sent");
/// let driver = ScriptedDriver::new().with("send_mail", Recovery::Keyed, Behaviour::Answer(answer));
/// let key = CallKey { pid: Pid::INIT, step: StepNo(1), seq: Seq(0) };
/// let request = ToolCallRequest { key, tool: "send_mail".into(), args: JsonText::empty_object() };
///
/// driver.call(&request, &NullHost::context()).await?;
/// driver.call(&request, &NullHost::context()).await?;
/// assert_eq!((driver.attempts(&key), driver.works(&key)), (2, 1));
/// # Ok::<(), kernel_tools::ToolError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ScriptedDriver {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    tools: BTreeMap<String, (ToolSpec, Behaviour)>,
    calls: Vec<ToolCallRequest>,
    works: BTreeMap<CallKey, u64>,
    done: BTreeMap<CallKey, ToolOutput>,
    in_flight: usize,
}

impl ScriptedDriver {
    /// A driver without tools.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tool that takes any arguments.
    #[must_use]
    pub fn with(self, name: &str, recovery: Recovery, behaviour: Behaviour) -> Self {
        self.with_spec(Self::spec(name, recovery), behaviour)
    }

    /// Adds a tool.
    #[must_use]
    pub fn with_spec(self, spec: ToolSpec, behaviour: Behaviour) -> Self {
        self.state.lock().tools.insert(spec.name.clone(), (spec, behaviour));
        self
    }

    /// The spec of a tool that takes any arguments and names no paths.
    #[must_use]
    pub fn spec(name: &str, recovery: Recovery) -> ToolSpec {
        ToolSpec {
            name: name.to_owned(),
            description: format!("The scripted tool {name}."),
            input: JsonText::parse(r#"{"type":"object"}"#).expect("a JSON literal"),
            recovery,
            timeout: Millis(30_000),
            reads: Vec::new(),
            writes: Vec::new(),
        }
    }

    /// Changes what a tool does from the next call on; a tool that is not there is left so.
    pub fn set_behaviour(&self, tool: &str, behaviour: Behaviour) {
        if let Some((_, current)) = self.state.lock().tools.get_mut(tool) {
            *current = behaviour;
        }
    }

    /// All calls received, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<ToolCallRequest> {
        self.state.lock().calls.clone()
    }

    /// How many calls of a tool were received.
    #[must_use]
    pub fn calls_of(&self, tool: &str) -> u64 {
        self.count(|call| call.tool == tool)
    }

    /// How many calls with this key were received.
    #[must_use]
    pub fn attempts(&self, key: &CallKey) -> u64 {
        self.count(|call| call.key == *key)
    }

    /// How many times the work of this key was done.
    #[must_use]
    pub fn works(&self, key: &CallKey) -> u64 {
        self.state.lock().works.get(key).copied().unwrap_or(0)
    }

    /// How much work was done in all.
    #[must_use]
    pub fn total_works(&self) -> u64 {
        self.state.lock().works.values().sum()
    }

    /// How many calls run now: neither answered nor dropped.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.state.lock().in_flight
    }

    fn count(&self, which: impl Fn(&ToolCallRequest) -> bool) -> u64 {
        self.state.lock().calls.iter().map(|call| u64::from(which(call))).sum()
    }

    /// Counts the call; answers what is known of its key, or what to do.
    fn begin(&self, request: &ToolCallRequest) -> Result<Begun, ToolError> {
        let mut state = self.state.lock();
        let Some((spec, behaviour)) = state.tools.get(&request.tool).cloned() else {
            return Err(ToolError::new(ToolErrorKind::Unknown, &request.tool, "not in the script"));
        };
        state.calls.push(request.clone());
        if spec.recovery == Recovery::Keyed
            && let Some(output) = state.done.get(&request.key)
        {
            return Ok(Begun::Before(output.clone()));
        }
        Ok(Begun::Now(behaviour))
    }

    /// Counts the work and keeps its answer for a repetition.
    fn work(&self, request: &ToolCallRequest, output: ToolOutput) -> ToolOutput {
        let mut state = self.state.lock();
        let keyed = state.tools.get(&request.tool).is_some_and(|(spec, _)| spec.recovery == Recovery::Keyed);
        if keyed && let Some(done) = state.done.get(&request.key) {
            return done.clone();
        }
        *state.works.entry(request.key).or_default() += 1;
        if keyed {
            state.done.insert(request.key, output.clone());
        }
        output
    }
}

enum Begun {
    Before(ToolOutput),
    Now(Behaviour),
}

/// One call in flight; the count falls however the call ends.
struct Flight(Arc<Mutex<State>>);

impl Flight {
    fn take_off(state: &Arc<Mutex<State>>) -> Self {
        state.lock().in_flight += 1;
        Self(state.clone())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
    }
}

#[async_trait]
impl Driver for ScriptedDriver {
    fn tools(&self) -> Vec<ToolSpec> {
        self.state.lock().tools.values().map(|(spec, _)| spec.clone()).collect()
    }

    async fn call(&self, request: &ToolCallRequest, context: &CallContext) -> Result<ToolOutput, ToolError> {
        let _flight = Flight::take_off(&self.state);
        let behaviour = match self.begin(request)? {
            Begun::Before(output) => return Ok(output),
            Begun::Now(behaviour) => behaviour,
        };
        match behaviour {
            Behaviour::Answer(output) => Ok(self.work(request, output)),
            Behaviour::Echo => {
                Ok(self.work(request, ToolOutput::ok(request.args.clone(), request.args.as_str())))
            }
            Behaviour::Error(error) => Err(error),
            Behaviour::Panic(message) => panic!("{message}"),
            Behaviour::Hang => std::future::pending().await,
            Behaviour::Slow(time, output) => {
                tokio::time::sleep(Duration::from(time)).await;
                Ok(self.work(request, output))
            }
            Behaviour::Exec(exec) => {
                let exit = context.host.exec(exec).await?;
                let output = String::from_utf8_lossy(&exit.stdout).into_owned();
                let output =
                    ToolOutput { success: exit.code == Some(0), text: output, ..ToolOutput::default() };
                Ok(self.work(request, output))
            }
            Behaviour::Touch(reads, writes) => {
                touch(request, context, &reads, &writes)?;
                Ok(self.work(request, ToolOutput::ok(JsonText::empty_object(), "touched")))
            }
        }
    }
}

fn touch(
    request: &ToolCallRequest,
    context: &CallContext,
    reads: &[String],
    writes: &[String],
) -> Result<(), ToolError> {
    let denied = reads.iter().find(|path| !context.host.may_read(path));
    let denied = denied.or_else(|| writes.iter().find(|path| !context.host.may_write(path)));
    match denied {
        None => Ok(()),
        Some(path) => {
            Err(ToolError::new(ToolErrorKind::Denied, &request.tool, format!("{path} may not be touched")))
        }
    }
}
