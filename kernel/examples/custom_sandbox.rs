//! A kernel with a sandbox of its own: one that knows a single harmless program and refuses all others.

#![allow(clippy::print_stdout, reason = "an example shows what it did")]

use async_trait::async_trait;
use kernel::programs::Script;
use kernel::{Kernel, KernelBuilder, Until};
use kernel_security::{
    Enforcement, ExecOutput, ExecRequest, ExecStatus, Sandbox, SandboxError, SandboxErrorKind,
};
use kernel_tools::{FnTool, HostExec, ToolOutput};
use kernel_types::{Call, JsonText, Millis, Recovery, ToolCallArgs, ToolSpec};

/// Carries `echo` out by itself and starts nothing.
pub(crate) struct EchoSandbox;

#[async_trait]
impl Sandbox for EchoSandbox {
    fn enforcement(&self) -> Enforcement {
        Enforcement {
            backend: "echo".to_owned(),
            runs: true,
            enforces: vec!["only echo, carried out inside the kernel".to_owned()],
            missing: Vec::new(),
        }
    }

    async fn exec(&self, request: ExecRequest) -> Result<ExecOutput, SandboxError> {
        request.check()?;
        if request.program != "echo" {
            let message = format!("program {:?} refused: this sandbox knows echo only", request.program);
            return Err(SandboxError::new(SandboxErrorKind::Denied, message));
        }
        let mut stdout = request.args.join(" ").into_bytes();
        let truncated = stdout.len() > request.max_output;
        stdout.truncate(request.max_output);
        Ok(ExecOutput { status: ExecStatus::Exited(0), stdout, stderr: Vec::new(), truncated })
    }
}

/// The swap.
pub(crate) fn assemble(builder: KernelBuilder) -> KernelBuilder {
    builder.sandbox(EchoSandbox)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spec = ToolSpec {
        name: "run".to_owned(),
        description: "Runs a program in the sandbox.".to_owned(),
        input: JsonText::parse(
            r#"{"type":"object","properties":{"program":{"type":"string"}},"required":["program"]}"#,
        )?,
        recovery: Recovery::Unsafe,
        timeout: Millis(1000),
        reads: Vec::new(),
        writes: Vec::new(),
    };
    let run = FnTool::new(spec, |request, context| async move {
        let program = request.args.value()["program"].as_str().unwrap_or_default().to_owned();
        let exec =
            HostExec { program, args: vec!["hello from the sandbox".to_owned()], ..HostExec::default() };
        let exit = context.host.exec(exec).await?;
        Ok(ToolOutput::ok(JsonText::empty_object(), String::from_utf8_lossy(&exit.stdout)))
    });
    let kernel = assemble(Kernel::builder()).driver(run).build().await?;
    for program in ["echo", "rm"] {
        let args = JsonText::of(&serde_json::json!({ "program": program }))?;
        let call = Call::ToolCall(ToolCallArgs { tool: "run".to_owned(), args, timeout: None });
        let script = Script { on_error: kernel::programs::OnError::Stop, ..Script::once(vec![call]) };
        let pid = kernel.spawn(script.spec(program)?).await?;
        kernel.run_until(Until::Idle).await?;
        println!("{program}: {:?}", kernel.exit_status(pid).await?);
    }
    Ok(())
}
