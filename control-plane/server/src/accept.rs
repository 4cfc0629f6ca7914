//! What the caller's `Accept` asks for.

use http::{HeaderMap, header::ACCEPT};

use crate::error::ApiError;

/// The group of discovery in one document.
const DISCOVERY_GROUP: &str = "apidiscovery.k8s.io";

/// The group of the forms that show objects in another way.
const META_GROUP: &str = "meta.k8s.io";

/// The forms in which an answer can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Representation {
    /// The objects, as JSON.
    Json,
    /// Rows and columns, for people.
    Table,
    /// The objects' metadata alone.
    Metadata,
}

/// The first of the caller's wishes that is `served`; JSON where there is no wish.
pub(crate) fn negotiate(headers: &HeaderMap, served: &[Representation]) -> Result<Representation, ApiError> {
    let wishes = wishes(headers);
    if wishes.is_empty() {
        return Ok(Representation::Json);
    }
    wishes
        .iter()
        .find_map(|wish| wish.representation().filter(|form| served.contains(form)))
        .ok_or_else(|| ApiError::not_acceptable(&["application/json"]))
}

/// Whether the caller wishes for all of discovery in one document, before the plain form.
pub(crate) fn prefers_aggregated_discovery(headers: &HeaderMap) -> bool {
    let wishes = wishes(headers);
    let aggregated = |wish: &&Wish<'_>| wish.json && wish.form == ("APIGroupDiscoveryList", DISCOVERY_GROUP, "v2");
    let plain = |wish: &&Wish<'_>| wish.representation() == Some(Representation::Json);
    wishes.iter().find(|wish| aggregated(wish) || plain(wish)).as_ref().is_some_and(aggregated)
}

/// A media range that means JSON in some form.
struct Wish<'a> {
    weight: f32,
    /// Its parameters `as`, `g` and `v`.
    form: (&'a str, &'a str, &'a str),
    /// Whether it is JSON at all, and wanted.
    json: bool,
}

/// The caller's wishes in the order of their `q`, then as written.
fn wishes(headers: &HeaderMap) -> Vec<Wish<'_>> {
    let mut wishes: Vec<_> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|range| !range.trim().is_empty())
        .map(Wish::read)
        .collect();
    wishes.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    wishes
}

impl<'a> Wish<'a> {
    fn read(range: &'a str) -> Self {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let (mut weight, mut shown_as, mut group, mut version) = (1.0, "", "", "");
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "q" => weight = value.trim().parse().unwrap_or(0.0),
                "as" => shown_as = value.trim(),
                "g" => group = value.trim(),
                "v" => version = value.trim(),
                _ => {}
            }
        }
        let json = matches!(media_type, "application/json" | "application/*" | "*/*") && weight > 0.0;
        Self { weight, form: (shown_as, group, version), json }
    }

    /// The form of objects that it means, if that is one of ours.
    fn representation(&self) -> Option<Representation> {
        match self.form {
            _ if !self.json => None,
            ("", _, _) => Some(Representation::Json),
            ("Table", META_GROUP, "v1") => Some(Representation::Table),
            ("PartialObjectMetadata" | "PartialObjectMetadataList", META_GROUP, "v1") => Some(Representation::Metadata),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    const ALL: [Representation; 3] = [Representation::Json, Representation::Table, Representation::Metadata];

    fn ask(accept: &'static str) -> Option<Representation> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        negotiate(&headers, &ALL).ok()
    }

    #[rstest]
    #[case(
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
        Some(Representation::Table)
    )]
    #[case("application/json;as=Table;v=v2;g=meta.k8s.io,application/json", Some(Representation::Json))]
    #[case("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Some(Representation::Metadata))]
    #[case("application/json, */*", Some(Representation::Json))]
    #[case("application/json;stream=watch", Some(Representation::Json))]
    #[case("application/vnd.kubernetes.protobuf,application/json", Some(Representation::Json))]
    #[case("application/json;q=0.1, application/json;as=Table;v=v1;g=meta.k8s.io", Some(Representation::Table))]
    #[case("*/*", Some(Representation::Json))]
    #[case("application/vnd.kubernetes.protobuf", None)]
    #[case("text/html;q=0.9", None)]
    #[case("application/json;q=0", None)]
    fn the_first_wish_that_can_be_met_is_met(#[case] accept: &'static str, #[case] form: Option<Representation>) {
        assert_eq!(ask(accept), form);
    }

    #[test]
    fn no_wish_means_json() {
        assert_eq!(negotiate(&HeaderMap::new(), &ALL).ok(), Some(Representation::Json));
    }
}
