//! What is asked by creating it, and never stored: reviews and token requests. To add one, add its entry here and its
//! answer in the server.

use k8s_openapi::api::{authentication::v1 as authentication, authorization::v1 as authorization};
use serde_json::Value;

use super::schemas;

/// A kind that only creates, and only answers.
pub struct Review {
    /// API group.
    pub group: &'static str,
    /// Served version.
    pub version: &'static str,
    /// Kind, for example `TokenReview`.
    pub kind: &'static str,
    /// Singular: `tokenreview`.
    pub singular: &'static str,
    /// Where it is created.
    pub place: Place,
    /// Its schema, for documents.
    pub schema: fn() -> Value,
}

/// Where a review is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the cluster, under this plural of its group: `tokenreviews`.
    Cluster(&'static str),
    /// At an object of a core kind: `serviceaccounts`, `token`.
    Part(&'static str, &'static str),
}

/// Every one of them.
pub const REVIEWS: &[Review] = &[
    Review {
        kind: "SelfSubjectReview",
        singular: "selfsubjectreview",
        place: Place::Cluster("selfsubjectreviews"),
        schema: schemas::review::<authentication::SelfSubjectReview>,
        ..AUTHENTICATION
    },
    Review {
        kind: "TokenReview",
        singular: "tokenreview",
        place: Place::Cluster("tokenreviews"),
        schema: schemas::review::<authentication::TokenReview>,
        ..AUTHENTICATION
    },
    Review {
        kind: "TokenRequest",
        place: Place::Part("serviceaccounts", "token"),
        schema: schemas::review::<authentication::TokenRequest>,
        ..AUTHENTICATION
    },
    Review {
        kind: "SelfSubjectAccessReview",
        singular: "selfsubjectaccessreview",
        place: Place::Cluster("selfsubjectaccessreviews"),
        schema: schemas::review::<authorization::SelfSubjectAccessReview>,
        ..AUTHORIZATION
    },
    Review {
        kind: "SelfSubjectRulesReview",
        singular: "selfsubjectrulesreview",
        place: Place::Cluster("selfsubjectrulesreviews"),
        schema: schemas::review::<authorization::SelfSubjectRulesReview>,
        ..AUTHORIZATION
    },
];

const AUTHORIZATION: Review = Review { group: "authorization.k8s.io", ..AUTHENTICATION };
const AUTHENTICATION: Review = Review {
    group: "authentication.k8s.io",
    version: "v1",
    kind: "",
    singular: "",
    place: Place::Cluster(""),
    schema: schemas::review::<authentication::TokenReview>,
};

impl Review {
    /// `authentication.k8s.io/v1`.
    pub fn api_version(&self) -> String {
        format!("{}/{}", self.group, self.version)
    }

    /// Its plural, if it is created in the cluster.
    pub fn plural(&self) -> Option<&'static str> {
        match self.place {
            Place::Cluster(plural) => Some(plural),
            Place::Part(..) => None,
        }
    }

    /// `/apis/authentication.k8s.io/v1/tokenreviews`, with names in braces.
    pub fn path(&self) -> String {
        match self.place {
            Place::Cluster(plural) => format!("/apis/{}/{}/{plural}", self.group, self.version),
            Place::Part(plural, part) => format!("/api/v1/namespaces/{{namespace}}/{plural}/{{name}}/{part}"),
        }
    }

    /// The group and version under whose root the path lies.
    pub fn root(&self) -> (&'static str, &'static str) {
        match self.place {
            Place::Cluster(_) => (self.group, self.version),
            Place::Part(..) => ("", "v1"),
        }
    }
}

/// The review that is created in the cluster under that path.
pub fn review(group: &str, version: &str, plural: &str) -> Option<&'static Review> {
    REVIEWS.iter().find(|held| held.group == group && held.version == version && held.plural() == Some(plural))
}

/// The review that is created at an object of that core kind.
pub fn review_of(plural: &str, part: &str) -> Option<&'static Review> {
    REVIEWS.iter().find(|held| matches!(held.place, Place::Part(of, named) if of == plural && named == part))
}
