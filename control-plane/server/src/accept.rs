//! What the caller's `Accept` asks for.

use http::{HeaderMap, header::ACCEPT};

use crate::error::ApiError;

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

/// The first of the caller's wishes that is `served`; JSON where there is no wish. Wishes stand in order of their `q`,
/// then as written.
pub(crate) fn negotiate(headers: &HeaderMap, served: &[Representation]) -> Result<Representation, ApiError> {
    let mut wishes: Vec<(f32, Option<Representation>)> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|range| !range.trim().is_empty())
        .map(wish)
        .collect();
    if wishes.is_empty() {
        return Ok(Representation::Json);
    }
    wishes.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    wishes
        .into_iter()
        .filter(|(q, _)| *q > 0.0)
        .find_map(|(_, wish)| wish.filter(|wish| served.contains(wish)))
        .ok_or_else(|| ApiError::not_acceptable(&["application/json"]))
}

/// One media range: its weight, and the form it means if that is one of ours.
fn wish(range: &str) -> (f32, Option<Representation>) {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    let (mut q, mut shown_as, mut group, mut version) = (1.0, "", "", "");
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match name.trim() {
            "q" => q = value.trim().parse().unwrap_or(0.0),
            "as" => shown_as = value.trim(),
            "g" => group = value.trim(),
            "v" => version = value.trim(),
            _ => {}
        }
    }
    if !matches!(media_type, "application/json" | "application/*" | "*/*") {
        return (q, None);
    }
    let form = match (shown_as, group, version) {
        ("", _, _) => Some(Representation::Json),
        ("Table", META_GROUP, "v1") => Some(Representation::Table),
        ("PartialObjectMetadata" | "PartialObjectMetadataList", META_GROUP, "v1") => Some(Representation::Metadata),
        _ => None,
    };
    (q, form)
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
