//! The pages that the links in mails lead to: to accept an invitation, to set another password, to show that an address is
//! one's own. Plain forms without a script. Nothing happens before the form is sent: programs that look into mails follow
//! links.

mod words;

use askama::Template;
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use dropmate_identity::{Error, Proof};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
};

use self::words::{Words, words};
use super::{
    answer::said,
    door::{Address, ip},
    identity,
};
use crate::{
    error::{ApiError, Result},
    form_body::{self, Form},
    members,
    state::AppState,
    track,
};

/// Where they are: `/invitations/TOKEN` and so on.
pub(crate) const ROOTS: [&str; 3] = ["/invitations/", "/resets/", "/verifications/"];
/// What a page may do: show itself, and send its form back.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Invitation,
    Reset,
    Verification,
}

#[derive(Template)]
#[template(path = "account.html")]
struct Page<'a> {
    words: &'a Words,
    version: &'a str,
    title: &'a str,
    text: &'a str,
    submit: &'a str,
    problem: Option<String>,
    done: Option<&'a str>,
    asks_name: bool,
    sets_password: bool,
    asks_code: bool,
}

/// The pages.
pub(crate) fn routes(state: AppState) -> Router {
    macro_rules! page {
        ($kind:ident) => {
            get(async |headers: HeaderMap| show(Kind::$kind, &headers)).post(
                async |State(state): State<AppState>,
                       address: Address,
                       Path(token): Path<String>,
                       headers: HeaderMap,
                       body: Bytes| { sent(&state, Kind::$kind, address, &token, &headers, &body).await },
            )
        };
    }
    Router::new()
        .route("/invitations/{token}", page!(Invitation))
        .route("/resets/{token}", page!(Reset))
        .route("/verifications/{token}", page!(Verification))
        .with_state(state)
}

fn show(kind: Kind, headers: &HeaderMap) -> Response {
    written(kind, words(headers), StatusCode::OK, None, false)
}

fn written(kind: Kind, words: &Words, code: StatusCode, problem: Option<String>, done: bool) -> Response {
    let at = kind as usize;
    let page = Page {
        words,
        version: track::files_version(),
        title: words.titles[at],
        text: words.texts[at],
        submit: words.submits[at],
        problem,
        done: done.then_some(words.done[at]),
        asks_name: kind == Kind::Invitation,
        sets_password: kind == Kind::Reset,
        asks_code: kind == Kind::Invitation,
    };
    let head = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex, nofollow")),
    ];
    // The template is checked when it is compiled, and writes into memory.
    (code, head, page.render().unwrap_or_default()).into_response()
}

async fn sent(
    state: &AppState,
    kind: Kind,
    address: Address,
    token: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Response {
    let words = words(headers);
    let outcome = match form_body::read(headers, body) {
        Ok(form) => act(state, kind, address, token, &form).await,
        Err(error) => Err(Refused::Answer(error)),
    };
    let (code, problem) = match outcome {
        Ok(()) => return written(kind, words, StatusCode::OK, None, true),
        Err(Refused::Identity(error)) => {
            let problem = match &error {
                Error::BadLink => words.bad_link.to_owned(),
                Error::Credentials => words.wrong.to_owned(),
                Error::SecondFactor => words.code_needed.to_owned(),
                Error::Invalid { field, why } => format!("{}{field} {why}", words.not_taken),
                Error::Throttled(_) | Error::Busy => words.busy.to_owned(),
                _ => words.broken.to_owned(),
            };
            (said(error).code(), problem)
        }
        // The Member went, or was made anew.
        Err(Refused::Answer(error)) if error.code() == StatusCode::CONFLICT => {
            (StatusCode::CONFLICT, words.bad_link.to_owned())
        }
        Err(Refused::Answer(error)) => (error.code(), words.broken.to_owned()),
    };
    written(kind, words, code, Some(problem), false)
}

enum Refused {
    Identity(Error),
    Answer(ApiError),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Identity(error)
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self::Answer(error)
    }
}

async fn act(state: &AppState, kind: Kind, address: Address, token: &str, form: &Form) -> Result<(), Refused> {
    let identity = identity(state)?;
    let password = form_body::field(form, "password").unwrap_or_default();
    match kind {
        Kind::Invitation => {
            let totp = form_body::field(form, "totp").filter(|code| !code.trim().is_empty());
            let name = form_body::field(form, "name").unwrap_or_default();
            let invited = identity.invitation(token).await?;
            let proof =
                Proof { email: &invited.email, password: &password, totp: totp.as_deref(), address: ip(address) };
            let user = identity.join(proof, &name).await?;
            // Before the link is used up: if the store is away, the same form works later.
            members::accept(state, &invited.namespace, &invited.member, &invited.member_uid, &user.uid).await?;
            identity.use_invitation(token).await?;
            tracing::info!(namespace = invited.namespace, user.uid = user.uid, "an invitation was accepted");
        }
        Kind::Reset => {
            let user = identity.reset(token, &password).await?;
            tracing::info!(user.uid = user.uid, "a password was reset");
        }
        Kind::Verification => {
            let user = identity.verify_email(token, &password, ip(address)).await?;
            tracing::info!(user.uid = user.uid, "an address was verified");
        }
    }
    Ok(())
}
