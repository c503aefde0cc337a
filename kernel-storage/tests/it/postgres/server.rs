//! A PostgreSQL server of a test's own, to be stopped the hard way.
//!
//! It runs below a shell that waits for the end of its standard input, which is ours: it ends with the test, however
//! that ends.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub(crate) struct Server {
    folder: TempDir,
    bin: PathBuf,
    pub(crate) port: u16,
    running: Option<Child>,
}

/// Starts a server, waits for the end of its input, and ends it.
const LIFELINE: &str = r#""$@" >>"$LOG" 2>&1 & read -r _; kill -QUIT $!; wait $!"#;

impl Server {
    pub(crate) fn new() -> Self {
        let bin = std::env::var_os("AGENTOS_TEST_POSTGRES_BIN").expect(
            "AGENTOS_TEST_POSTGRES_BIN: run `.ci/services start` and `eval \"$(.ci/services env)\"` first",
        );
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { folder, bin: bin.into(), port, running: None };
        let data = server.data();
        if is_root() {
            run(program("chmod").arg("a+rx").arg(server.folder.path()));
            run(program("install").args(["-d", "-o", "postgres"]).arg(server.folder.path().join("run")));
        } else {
            std::fs::create_dir(server.folder.path().join("run")).unwrap();
        }
        let initdb = server.bin.join("initdb");
        let args = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-D"];
        run(as_postgres(&initdb).args(args).arg(&data));
        server.start();
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it and waits until it answers.
    pub(crate) fn start(&mut self) {
        assert!(self.running.is_none(), "it runs");
        let log = self.folder.path().join("run/log");
        let mut shell = as_postgres(Path::new("sh"));
        shell.args(["-c", LIFELINE, "sh"]).arg(self.bin.join("postgres")).arg("-D").arg(self.data());
        shell.args(["-h", "127.0.0.1", "-p"]).arg(self.port.to_string());
        shell.args(["-c", "unix_socket_directories=", "-c", "shared_buffers=32MB"]);
        shell.env("LOG", &log).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.running = Some(shell.spawn().unwrap());
        let end = Instant::now() + Duration::from_secs(30);
        let mut ready = program(self.bin.join("pg_isready").to_str().unwrap());
        ready.args(["-q", "-h", "127.0.0.1", "-p"]).arg(self.port.to_string());
        while !ready.status().unwrap().success() {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < end, "the server did not start:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it without a checkpoint, as `pg_ctl stop -m immediate` does.
    pub(crate) fn crash(&mut self) {
        let pg_ctl = self.bin.join("pg_ctl");
        run(as_postgres(&pg_ctl).args(["-s", "-w", "-m", "immediate", "stop", "-D"]).arg(self.data()));
        self.end();
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("run/data")
    }

    /// Cuts the lifeline.
    fn end(&mut self) {
        if let Some(mut child) = self.running.take() {
            if let Some(mut lifeline) = child.stdin.take() {
                let _ = lifeline.write_all(b"\n");
            }
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn is_root() -> bool {
    let output = program("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

#[expect(clippy::disallowed_methods, reason = "a server of the test's own")]
fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.current_dir("/");
    command
}

/// The server does not run as root.
fn as_postgres(path: &Path) -> Command {
    let path = path.to_str().unwrap();
    if !is_root() {
        return program(path);
    }
    let mut command = program("runuser");
    command.args(["-u", "postgres", "--", path]);
    command
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
