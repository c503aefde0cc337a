//! A sleeper whose prompt is being kept warm when its kernel is killed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use kernel::programs::{Script, ScriptStep};
use kernel_llm::{Cpu, CpuError, DeltaSink, InferRequest, model_info};
use kernel_types::{
    Answer, CacheModel, Call, Decision, ErrorKind, Event, InferArgs, Inference, Millis, ModelInfo, NewPage,
    PageKind, Part, Pid, Pricing, Record, Seq, Spec, TokenUsage, Tokens, ToolMode,
};

use crate::family::{Started, left};

/// The model's name.
const MODEL: &str = "forgetful";
/// The file in which it notes pings.
const PINGED: &str = "pinged";

/// A provider that forgets after a second, and never answers a ping.
pub(crate) struct Forgetful(PathBuf);

impl Forgetful {
    pub(crate) fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }
}

#[async_trait]
impl Cpu for Forgetful {
    fn models(&self) -> Vec<ModelInfo> {
        let cache = CacheModel { min_prefix: Tokens(1), ttl_s: 1, read: 100, ..CacheModel::default() };
        let pricing = Some(Pricing { input: 1_000_000, output: 1_000_000, ..Pricing::default() });
        vec![ModelInfo { cache, pricing, ..model_info(MODEL) }]
    }

    fn slots(&self) -> u32 {
        1
    }

    async fn infer(&self, request: InferRequest, _: &dyn DeltaSink) -> Result<Inference, CpuError> {
        if request.key.seq.is_ping() {
            let file = std::fs::OpenOptions::new().append(true).create(true).open(self.0.join(PINGED));
            writeln!(file.expect("opens"), "{}", request.key).expect("the line is written");
            std::future::pending::<()>().await;
        }
        let usage = TokenUsage { input: Tokens(500), output: Tokens(1), ..TokenUsage::default() };
        let parts = vec![Part::Text("Yes.".into())];
        Ok(Inference { model: request.model, parts, finish: "stop".to_owned(), usage })
    }

    async fn health(&self) -> Result<(), CpuError> {
        Ok(())
    }
}

/// Infers, sleeps for longer than the provider remembers, infers.
pub(crate) fn sleeper() -> Spec {
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(40);
    let page = Call::PageAlloc { pages: vec![NewPage::text(PageKind::User, text)] };
    let infer =
        || Call::Infer(InferArgs { max_output: Tokens(100), tools: ToolMode::None, ..InferArgs::default() });
    let sleep = Call::Sleep { ms: Millis(3_000) };
    let steps = [vec![page, infer()], vec![sleep], vec![infer()]];
    let step = steps.map(|calls| ScriptStep { repeat: 1, calls }).to_vec();
    let spec = Script { step, ..Script::default() }.spec("sleeper").expect("plain data");
    Spec { model: Some(MODEL.to_owned()), ..spec }
}

#[tokio::test]
async fn a_ping_in_flight_at_a_kill_is_interrupted_charged_and_not_sent_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let mut child = Started::start(folder, "warm 0");
    assert!(child.wait_ready());
    let deadline = Instant::now() + Duration::from_secs(20);
    // The file is there before the line is.
    while !std::fs::read_to_string(folder.join(PINGED)).is_ok_and(|sent| sent.ends_with('\n')) {
        assert!(Instant::now() < deadline && !child.ended(), "no ping was sent");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill();
    let copy = tempfile::tempdir().expect("a folder");
    for name in ["kernel.db", "kernel.db-wal", "acknowledged"] {
        // Without a log to replay there is no such file.
        let _ = std::fs::copy(folder.join(name), copy.path().join(name));
    }
    let open = pings(&left(copy.path()).await.records);
    assert!(matches!(open[..], [Event::Intent { decision: Decision::Allow, .. }]), "{open:?}");
    Started::start(folder, "warm 0").finish();
    let records = left(folder).await.records;
    let ended = pings(&records);
    let [Event::Intent { reserved, .. }, Event::Outcome { result: Err(error), cost, .. }] = &ended[..] else {
        panic!("{ended:?}")
    };
    assert_eq!((error.kind, *cost), (ErrorKind::Interrupted, reserved.cost));
    assert!(cost.0 > 300, "its whole prompt: {cost}");
    let sent = std::fs::read_to_string(folder.join(PINGED)).expect("reads");
    assert_eq!(sent.lines().count(), 1, "{sent}");
    let answered = records
        .values()
        .flatten()
        .filter(|(_, event)| matches!(event, Event::Outcome { result: Ok(Answer::Inference(_)), .. }));
    assert_eq!(answered.count(), 2, "the program's own calls were answered");
}

fn pings(records: &std::collections::BTreeMap<Pid, Vec<(Record, Event)>>) -> Vec<Event> {
    let all = records.values().flatten();
    all.filter(|(record, _)| record.call.is_some_and(Seq::is_ping)).map(|(_, event)| event.clone()).collect()
}
