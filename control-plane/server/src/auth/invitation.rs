//! Inviting somebody to be a Member.

use axum::{
    Extension,
    extract::{Path, State},
    response::Response,
};
use dropmate_identity::Invitation;

use super::{
    answer::{linked, said, told},
    identity,
};
use crate::{caller::Caller, members, state::AppState};

/// `POST /v1/namespaces/{namespace}/members/{name}/invitation` → 201 `{url, token, expiresAt}`. The link takes the place of
/// any before it.
pub(crate) async fn invite(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path((namespace, member)): Path<(String, String)>,
) -> Response {
    let answer = async {
        let identity = identity(&state)?;
        let invited = members::invited(&state, &namespace, &member).await?;
        let invitation = Invitation { email: invited.email, namespace, member, member_uid: invited.uid };
        let link = identity.invite(&invitation).await.map_err(said)?;
        tracing::info!(
            namespace = invitation.namespace,
            role = invited.role,
            by = caller.said(),
            "somebody was invited"
        );
        Ok(linked(identity.issuer(), "invitations", &link))
    };
    told(answer.await)
}
