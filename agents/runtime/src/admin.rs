//! The admin port: `/metrics` and probes with details, over plain HTTP, for whoever may reach it. Never public.

use std::{
    fmt::Write,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{Request, StatusCode, header::CONTENT_TYPE};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

/// From a connection's first moment, or its last answer, to the end of a request's headers.
const HEADER_WITHIN: Duration = Duration::from_secs(10);

/// How long a connection may last, so that a reader who takes nothing does not hold it forever.
const CONNECTION_MAX: Duration = Duration::from_mins(2);

/// How long a connection that is being closed may take for the request under way.
const LINGER: Duration = Duration::from_secs(2);

/// Connections at once: a few probes, a few collectors of metrics, and the gateway.
const CONNECTIONS_MAX: usize = 64;

/// The pause after a failed accept (out of file descriptors): time for others to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// One thing an agent needs to be ready: whether it has it, and what else is to be said.
pub type Check = Box<dyn Fn() -> Result<String, String> + Send + Sync>;

/// What the admin port tells.
pub struct Admin {
    /// By name, in the order in which they are told.
    pub checks: Vec<(&'static str, Check)>,
    /// Of everything in this process.
    pub registry: Registry,
}

/// Binds the admin port: exactly where asked for, else at the agent's own port of this machine, or a free one if that
/// is taken, so that a second instance on a machine just starts.
pub async fn bind(asked: Option<SocketAddr>, own_port: u16) -> anyhow::Result<TcpListener> {
    let on_this_machine = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let bind = async |address| {
        TcpListener::bind(address).await.with_context(|| format!("--admin-listen: cannot listen on {address}"))
    };
    if let Some(address) = asked {
        return bind(address).await;
    }
    match bind(on_this_machine(own_port)).await {
        Ok(listener) => Ok(listener),
        Err(error) => {
            let listener = bind(on_this_machine(0)).await?;
            let got = listener.local_addr()?;
            tracing::warn!(error = %format!("{error:#}"), %got, "the admin port is taken; serving it elsewhere");
            Ok(listener)
        }
    }
}

impl Admin {
    /// What is served.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/livez", get(async || "ok\n"))
            .route("/healthz", get(ready))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(Arc::new(self))
    }
}

async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let (mut text, mut failed) = (String::new(), false);
    for (name, check) in &admin.checks {
        // Writing into a string cannot fail.
        let _ = match check() {
            Ok(what) => writeln!(text, "[+]{name} ok: {what}"),
            Err(why) => {
                failed = true;
                writeln!(text, "[-]{name} failed: {why}")
            }
        };
    }
    text.push_str(if failed { "readyz check failed\n" } else { "readyz check passed\n" });
    (if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, text).into_response()
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &admin.registry) {
        Ok(()) => {
            ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Serves until `stop`. Our own loop on hyper, since `axum::serve` never closes a connection that sends nothing.
pub async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => {
                // Whoever finds no room is closed at once, and may come again.
                let Ok(place) = room.clone().try_acquire_owned() else { continue };
                let (routes, stop) = (routes.clone(), stop.clone());
                connections.spawn(async move {
                    one(stream, routes, stop).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection on the admin port");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn one(stream: TcpStream, routes: Router, stop: CancellationToken) {
    let handler = service_fn(move |request: Request<Incoming>| routes.clone().oneshot(request.map(Body::new)));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_WITHIN)
        .serve_connection(TokioIo::new(stream), handler);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        biased;
        _ = connection.as_mut() => return,
        () = stop.cancelled() => {}
        () = sleep(CONNECTION_MAX) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(LINGER, connection).await;
}
