//! `GET /v1/namespaces/{namespace}/drivers/{name}/position`: where a driver was last.

use axum::{
    Extension, Json,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use dropmate_api::roles::Parties;
use serde_json::Value;

use crate::{
    caller::Admission,
    error::ApiError,
    gateway::{Surface, refused},
    state::AppState,
};

/// `{latitude, longitude, at, speedMetersPerSecond?, bearing?, accuracyMeters?}`; 404 where nothing is known, and of
/// others than the caller where the caller sees only their own.
pub(crate) async fn of_driver(
    State(state): State<AppState>,
    Extension(admission): Extension<Admission>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let now = state.clock.business_now();
    let seen = admission.permit.sight.sees("drivers", &name, &Parties::default(), now);
    let position = state.live.latest(&namespace, &name).filter(|_| seen);
    let told = position.and_then(|position| serde_json::to_value(&*position).ok());
    let Some(Value::Object(mut told)) = told else {
        let missing = ApiError::no_such(format!("position of driver {name:?} not found"));
        return refused(&missing, Surface::Tasks);
    };
    // The path says them.
    told.remove("namespace");
    told.remove("driver");
    told.remove("uid");
    Json(told).into_response()
}
