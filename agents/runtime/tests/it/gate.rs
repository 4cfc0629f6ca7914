//! A client into the API in process whose requests can be held up or refused on the way.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use dropmate_api::Clock;
use dropmate_control_plane::ControlPlane;
use http::{Request, StatusCode};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use tokio::time::Instant;
use tower::{Service, service_fn};

/// Whether requests get through. Clones open and close together.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    closed: Arc<AtomicBool>,
}

impl Gate {
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn open(&self) {
        self.closed.store(false, Ordering::SeqCst);
    }

    /// A client of the dispatch agent behind this gate.
    pub(crate) fn client(&self, plane: &ControlPlane) -> Client {
        let gate = self.clone();
        let router = plane.in_process("system:serviceaccount:dropmate-system:dispatch");
        let service = service_fn(move |request: Request<kube::client::Body>| {
            let mut router = router.clone();
            let closed = gate.closed.load(Ordering::SeqCst);
            async move {
                if closed {
                    return Ok::<Response<Body>, Infallible>(StatusCode::SERVICE_UNAVAILABLE.into_response());
                }
                router.call(request).await
            }
        });
        Client::new(service, "default")
    }
}

/// A clock that stands still when tokio's does.
pub(crate) fn clock() -> Clock {
    let origin: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
    let started = Instant::now();
    Clock::real(Arc::new(move || origin + SignedDuration::try_from(started.elapsed()).unwrap()))
}

pub(crate) async fn plane() -> ControlPlane {
    ControlPlane::in_memory(clock()).await
}
