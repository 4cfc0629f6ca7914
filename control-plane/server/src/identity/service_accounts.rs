//! The tokens of a service account, all at once.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use dropmate_api::registry::by_resource;
use dropmate_identity::Subject;
use dropmate_store::{At, Key};
use http::StatusCode;

use super::{of, told};
use crate::{error::ApiError, state::AppState};

/// `DELETE /v1/namespaces/{namespace}/serviceaccounts/{name}/tokens`: ends every token issued until now.
pub(crate) async fn revoke_tokens(
    State(state): State<AppState>,
    Path((namespace, name)): Path<(String, String)>,
) -> Response {
    let answer = async {
        let kind = by_resource("", "v1", "serviceaccounts").ok_or_else(ApiError::no_such_path)?;
        let key = Key { resource: kind.storage.to_owned(), namespace: namespace.clone(), name: name.clone() };
        let (account, _) = state.store.get(&key, At::Latest).await?;
        let uid = account.ok_or_else(|| ApiError::not_found(kind, &name))?.uid.clone();
        of(&state)?.revoke(Subject::ServiceAccount { namespace, name, uid }).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    told(answer.await)
}
