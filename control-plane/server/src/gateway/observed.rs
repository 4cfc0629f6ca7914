//! An answer's body, watched to its end: then come the log line and the metrics.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, extract::Request};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep},
};

use super::asked::Asked;
use crate::{limits::Standing, metrics::Metrics};

/// The code in log and metrics for a client that went away before its answer began, as reverse proxies write it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// What is told about a request once its answer has ended, however it ended.
pub(super) struct Record {
    pub(super) asked: Asked,
    pub(super) caller: String,
    /// The same, as logs may say it.
    pub(super) said: String,
    pub(super) request_id: String,
    pub(super) status: StatusCode,
    /// Where it came from; `None` in process.
    pub(super) address: Option<IpAddr>,
    /// The limit that ends first, if one is half used up.
    pub(super) standing: Option<Standing>,
    /// Room among the requests at once, kept to the end.
    pub(super) permit: Option<OwnedSemaphorePermit>,
    in_process: bool,
    metrics: Metrics,
    method: Method,
    started: Instant,
    bytes: u64,
}

impl Record {
    pub(super) fn new(request: &Request, request_id: String, in_process: bool, metrics: Metrics) -> Self {
        metrics.in_flight.inc();
        Self {
            asked: Asked::of(request),
            caller: String::new(),
            said: String::new(),
            request_id,
            status: StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::BAD_REQUEST),
            address: None,
            standing: None,
            permit: None,
            in_process,
            metrics,
            method: request.method().clone(),
            started: Instant::now(),
            bytes: 0,
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        let code = self.status.as_u16();
        self.metrics.in_flight.dec();
        let measured = (!self.asked.watch).then_some(duration);
        self.metrics.served(&self.asked.verb(&self.method), self.asked.kind(), code, measured);
        // The agents in this process and probes ask all the time; their lines are for who looks for them.
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    method = %self.method,
                    route = self.asked.route,
                    status = code,
                    duration_ms = duration.as_micros() as f64 / 1e3,
                    caller = self.said,
                    request_id = self.request_id,
                    bytes = self.bytes,
                    "answered a request"
                )
            };
        }
        let probe = self.asked.public && self.method != Method::POST && self.status.is_success();
        if self.in_process || probe { line!(debug) } else { line!(info) }
    }
}

/// What ends a body before its time.
pub(super) struct Cut {
    when: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Whether the client must see that something is missing.
    fails: bool,
}

impl Cut {
    pub(super) fn never() -> Self {
        Self { when: None, fails: false }
    }

    /// The body just ends, as a watch may at any time.
    pub(super) fn when(ended: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { when: Some(Box::pin(ended)), fails: false }
    }

    pub(super) fn failing_after(deadline: Duration) -> Self {
        Self { when: Some(Box::pin(sleep(deadline))), fails: true }
    }
}

/// A body with its record.
pub(super) struct Observed {
    body: Body,
    record: Record,
    cut: Cut,
}

impl Observed {
    pub(super) fn new(body: Body, record: Record, cut: Cut) -> Self {
        Self { body, record, cut }
    }
}

impl HttpBody for Observed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if let Some(when) = &mut this.cut.when
            && when.as_mut().poll(cx).is_ready()
        {
            this.cut.when = None;
            this.body = Body::empty();
            if this.cut.fails {
                return Poll::Ready(Some(Err(axum::Error::new(io::Error::from(io::ErrorKind::TimedOut)))));
            }
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            this.record.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
