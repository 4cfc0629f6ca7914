//! `--at`: a moment of the past, or a revision.

use std::str::FromStr;

use anyhow::anyhow;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    connection::{Connection, escape},
    failure::{Failure, Outcome},
    kinds::Resource,
};

/// When.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// At a resourceVersion.
    Revision(u64),
    /// So long ago, by the server's clock.
    Ago(SignedDuration),
    /// At a time.
    Time(Timestamp),
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.bytes().all(|byte| byte.is_ascii_digit())
            && let Ok(revision) = text.parse()
            && revision > 0
        {
            return Ok(Self::Revision(revision));
        }
        if let Ok(time) = text.parse() {
            return Ok(Self::Time(time));
        }
        match text.strip_suffix(" ago").unwrap_or(text).parse::<SignedDuration>() {
            Ok(ago) if !ago.is_negative() => Ok(Self::Ago(ago)),
            _ => {
                Err("is neither a time (2026-11-23T12:00:00Z), nor how long ago (10m), nor a resourceVersion"
                    .to_owned())
            }
        }
    }
}

impl At {
    /// The query parameters that list a kind as it was then, each with a leading `&`.
    pub(super) async fn query(&self, connection: &Connection, resource: &Resource) -> Outcome<String> {
        let revision = match self {
            Self::Revision(revision) => revision.to_string(),
            Self::Time(time) => revision_at(connection, resource, *time).await?,
            Self::Ago(ago) => {
                let clock = connection.get("/v1/clock").await?.accepted()?;
                let now: Timestamp = clock["systemNow"].as_str().unwrap_or_default().parse()?;
                revision_at(connection, resource, now.checked_sub(*ago)?).await?
            }
        };
        Ok(format!("&resourceVersion={revision}&resourceVersionMatch=Exact"))
    }

    /// What is to say where the state at a revision is gone: since when there is history.
    pub(super) async fn gone(&self, connection: &Connection, resource: &Resource) -> Failure {
        match revision_at(connection, resource, Timestamp::UNIX_EPOCH).await {
            Err(Failure::No(why)) => {
                let oldest = why.split_once(": ").map_or(why.clone(), |(_, oldest)| oldest.to_owned());
                Failure::No(format!("the {} of then cannot be told any more: {oldest}", resource.plural))
            }
            Err(failure) => failure,
            Ok(_) => anyhow!("the state of then went away while it was read").into(),
        }
    }
}

async fn revision_at(connection: &Connection, resource: &Resource, time: Timestamp) -> Outcome<String> {
    let plural = match resource.group() {
        "" => resource.plural.clone(),
        group => format!("{}.{group}", resource.plural),
    };
    let path = format!("/v1/revisions?at={}&resource={plural}", escape(&time.to_string()));
    let found = connection.get(&path).await?.accepted()?;
    let revision = found["revision"].as_str().map(str::to_owned);
    revision.ok_or_else(|| anyhow!("the server did not tell a revision: {}", Value::to_string(&found)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_times_durations_or_revisions() {
        assert_eq!("12345".parse(), Ok(At::Revision(12_345)));
        assert_eq!("10m".parse(), Ok(At::Ago(SignedDuration::from_mins(10))));
        assert_eq!("1h 30m ago".parse(), Ok(At::Ago(SignedDuration::from_mins(90))));
        assert_eq!("2026-11-23T12:00:00+01:00".parse(), Ok(At::Time("2026-11-23T11:00:00Z".parse().unwrap())));
        for wrong in ["", "0", "yesterday", "-10m", "2026-11-23"] {
            assert!(At::from_str(wrong).is_err(), "{wrong}");
        }
    }
}
