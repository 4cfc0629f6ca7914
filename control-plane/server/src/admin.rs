//! What operators and clients ask about the server itself: probes, metrics, clock.

use std::{
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use dropmate_store::{At, Key};
use http::{StatusCode, header::CONTENT_TYPE};
use prometheus_client::{encoding::text::encode, registry::Registry};
use serde_json::json;

use crate::{
    agents, archive, asyncapi, audit, auth, events, gateway::no_such_task, history, identity, incidents, ingest, me,
    notifications, pins, proofs, state::AppState, stream, track,
};

/// How long the store may take to answer a probe; probes themselves are given up after a second or a few.
const PROBE_DEADLINE: Duration = Duration::from_secs(1);

/// The admin port: everything, for whoever may reach it. Never public.
pub(crate) fn admin_routes(state: AppState, registry: Arc<Mutex<Registry>>) -> Router {
    let metrics = Router::new().route("/metrics", get(metrics)).with_state(registry);
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/healthz", get(ready_in_detail))
        .route("/readyz", get(ready_in_detail))
        .with_state(state)
        .merge(metrics)
}

/// The probes on the main port: yes or no.
pub(crate) fn probes(state: AppState) -> Router {
    Router::new()
        .route("/livez", get(async || "ok"))
        .route("/healthz", get(ready))
        .route("/readyz", get(ready))
        .with_state(state)
}

/// What anybody may read: how our tokens are checked.
pub(crate) fn well_known(state: AppState) -> Router {
    Router::new()
        .route("/.well-known/jwks.json", get(identity::keys::jwks))
        .route("/.well-known/openid-configuration", get(identity::keys::configuration))
        .with_state(state)
}

/// The task API: what is no resource. Errors are problems (RFC 9457).
pub(crate) fn tasks(state: AppState) -> Router {
    let tasks = Router::new()
        .route("/asyncapi.json", get(asyncapi::get))
        .route("/clock", get(clock))
        .route("/me", get(me::me))
        .route("/me/availability", put(me::set_availability))
        .route("/me/events", post(me::take_events))
        .route("/me/positions", post(me::keep_positions))
        .route("/me/route", get(me::route))
        .route("/internal/events", get(events::after))
        .route("/internal/mails", get(auth::mails_after))
        .route("/internal/positions", get(ingest::after))
        .route("/internal/reveal", post(track::reveal))
        .route("/internal/secrets", get(identity::secrets::resolve))
        .route("/namespaces/{namespace}/drivers/{name}/pairing", post(auth::make_pairing).delete(auth::unpair))
        .route("/namespaces/{namespace}/drivers/{name}/position", get(ingest::of_driver))
        .route("/me/proofs", post(proofs::upload))
        .route("/me/incidents", post(incidents::report))
        .route("/auth/login", post(auth::login))
        .route("/auth/refresh", post(auth::refresh))
        .route("/auth/logout", post(auth::logout))
        .route("/auth/register", post(auth::register))
        .route("/pair", post(auth::pair))
        .route("/auth/invitations/accept", post(auth::accept))
        .route("/auth/reset", post(auth::reset))
        .route("/auth/forgot", post(auth::forgot))
        .route("/auth/verify", post(auth::confirm))
        .route("/auth/password", post(auth::change_password))
        .route("/auth/totp", post(auth::enrol_totp).delete(auth::remove_totp))
        .route("/auth/totp/confirm", post(auth::confirm_totp))
        .route("/users", get(auth::list))
        .route("/users/{email}/disable", post(auth::disable))
        .route("/users/{email}/enable", post(auth::enable))
        .route("/users/{email}/verify", post(auth::verify))
        .route("/users/{email}/reset", post(auth::reset_link))
        .route("/users/{email}/totp", delete(auth::remove_totp_of))
        .route("/users/{email}/sessions", delete(auth::end_sessions))
        .route("/namespaces/{namespace}/members/{name}/invitation", post(auth::invite))
        .route("/keys/rotate", post(identity::keys::rotate))
        .route("/namespaces/{namespace}/serviceaccounts/{name}/tokens", delete(identity::revoke_tokens))
        .route("/namespaces/{namespace}/proofs/{id}", get(proofs::show))
        .route("/namespaces/{namespace}/orders/{name}/pin", get(pins::show).post(pins::renew))
        .route(
            "/namespaces/{namespace}/orders/{name}/tracking-links",
            post(track::make_link).delete(track::revoke_links),
        )
        .route("/namespaces/{namespace}/ratings", get(track::ratings))
        .route("/namespaces/{namespace}/incidents", get(incidents::list))
        .route("/namespaces/{namespace}/incidents/{id}/resolve", post(incidents::resolve))
        .route("/namespaces/{namespace}/secrets", get(identity::secrets::list))
        .route("/namespaces/{namespace}/secrets/{name}", put(identity::secrets::put).delete(identity::secrets::delete))
        .route("/namespaces/{namespace}/archive/{resource}", get(archive::list))
        .route("/namespaces/{namespace}/archive/{resource}/{name}", get(archive::get))
        .route("/namespaces/{namespace}/orders/{name}/timeline", get(agents::timeline))
        .route("/namespaces/{namespace}/drivers/{name}/positions", get(agents::positions))
        .route("/namespaces/{namespace}/orders/{name}/notifications", get(notifications::of_order))
        .route("/namespaces/{namespace}/notifications", get(notifications::list))
        .route("/namespaces/{namespace}/notifications/preview", post(notifications::preview))
        .route("/namespaces/{namespace}/notifications/retry", post(notifications::retry_dead))
        .route("/namespaces/{namespace}/notifications/{id}", get(notifications::show))
        .route("/namespaces/{namespace}/notifications/{id}/retry", post(notifications::retry))
        .route("/namespaces/{namespace}/webhooks/{name}/enable", post(notifications::enable))
        .route("/namespaces/{namespace}/webhooks/{name}/replay", post(notifications::replay))
        .route("/namespaces/{namespace}/webhooks/{name}/test", post(notifications::test))
        .route("/namespaces/{namespace}/history/{resource}/{name}", get(history::of_namespaced))
        .route("/history/{resource}/{name}", get(history::of_cluster))
        .route("/namespaces/{namespace}/audit", get(audit::of_namespace))
        .route("/audit", get(audit::of_everything))
        .route("/revisions", get(history::revision_at))
        .route("/track/{token}", get(track::show))
        .route("/track/{token}/notifications", post(track::set_notifications))
        .route("/track/{token}/rating", post(track::rate))
        .route("/track/{token}/stream", get(track::open_stream))
        .route("/stream", get(stream::open))
        .route("/stream/tickets", post(stream::ticket))
        .fallback(no_such_task)
        .with_state(state);
    Router::new().nest("/v1", tasks)
}

/// `GET /v1/clock`: agents in another process keep business time by it.
async fn clock(State(state): State<AppState>) -> Response {
    let system = state.clock.system_now();
    Json(json!({
        "systemNow": system,
        "businessNow": state.clock.to_business(system),
        "speed": state.clock.speed(),
    }))
    .into_response()
}

async fn metrics(State(registry): State<Arc<Mutex<Registry>>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &registry.lock().unwrap_or_else(PoisonError::into_inner)) {
        Ok(()) => {
            ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn ready(State(state): State<AppState>) -> Response {
    let failed = checks(&state).await.into_iter().any(|(_, outcome)| outcome.is_err());
    if failed { (StatusCode::SERVICE_UNAVAILABLE, "not ready").into_response() } else { "ok".into_response() }
}

async fn ready_in_detail(State(state): State<AppState>) -> Response {
    let checks = checks(&state).await;
    let failed = checks.iter().any(|(_, outcome)| outcome.is_err());
    let mut text = String::new();
    for (name, outcome) in checks {
        // Writing into a string cannot fail.
        let _ = match outcome {
            Ok(()) => writeln!(text, "[+]{name} ok"),
            Err(why) => writeln!(text, "[-]{name} failed: {why}"),
        };
    }
    text.push_str(if failed { "readyz check failed\n" } else { "readyz check passed\n" });
    (if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, text).into_response()
}

async fn checks(state: &AppState) -> [(&'static str, Result<(), String>); 2] {
    let key = Key { resource: "namespaces".to_owned(), namespace: String::new(), name: "default".to_owned() };
    let store = match tokio::time::timeout(PROBE_DEADLINE, state.store.get(&key, At::Latest)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer within a second".to_owned()),
    };
    let draining = if state.shutdown.is_cancelled() { Err("shutting down".to_owned()) } else { Ok(()) };
    [("store", store), ("serving", draining)]
}
