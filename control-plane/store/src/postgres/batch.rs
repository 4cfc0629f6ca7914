//! A batch as the arrays that `control.commit_v1` takes.

use serde_json::Value;
use sqlx::PgConnection;

use super::statements;
use crate::{Batch, Change, Committed, Expect, Guard, Refusal, Revision, archive};

/// The distinct guards of a batch, and which write has which.
#[derive(Default)]
struct Guards<'a> {
    distinct: Vec<&'a Guard>,
    writes: Vec<i32>,
    indices: Vec<i32>,
    positions: Vec<i32>,
}

impl<'a> Guards<'a> {
    fn of(batch: &'a Batch) -> Self {
        let mut all = Self::default();
        for (number, write) in (1..).zip(&batch.writes) {
            for (position, guard) in (1..).zip(&write.guards) {
                // The writes of a batch share few guards: their Namespace, a Lease.
                let known = all.distinct.iter().position(|known| *known == guard);
                let index = known.unwrap_or_else(|| {
                    all.distinct.push(guard);
                    all.distinct.len() - 1
                });
                all.writes.push(number);
                all.indices.push(index as i32 + 1);
                all.positions.push(position);
            }
        }
        all
    }
}

/// Commits a batch: a transaction of its own.
pub(super) async fn commit(
    connection: &mut PgConnection,
    source: &str,
    batch: &Batch,
) -> Result<Committed, sqlx::Error> {
    let writes = &batch.writes;
    let guards = Guards::of(batch);
    let uid = |change: &Change| match change {
        Change::Put { uid, .. } => Some(uid.clone()),
        Change::Delete { .. } | Change::Archive { .. } => None,
    };
    let expected = |expect: Expect| match expect {
        Expect::Absent => None,
        Expect::Revision(revision) => Some(revision as i64),
    };
    let packed = |change: &Change| match change {
        Change::Archive { body } => Some(archive::pack(body)),
        Change::Put { .. } | Change::Delete { .. } => None,
    };
    let (before, newest, outcomes): (i64, i64, Vec<i32>) = sqlx::query_as(statements::COMMIT)
        .bind(source)
        .bind(batch.at.as_microsecond())
        .bind(writes.iter().map(|write| write.key.resource.as_str()).collect::<Vec<_>>())
        .bind(writes.iter().map(|write| write.key.namespace.as_str()).collect::<Vec<_>>())
        .bind(writes.iter().map(|write| write.key.name.as_str()).collect::<Vec<_>>())
        .bind(writes.iter().map(|write| expected(write.expect)).collect::<Vec<_>>())
        .bind(writes.iter().map(|write| uid(&write.change)).collect::<Vec<_>>())
        .bind(writes.iter().map(|write| write.change.removes()).collect::<Vec<_>>())
        .bind(writes.iter().map(|write| write.actor.user.as_str()).collect::<Vec<_>>())
        .bind(writes.iter().map(|write| write.actor.client.as_str()).collect::<Vec<_>>())
        .bind(writes.iter().map(|write| write.actor.request_id.as_str()).collect::<Vec<_>>())
        .bind(writes.iter().map(|write| write.change.body().as_ref()).collect::<Vec<&str>>())
        .bind(writes.iter().map(|write| packed(&write.change)).collect::<Vec<_>>())
        .bind(guards.distinct.iter().map(|guard| guard.key.resource.as_str()).collect::<Vec<_>>())
        .bind(guards.distinct.iter().map(|guard| guard.key.namespace.as_str()).collect::<Vec<_>>())
        .bind(guards.distinct.iter().map(|guard| guard.key.name.as_str()).collect::<Vec<_>>())
        .bind(guards.distinct.iter().map(|guard| guard.uid.as_deref()).collect::<Vec<_>>())
        .bind(guards.distinct.iter().map(|guard| path(&guard.pointer)).collect::<Vec<_>>())
        .bind(guards.distinct.iter().map(|guard| value(&guard.equals)).collect::<Vec<_>>())
        .bind(&guards.writes)
        .bind(&guards.indices)
        .bind(&guards.positions)
        .fetch_one(connection)
        .await?;
    let before = before as Revision;
    let outcomes = outcomes.into_iter().zip(before + 1..).map(|(outcome, revision)| match outcome {
        0 => Ok(revision),
        -1 => Err(Refusal::Exists),
        -2 => Err(Refusal::Missing),
        -3 => Err(Refusal::Changed),
        guard => Err(Refusal::Guard(guard as usize - 1)),
    });
    Ok(Committed { before, newest: newest as Revision, outcomes: outcomes.collect() })
}

/// A JSON pointer (RFC 6901) as the text of an array of its parts; none for the whole body.
fn path(pointer: &str) -> Option<String> {
    let parts = pointer.strip_prefix('/')?.split('/');
    let parts = parts.map(|part| {
        let part = part.replace("~1", "/").replace("~0", "~");
        format!("\"{}\"", part.replace('\\', "\\\\").replace('"', "\\\""))
    });
    Some(format!("{{{}}}", parts.collect::<Vec<_>>().join(",")))
}

fn value(value: &Value) -> String {
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_an_array_of_its_parts() {
        assert_eq!(path(""), None);
        assert_eq!(path("/spec/holderIdentity").as_deref(), Some(r#"{"spec","holderIdentity"}"#));
        assert_eq!(path("/a~1b/~01/\"\\").as_deref(), Some(r#"{"a/b","~1","\"\\"}"#));
    }
}
