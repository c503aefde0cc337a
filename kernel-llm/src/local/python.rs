//! Finding Python and running the two scripts of this module with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs, io};

use crate::{CpuError, CpuErrorKind};

/// What a Python needs to run at all.
const RUN: &[&str] = &[
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "PYENV_ROOT",
    "PYENV_VERSION",
];

/// What pip needs beside to reach an index.
const FETCH: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "XDG_CONFIG_HOME",
    "VIRTUAL_ENV",
];

/// Which part of the environment a script sees. No key is in either.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Needs {
    /// What Python needs.
    Run,
    /// That, and pip's settings.
    Fetch,
}

/// An error of the setup.
pub(super) fn setup(message: impl Into<String>) -> CpuError {
    CpuError::new(CpuErrorKind::Setup, "local model", message)
}

/// The Python to use: the one given, else the first `python3` in `PATH`.
pub(super) fn find(given: Option<&Path>) -> Result<PathBuf, CpuError> {
    if let Some(path) = given {
        let missing = || setup(format!("no Python at {}", path.display()));
        return if path.is_file() { Ok(path.to_owned()) } else { Err(missing()) };
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join("python3")).find(|file| file.is_file());
    found.ok_or_else(|| {
        setup("needs Python 3.10 or newer and there is no python3 in PATH; install it (Debian, Ubuntu: apt install python3 python3-pip) or choose another model server")
    })
}

/// Starts a fixed script. Its first line of input is `config`; the input stays open, and the script ends when it closes.
pub(super) fn spawn(
    python: &Path,
    script: &'static str,
    needs: Needs,
    extra: &[(&str, &Path)],
    folder: &Path,
    log: fs::File,
    config: &serde_json::Value,
) -> io::Result<Child> {
    #[expect(clippy::disallowed_methods, reason = "a fixed script with no byte of an agent in its arguments")]
    let mut command = Command::new(python);
    command.args(["-c", script]).current_dir(folder).env_clear();
    for (name, value) in env::vars_os() {
        let is_needed = name.to_str().is_some_and(|name| {
            RUN.contains(&name)
                || (needs == Needs::Fetch && (FETCH.contains(&name) || name.starts_with("PIP_")))
        });
        if is_needed {
            command.env(name, value);
        }
    }
    command.envs(extra.iter().copied());
    // Its own process group: a Ctrl-C at the terminal is the kernel's to handle, not this child's.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn()?;
    if let Some(input) = child.stdin.as_mut() {
        // Fails only if the child has ended already, which its status then explains.
        let _ = io::Write::write_all(input, format!("{config}\n").as_bytes());
    }
    Ok(child)
}

/// Kills a child and waits for its end.
pub(super) fn stop(child: &mut Child) {
    // Both fail only if the child has ended and was waited for.
    let _ = child.kill();
    let _ = child.wait();
}

/// What a log says at its end, for an error message: its last line marked as an error, else its last lines.
pub(super) fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(8192)..]);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let error = lines.iter().rfind(|line| line.starts_with("ERROR"));
    error.map_or_else(|| lines[lines.len().saturating_sub(3)..].join("; "), ToString::to_string)
}
