//! One run of the server.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Child;

use kernel_types::ModelInfo;
use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::config::LocalConfig;
use super::install::Installed;
use super::python::{self, Needs, setup};
use crate::CpuError;

const SCRIPT: &str = include_str!("serve.py");

/// A log larger than this begins anew with the next start.
const MAX_LOG: u64 = 1 << 20;

/// A running server; killed when dropped.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pub(super) address: String,
}

impl Server {
    /// Starts the server and waits until it listens.
    pub(super) async fn start(
        config: &LocalConfig,
        model: &ModelInfo,
        installed: &Installed,
        python: &Path,
        key: &str,
    ) -> Result<Self, CpuError> {
        let log = config.data_dir.join("llama-server.log");
        let is_long = log.metadata().is_ok_and(|meta| meta.len() > MAX_LOG);
        let mut options = OpenOptions::new();
        if is_long {
            options.write(true).truncate(true)
        } else {
            options.append(true)
        };
        let file = options.create(true).open(&log);
        let file = file.map_err(|error| setup(format!("cannot write {}: {error}", log.display())))?;
        let settings = json!({
            "packages": installed.packages,
            "model": installed.model,
            "alias": model.name,
            "key": key,
            "slots": config.slots.max(1),
            "window": config.window,
            "threads": config.threads.max(1),
        });
        let spawned = python::spawn(python, SCRIPT, Needs::Run, &[], &installed.packages, file, &settings);
        let child = spawned.map_err(|error| setup(format!("cannot run {}: {error}", python.display())))?;
        let mut server = Self { child, address: String::new() };
        let address = timeout(config.start_timeout, server.first_line()).await.map_err(|_| {
            setup(format!("the server was not ready within {} s", config.start_timeout.as_secs()))
        })?;
        let Some(address) = address else {
            let words = python::tail(&log);
            return Err(setup(format!("the server ended while starting: {words} (log: {})", log.display())));
        };
        server.address = address;
        Ok(server)
    }

    /// The address in the line that the server prints when it listens; `None` if it ends before.
    async fn first_line(&mut self) -> Option<String> {
        let output = self.child.stdout.take()?;
        let (sender, receiver) = oneshot::channel();
        // A thread, since a pipe of a child cannot be awaited without a runtime that outlives it. It ends with the line,
        // or with the child.
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(output).read_line(&mut line);
            let _ = sender.send(line);
        });
        let line = receiver.await.ok()?;
        line.trim().strip_prefix("READY ").map(str::to_owned)
    }

    /// Whether it still runs.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        python::stop(&mut self.child);
    }
}
