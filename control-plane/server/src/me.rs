//! `GET /v1/me`: who the caller is, and where they have which role.

use axum::{Extension, Json, extract::State};
use dropmate_api::roles::{Grant, Role};
use serde_json::{Value, json};

use crate::{caller::Caller, state::AppState};

/// `{user, role?, memberships: [{namespace, role, driver?, customer?}]}`; `role` is a global one.
pub(crate) async fn me(State(state): State<AppState>, Extension(caller): Extension<Caller>) -> Json<Value> {
    let mut memberships: Vec<Grant> =
        state.members.grants(&caller).into_iter().filter(|grant| grant.namespace.is_some()).collect();
    memberships.sort_by(|a, b| a.namespace.cmp(&b.namespace).then(a.role.cmp(&b.role)));
    memberships.dedup();
    let mut answer = json!({
        "user": caller.user,
        "memberships": memberships.iter().map(membership).collect::<Vec<_>>(),
    });
    if let Some(role) = Role::of(&caller.user) {
        answer["role"] = role.name().into();
    }
    Json(answer)
}

fn membership(grant: &Grant) -> Value {
    let mut membership = json!({"namespace": grant.namespace, "role": grant.role.name()});
    match grant.role {
        Role::Driver => membership["driver"] = json!(grant.name),
        Role::Customer => membership["customer"] = json!(grant.name),
        _ => {}
    }
    membership
}
