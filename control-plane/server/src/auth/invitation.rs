//! Inviting somebody to be a Member.

use axum::{
    Extension,
    extract::{Path, State},
    response::Response,
};
use dropmate_identity::{Invitation, Letter};
use dropmate_live::Topic;

use super::{
    answer::{linked, said, told},
    identity,
};
use crate::{caller::Caller, members, state::AppState};

/// `POST /v1/namespaces/{namespace}/members/{name}/invitation` → 201 `{url, token, expiresAt}`. The link takes the place of
/// any before it, and is mailed as well.
pub(crate) async fn invite(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Path((namespace, member)): Path<(String, String)>,
) -> Response {
    let answer = async {
        let identity = identity(&state)?;
        let invited = members::invited(&state, &namespace, &member).await?;
        let invitation = Invitation { email: invited.email, namespace, member, member_uid: invited.uid };
        let letter = Letter { role: Some(invited.role.to_owned()), by: Some(caller.user.clone()), ..Letter::default() };
        let link = identity.invite(&invitation, &letter).await.map_err(said)?;
        state.live.wake(Topic::Events);
        tracing::info!(
            namespace = invitation.namespace,
            role = invited.role,
            by = caller.said(),
            "somebody was invited"
        );
        Ok(linked(identity.issuer(), "invitation", &link))
    };
    told(answer.await)
}
