//! A running kernel says how it is on a Unix-domain socket, to whoever may open it: its owner.
//!
//! One line of JSON asks, one line answers: `{"status":{}}` is answered with `{"status":{..}}`, a [`KernelStatus`]; what is not
//! understood with `{"error":".."}`. Clients, lines and waits have bounds, and the server holds nothing that a kernel's end would
//! wait for. The sockets of a folder are named `kernel-PID.sock` after the process of the operating system; one that a killed
//! kernel left refuses connections and is removed by whoever finds it.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Mutex, Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

use crate::engine::Shared;
use crate::error::KernelError;
use crate::kernel::Kernel;
use crate::status::KernelStatus;

/// Clients that are served at a time; a further one is turned away.
const CLIENTS: usize = 16;
/// Bytes of a request.
const REQUEST: u64 = 4096;
/// Bytes of an answer, some hundred for each process.
const ANSWER: u64 = 1 << 30;
/// How long a client may take for a request.
const IDLE: Duration = Duration::from_secs(60);
/// How long a client may take to read, the kernel to answer, and a server to be reached.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer this young is given again: no number of clients makes a kernel count more often.
const FRESH: Duration = Duration::from_millis(50);
/// An answer is good for so many times as long as it took to make.
const SHARE: u32 = 20;
/// Sockets that one process may have in one folder.
const NUMBERS: u32 = 64;
/// Bytes of a path that every system takes for a socket.
const LONGEST: usize = 100;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Request {
    Status {},
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Status(KernelStatus),
    Error(String),
}

/// Serves the status of a kernel until it is dropped.
#[derive(Debug)]
pub struct StatusServer {
    folder: Folder,
    name: String,
    task: JoinHandle<()>,
}

impl StatusServer {
    /// The name of the socket in its folder.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for StatusServer {
    fn drop(&mut self) {
        self.task.abort();
        // Somebody may have cleared the folder.
        drop(fs::remove_file(self.folder.path(&self.name)));
    }
}

/// Serves the status of a kernel on a socket in a folder, with mode 0600. Must be called within a tokio runtime.
///
/// # Errors
/// If the folder takes no sockets. A kernel does not need one to run.
pub fn serve_status(kernel: &Kernel, folder: &Path) -> io::Result<StatusServer> {
    let folder = Folder::open(folder)?;
    let (listener, name) = folder.listen()?;
    let server = Server {
        shared: Arc::downgrade(&kernel.shared),
        last: Mutex::new(None),
        places: Arc::new(Semaphore::new(CLIENTS)),
    };
    let task = tokio::spawn(Arc::new(server).run(listener));
    Ok(StatusServer { folder, name, task })
}

/// The names of the sockets in a folder, in order; none if there is no such folder.
///
/// # Errors
/// If the folder cannot be read.
pub fn sockets(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_ours = name.starts_with("kernel-") && name.ends_with(".sock");
        if is_ours && entry.file_type().is_ok_and(|kind| kind.is_socket()) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Asks the kernel behind a socket how it is; `None` if none is there any more, and then the socket is removed.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] if it does not answer within ten seconds, [`io::ErrorKind::InvalidData`] if what it answers is no
/// status, others as the socket has them.
pub async fn ask_status(folder: &Path, name: &str) -> io::Result<Option<KernelStatus>> {
    let folder = Folder::open(folder)?;
    let path = folder.path(name);
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer within ten seconds");
    let stream = match timeout(PATIENCE, UnixStream::connect(&path)).await.map_err(late)? {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            folder.remove(name);
            return Ok(None);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        stream => stream?,
    };
    timeout(PATIENCE, ask(stream)).await.map_err(late)?.map(Some)
}

async fn ask(mut stream: UnixStream) -> io::Result<KernelStatus> {
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    stream.write_all(line(&Request::Status {}).as_bytes()).await?;
    let mut answer = Vec::new();
    BufReader::new(stream).take(ANSWER).read_until(b'\n', &mut answer).await?;
    match serde_json::from_slice(&answer) {
        Ok(Answer::Status(status)) => Ok(status),
        Ok(Answer::Error(error)) => Err(wrong(error)),
        Err(error) => Err(wrong(format!("it does not answer as a kernel does: {error}"))),
    }
}

fn line(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).expect("requests and answers have text keys only");
    text.push('\n');
    text
}

struct Server {
    /// Weak: a kernel's end must not wait for clients.
    shared: Weak<Shared>,
    /// When the last answer was made, how long it is good for, and the answer.
    last: Mutex<Option<(Instant, Duration, Arc<str>)>>,
    places: Arc<Semaphore>,
}

impl Server {
    async fn run(self: Arc<Self>, listener: UnixListener) {
        // Dropped with this task: then all clients are.
        let mut clients = JoinSet::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, say.
                tokio::time::sleep(FRESH).await;
                continue;
            };
            while clients.try_join_next().is_some() {}
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                let server = Arc::clone(&self);
                clients.spawn(async move {
                    // A client that goes away or says what is not understood is its own affair.
                    drop(server.talk(stream).await);
                    drop(place);
                });
            }
        }
    }

    async fn talk(&self, stream: UnixStream) -> io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        loop {
            let mut request = Vec::new();
            timeout(IDLE, (&mut reader).take(REQUEST).read_until(b'\n', &mut request)).await??;
            if request.is_empty() {
                return Ok(());
            }
            match serde_json::from_slice(&request) {
                Ok(Request::Status {}) => {
                    let answer = self.status().await;
                    timeout(PATIENCE, writer.write_all(answer.as_bytes())).await??;
                }
                Err(error) => {
                    let answer = line(&Answer::Error(format!("not a request: {error}")));
                    timeout(PATIENCE, writer.write_all(answer.as_bytes())).await??;
                    return Ok(());
                }
            }
        }
    }

    async fn status(&self) -> Arc<str> {
        let mut last = self.last.lock().await;
        if let Some((at, _, answer)) = last.as_ref().filter(|(at, good, _)| at.elapsed() < *good) {
            tracing::trace!(age = ?at.elapsed(), "answered with the last status");
            return Arc::clone(answer);
        }
        let (answer, took) = match timeout(PATIENCE, self.snapshot()).await {
            Ok(Ok((status, took))) => (Answer::Status(status), took),
            Ok(Err(error)) => (Answer::Error(error.to_string()), Duration::ZERO),
            Err(_) => (Answer::Error("the kernel is busy".to_owned()), PATIENCE),
        };
        let text: Arc<str> = line(&answer).into();
        *last = Some((Instant::now(), good_for(took), Arc::clone(&text)));
        text
    }

    /// The status, and how long the engine was busy with it.
    async fn snapshot(&self) -> Result<(KernelStatus, Duration), KernelError> {
        let (sender, receiver) = oneshot::channel();
        let shared = self.shared.upgrade().ok_or(KernelError::Stopped)?;
        shared.request(move |core| {
            // A scheduler of others may break when it is asked for a lag: that is no reason to stop a kernel.
            let begun = Instant::now();
            if let Ok(status) = catch_unwind(AssertUnwindSafe(|| core.kernel_status())) {
                // The asker may have gone away.
                drop(sender.send((status, begun.elapsed())));
            }
        })?;
        drop(shared);
        receiver.await.map_err(|_| KernelError::Stopped)
    }
}

/// How long an answer is good for: however many processes there are, those who watch take a twentieth of the engine's time at most.
fn good_for(took: Duration) -> Duration {
    FRESH.max(took.saturating_mul(SHARE))
}

/// A folder, held open: by its number it has a path that is never too long for a socket.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    file: File,
}

impl Folder {
    fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: File::open(path)? })
    }

    fn path(&self, name: &str) -> PathBuf {
        let whole = self.path.join(name);
        if whole.as_os_str().as_bytes().len() <= LONGEST {
            return whole;
        }
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.file.as_raw_fd()))
    }

    /// A socket that nobody else may open and that answers from the moment it has its name.
    fn listen(&self) -> io::Result<(UnixListener, String)> {
        let id = std::process::id();
        for number in 0..NUMBERS {
            let name =
                if number == 0 { format!("kernel-{id}.sock") } else { format!("kernel-{id}-{number}.sock") };
            let private = self.path(&format!(".{name}.new"));
            match self.bind(&private, &name) {
                Ok(listener) => return Ok((listener, name)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, format!("{NUMBERS} kernels of this process are here")))
    }

    /// Made in a folder of its own, which only its owner may enter, until its mode is right.
    fn bind(&self, private: &Path, name: &str) -> io::Result<UnixListener> {
        self.remove_if_dead(name)?;
        // What a kill in the middle of this has left.
        drop(fs::remove_dir_all(private));
        fs::DirBuilder::new().mode(0o700).create(private)?;
        let inner = private.join("s");
        let made = UnixListener::bind(&inner).and_then(|listener| {
            fs::set_permissions(&inner, fs::Permissions::from_mode(0o600))?;
            // Unlike a renaming, a link takes nobody else's name.
            fs::hard_link(&inner, self.path(name))?;
            Ok(listener)
        });
        drop(fs::remove_dir_all(private));
        made
    }

    /// Makes room for a socket: an error if the name is that of one that answers, or of something else.
    fn remove_if_dead(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        let Ok(found) = fs::symlink_metadata(&path) else { return Ok(()) };
        let refused = || {
            std::os::unix::net::UnixStream::connect(&path)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        };
        if found.file_type().is_socket() && refused() {
            return fs::remove_file(&path);
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Removes a socket at which nobody answers. Whoever came first has removed it.
    fn remove(&self, name: &str) {
        let path = self.path(name);
        if fs::symlink_metadata(&path).is_ok_and(|found| found.file_type().is_socket()) {
            drop(fs::remove_file(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_took_long_is_good_for_longer() {
        assert_eq!(good_for(Duration::from_millis(1)), FRESH);
        assert_eq!(good_for(Duration::from_millis(30)), Duration::from_millis(600));
    }
}
