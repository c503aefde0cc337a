//! Fetching what is missing, once a machine, whoever else tries at the same time.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::config::{Install, LocalConfig, LocalModel};
use super::package::{MODEL, Package, SERVER};
use super::progress::{InstallPlan, SetupEvent, SetupSink};
use super::python::{self, Needs, setup};
use crate::CpuError;

const SCRIPT: &str = include_str!("fetch.py");

/// How often progress is reported and locks are tried.
const POLL: Duration = Duration::from_millis(100);

/// How the names of working folders begin.
const WORK_PREFIX: &str = ".fetch-";

/// What was installed.
#[derive(Debug)]
pub(super) struct Installed {
    /// The folder to import the server from.
    pub(super) packages: PathBuf,
    /// The model file.
    pub(super) model: PathBuf,
}

/// Makes sure that server and model are there.
pub(super) async fn ensure(
    config: &LocalConfig,
    python: &Path,
    sink: &dyn SetupSink,
) -> Result<Installed, CpuError> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        let here = format!("{} on {}", std::env::consts::OS, std::env::consts::ARCH);
        return Err(setup(format!(
            "the packaged server is for Linux on x86_64 and this is {here}; start a llama-server, Ollama or LM Studio yourself and give its address"
        )));
    }
    let root =
        std::path::absolute(&config.data_dir).map_err(|error| folder_error(&config.data_dir, &error))?;
    let model = match &config.model {
        LocalModel::SmolLm2 => MODEL.proof_path(&root),
        LocalModel::Gguf(path) if path.is_file() => {
            std::path::absolute(path).unwrap_or_else(|_| path.clone())
        }
        LocalModel::Gguf(path) => return Err(setup(format!("no model file {}", path.display()))),
    };
    install(&needed(config), config.install, &root, python, sink).await?;
    Ok(Installed { packages: root.join(SERVER.folder), model })
}

impl LocalConfig {
    /// What `Local::start` would fetch first; `None` if everything is there. Fetches and starts nothing.
    #[must_use]
    pub fn missing(&self) -> Option<InstallPlan> {
        let root = std::path::absolute(&self.data_dir).unwrap_or_else(|_| self.data_dir.clone());
        let missing = missing(&needed(self), &root);
        (!missing.is_empty()).then(|| plan(&missing, &root))
    }
}

fn needed(config: &LocalConfig) -> Vec<&'static Package> {
    if config.model == LocalModel::SmolLm2 { vec![&SERVER, &MODEL] } else { vec![&SERVER] }
}

fn missing(needed: &[&'static Package], root: &Path) -> Vec<&'static Package> {
    needed.iter().copied().filter(|package| !package.is_installed(root)).collect()
}

/// Fetches those of `needed` that are missing, if it may.
pub(super) async fn install(
    needed: &[&'static Package],
    may: Install,
    root: &Path,
    python: &Path,
    sink: &dyn SetupSink,
) -> Result<(), CpuError> {
    if missing(needed, root).is_empty() {
        return Ok(());
    }
    if may == Install::No {
        let plan = plan(&missing(needed, root), root);
        return Err(setup(format!(
            "not installed in {} and installing is refused: {}",
            root.display(),
            plan.items.iter().map(|(title, _)| title.as_str()).collect::<Vec<_>>().join(", ")
        )));
    }
    fs::create_dir_all(root).map_err(|error| folder_error(root, &error))?;
    let _lock = lock(root, sink).await?;
    let missing = missing(needed, root);
    if missing.is_empty() {
        return Ok(());
    }
    let plan = plan(&missing, root);
    sink.event(SetupEvent::Plan(plan.clone()));
    if may == Install::Ask && !sink.approve(&plan) {
        return Err(setup(format!("the download of {} bytes was declined", plan.download_bytes)));
    }
    let work = WorkFolder::new(root).map_err(|error| folder_error(root, &error))?;
    fetch(&work, &missing, plan.download_bytes, python, sink).await?;
    for package in missing {
        put_in_place(&work, package, root).map_err(|error| folder_error(root, &error))?;
    }
    sink.event(SetupEvent::Installed);
    Ok(())
}

pub(super) fn plan(missing: &[&Package], root: &Path) -> InstallPlan {
    InstallPlan {
        items: missing.iter().map(|package| (package.title.to_owned(), package.download_bytes)).collect(),
        download_bytes: missing.iter().map(|package| package.download_bytes).sum(),
        disk_bytes: missing.iter().map(|package| package.proof.1).sum(),
        target: root.to_owned(),
    }
}

/// Only one process fetches into a folder. The system gives the lock back when its holder dies.
async fn lock(root: &Path, sink: &dyn SetupSink) -> Result<File, CpuError> {
    let file = File::create(root.join("install.lock")).map_err(|error| folder_error(root, &error))?;
    let mut has_waited = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if has_waited => {}
            Err(TryLockError::WouldBlock) => {
                has_waited = true;
                sink.event(SetupEvent::Waiting);
            }
            Err(TryLockError::Error(error)) => return Err(folder_error(root, &error)),
        }
        sleep(POLL).await;
    }
}

async fn fetch(
    work: &WorkFolder,
    missing: &[&Package],
    total: u64,
    python: &Path,
    sink: &dyn SetupSink,
) -> Result<(), CpuError> {
    let path = |name: &str| work.0.join(name);
    let log = path("log");
    let (wheels, staging) = (path("wheels"), path("staging"));
    let requirements: Vec<_> = missing.iter().map(|package| package.requirement).collect();
    let packages = missing
        .iter()
        .map(|package| json!({"wheel": package.wheel, "members": package.members, "folder": package.folder}));
    let settings = json!({
        "requirements": path("requirements.txt"),
        "wheels": wheels,
        "staging": staging,
        "packages": packages.collect::<Vec<_>>(),
    });
    let started = fs::create_dir(&wheels)
        .and_then(|()| fs::write(path("requirements.txt"), requirements.join("\n")))
        .and_then(|()| File::create(&log))
        .and_then(|log| {
            // pip's own temporary files land here too, so that their growth shows and they go with the folder.
            let extra = [("TMPDIR", work.0.as_path())];
            python::spawn(python, SCRIPT, Needs::Fetch, &extra, &work.0, log, &settings)
        });
    let started = started.map_err(|error| setup(format!("cannot run {}: {error}", python.display())))?;
    let mut child = Fetcher(started);
    let mut is_unpacking = false;
    let status = loop {
        let ended = child.0.try_wait().map_err(|error| setup(format!("cannot wait for pip: {error}")))?;
        if let Some(status) = ended {
            break status;
        }
        if staging.exists() && !is_unpacking {
            is_unpacking = true;
            sink.event(SetupEvent::Download { done: total, total });
            sink.event(SetupEvent::Unpack);
        } else if !is_unpacking {
            sink.event(SetupEvent::Download { done: size(&work.0).min(total), total });
        }
        sleep(POLL).await;
    };
    match status.code() {
        Some(0) => Ok(()),
        Some(3) => Err(setup(format!(
            "{} has no pip; install it (Debian, Ubuntu: apt install python3-pip)",
            python.display()
        ))),
        Some(5) => Err(setup(format!("{} is older than Python 3.10", python.display()))),
        _ => Err(setup(format!(
            "the download failed; check the network and the disk, then run the same again. pip says: {}",
            python::tail(&log)
        ))),
    }
}

/// Moves a package from the working folder to its place, atomically. What lies there is damaged and makes way.
fn put_in_place(work: &WorkFolder, package: &Package, root: &Path) -> io::Result<()> {
    let target = root.join(package.folder);
    if target.exists() {
        fs::rename(&target, work.0.join("damaged").with_extension(package.folder))?;
    }
    fs::rename(work.0.join("staging").join(package.folder), target)
}

/// The bytes of all files below a folder, as far as they can be read.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

fn folder_error(folder: &Path, error: &io::Error) -> CpuError {
    setup(format!("cannot write to {}: {error}", folder.display()))
}

/// The running download; killed when the caller goes away.
struct Fetcher(Child);

impl Drop for Fetcher {
    fn drop(&mut self) {
        python::stop(&mut self.0);
    }
}

/// A folder beside the final ones, removed with all that is in it. Made under the lock, so any other is left from a
/// process that was killed.
struct WorkFolder(PathBuf);

impl WorkFolder {
    fn new(root: &Path) -> io::Result<Self> {
        for entry in fs::read_dir(root)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(WORK_PREFIX) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let folder = root.join(format!("{WORK_PREFIX}{}", std::process::id()));
        fs::create_dir(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next one.
        let _ = fs::remove_dir_all(&self.0);
    }
}
