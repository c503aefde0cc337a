//! A data directory, a workspace, and the program on them.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A reply that answers at once.
pub(crate) const ANSWER: &str = "[[reply]]\ntext = \"Twelve months.\"\n";

/// A user's home for one test.
pub(crate) struct Home {
    folder: TempDir,
}

/// How the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The pid that the program said first.
    pub(crate) fn pid(&self) -> String {
        let line = self.stderr.lines().find_map(|line| line.strip_prefix("pid "));
        line.unwrap_or_else(|| panic!("no pid: {self:#?}")).to_owned()
    }

    /// Ended well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }

    /// Ended with this code and one line on standard error (the last) that says these words.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        let said: Vec<&str> = self.stderr.lines().filter(|line| line.starts_with("agentos: ")).collect();
        assert_eq!(said.len(), 1, "one line: {self:#?}");
        assert_eq!(self.stderr.lines().last(), Some(said[0]), "it is the last: {self:#?}");
        for word in words {
            assert!(said[0].contains(word), "{word:?} in {:?}", said[0]);
        }
        self
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Writes a file and its folders.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A model that answers from this script: the value of `--cpu`.
    pub(crate) fn scripted(&self, script: &str) -> String {
        format!("scripted:{}", self.file("script.toml", script).display())
    }

    /// The program, on this home's data directory, with nothing of the machine's environment but where programs are.
    pub(crate) fn agentos(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentos"));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("AGENTOS_DATA_DIR", self.data())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        end(&mut self.agentos(args))
    }

    /// `agentos run` with a script and a workspace of one small file.
    pub(crate) fn ask(&self, script: &str, more: &[&str]) -> Ended {
        let cpu = self.scripted(script);
        self.file("work/months.txt", "Cheese keeps.\nSource stays available for twelve months.\n");
        let mut args =
            vec!["run", "--cpu", &cpu, "--workspace", "work", "How many months is source available?"];
        args.extend(more);
        self.run(&args)
    }

    /// Starts the program and reads its standard error up to the pid.
    pub(crate) fn start(&self, args: &[&str]) -> Started {
        Started::new(self.agentos(args))
    }
}

pub(crate) fn end(command: &mut Command) -> Ended {
    let output = command.output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The program, running; killed when it is dropped.
pub(crate) struct Started {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    said: String,
    pub(crate) pid: String,
}

impl Started {
    fn new(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut started = Self {
            stderr: BufReader::new(child.stderr.take().unwrap()),
            child,
            said: String::new(),
            pid: String::new(),
        };
        started.pid = started.until("pid ").unwrap_or_else(|| panic!("no pid: {}", started.said));
        started
    }

    /// Reads standard error up to a line that begins so; the rest of that line.
    pub(crate) fn until(&mut self, prefix: &str) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.stderr.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            self.said.push_str(&line);
            if let Some(rest) = line.strip_prefix(prefix) {
                return Some(rest.trim_end().to_owned());
            }
        }
    }

    /// Sends a signal of the operating system.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn wait(mut self) -> Ended {
        self.stderr.read_to_string(&mut self.said).unwrap();
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        let code = self.child.wait().unwrap().code();
        Ended { code, stdout, stderr: std::mem::take(&mut self.said) }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended and been waited for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
