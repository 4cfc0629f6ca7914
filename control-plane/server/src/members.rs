//! Stand-in until the kind Member is merged.

use crate::{
    error::{ApiError, Result},
    state::AppState,
};

pub(crate) struct InvitedMember {
    pub(crate) email: String,
    pub(crate) uid: String,
    pub(crate) role: &'static str,
}

#[expect(clippy::unused_async, reason = "a stand-in")]
pub(crate) async fn invited(_: &AppState, _: &str, _: &str) -> Result<InvitedMember> {
    Err(ApiError::no_such_path())
}

#[expect(clippy::unused_async, reason = "a stand-in")]
pub(crate) async fn accept(_: &AppState, _: &str, _: &str, _: &str, _: &str) -> Result<()> {
    Err(ApiError::no_such_path())
}
