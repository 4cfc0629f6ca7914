//! How a caller stands, as headers say it.

use http::{HeaderMap, HeaderName, HeaderValue};

static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What is left of a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(super) class: &'static str,
    pub(super) policy: HeaderValue,
    pub(super) left: u32,
    pub(super) burst: u32,
    /// Seconds of rest after which everything is there again.
    pub(super) whole_in: u32,
    /// Seconds after which the next request passes.
    pub(super) retry_after: u32,
}

impl Standing {
    /// Of two limits the one that ends first.
    pub(crate) fn scarcest(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => {
                let share = |standing: &Self| f64::from(standing.left) / f64::from(standing.burst);
                Some(if share(&one) <= share(&other) { one } else { other })
            }
            (one, other) => one.or(other),
        }
    }

    /// The limit's name.
    pub(crate) fn class(&self) -> &'static str {
        self.class
    }

    /// Seconds after which the next request passes.
    pub(crate) fn retry_after(&self) -> u32 {
        self.retry_after
    }

    /// The fields of draft-ietf-httpapi-ratelimit-headers: structured fields, quota and window in the policy, what is
    /// left and when it is whole again beside it.
    pub(crate) fn tell(self, headers: &mut HeaderMap) {
        let now = format!("\"{}\";r={};t={}", self.class, self.left, self.whole_in);
        if let Ok(now) = HeaderValue::try_from(now) {
            headers.insert(RATE_LIMIT.clone(), now);
        }
        headers.insert(RATE_LIMIT_POLICY.clone(), self.policy);
    }
}
