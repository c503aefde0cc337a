//! A device that keeps the engine's thread must not take its neighbours with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kernel::programs::{OnError, Script, ScriptStep};
use kernel::{Kernel, Limits, Until};
use kernel_tools::{FnTool, ToolOutput};
use kernel_types::{Call, ExitStatus, JsonText, Millis, Recovery, ToolCallArgs, ToolSpec};

fn spec(name: &str) -> ToolSpec {
    ToolSpec {
        name: name.to_owned(),
        description: "for this test".to_owned(),
        input: JsonText::parse(r#"{"type":"object"}"#).unwrap(),
        recovery: Recovery::Reread,
        timeout: Millis(5_000),
        reads: Vec::new(),
        writes: Vec::new(),
    }
}

fn call(tool: &str) -> Call {
    Call::ToolCall(ToolCallArgs { tool: tool.to_owned(), args: JsonText::empty_object(), timeout: None })
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_behind_a_device_that_blocks_are_made_all_the_same() {
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let block = FnTool::new(spec("block"), |_, _| async {
        std::thread::sleep(Duration::from_secs(2));
        Ok(ToolOutput::ok(JsonText::empty_object(), "late"))
    });
    let counter = FnTool::new(spec("count"), move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok(ToolOutput::ok(JsonText::empty_object(), "counted")) }
    });
    let kernel = Kernel::builder()
        .driver(block)
        .driver(counter)
        .limits(Limits { step: Duration::from_millis(200), ..Limits::default() })
        .build()
        .await
        .unwrap();
    let step = ScriptStep { repeat: 1, calls: vec![call("block"), call("count"), call("count")] };
    let script = Script { on_error: OnError::Continue, step: vec![step] };
    let pid = kernel.spawn(script.spec("caller").unwrap()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), kernel.run_until(Until::Idle)).await.unwrap().unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 2, "both calls behind the blocking one were made, once each");
    let status = kernel.exit_status(pid).await.unwrap();
    assert!(matches!(status, Some(ExitStatus::Ok(_))), "{status:?}");
    kernel::mediation::check_store(&kernel.store()).await;
}
