//! Drivers with one seeded defect each: the law they break must say so.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use kernel_tools::conformance::{self, Subject};
use kernel_tools::{
    Behaviour, CallContext, Driver, ReadFile, ScriptedDriver, ToolError, ToolErrorKind, ToolOutput,
};
use kernel_types::{JsonText, Millis, Recovery, ToolCallRequest, ToolSpec};

use crate::conformance::on_folder;

/// Runs a law; it must fail, and for the right reason.
async fn check_breaks<F: Future<Output = ()> + Send + 'static>(law: F, reason: &str) {
    let error = tokio::spawn(law).await.expect_err("the law holds for a broken driver");
    let panic = error.into_panic();
    let message = panic.downcast_ref::<String>().cloned();
    let message =
        message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
    assert!(message.contains(reason), "{message}");
}

/// How the broken driver is broken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Defect {
    RenamesItsTool,
    WorksTwice,
    HasAnEffect,
    AnswersAnyTool,
    PanicsOnNull,
    MixesUpCalls,
    LeavesATrace,
    TimeIsZero,
}

/// One tool, `tool`, and a counter that is its effect.
struct Broken {
    defect: Defect,
    asked: AtomicU64,
    effect: std::sync::Arc<AtomicU64>,
}

#[async_trait]
impl Driver for Broken {
    fn tools(&self) -> Vec<ToolSpec> {
        let recovery = if self.defect == Defect::WorksTwice { Recovery::Keyed } else { Recovery::Reread };
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let name =
            if self.defect == Defect::RenamesItsTool { format!("tool{asked}") } else { "tool".to_owned() };
        let timeout = if self.defect == Defect::TimeIsZero { Millis::ZERO } else { Millis(1) };
        vec![ToolSpec { timeout, ..ScriptedDriver::spec(&name, recovery) }]
    }

    async fn call(&self, request: &ToolCallRequest, _context: &CallContext) -> Result<ToolOutput, ToolError> {
        if request.tool != "tool" && self.defect != Defect::AnswersAnyTool {
            return Err(ToolError::new(ToolErrorKind::Unknown, &request.tool, "no such tool"));
        }
        if self.defect == Defect::LeavesATrace {
            self.effect.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            self.effect.store(0, Ordering::Relaxed);
        }
        let count = match self.defect {
            Defect::WorksTwice | Defect::HasAnEffect => self.effect.fetch_add(1, Ordering::Relaxed),
            Defect::MixesUpCalls => u64::from(request.key.seq.0),
            Defect::PanicsOnNull if request.args.as_str() == "null" => panic!("null"),
            _ => 0,
        };
        Ok(ToolOutput::ok(JsonText::empty_object(), format!("{count}")))
    }
}

fn broken(defect: Defect) -> impl Fn() -> Subject {
    move || {
        let effect = std::sync::Arc::new(AtomicU64::new(0));
        let seen = effect.clone();
        Subject::new(Broken { defect, asked: AtomicU64::new(0), effect })
            .sample("tool", "{}")
            .effects(move || seen.load(Ordering::Relaxed).to_string())
    }
}

#[tokio::test]
async fn renaming_tools_is_found() {
    check_breaks(conformance::tools_never_change(broken(Defect::RenamesItsTool)), "left == right").await;
}

#[tokio::test]
async fn keyed_work_done_twice_is_found() {
    check_breaks(conformance::keyed_work_is_done_once(broken(Defect::WorksTwice)), "twice for one key").await;
}

#[tokio::test]
async fn an_effect_of_a_reread_tool_is_found() {
    check_breaks(conformance::reread_tools_have_no_effect(broken(Defect::HasAnEffect)), "has an effect")
        .await;
}

#[tokio::test]
async fn answering_any_tool_is_found() {
    check_breaks(conformance::an_unknown_tool_is_an_error(broken(Defect::AnswersAnyTool)), "not offered")
        .await;
}

#[tokio::test]
async fn a_panic_on_hostile_arguments_is_found() {
    check_breaks(conformance::hostile_arguments_never_panic(broken(Defect::PanicsOnNull)), "panics").await;
}

#[tokio::test]
async fn answers_of_other_calls_are_found() {
    check_breaks(conformance::calls_run_side_by_side(broken(Defect::MixesUpCalls)), "left == right").await;
}

#[tokio::test]
async fn a_trace_of_a_dropped_call_is_found() {
    let make = || {
        let effect = std::sync::Arc::new(AtomicU64::new(0));
        let seen = effect.clone();
        Subject::new(HalfWritten(effect))
            .sample("tool", "{}")
            .effects(move || seen.load(Ordering::Relaxed).to_string())
    };
    check_breaks(conformance::a_dropped_call_leaves_no_trace(make), "left a trace").await;
    conformance::a_dropped_call_leaves_no_trace(broken(Defect::LeavesATrace)).await;
}

/// Counts up before it waits and down after.
struct HalfWritten(std::sync::Arc<AtomicU64>);

#[async_trait]
impl Driver for HalfWritten {
    fn tools(&self) -> Vec<ToolSpec> {
        vec![ScriptedDriver::spec("tool", Recovery::Reread)]
    }

    async fn call(
        &self,
        _request: &ToolCallRequest,
        _context: &CallContext,
    ) -> Result<ToolOutput, ToolError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.0.fetch_sub(1, Ordering::Relaxed);
        Ok(ToolOutput::default())
    }
}

#[tokio::test]
async fn a_spec_without_time_is_found() {
    check_breaks(conformance::specs_can_be_registered(broken(Defect::TimeIsZero)), "no time").await;
}

#[tokio::test]
async fn a_tool_without_a_sample_is_found() {
    let make = || Subject::new(ScriptedDriver::new().with("tool", Recovery::Reread, Behaviour::Echo));
    check_breaks(conformance::valid_calls_succeed(make), "has no sample").await;
}

#[tokio::test]
async fn a_tool_that_fails_its_sample_is_found() {
    let make = || {
        let fails = Behaviour::Answer(ToolOutput::failed("not today"));
        Subject::new(ScriptedDriver::new().with("tool", Recovery::Reread, fails)).sample("tool", "{}")
    };
    check_breaks(conformance::valid_calls_succeed(make), "not today").await;
}

/// Reads by ambient paths, and does not ask the host.
struct Escaping {
    folder: PathBuf,
    spec: ToolSpec,
}

#[async_trait]
impl Driver for Escaping {
    fn tools(&self) -> Vec<ToolSpec> {
        vec![self.spec.clone()]
    }

    async fn call(&self, request: &ToolCallRequest, _context: &CallContext) -> Result<ToolOutput, ToolError> {
        let path = self.folder.join(request.args.value()["path"].as_str().unwrap_or_default());
        Ok(match std::fs::read_to_string(path) {
            Ok(text) => ToolOutput::ok(JsonText::empty_object(), text),
            Err(error) => ToolOutput::failed(error.to_string()),
        })
    }
}

fn escaping() -> Subject {
    on_folder(|folder| Escaping {
        folder: folder.path(),
        spec: ReadFile::new(folder.open()).tools().remove(0),
    })
    .sample("read_file", r#"{"path":"top.txt"}"#)
}

#[tokio::test]
async fn an_escape_from_the_workspace_is_found() {
    check_breaks(conformance::no_path_leads_out_of_the_workspace(escaping), "reads ../outside/file.txt")
        .await;
}

#[tokio::test]
async fn a_driver_that_does_not_ask_the_host_is_found() {
    check_breaks(conformance::the_host_is_asked(escaping), "which is denied").await;
}
