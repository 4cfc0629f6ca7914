//! Serving connections: our own accept loop on hyper, since `axum::serve` never closes a connection that sends nothing.
//!
//! Every connection has a deadline from its first moment on, and there is a bound on how many there are.

mod activity;
mod connection;
mod slots;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use axum::Router;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::connection::OpenConnection;
use crate::{caller::ClientAddress, metrics::Metrics};

/// The bounds on connections. [`Limits::default`] is what runs; tests make them tighter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From accepting a connection to the end of the TLS handshake (a silent one never begins it).
    pub(crate) handshake: Duration,
    /// From the first byte of a request (or from the handshake, for the first request) to the end of its headers.
    pub(crate) header: Duration,
    /// How long a connection may be open without a request. Watches are requests: they are not idle.
    pub(crate) idle: Duration,
    /// How long a client may take nothing of what was written to it.
    pub(crate) write_stall: Duration,
    /// From the start of shutdown to the end of the last request.
    pub(crate) drain: Duration,
    /// Connections at once.
    pub(crate) connections: usize,
    /// Connections at once from one address. The loopback address is exempt: behind a proxy on this machine all
    /// connections come from there.
    pub(crate) connections_per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A phone on a bad line needs a few round trips; nobody needs ten seconds.
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            // Longer than the 60 to 90 s for which common clients keep a connection, so they are the ones to close it.
            idle: Duration::from_mins(2),
            // A reader that is only slow takes a byte now and then.
            write_stall: Duration::from_secs(30),
            // What Kubernetes gives a pod before it kills it.
            drain: Duration::from_secs(30),
            // 10,000 idle clients and as much again as headroom would not fit a small machine: 12,288 × ~20 KB = 250 MB.
            connections: 12_288,
            // An office or a mobile carrier behind one address; one host alone cannot use everything up.
            connections_per_address: 2_048,
        }
    }
}

/// Headers of a request; real clients send about ten. Answered 431.
pub(crate) const HEADERS_MAX: usize = 100;
/// Bytes of a request's line and headers together: long selectors fit. Answered 431.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Requests at once on one HTTP/2 connection: informers hold one watch per kind and namespace.
const STREAMS_MAX: u32 = 250;
/// Bytes of answers kept for one HTTP/2 stream that the client has not taken yet.
const STREAM_SEND_BYTES: usize = 64 * 1024;
/// How often an HTTP/2 client must show that it is still there, and how long it may take.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a connection that is being closed may take for its goodbye.
const LINGER: Duration = Duration::from_secs(1);
/// The pause after a failed accept (out of file descriptors): time for others to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A port to serve on.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) listener: TcpListener,
    /// `None` is plain HTTP.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) router: Router,
}

/// Serves all ports until `shutdown`, then lets open requests end, for a bounded time.
pub(crate) async fn serve(ports: Vec<Port>, limits: Limits, metrics: Metrics, shutdown: CancellationToken) {
    let server = Server { limits, metrics, slots: slots::Slots::new(&limits), shutdown: shutdown.clone() };
    let connections = TaskTracker::new();
    let abort = CancellationToken::new();
    let accepting = TaskTracker::new();
    for port in ports {
        accepting.spawn(accept(port, server.clone(), connections.clone(), abort.clone()));
    }
    accepting.close();
    accepting.wait().await;
    connections.close();
    tracing::info!(connections = connections.len(), "draining");
    if tokio::time::timeout(limits.drain, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests did not end in time; cutting them");
        abort.cancel();
        connections.wait().await;
    }
}

/// What every connection shares.
#[derive(Clone)]
struct Server {
    limits: Limits,
    metrics: Metrics,
    slots: slots::Slots,
    shutdown: CancellationToken,
}

async fn accept(port: Port, server: Server, connections: TaskTracker, abort: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = server.shutdown.cancelled() => return,
            accepted = port.listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(slot) = server.slots.take(peer.ip()) else {
                    server.metrics.closed("limit");
                    continue;
                };
                let client = ClientAddress(peer.ip());
                // Where it becomes a stream, the stream holds it after its requests have ended.
                let open = OpenConnection::new(slot, Counted::new(&server.metrics), connections.token());
                let serving = one(stream, client, open, port.tls.clone(), port.router.clone(), server.clone());
                let abort = abort.clone();
                connections.spawn(async move {
                    tokio::select! {
                        biased;
                        () = abort.cancelled() => {}
                        () = serving => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection from its first byte to its last.
async fn one(
    stream: TcpStream,
    peer: ClientAddress,
    open: OpenConnection,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    server: Server,
) {
    // Answers are written whole; waiting to fill a packet would only delay watch events.
    let _ = stream.set_nodelay(true);
    let reason = match tls {
        None => connection::http1(stream, peer, open, router, &server).await,
        Some(config) => {
            let handshake = tokio_rustls::TlsAcceptor::from(config).accept(stream);
            let handshake = tokio::select! {
                biased;
                () = server.shutdown.cancelled() => Ok(None),
                done = tokio::time::timeout(server.limits.handshake, handshake) => done.map(Some),
            };
            match handshake {
                Err(_) => Some("handshake"),
                Ok(None) => None,
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "a TLS handshake failed");
                    None
                }
                Ok(Some(Ok(stream))) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
                    connection::http2(stream, peer, open, router, &server).await
                }
                Ok(Some(Ok(stream))) => connection::http1(stream, peer, open, router, &server).await,
            }
        }
    };
    if let Some(reason) = reason {
        server.metrics.closed(reason);
    }
}

/// An open connection in the metrics, also when it is cut.
#[derive(Debug)]
struct Counted(Metrics);

impl Counted {
    fn new(metrics: &Metrics) -> Self {
        metrics.connections.inc();
        Self(metrics.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}
