//! One connection: HTTP/1.1 or HTTP/2 beside its watchdog.

use std::{convert::Infallible, pin::pin, sync::Arc};

use axum::{Router, body::Body};
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::task_tracker::TaskTrackerToken;
use tower::ServiceExt;

use super::{
    Counted, HEADER_BYTES_MAX, HEADERS_MAX, LINGER, PING_INTERVAL, PING_TIMEOUT, STREAM_SEND_BYTES, STREAMS_MAX,
    Server,
    activity::{Activity, Held, Watched},
    slots::Slot,
};
use crate::caller::ClientAddress;

/// What an open connection takes up, a request extension: held until nothing of it is left.
#[derive(Clone, Debug)]
pub(crate) struct OpenConnection(#[expect(dead_code, reason = "only held")] Arc<(Slot, Counted, TaskTrackerToken)>);

impl OpenConnection {
    pub(super) fn new(slot: Slot, counted: Counted, token: TaskTrackerToken) -> Self {
        Self(Arc::new((slot, counted, token)))
    }
}

/// Serves HTTP/1.1; says why the server closed it, if it did.
pub(super) async fn http1<S>(
    stream: S,
    peer: ClientAddress,
    open: OpenConnection,
    router: Router,
    server: &Server,
) -> Option<&'static str>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let activity = Arc::<Activity>::default();
    let stream = Watched::new(stream, activity.clone(), server.limits.write_stall);
    let handler = service_fn({
        let activity = activity.clone();
        move |request| handle(request, peer, open.clone(), router.clone(), activity.clone())
    });
    let mut connection = pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            // The watchdog does this: hyper's own deadline runs between requests too, and would cut idle connections.
            .header_read_timeout(None)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), handler)
            // A live stream goes on where its request has ended.
            .with_upgrades()
    );
    let reason = tokio::select! {
        biased;
        _ = connection.as_mut() => return None,
        () = server.shutdown.cancelled() => None,
        reason = activity.idle(&server.limits, true) => Some(reason),
    };
    connection.as_mut().graceful_shutdown();
    finish(connection, reason, &activity, server).await
}

/// Serves HTTP/2; says why the server closed it, if it did.
pub(super) async fn http2<S>(
    stream: S,
    peer: ClientAddress,
    open: OpenConnection,
    router: Router,
    server: &Server,
) -> Option<&'static str>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let activity = Arc::<Activity>::default();
    let stream = Watched::new(stream, activity.clone(), server.limits.write_stall);
    let handler = service_fn({
        let activity = activity.clone();
        move |request| handle(request, peer, open.clone(), router.clone(), activity.clone())
    });
    let mut connection = pin!(
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADER_BYTES_MAX as u32)
            .max_send_buf_size(STREAM_SEND_BYTES)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .serve_connection(TokioIo::new(stream), handler)
    );
    let reason = tokio::select! {
        biased;
        _ = connection.as_mut() => return None,
        () = server.shutdown.cancelled() => None,
        reason = activity.idle(&server.limits, false) => Some(reason),
    };
    connection.as_mut().graceful_shutdown();
    finish(connection, reason, &activity, server).await
}

/// Lets a connection end: one that did nothing gets a moment for its goodbye, one that is drained ends with its
/// requests, and with nothing in flight it may not linger either.
async fn finish(
    connection: impl Future<Output = hyper::Result<()>>,
    reason: Option<&'static str>,
    activity: &Activity,
    server: &Server,
) -> Option<&'static str> {
    if reason.is_some() {
        let _ = tokio::time::timeout(LINGER, connection).await;
    } else {
        let limits = super::Limits { header: LINGER, idle: LINGER, ..server.limits };
        tokio::select! {
            biased;
            _ = connection => {}
            _ = activity.idle(&limits, false) => {}
        }
    }
    reason
}

async fn handle(
    mut request: Request<Incoming>,
    peer: ClientAddress,
    open: OpenConnection,
    router: Router,
    activity: Arc<Activity>,
) -> Result<Response<Held<Body>>, Infallible> {
    let in_flight = activity.request();
    request.extensions_mut().insert(peer);
    request.extensions_mut().insert(open);
    let answer = router.oneshot(request.map(Body::new)).await?;
    Ok(answer.map(|body| Held::new(body, in_flight)))
}
