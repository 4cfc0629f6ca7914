//! What a caller asks about themselves: `GET /v1/me`, and what a driver's phone does.

mod availability;
mod events;
mod list;
mod positions;
mod route;

use axum::{
    Extension, Json,
    extract::{FromRequestParts, Query, State},
    response::Response,
};
use dropmate_api::roles::{Grant, Role};
use dropmate_store::Actor;
use http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) use self::{
    availability::set as set_availability,
    events::take as take_events,
    positions::keep as keep_positions,
    route::{Kind as StopKind, Stop, get as route, stops_of},
};
use crate::{
    caller::{Caller, RequestId},
    error::{ApiError, Result},
    gateway::{Surface, refused},
    resources::client,
    state::AppState,
};

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

/// Why somebody else is refused.
pub(crate) const NOT_A_DRIVER: &str = "only drivers may ask this; a Member with the role driver makes one";

/// The driver as whom the caller asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Me {
    /// The driver's namespace.
    pub(crate) namespace: String,
    /// The Driver's name.
    pub(crate) driver: String,
    /// The caller.
    pub(crate) caller: Caller,
    /// Who writes, as the revision keeps it.
    pub(crate) actor: Actor,
}

#[derive(Deserialize)]
struct Where {
    namespace: Option<String>,
}

impl FromRequestParts<AppState> for Me {
    type Rejection = Response;

    /// Of somebody who is a driver in several businesses, `?namespace=` says where.
    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Response> {
        let problem = |refusal: ApiError| refused(&refusal, Surface::Tasks);
        let caller = parts.extensions.get::<Caller>().cloned().ok_or_else(|| problem(ApiError::unauthorized()))?;
        let Query(Where { namespace }) = Query::<Where>::try_from_uri(&parts.uri)
            .map_err(|error| problem(ApiError::bad_request(format!("the query cannot be read: {error}"))))?;
        let (namespace, driver) = one_driver(&state.members.grants(&caller), namespace.as_deref()).map_err(problem)?;
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        let actor = Actor { user: caller.user.clone(), client: client(&parts.headers), request_id };
        Ok(Self { namespace, driver, caller, actor })
    }
}

/// An answer, or the refusal as a problem.
fn told(answer: Result<Response>) -> Response {
    answer.unwrap_or_else(|error| refused(&error, Surface::Tasks))
}

/// The one driver that the grants make the caller.
fn one_driver(grants: &[Grant], asked: Option<&str>) -> Result<(String, String)> {
    let mut drivers: Vec<(&str, &str)> = grants
        .iter()
        .filter(|grant| grant.role == Role::Driver)
        .filter_map(|grant| Some((grant.namespace.as_deref()?, grant.name.as_deref()?)))
        .filter(|(namespace, _)| asked.is_none_or(|asked| asked == *namespace))
        .collect();
    drivers.sort_unstable();
    drivers.dedup();
    match drivers[..] {
        [(namespace, driver)] => Ok((namespace.to_owned(), driver.to_owned())),
        [] => Err(ApiError::forbidden_path(NOT_A_DRIVER)),
        _ => {
            let known: Vec<String> =
                drivers.iter().map(|(namespace, driver)| format!("{namespace}/{driver}")).collect();
            let why = format!("Required value: you are the drivers {}; say ?namespace=", known.join(", "));
            Err(ApiError::invalid_field("namespace", &why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(role: Role, namespace: &str, name: &str) -> Grant {
        Grant { role, namespace: Some(namespace.to_owned()), name: Some(name.to_owned()) }
    }

    #[test]
    fn a_driver_of_one_business_need_not_say_which() {
        let (acme, bolt) = (grant(Role::Driver, "acme", "sam"), grant(Role::Driver, "bolt", "sam-b"));
        let customer = grant(Role::Customer, "acme", "ada");
        let found = |grants: &[Grant], asked| one_driver(grants, asked).ok();
        let sam = Some(("acme".to_owned(), "sam".to_owned()));
        assert_eq!(found(&[acme.clone(), customer.clone()], None), sam);
        assert_eq!(found(&[acme.clone(), bolt.clone()], None), None);
        assert_eq!(found(&[acme.clone(), bolt], Some("acme")), sam);
        assert_eq!(found(&[acme], Some("bolt")), None);
        assert_eq!(found(&[customer], None), None);
    }
}
