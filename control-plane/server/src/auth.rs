//! People in the task API: logging in and out, invitations and resets, one's own password and second factor, and what
//! the operator does about users. What is decided stands in `dropmate-identity`; here requests are read and answers said.
//!
//! Bodies hold passwords and tokens: nothing of them goes into an error, a log or a metric.

mod account;
mod answer;
mod door;
mod fields;
mod invitation;
mod mails;
mod pages;
mod pairing;
mod users;

use std::time::Duration;

use dropmate_identity::Identity;

pub(crate) use self::{
    account::{change_password, confirm_totp, enrol_totp, remove_totp},
    answer::{page, said, secret},
    door::{accept, confirm, forgot, login, logout, refresh, register, reset},
    fields::Fields,
    invitation::invite,
    mails::after as mails_after,
    pages::{ROOTS as PAGES, routes as pages},
    pairing::{end as unpair, make as make_pairing, pair},
    users::{disable, enable, end_sessions, list, remove_totp_of, reset_link, verify},
};
use crate::{
    error::{ApiError, Result},
    state::AppState,
};

/// How often what has ended is forgotten.
const SWEEP_EVERY: Duration = Duration::from_hours(1);

/// The identity service; in memory there is none.
fn identity(state: &AppState) -> Result<&Identity> {
    state.identity.as_ref().ok_or_else(ApiError::no_such_path)
}

/// Forgets sessions and links that ended long ago, and the phones of Drivers that are gone, until the server drains.
pub(crate) async fn sweep(state: AppState) {
    let Some(identity) = &state.identity else { return };
    loop {
        tokio::select! {
            biased;
            () = state.shutdown.cancelled() => return,
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
        if let Err(error) = identity.sweep().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what has ended cannot be swept; trying again later"
            );
        }
        pairing::sweep(&state, identity).await;
    }
}
