//! A way to the database that tests can break: it passes bytes on, holds them, loses them, and cuts connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    Pass,
    /// Each answer comes that much later.
    Delay(Duration),
    /// What the client says arrives, what the server answers does not.
    LoseAnswers,
    /// What the client says does not arrive.
    LoseRequests,
    /// New connections are closed at once.
    Refuse,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State {
    mode: Mode,
    /// Connections of another number are cut.
    cuts: u64,
}

pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<watch::Sender<State>>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(watch::Sender::new(State { mode: Mode::Pass, cuts: 0 }));
        let seen = state.subscribe();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if seen.borrow().mode == Mode::Refuse {
                    continue;
                }
                tokio::spawn(connection(client, server, seen.clone()));
            }
        });
        Self { port, state, task }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.state.send_modify(|state| state.mode = mode);
    }

    /// Cuts all connections there are.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}

async fn connection(client: TcpStream, server: SocketAddr, state: watch::Receiver<State>) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let cuts = state.borrow().cuts;
    let mut cut = state.clone();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // Whatever ends first ends both ways.
    tokio::select! {
        () = pass(from_client, to_server, state.clone(), Mode::LoseRequests) => {}
        () = pass(from_server, to_client, state, Mode::LoseAnswers) => {}
        _ = cut.wait_for(|state| state.cuts != cuts) => {}
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: watch::Receiver<State>, loses: Mode) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let mode = state.borrow().mode;
        if mode == loses {
            continue;
        }
        if let (Mode::Delay(time), Mode::LoseAnswers) = (mode, loses) {
            tokio::time::sleep(time).await;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
