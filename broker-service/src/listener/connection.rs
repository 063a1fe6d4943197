//! One connection from its first byte to its last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, interval, timeout};
use tokio_rustls::TlsAcceptor;

use super::Limits;
use super::peer::{Peer, PeerCertificate};
use super::pulse::{Pulse, Room, Verdict, Watched};
use super::stop::Stop;
use super::tls::Tls;

/// The most requests one HTTP/2 connection has under way.
const STREAMS: u32 = 128;

/// The longest head of HTTP/1.1, and the longest header list of HTTP/2.
const HEAD: usize = 32 * 1024;

/// What all connections share.
#[derive(Clone)]
pub struct Terms {
    /// Answers requests.
    pub router: Router,
    /// TLS, if it is spoken.
    pub tls: Option<Tls>,
    /// How long things may take.
    pub limits: Limits,
    /// One permit for each connection there may be.
    pub slots: Arc<Semaphore>,
    /// The end.
    pub stop: Stop,
}

/// Serves one connection until it ends, is cut, or has finished what it had begun when the process stops.
pub async fn serve(stream: TcpStream, address: SocketAddr, terms: Terms) {
    // Small answers must not wait for more to send.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%address, "no `TCP_NODELAY`: {error}");
    }
    let Some(tls) = &terms.tls else {
        return speak(stream, Peer { address, certificate: None }, &terms).await;
    };
    let handshake = timeout(terms.limits.request, TlsAcceptor::from(tls.current()).accept(stream));
    let outcome = tokio::select! {
        outcome = handshake => outcome,
        // Nothing has begun.
        () = terms.stop.begun() => return,
    };
    let stream = match outcome {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::info!(%address, "no TLS: {error}"),
        Err(_) => return tracing::info!(%address, "no TLS: the handshake takes too long"),
    };
    let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    match leaf.map(|leaf| PeerCertificate::read(leaf)).transpose() {
        Ok(certificate) => {
            let peer = Peer { address, certificate: certificate.map(Arc::new) };
            if let Some(certificate) = &peer.certificate {
                let digest = accredit_policy::token::hex(&certificate.sha256);
                tracing::debug!(%address, subject = certificate.subject, sha256 = digest, "client with a certificate");
            }
            speak(stream, peer, &terms).await;
        }
        Err(unreadable) => tracing::info!(%address, "{unreadable}"),
    }
}

/// HTTP/1.1 or HTTP/2, whichever the client begins with.
async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer, terms: &Terms) {
    let address = peer.address;
    let pulse = Pulse::new(Instant::now());
    let router = TowerToHyperService::new(terms.router.clone());
    let turns = pulse.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let turn = turns.request(request.version());
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer.clone()));
        let answer = router.call(request);
        async move {
            let answer = answer.await;
            drop(turn);
            answer as Result<_, Infallible>
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(HEAD);
    builder.http2().max_concurrent_streams(STREAMS).max_header_list_size(HEAD.try_into().unwrap_or(u32::MAX));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(Watched::new(stream, pulse.clone())), service));
    let mut stopping = pin!(terms.stop.begun());
    let mut looks = interval(terms.limits.request.checked_div(8).unwrap_or(terms.limits.request));
    let mut told = Told::Nothing;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%address, "connection broken: {error}");
                }
                return;
            }
            () = &mut stopping, if told == Told::Nothing => {
                told = Told::ToFinish;
                connection.as_mut().graceful_shutdown();
            }
            _ = looks.tick() => {
                let room = if terms.slots.available_permits() == 0 { Room::Full } else { Room::Free };
                match (pulse.judge(Instant::now(), terms.limits.request, room), told) {
                    (Verdict::Lives, _) => {}
                    (Verdict::Slow, _) => return tracing::info!(%address, "cut: the head of a request takes too long"),
                    (Verdict::Spare, Told::Nothing) => {
                        told = Told::ToFinish;
                        connection.as_mut().graceful_shutdown();
                    }
                    // It has been told, and does not go.
                    (Verdict::Spare, Told::ToFinish) => return,
                }
            }
        }
    }
}

/// What the other end has been told about this connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    /// Nothing new is taken.
    ToFinish,
}
