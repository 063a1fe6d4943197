//! Where requests come in: connections, with or without TLS, bounded in number and time.
//!
//! ```text
//! accept ──▶ slot ──▶ TLS handshake ──▶ head ──▶ body ──▶ handler ──▶ answer
//!            waits       request       request  request    answer
//! ```
//!
//! Connections beyond the limit wait, in the system's queue and not in our memory: a proxy that waits for a slot is
//! served a little later, one that is turned away fails its agent's call. Idle ones give way to those that wait.

pub mod connection;
pub mod peer;
pub mod pulse;
pub mod request;
pub mod stop;
pub mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use connection::Terms;
use stop::{Signals, Stop};
use tls::Tls;

/// How many connections there may be, and how long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most connections at one time, those in their handshake included.
    pub connections: usize,
    /// For each of handshake, head and body of a request.
    pub request: Duration,
    /// From a request's head to its answer.
    pub answer: Duration,
    /// For what has begun when the process is told to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let [request, answer, drain] = [10, 30, 10].map(Duration::from_secs);
        Self { connections: 1024, request, answer, drain }
    }
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// All that had begun is done.
    Finished,
    /// The time for that was over.
    Late,
    /// A second signal wants the end at once.
    ToldAgain,
}

/// A socket that listens.
pub struct Listener {
    socket: TcpListener,
    tls: Option<Tls>,
    limits: Limits,
}

impl Listener {
    /// Listens at `address`.
    pub async fn bind(address: SocketAddr, tls: Option<Tls>, limits: Limits) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::bind(address).await?, tls, limits })
    }

    /// Serves until the first of `signals`, then finishes what has begun, until all is done, the time for that is over
    /// or the second signal.
    pub async fn serve(self, router: Router, stop: Stop, mut signals: Signals) -> Over {
        let Self { socket, tls, limits } = self;
        let follower = tls.as_ref().map(Tls::follow);
        let slots = Arc::new(Semaphore::new(limits.connections));
        let terms = Terms { router, tls, limits, slots, stop };
        let mut connections = JoinSet::new();
        tokio::select! {
            () = accept(&socket, &terms, &mut connections) => {}
            () = signals.next() => {}
        }
        // Who is told that we stop, and comes back, finds another replica or nobody.
        drop(socket);
        terms.stop.begin();
        follower.inspect(|follower| follower.abort());
        while connections.try_join_next().is_some() {}
        tracing::info!(connections = connections.len(), "stopping");
        let over = tokio::select! {
            () = async { while connections.join_next().await.is_some() {} } => Over::Finished,
            () = sleep(limits.drain) => Over::Late,
            () = signals.next() => Over::ToldAgain,
        };
        tracing::info!(cut = connections.len(), ?over, "stopped");
        over
    }
}

/// Takes connections in; the one that finds no slot waits for it, and the others behind it.
async fn accept(socket: &TcpListener, terms: &Terms, connections: &mut JoinSet<()>) {
    loop {
        let (stream, address) = next(socket).await;
        let Ok(slot) = terms.slots.clone().acquire_owned().await else { return };
        while let Some(ended) = connections.try_join_next() {
            if let Err(error) = ended {
                tracing::error!("a connection failed: {error}");
            }
        }
        let terms = terms.clone();
        connections.spawn(async move {
            connection::serve(stream, address, terms).await;
            drop(slot);
        });
    }
}

/// The next connection. A failure is that of one peer, or passes: the process has no more descriptors.
async fn next(socket: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match socket.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!("no connection: {error}");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
