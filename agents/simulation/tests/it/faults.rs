//! A bad network and a struggling server, in front of the real API: a layer that loses answers, invents conflicts,
//! cuts watches and forgets their versions, drawn from a seed. It counts what it did, so that a test can tell that the
//! faults it asked for have happened.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::replicas::{Caller, Replicas};

/// The share of writes that go wrong, each way: over some days of thirty orders, each way happens often.
pub(super) const WRITE_FAULTS: f64 = 0.02;
/// The share of watches that go wrong, each way. A watch lives long, so this is far more.
const WATCH_FAULTS: f64 = 0.2;

#[derive(Debug)]
pub(super) struct Faults {
    on: AtomicBool,
    write_faults: f64,
    chance: Mutex<ChaCha8Rng>,
    pub(super) conflicts: AtomicUsize,
    pub(super) errors: AtomicUsize,
    pub(super) unavailable: AtomicUsize,
    pub(super) lost_answers: AtomicUsize,
    pub(super) expired: AtomicUsize,
    pub(super) cut: AtomicUsize,
}

/// What happens to a request.
enum Fate {
    Passes,
    Answered(StatusCode, &'static str),
    /// The write happens, and nobody hears of it.
    Lost,
    /// The watch starts and says that its version is too old.
    Expired,
    /// The watch ends after so many pieces.
    Cut(usize),
}

impl Faults {
    pub(super) fn new(seed: u64, write_faults: f64) -> Arc<Self> {
        Arc::new(Self {
            on: AtomicBool::new(true),
            write_faults,
            chance: Mutex::new(ChaCha8Rng::seed_from_u64(seed ^ 0xFA17)),
            conflicts: AtomicUsize::default(),
            errors: AtomicUsize::default(),
            unavailable: AtomicUsize::default(),
            lost_answers: AtomicUsize::default(),
            expired: AtomicUsize::default(),
            cut: AtomicUsize::default(),
        })
    }

    pub(super) fn stop(&self) {
        self.on.store(false, Relaxed);
    }

    /// The API as `user` sees it through these faults.
    pub(super) fn client(self: &Arc<Self>, replicas: &Arc<Replicas>, user: &str) -> kube::Client {
        let (caller, faults) = (replicas.caller(user), self.clone());
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let (caller, faults) = (caller.clone(), faults.clone());
            async move { faults.pass(caller, request.map(Body::new)).await }
        });
        kube::Client::new(service, "default")
    }

    async fn pass(&self, caller: Caller, request: Request<Body>) -> Result<Response<Body>, tower::BoxError> {
        let fate = self.draw(&request);
        if let Fate::Answered(code, reason) = fate {
            return Ok(refusal(code, reason));
        }
        if matches!(fate, Fate::Expired) {
            let line = format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", status(StatusCode::GONE, "Expired"));
            return Ok(Response::new(Body::from(line)));
        }
        let response = caller.send(request).await?;
        Ok(match fate {
            Fate::Lost => return Err("the connection was lost".into()),
            Fate::Cut(pieces) => response.map(|body| cut_after(body, pieces)),
            _ => response,
        })
    }

    fn draw(&self, request: &Request<Body>) -> Fate {
        if !self.on.load(Relaxed) {
            return Fate::Passes;
        }
        let mut chance = self.chance.lock().expect("nothing panics while it draws");
        let drawn: f64 = chance.random();
        let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        // A lease that is lost is a fault of its own; its renewals go through.
        let is_lease = request.uri().path().contains("/leases");
        let count = |counter: &AtomicUsize, fate| {
            counter.fetch_add(1, Relaxed);
            fate
        };
        if is_watch {
            return match drawn {
                d if d < WATCH_FAULTS => count(&self.expired, Fate::Expired),
                d if d < 2.0 * WATCH_FAULTS => count(&self.cut, Fate::Cut(chance.random_range(0..40))),
                _ => Fate::Passes,
            };
        }
        if request.method() == Method::GET || is_lease {
            return Fate::Passes;
        }
        match (drawn / self.write_faults) as u32 {
            0 => count(&self.conflicts, Fate::Answered(StatusCode::CONFLICT, "Conflict")),
            1 => count(&self.errors, Fate::Answered(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")),
            2 => count(&self.unavailable, Fate::Answered(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")),
            3 => count(&self.lost_answers, Fate::Lost),
            _ => Fate::Passes,
        }
    }
}

fn cut_after(body: Body, pieces: usize) -> Body {
    let frames = futures::stream::unfold((body, pieces), |(mut body, left)| async move {
        if left == 0 {
            return None;
        }
        let data: Bytes = body.frame().await?.ok()?.into_data().unwrap_or_default();
        Some((Ok::<_, std::convert::Infallible>(data), (body, left - 1)))
    });
    Body::from_stream(frames)
}

fn refusal(code: StatusCode, reason: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(status(code, reason)));
    *response.status_mut() = code;
    response
}

fn status(code: StatusCode, reason: &str) -> String {
    serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "an injected fault",
        "reason": reason, "code": code.as_u16(),
    })
    .to_string()
}
