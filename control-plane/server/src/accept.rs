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

/// How the text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Json,
    Yaml,
}

/// Whether the caller wishes for YAML, in whatever form of the objects, before JSON.
pub(crate) fn prefers_yaml(headers: &HeaderMap) -> bool {
    let first = wishes(headers).into_iter().find(|wish| wish.encoding.is_some() && wish.known());
    first.is_some_and(|wish| wish.encoding == Some(Encoding::Yaml))
}

/// Whether the caller wishes for one of these media types before JSON.
pub(crate) fn prefers_one_of(headers: &HeaderMap, media_types: &[&str]) -> bool {
    let named = |wish: &Wish<'_>| wish.weight > 0.0 && media_types.contains(&wish.media_type);
    let first = wishes(headers).into_iter().find(|wish| named(wish) || wish.representation().is_some());
    first.is_some_and(|wish| named(&wish))
}

/// The caller's wishes with JSON in the place of YAML.
pub(crate) fn in_json(headers: &HeaderMap) -> String {
    let ranges: Vec<String> = ranges(headers)
        .map(|range| {
            let (media_type, parameters) = range.find(';').map_or((range, ""), |at| range.split_at(at));
            let json = media_type.trim() == "application/yaml";
            format!("{}{parameters}", if json { "application/json" } else { media_type })
        })
        .collect();
    ranges.join(",")
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
        .ok_or_else(|| ApiError::not_acceptable(&["application/json", "application/yaml"]))
}

/// Whether the caller wishes for all of discovery in one document, before the plain form.
pub(crate) fn prefers_aggregated_discovery(headers: &HeaderMap) -> bool {
    let wishes = wishes(headers);
    let aggregated = |wish: &&Wish<'_>| wish.is_json() && wish.form == ("APIGroupDiscoveryList", DISCOVERY_GROUP, "v2");
    let plain = |wish: &&Wish<'_>| wish.representation() == Some(Representation::Json);
    wishes.iter().find(|wish| aggregated(wish) || plain(wish)).as_ref().is_some_and(aggregated)
}

/// A media range.
struct Wish<'a> {
    media_type: &'a str,
    weight: f32,
    /// Its parameters `as`, `g` and `v`.
    form: (&'a str, &'a str, &'a str),
    /// What of ours it means, if it is wanted at all.
    encoding: Option<Encoding>,
    /// How many of its halves are `*`.
    wild: usize,
}

fn ranges(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|range| !range.is_empty())
}

/// The caller's wishes in the order of their `q`, then the definite before the wild, then as written.
fn wishes(headers: &HeaderMap) -> Vec<Wish<'_>> {
    let mut wishes: Vec<_> = ranges(headers).map(Wish::read).collect();
    wishes.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.wild.cmp(&b.wild)));
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
        let encoding = match media_type {
            _ if weight <= 0.0 => None,
            "application/json" | "application/*" | "*/*" => Some(Encoding::Json),
            "application/yaml" => Some(Encoding::Yaml),
            _ => None,
        };
        let wild = media_type.matches('*').count();
        Self { media_type, weight, form: (shown_as, group, version), encoding, wild }
    }

    fn is_json(&self) -> bool {
        self.encoding == Some(Encoding::Json)
    }

    /// Whether it is a form that some answer has.
    fn known(&self) -> bool {
        self.shown().is_some() || self.form == ("APIGroupDiscoveryList", DISCOVERY_GROUP, "v2")
    }

    /// The form of objects that it means, if that is one of ours.
    fn representation(&self) -> Option<Representation> {
        self.shown().filter(|_| self.is_json())
    }

    fn shown(&self) -> Option<Representation> {
        match self.form {
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

    #[rstest]
    #[case("application/yaml", true)]
    #[case("application/yaml, application/json", true)]
    #[case("application/json, application/yaml", false)]
    #[case("application/json;q=0.5, application/yaml", true)]
    #[case("*/*, application/yaml", true)]
    #[case("application/yaml;q=0", false)]
    #[case("application/json;as=Sketch;v=v1;g=meta.k8s.io, application/yaml", true)]
    #[case("application/yaml;as=Table;v=v1;g=meta.k8s.io, application/json", true)]
    #[case("text/yaml", false)]
    fn yaml_is_given_to_who_prefers_it(#[case] accept: &'static str, #[case] yaml: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        assert_eq!(prefers_yaml(&headers), yaml);
    }

    #[test]
    fn in_the_place_of_yaml_comes_json_with_the_same_parameters() {
        let mut headers = HeaderMap::new();
        headers
            .insert(ACCEPT, HeaderValue::from_static("application/yaml;as=Table;v=v1;g=meta.k8s.io;q=0.9,text/html"));
        assert_eq!(in_json(&headers), "application/json;as=Table;v=v1;g=meta.k8s.io;q=0.9,text/html");
    }

    #[test]
    fn no_wish_means_json() {
        assert_eq!(negotiate(&HeaderMap::new(), &ALL).ok(), Some(Representation::Json));
    }
}
