//! People: logging in and out, invitations and resets, over HTTPS; on SQLite, and on PostgreSQL at two control planes.

#[path = "auth/doors.rs"]
mod doors;
#[path = "auth/floods.rs"]
mod floods;
#[path = "auth/invitations.rs"]
mod invitations;
#[path = "auth/operator.rs"]
mod operator;
#[path = "auth/sessions.rs"]
mod sessions;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dropmate_api::Clock;
use dropmate_identity::Identity;
use dropmate_store::Postgres;
use dropmate_testing::Database;
use jiff::SignedDuration;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::{client::clock, server::Server};

const ADA: &str = "ada@example.com";
const GOOD: &str = "four words are plenty";
const OTHER: &str = "brass engines hum along";

/// One control plane or two, with a clock that can be turned forwards.
struct Place {
    a: Server,
    b: Option<Server>,
    ahead: Arc<AtomicU64>,
    _shared: Option<(Database, NamedTempFile)>,
}

impl Place {
    async fn sqlite() -> Self {
        let (ahead, clock) = turned();
        let a = Server::start_at(&["--open-registration"], clock).await;
        Self { a, b: None, ahead, _shared: None }
    }

    async fn postgres() -> Self {
        let (ahead, clock) = turned();
        let database = Database::create().await;
        Postgres::migrate(&database.url()).await.unwrap();
        Identity::migrate_postgres(&database.url()).await.unwrap();
        dropmate_ingest::Ingest::migrate_postgres(&database.url()).await.unwrap();
        let key = NamedTempFile::new().unwrap();
        std::fs::write(&key, "5a".repeat(32)).unwrap();
        let (url, file) = (database.url(), key.path().to_str().unwrap());
        let public = "https://shop.example";
        let flags =
            &["--open-registration", "--public-url", public, "--database-url", &url, "--secrets-key-file", file];
        let a = Server::start_at(flags, clock.clone()).await;
        let b = Server::start_at(flags, clock).await;
        Self { a, b: Some(b), ahead, _shared: Some((database, key)) }
    }

    /// The other control plane, where there is one.
    fn b(&self) -> &Server {
        self.b.as_ref().unwrap_or(&self.a)
    }

    fn pass(&self, time: Duration) {
        self.ahead.fetch_add(time.as_secs(), Ordering::SeqCst);
    }
}

fn turned() -> (Arc<AtomicU64>, Clock) {
    let ahead = Arc::<AtomicU64>::default();
    let (turned, real) = (ahead.clone(), clock());
    let now = move || real.system_now() + SignedDuration::from_secs(turned.load(Ordering::SeqCst) as i64);
    (ahead, Clock::real(Arc::new(now)))
}

/// Runs each of these on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($case:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::auth::Place::sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::auth::Place::postgres().await).await;
            })*
        }
    };
}
use on_both;

/// Code and body of an answer.
async fn read(answer: Response) -> (u16, Value) {
    let code = answer.status().as_u16();
    (code, answer.json().await.unwrap_or_default())
}

/// A request without a token.
async fn post(at: &Server, path: &str, body: &Value) -> (u16, Value) {
    read(at.http.post(at.url(path)).json(body).send().await.unwrap()).await
}

/// A request as the operator.
async fn operate(at: &Server, method: Method, path: &str) -> (u16, Value) {
    read(at.call("operator", method, path).send().await.unwrap()).await
}

async fn register(at: &Server, email: &str) {
    let body = json!({"email": email, "password": GOOD, "name": "Somebody"});
    assert_eq!(post(at, "/v1/auth/register", &body).await, (202, json!({})));
}

async fn login(at: &Server, email: &str, password: &str) -> (u16, Value) {
    post(at, "/v1/auth/login", &json!({"email": email, "password": password})).await
}

async fn refresh(at: &Server, grant: &Value) -> (u16, Value) {
    post(at, "/v1/auth/refresh", &json!({"refreshToken": grant["refreshToken"]})).await
}
