//! The laws of the [`Driver`] contract, as tests that every implementation runs.
//!
//! [`driver_conformance!`](crate::driver_conformance) expands to one test per law. Each law gets a constructor of a fresh
//! [`Subject`] and panics where the driver breaks it.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use kernel_types::{CallKey, JsonText, Millis, Pid, Recovery, Seq, StepNo, ToolCallRequest, ToolSpec};
use serde_json::{Value, json};

use crate::{
    CallContext, Driver, Host, HostExec, HostExit, NullHost, Registry, ToolError, ToolErrorKind, ToolOutput,
};

/// A call that hangs longer than this breaks the law under test.
const PATIENCE: Duration = Duration::from_secs(20);

/// A driver under test and what is needed to judge it.
pub struct Subject {
    driver: Arc<dyn Driver>,
    samples: Vec<(String, JsonText)>,
    effects: Box<dyn Fn() -> String + Send + Sync>,
    workspace: Option<PathBuf>,
    keep: Vec<Box<dyn Any + Send + Sync>>,
}

impl Subject {
    /// A driver that changes nothing outside.
    pub fn new(driver: impl Driver + 'static) -> Self {
        Self {
            driver: Arc::new(driver),
            samples: Vec::new(),
            effects: Box::new(String::new),
            workspace: None,
            keep: Vec::new(),
        }
    }

    /// Adds a call that must succeed. Every tool needs one.
    ///
    /// # Panics
    /// If `args` is not JSON.
    #[must_use]
    pub fn sample(mut self, tool: &str, args: &str) -> Self {
        let args = JsonText::parse(args).expect("the arguments of a sample are JSON");
        self.samples.push((tool.to_owned(), args));
        self
    }

    /// How the world outside that the driver's tools may change looks now.
    #[must_use]
    pub fn effects(self, effects: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self { effects: Box::new(effects), ..self }
    }

    /// The folder the tools work in. It must lie in a private folder, where the laws put things that must not be reached.
    #[must_use]
    pub fn workspace(self, folder: impl Into<PathBuf>) -> Self {
        Self { workspace: Some(folder.into()), ..self }
    }

    /// Keeps something (a temporary folder) for as long as the subject.
    #[must_use]
    pub fn keep(mut self, kept: impl Any + Send + Sync) -> Self {
        self.keep.push(Box::new(kept));
        self
    }

    fn specs_of_samples(&self) -> Vec<(ToolSpec, JsonText)> {
        let specs = self.driver.tools();
        let spec = |tool: &str| {
            specs.iter().find(|spec| spec.name == tool).expect("a sample of a tool offered").clone()
        };
        self.samples.iter().map(|(tool, args)| (spec(tool), args.clone())).collect()
    }

    fn registry(&self) -> Registry {
        let mut registry = Registry::new();
        registry.register(self.driver.clone()).expect("the specs can be registered");
        registry
    }

    async fn call(&self, request: &ToolCallRequest, context: &CallContext) -> Result<ToolOutput, ToolError> {
        let call = self.driver.call(request, context);
        tokio::time::timeout(PATIENCE, call).await.unwrap_or_else(|_| panic!("{} hangs", request.tool))
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("samples", &self.samples).finish_non_exhaustive()
    }
}

/// The request of call number `seq`.
fn request(seq: u32, tool: &str, args: JsonText) -> ToolCallRequest {
    ToolCallRequest {
        key: CallKey { pid: Pid::INIT, step: StepNo(1), seq: Seq(seq) },
        tool: tool.to_owned(),
        args,
    }
}

/// The specs can be registered: names are valid and unique, schemas compile, path arguments are string properties.
pub async fn specs_can_be_registered(make: impl Fn() -> Subject) {
    let subject = make();
    let registry = subject.registry();
    assert_eq!(registry.specs().len(), subject.driver.tools().len());
    for spec in registry.specs() {
        assert!(!spec.description.is_empty(), "{} tells the model nothing", spec.name);
        assert!(spec.timeout > Millis::ZERO, "{} has no time", spec.name);
    }
}

/// `tools` answers the same from call to call, before and after calls.
pub async fn tools_never_change(make: impl Fn() -> Subject) {
    let subject = make();
    let before = subject.driver.tools();
    assert_eq!(before, subject.driver.tools());
    for (seq, (tool, args)) in (0..).zip(subject.samples.clone()) {
        let _any = subject.call(&request(seq, &tool, args), &NullHost::context()).await;
    }
    assert_eq!(before, subject.driver.tools());
}

/// Each tool has a sample that is valid against the schema and succeeds.
pub async fn valid_calls_succeed(make: impl Fn() -> Subject) {
    let subject = make();
    let registry = subject.registry();
    for spec in registry.specs() {
        assert!(subject.samples.iter().any(|(tool, _)| *tool == spec.name), "{} has no sample", spec.name);
    }
    for (seq, (tool, args)) in (0..).zip(&subject.samples) {
        registry.check(tool, args).expect("a sample is valid");
        registry.paths(tool, args).expect("the paths of a sample are valid");
        let output = subject.call(&request(seq, tool, args.clone()), &NullHost::context()).await;
        let output = output.expect("a valid call is answered");
        assert!(output.success, "{tool} {args}: {}", output.text);
    }
}

/// A `reread` tool has no effect outside.
pub async fn reread_tools_have_no_effect(make: impl Fn() -> Subject) {
    let subject = make();
    for (seq, (spec, args)) in (0..).zip(subject.specs_of_samples()) {
        if spec.recovery == Recovery::Reread {
            let before = (subject.effects)();
            let _any = subject.call(&request(seq, &spec.name, args), &NullHost::context()).await;
            assert_eq!(before, (subject.effects)(), "{} has an effect", spec.name);
        }
    }
}

/// A `keyed` tool does the work of one key once and gives the same answer again, also when others worked in between.
pub async fn keyed_work_is_done_once(make: impl Fn() -> Subject) {
    let subject = make();
    for (seq, (spec, args)) in (0..).zip(subject.specs_of_samples()) {
        if spec.recovery == Recovery::Keyed {
            let request = request(seq, &spec.name, args);
            let first = subject.call(&request, &NullHost::context()).await.expect("a valid call is answered");
            let after = (subject.effects)();
            let second =
                subject.call(&request, &NullHost::context()).await.expect("a repetition is answered");
            assert_eq!(after, (subject.effects)(), "{} does its work twice for one key", spec.name);
            assert_eq!(first, second, "{} answers a repetition otherwise", spec.name);
        }
    }
}

/// A dropped call leaves the driver usable: the same call, repeated, has the effect of an undisturbed one.
pub async fn a_dropped_call_leaves_no_trace(make: impl Fn() -> Subject) {
    for polls in 1..4 {
        let (disturbed, undisturbed) = (make(), make());
        for (seq, (spec, args)) in (0..).zip(undisturbed.specs_of_samples()) {
            if spec.recovery == Recovery::Unsafe {
                continue;
            }
            let request = request(seq, &spec.name, args);
            let context = NullHost::context();
            let expected = undisturbed.call(&request, &context).await.expect("a valid call is answered");
            poll_and_drop(disturbed.driver.call(&request, &context), polls).await;
            let output =
                disturbed.call(&request, &context).await.expect("a call after a dropped one is answered");
            assert_eq!(expected.success, output.success, "{} after a drop: {}", spec.name, output.text);
        }
        assert_eq!(
            (undisturbed.effects)(),
            (disturbed.effects)(),
            "a call dropped after {polls} polls left a trace"
        );
    }
}

async fn poll_and_drop(future: impl Future, polls: usize) {
    let mut future = std::pin::pin!(future);
    for _ in 0..polls {
        let poll = |context: &mut Context<'_>| Poll::Ready(future.as_mut().poll(context).is_ready());
        if std::future::poll_fn(poll).await {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Calls at the same time are answered each for itself, as they are one after the other.
pub async fn calls_run_side_by_side(make: impl Fn() -> Subject) {
    let subject = make();
    let context = NullHost::context();
    for (spec, args) in subject.specs_of_samples() {
        if spec.recovery == Recovery::Reread {
            let alone = subject.call(&request(0, &spec.name, args.clone()), &context).await;
            let tasks: Vec<_> = (1..9)
                .map(|seq| {
                    let (driver, context) = (subject.driver.clone(), context.clone());
                    let request = request(seq, &spec.name, args.clone());
                    tokio::spawn(async move { driver.call(&request, &context).await })
                })
                .collect();
            for task in tasks {
                let together =
                    tokio::time::timeout(PATIENCE, task).await.expect("no hang").expect("no panic");
                assert_eq!(alone, together, "{}", spec.name);
            }
        }
    }
}

/// A tool that is not offered is an error, not a panic and not some other tool.
pub async fn an_unknown_tool_is_an_error(make: impl Fn() -> Subject) {
    let subject = make();
    for tool in ["no-such-tool", "", "../tool"] {
        let answer = subject.call(&request(0, tool, JsonText::empty_object()), &NullHost::context()).await;
        let error = answer.expect_err("a tool that is not offered");
        assert_eq!(error.kind(), ToolErrorKind::Unknown, "{error}");
    }
}

/// No arguments, however wrong, make a tool panic or hang, even if nobody checked them before.
pub async fn hostile_arguments_never_panic(make: impl Fn() -> Subject) {
    let subject = make();
    for spec in subject.driver.tools() {
        for (seq, args) in (0..).zip(hostile_arguments(&spec)) {
            let (driver, request) = (subject.driver.clone(), request(seq, &spec.name, JsonText::from(args)));
            let task = tokio::spawn(async move { driver.call(&request, &NullHost::context()).await });
            let ended = tokio::time::timeout(PATIENCE, task).await;
            let ended = ended.unwrap_or_else(|_| panic!("{} hangs on hostile arguments {seq}", spec.name));
            assert!(ended.is_ok(), "{} panics on hostile arguments {seq}", spec.name);
        }
    }
}

fn hostile_values() -> Vec<Value> {
    let deep = (0..100).fold(Value::Null, |inner, _| json!([inner]));
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e308),
        json!(u64::MAX),
        json!(""),
        json!("\u{0}"),
        json!("a\nb\u{202e}c"),
        json!("x".repeat(100_000)),
        json!("../".repeat(2_000)),
        json!("("),
        json!("(a*)*b"),
        json!([]),
        json!({}),
        deep,
    ]
}

/// Each hostile value as the whole of the arguments, as each argument alone and as all of them at once.
fn hostile_arguments(spec: &ToolSpec) -> Vec<Value> {
    let schema = spec.input.value();
    let names: Vec<String> =
        schema["properties"].as_object().map(|p| p.keys().cloned().collect()).unwrap_or_default();
    let mut all = hostile_values();
    for value in hostile_values() {
        all.push(names.iter().map(|name| (name.clone(), value.clone())).collect());
        for hostile in &names {
            let one = |name: &String| if name == hostile { value.clone() } else { json!("a") };
            all.push(names.iter().map(|name| (name.clone(), one(name))).collect());
            all.push(json!({ hostile.clone(): value.clone() }));
        }
    }
    all
}

/// No path leads out of the workspace: not by `..`, not absolute, not through a link.
pub async fn no_path_leads_out_of_the_workspace(make: impl Fn() -> Subject) {
    let subject = make();
    let Some(workspace) = &subject.workspace else { return };
    let outside = workspace.parent().expect("a workspace lies in a private folder").join("outside");
    std::fs::create_dir_all(&outside).expect("the private folder can be written");
    std::fs::write(outside.join("file.txt"), SECRET).expect("the private folder can be written");
    link(&outside, &workspace.join("way-out"));
    link(&outside.join("file.txt"), &workspace.join("way-out.txt"));
    let absolute = outside.to_string_lossy().into_owned();
    let paths = [
        "../outside",
        "way-out",
        "way-out/..",
        "./way-out/../../outside",
        "a/../../outside",
        absolute.as_str(),
    ];
    let files = paths
        .iter()
        .flat_map(|path| [(*path).to_owned(), format!("{path}/file.txt"), format!("{path}/new.txt")]);
    let files: Vec<String> =
        files.chain(["way-out.txt".to_owned(), "..".to_owned(), "/".to_owned()]).collect();
    for (spec, args) in subject.specs_of_samples() {
        for argument in spec.reads.iter().chain(&spec.writes) {
            for (seq, path) in (1000..).zip(&files) {
                let mut args = args.value();
                args[argument] = json!(path);
                // A sample that would find the secret if it could be reached.
                if args.get("pattern").is_some() {
                    args["pattern"] = json!(SECRET);
                }
                let request = request(seq, &spec.name, JsonText::from(args));
                let answer = subject.call(&request, &NullHost::context()).await;
                assert!(!tells_secret(&answer), "{} reads {path}", spec.name);
            }
        }
    }
    let names: Vec<_> =
        std::fs::read_dir(&outside).expect("it is there").map(|e| e.expect("readable").file_name()).collect();
    assert_eq!(names, ["file.txt"], "something was made outside of the workspace");
    assert_eq!(
        std::fs::read_to_string(outside.join("file.txt")).expect("it is there"),
        SECRET,
        "it was changed"
    );
}

/// What the host denies is neither read nor written, also if it is met on a walk.
pub async fn the_host_is_asked(make: impl Fn() -> Subject) {
    let subject = make();
    let Some(workspace) = &subject.workspace else { return };
    std::fs::create_dir_all(workspace.join("denied")).expect("the workspace can be written");
    std::fs::write(workspace.join("denied/file.txt"), SECRET).expect("the workspace can be written");
    std::fs::write(workspace.join("denied.txt"), SECRET).expect("the workspace can be written");
    let before = (subject.effects)();
    let context = CallContext { host: Arc::new(DenyNamed), ..NullHost::context() };
    for (spec, args) in subject.specs_of_samples() {
        for argument in spec.reads.iter().chain(&spec.writes) {
            for (seq, path) in
                (2000..).zip([".", "denied", "denied.txt", "denied/file.txt", "./denied//file.txt"])
            {
                let mut args = args.value();
                args[argument] = json!(path);
                if args.get("pattern").is_some() {
                    args["pattern"] = json!(SECRET);
                }
                let answer = subject.call(&request(seq, &spec.name, JsonText::from(args)), &context).await;
                assert!(!tells_secret(&answer), "{} reads {path}, which is denied", spec.name);
            }
        }
    }
    assert_eq!(before, (subject.effects)(), "something denied was written");
}

const SECRET: &str = "quartz-heron-41\n";

fn tells_secret(answer: &Result<ToolOutput, ToolError>) -> bool {
    let secret = SECRET.trim_end();
    // The arguments may be quoted, so the text alone is no proof; a line of the file is.
    answer.as_ref().is_ok_and(|output| {
        let told = |text: &str| text.lines().any(|line| line.trim_end().ends_with(secret));
        output.success && (told(&output.text) || output.attachments.iter().any(|a| told(a)))
    })
}

#[cfg(unix)]
fn link(target: &std::path::Path, at: &std::path::Path) {
    std::os::unix::fs::symlink(target, at).expect("the workspace can be written");
}

#[cfg(not(unix))]
fn link(_target: &std::path::Path, _at: &std::path::Path) {}

/// Denies every path with `denied` in it.
struct DenyNamed;

#[async_trait]
impl Host for DenyNamed {
    fn may_read(&self, path: &str) -> bool {
        !path.contains("denied")
    }

    fn may_write(&self, path: &str) -> bool {
        !path.contains("denied")
    }

    async fn exec(&self, exec: HostExec) -> Result<HostExit, ToolError> {
        NullHost.exec(exec).await
    }
}

/// Expands to a module of tests, one per law of the [`Driver`](crate::Driver) contract.
///
/// Takes the module's name and an expression of type `impl Fn() -> Subject`. Needs tokio with `macros` and `rt`.
///
/// ```
/// use kernel_tools::conformance::Subject;
/// use kernel_tools::{Calculator, driver_conformance};
///
/// driver_conformance!(calculator, || Subject::new(Calculator::new()).sample("calculator", r#"{"expression":"1+1"}"#));
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! driver_conformance {
    ($name:ident, $make:expr) => {
        $crate::driver_conformance!(@laws $name, $make,
            specs_can_be_registered,
            tools_never_change,
            valid_calls_succeed,
            reread_tools_have_no_effect,
            keyed_work_is_done_once,
            a_dropped_call_leaves_no_trace,
            calls_run_side_by_side,
            an_unknown_tool_is_an_error,
            hostile_arguments_never_panic,
            no_path_leads_out_of_the_workspace,
            the_host_is_asked,
        );
    };
    (@laws $name:ident, $make:expr, $($law:ident,)*) => {
        mod $name {
            #[allow(unused_imports, reason = "the constructor may need nothing from around it")]
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
