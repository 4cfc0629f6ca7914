//! Tracker apps: they have no header for a token, so that it stands in the path. It opens `/ingest/` and nothing else.

use axum::extract::Request;
use base64::{Engine, prelude::BASE64_STANDARD};
use dropmate_api::roles::{self, Role};
use http::{HeaderMap, Uri, header::AUTHORIZATION, request::Parts};

use super::{Admittance, Admitted, Gateway, RETRY_AFTER_SECONDS, bearer, observed::Record};
use crate::{caller::Caller, error::ApiError};

/// Where tracker apps send to.
const ROOT: &str = "/ingest/";

/// Whether it is a tracker app that asks.
pub(super) fn asks(request: &Request) -> bool {
    request.uri().path().starts_with(ROOT)
}

/// The token: of the path, `/ingest/PROTOCOL/TOKEN`, else of the header, as bearer or as the password of anybody.
fn token(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let mut parts = uri.path().strip_prefix(ROOT)?.split('/').skip(1).filter(|part| !part.is_empty());
    if let Some(token) = parts.next() {
        return Some(token.to_owned());
    }
    bearer(headers).map(str::to_owned).or_else(|| password(headers))
}

fn password(headers: &HeaderMap) -> Option<String> {
    let (scheme, pair) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let pair = scheme.eq_ignore_ascii_case("basic").then(|| BASE64_STANDARD.decode(pair.trim()).ok())??;
    let (_, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some(password.to_owned())
}

impl Gateway {
    /// Lets the phone of a driver in. Whatever is wrong with its token, the refusal is the same.
    pub(super) async fn admit_phone(&self, parts: &Parts, record: &mut Record) -> Result<Admittance, ApiError> {
        let identity = self.phones.as_ref().ok_or_else(ApiError::no_such_path)?;
        let token = token(&parts.uri, &parts.headers).ok_or_else(ApiError::unauthorized)?;
        let paired = identity.paired(&token).await.ok_or_else(ApiError::unauthorized)?;
        let user = paired.user();
        let caller = Caller { groups: roles::groups(&user), user, uid: paired.uid, ..Caller::default() };
        if !self.members.grants(&caller).iter().any(|grant| grant.role == Role::Driver) {
            return Err(ApiError::unauthorized());
        }
        record.caller.clone_from(&caller.user);
        record.said.clone_from(caller.said());
        self.counted(self.limits.caller(&caller.user).await, record)?;
        let full = |_| ApiError::too_many_requests("too many requests at once", RETRY_AFTER_SECONDS);
        let room = self.bounds.requests.clone().try_acquire_owned().map_err(full)?;
        Ok((Some(Admitted::Fixed(caller)), None, Some(room)))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/ingest/osmand/t1", "", Some("t1"))]
    #[case("/ingest/osmand/t1/", "", Some("t1"))]
    #[case("/ingest/osmand/t1?id=7&lat=1", "Bearer t2", Some("t1"))]
    #[case("/ingest/overland", "Bearer t2", Some("t2"))]
    #[case("/ingest/owntracks/", "Basic c2FtOnQz", Some("t3"))]
    #[case("/ingest/owntracks", "Basic !", None)]
    #[case("/ingest/owntracks", "", None)]
    fn the_token_stands_in_the_path_or_the_header(
        #[case] uri: &str,
        #[case] header: &'static str,
        #[case] found: Option<&str>,
    ) {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(header))]);
        assert_eq!(token(&uri.parse().unwrap(), &headers).as_deref(), found);
    }
}
