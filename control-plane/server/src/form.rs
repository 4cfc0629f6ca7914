//! How the text of an answer is written. Handlers write JSON on one line; for callers who ask for YAML, or to whom it is
//! shown as it is, the text is rewritten here, errors as well. Watches are streams of lines and stay so.

mod indent;
mod yaml;

use axum::{
    body::Body,
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, Method, Uri,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT},
};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::Semaphore;

use self::indent::Indented;
use crate::{
    accept,
    error::ApiError,
    gateway::{Packable, packed_when_whole},
    request_info::ResourceInfo,
};

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";

/// Answers larger than this are rewritten in YAML one after the other: each is in memory as a whole, and ten thousand
/// orders are some 200 MB on the way.
const YAML_ALONE_BYTES: u64 = 1024 * 1024;
static YAML_TURN: Semaphore = Semaphore::const_new(1);

/// How a caller wants the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// JSON on one line.
    #[default]
    Compact,
    /// JSON for people.
    Indented,
    /// YAML.
    Yaml,
}

impl Form {
    /// What the request asks for; only the resource API has a choice.
    pub(crate) fn wanted(uri: &Uri, headers: &HeaderMap) -> Self {
        let path = uri.path();
        let resources = ["/api", "/apis"]
            .iter()
            .any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
        match () {
            () if !resources => Self::Compact,
            () if accept::prefers_yaml(headers) => Self::Yaml,
            () if wants_indented(uri, headers) => Self::Indented,
            () => Self::Compact,
        }
    }

    /// The answer in this form. What is no JSON stays as it is.
    pub(crate) async fn write(self, answer: Response) -> Response {
        let said = answer.headers().get(CONTENT_TYPE).and_then(|said| said.to_str().ok()).unwrap_or_default();
        let Some(parameters) = said.strip_prefix(JSON).map(str::to_owned) else { return answer };
        match self {
            Self::Compact => answer,
            Self::Indented => indented(answer),
            Self::Yaml => in_yaml(answer, &parameters).await,
        }
    }
}

fn indented(answer: Response) -> Response {
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    if body.size_hint().exact().is_none_or(packed_when_whole) {
        parts.extensions.insert(Packable);
    }
    Response::from_parts(parts, Body::new(Indented::new(body)))
}

async fn in_yaml(answer: Response, parameters: &str) -> Response {
    let (mut parts, body) = answer.into_parts();
    let large = body.size_hint().exact().is_none_or(|bytes| bytes > YAML_ALONE_BYTES);
    // Whoever waits for longer than a request may take is answered by the gateway. The semaphore is never closed.
    let _turn = if large { YAML_TURN.acquire().await.ok() } else { None };
    // Our own handlers made it, in memory: there is nothing to wait for and nothing that could fail.
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => return ApiError::internal(error).into_response(),
    };
    let Ok(value) = serde_json::from_slice::<Value>(&bytes) else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    drop(bytes);
    parts.headers.remove(CONTENT_LENGTH);
    if let Ok(media_type) = HeaderValue::from_str(&format!("{YAML}{parameters}")) {
        parts.headers.insert(CONTENT_TYPE, media_type);
    }
    Response::from_parts(parts, Body::from(yaml::text(&value)))
}

/// The query says so; else people are known by their programs, as in Kubernetes.
fn wants_indented(uri: &Uri, headers: &HeaderMap) -> bool {
    let said = uri.query().into_iter().flat_map(|query| query.split('&')).find_map(|pair| pair.strip_prefix("pretty="));
    match said {
        Some(said) if !said.is_empty() => matches!(said, "1" | "t" | "T" | "true" | "True" | "TRUE"),
        _ => {
            let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
            ["curl", "Wget", "Mozilla/5.0"].iter().any(|person| agent.starts_with(person))
        }
    }
}

/// The layer around every handler.
pub(crate) async fn layer(mut request: Request, next: Next) -> Response {
    let resource = ResourceInfo::of(request.method(), request.uri());
    let form = Form::wanted(request.uri(), request.headers());
    // As in Kubernetes, where nothing but the probes answers HEAD.
    if request.method() == Method::HEAD && request.uri().path().starts_with("/api") {
        return ApiError::method_not_allowed().into_response();
    }
    if resource.is_some_and(|resource| resource.verb == "watch") {
        if form == Form::Yaml {
            return ApiError::not_acceptable(&["application/json;stream=watch"]).into_response();
        }
        return next.run(request).await;
    }
    if form == Form::Yaml
        && let Ok(accept) = HeaderValue::from_str(&accept::in_json(request.headers()))
    {
        request.headers_mut().insert(ACCEPT, accept);
    }
    form.write(next.run(request).await).await
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/api/v1/namespaces", "application/yaml", "", Form::Yaml)]
    #[case("/api/v1/namespaces?pretty=true", "", "", Form::Indented)]
    #[case("/api/v1/namespaces?pretty=true", "application/yaml", "", Form::Yaml)]
    #[case("/apis", "", "curl/8.5.0", Form::Indented)]
    #[case("/apis?pretty=0", "", "curl/8.5.0", Form::Compact)]
    #[case("/apis?pretty=maybe", "", "kubectl/v1.36", Form::Compact)]
    #[case("/openapi/v3", "application/yaml", "curl/8.5.0", Form::Compact)]
    #[case("/apiary", "application/yaml", "", Form::Compact)]
    fn the_form_is_the_callers_choice(
        #[case] uri: &str,
        #[case] accept: &str,
        #[case] agent: &str,
        #[case] form: Form,
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in [(ACCEPT, accept), (USER_AGENT, agent)] {
            if !value.is_empty() {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        assert_eq!(Form::wanted(&uri.parse().unwrap(), &headers), form);
    }
}
