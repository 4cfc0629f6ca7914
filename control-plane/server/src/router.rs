//! The whole API on one page.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    response::{IntoResponse, Response},
    routing::{get, post},
};

use crate::{discovery, error::ApiError, openapi, resources, reviews, state::AppState};

/// Every route. Authentication, limits and logs are layers that the gateway puts around it.
pub(crate) fn routes(state: AppState) -> Router {
    Router::new()
        .merge(discovery::routes())
        .merge(openapi::routes())
        .merge(reviews::routes())
        .merge(resources_under("/api/v1"))
        .merge(resources_under("/apis/{group}/{version}"))
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        // The verbs read bodies themselves, with their own limit and a `Status` for what is larger.
        .layer(DefaultBodyLimit::disable())
        .with_state(state)
}

/// The verbs of every kind in the registry: which kind a path means, `Target` tells.
fn resources_under(root: &str) -> Router<AppState> {
    let collection =
        || get(resources::list_or_watch).post(resources::create_in_collection).delete(resources::delete_collection);
    let object = || get(resources::get).put(resources::replace).patch(resources::patch).delete(resources::delete);
    let status = || get(resources::get).put(resources::replace).patch(resources::patch);
    let namespaced = format!("{root}/namespaces/{{namespace}}/{{resource}}");
    Router::new()
        .route(&format!("{root}/{{resource}}"), collection())
        .route(&format!("{root}/{{resource}}/{{name}}"), object())
        .route(&format!("{root}/{{resource}}/{{name}}/status"), status())
        .route(&namespaced, collection())
        .route(&format!("{namespaced}/{{name}}"), object())
        .route(&format!("{namespaced}/{{name}}/status"), status())
        .route(&format!("{namespaced}/{{name}}/binding"), post(resources::bind).delete(resources::unbind))
        .route(&format!("{namespaced}/{{name}}/progress"), post(resources::report_progress))
        .route(&format!("{namespaced}/{{name}}/token"), post(reviews::request_token))
        // `namespaces/NAME/status` is the object's part, not a kind called `status`.
        .route(&format!("{root}/namespaces/{{name}}/status"), status())
}

async fn nothing_here() -> Response {
    ApiError::no_such_path().into_response()
}

async fn wrong_method() -> Response {
    ApiError::method_not_allowed().into_response()
}
