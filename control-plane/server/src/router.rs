//! The whole API on one page.

use axum::Router;

use crate::state::AppState;

/// Every route. Authentication, limits and logs are layers that the gateway puts around it.
pub fn routes(state: AppState) -> Router {
    Router::new().with_state(state)
}
