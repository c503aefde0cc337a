//! A server on the loopback interface that answers prepared bytes, so that it can misbehave in any way.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How a connection goes on after the prepared bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Then {
    /// It is closed.
    Close,
    /// Nothing more comes, until the client goes away.
    Stall,
}

/// One prepared answer.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    bytes: Vec<u8>,
    then: Then,
}

impl Prepared {
    /// Any bytes at all.
    pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), then: Then::Close }
    }

    /// A whole answer with a status, further header lines and a body.
    pub(crate) fn status(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::raw(format!(
            "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        ))
    }

    /// An event stream that ends with the connection.
    pub(crate) fn stream(body: impl AsRef<[u8]>) -> Self {
        let mut bytes =
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_vec();
        bytes.extend_from_slice(body.as_ref());
        Self::raw(bytes)
    }

    /// The same, but nothing more comes and the connection stays.
    pub(crate) fn then_stall(self) -> Self {
        Self { then: Then::Stall, ..self }
    }
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Request line and headers, names in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// A running server: answers the n-th connection with the n-th prepared answer, further ones with the last.
pub(crate) struct Loopback {
    pub(crate) address: String,
    received: Arc<Mutex<Vec<Received>>>,
    gone: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Loopback {
    pub(crate) async fn start(answers: Vec<Prepared>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let gone = Arc::new(Notify::new());
        let task = tokio::spawn(serve(listener, answers, Arc::clone(&received), Arc::clone(&gone)));
        Self { address, received, gone, task }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// Returns when a client has gone away from a stalled connection.
    pub(crate) async fn client_gone(&self) {
        self.gone.notified().await;
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    answers: Vec<Prepared>,
    received: Arc<Mutex<Vec<Received>>>,
    gone: Arc<Notify>,
) {
    for n in 0.. {
        let Ok((mut stream, _)) = listener.accept().await else { return };
        let answer = answers[n.min(answers.len() - 1)].clone();
        let (received, gone) = (Arc::clone(&received), Arc::clone(&gone));
        tokio::spawn(async move {
            let Some(request) = read(&mut stream).await else { return };
            received.lock().unwrap().push(request);
            if stream.write_all(&answer.bytes).await.is_ok() && answer.then == Then::Stall {
                // Ends with 0 bytes or an error when the client closes its side.
                let _ = stream.read(&mut [0; 16]).await;
                gone.notify_one();
            }
        });
    }
}

/// Reads a request with a content length.
async fn read(stream: &mut TcpStream) -> Option<Received> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk).await.ok().filter(|&n| n > 0)?;
        bytes.extend_from_slice(&chunk[..n]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
        if bytes.len() >= end + 4 + length {
            return Some(Received { head, body: bytes[end + 4..].to_vec() });
        }
    }
}
