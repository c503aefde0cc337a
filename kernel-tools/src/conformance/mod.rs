//! The laws of the [`Driver`] contract, as tests that every implementation runs.
//!
//! [`driver_conformance!`](crate::driver_conformance) expands to one test per law. Each law gets a constructor of a fresh
//! [`Subject`] and panics where the driver breaks it.

mod hostile;
mod laws;
mod paths;

use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kernel_types::{CallKey, JsonText, Pid, Seq, StepNo, ToolCallRequest, ToolSpec};

use crate::{CallContext, Driver, Registry, ToolError, ToolOutput};

pub use laws::{
    a_dropped_call_leaves_no_trace, an_unknown_tool_is_an_error, calls_run_side_by_side,
    hostile_arguments_never_panic, keyed_work_is_done_once, reread_tools_have_no_effect,
    specs_can_be_registered, tools_never_change, valid_calls_succeed,
};
pub use paths::{no_path_leads_out_of_the_workspace, the_host_is_asked};

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
