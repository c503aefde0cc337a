//! A real llama-server for a test, with what it needs fetched once a machine.

use std::path::{Path, PathBuf};

use kernel_llm::{Install, InstallPlan, Local, LocalConfig, SetupEvent, SetupSink};

/// Says nothing and agrees to everything.
pub(crate) struct Quiet;

impl SetupSink for Quiet {
    fn event(&self, _: SetupEvent) {}
    fn approve(&self, _: &InstallPlan) -> bool {
        true
    }
}

/// Where server and model are kept between runs: `AGENTOS_TEST_DATA`, else below the target folder.
pub(crate) fn data_dir() -> PathBuf {
    std::env::var_os("AGENTOS_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("agentos-test-data"),
        PathBuf::from,
    )
}

/// One thread: two on two busy cores wait for each other.
pub(crate) fn config() -> LocalConfig {
    LocalConfig { install: Install::Yes, threads: 1, ..LocalConfig::new(data_dir()) }
}

pub(crate) async fn local() -> Local {
    Local::start(config(), &Quiet).await.expect("the local model starts; it is fetched over the network once")
}
