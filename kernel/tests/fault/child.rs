//! The child: a kernel on SQLite that takes over what is there, or begins, and runs until idle.

use std::path::{Path, PathBuf};

use kernel::{Kernel, Until};
use kernel_llm::{Canned, FnCpu};
use kernel_storage::SqliteStore;
use kernel_types::{CacheModel, ExitStatus, ModelInfo, Pricing, ProcessState, Spec, Tokens};

use crate::marks::{Marks, Watched};
use crate::pages::{PagingFactory, WINDOW};
use crate::topics::{self, ListenerFactory, SpeakerFactory};
use crate::warm::{Forgetful, sleeper};
use crate::watching::Watching;
use crate::work::{Counters, PeerFactory, WorkerFactory};

/// The folder the child works in; set by its parent.
pub(crate) const FOLDER: &str = "AGENTOS_FAULT_FOLDER";
/// What it does there.
pub(crate) const SCENARIO: &str = "AGENTOS_FAULT_SCENARIO";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the child process of the kill tests, started by them"]
async fn child() {
    let folder = PathBuf::from(std::env::var(FOLDER).expect("started by a kill test"));
    let scenario = std::env::var(SCENARIO).expect("started by a kill test");
    let watching = Watching::default();
    let kernel = open(&folder, watching.clone()).await;
    if kernel.recover().await.expect("recovers").is_empty() && !folder.join("begun").exists() {
        begin(&kernel, &scenario).await;
        std::fs::write(folder.join("begun"), "").expect("writes");
    }
    // The parent waits for this file before it chooses a moment.
    std::fs::write(folder.join("ready"), "").expect("writes");
    kernel.run_until(Until::Idle).await.expect("runs");
    assert_eq!(watching.wrong(), None);
    let all = kernel.status().await.expect("answers");
    assert!(
        all.iter().all(|info| matches!(info.state, ProcessState::Exited(ExitStatus::Ok(_)))),
        "idle but not done: {all:?}"
    );
    std::fs::write(folder.join("done"), "").expect("writes");
}

async fn open(folder: &Path, watching: Watching) -> Kernel {
    let marks = Marks::open(&folder.join("marks"));
    let store = SqliteStore::open(folder.join("kernel.db")).await.expect("the store opens");
    let memory = store.clone();
    let store = Watched::new(store, marks.clone(), &folder.join("acknowledged"));
    let kernel = Kernel::builder()
        .store(store)
        .memory(memory)
        .cpu(FnCpu::new(model(), |_| Ok(Canned::text("thought"))))
        .cpu(Forgetful::new(folder))
        .driver(Counters::new(folder, marks.clone()))
        .pager(watching)
        .program("paging", PagingFactory(marks.clone()))
        .program("worker", WorkerFactory(marks))
        .program("peer", PeerFactory)
        .program("speaker", SpeakerFactory)
        .program("listener", ListenerFactory);
    kernel.build().await.expect("the kernel assembles")
}

pub(crate) fn model() -> ModelInfo {
    ModelInfo {
        name: "test".to_owned(),
        window: Tokens(8192),
        max_output: Tokens(512),
        native_tools: false,
        pricing: Some(Pricing::default()),
        cache: CacheModel::default(),
    }
}

async fn begin(kernel: &Kernel, scenario: &str) {
    let (program, count) = scenario.split_once(' ').expect("program and count");
    if program == "speaker" {
        return topics::begin(kernel, count).await;
    }
    let spec = Spec {
        name: program.to_owned(),
        task: count.to_owned(),
        program: program.to_owned(),
        window: (program == "paging").then_some(WINDOW),
        ..Spec::default()
    };
    let spec = if program == "warm" { sleeper() } else { spec };
    let first = kernel.spawn(spec.clone()).await.expect("spawns");
    if program == "peer" {
        let second = kernel.spawn(spec).await.expect("spawns");
        kernel.send(first, second.to_string()).await.expect("sends");
        kernel.send(second, first.to_string()).await.expect("sends");
    }
}
