//! The audit in SQLite.

use std::sync::LazyLock;

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, SqliteConnection, sqlite::SqliteRow};

use super::Sqlite;
use crate::{
    Access, AccessPiece, AuditPage, AuditPiece, AuditQuery, BackendError, Entry, Gone, Revision, archive::timestamp,
    columns::Columns,
};

/// The entries come as a JSON array of `[revision, until, kept]`.
const KEEP: &str = "
    INSERT INTO audit (revision, resource, namespace, name, uid, deleted, previous, actor, client, request_id, at, until,
                       body)
    SELECT l.revision, l.resource, l.namespace, l.name, l.uid, l.deleted, l.previous, l.actor, l.client, l.request_id,
           l.at, g.value ->> 1, l.body
    FROM json_each(?1) g CROSS JOIN log l ON l.revision = g.value ->> 0 WHERE g.value ->> 2
    ON CONFLICT DO NOTHING";

const PRUNE: &str = "DELETE FROM log WHERE revision IN (SELECT value ->> 0 FROM json_each(?1))";

const ENTRIES: &str = "
    SELECT e.resource, e.namespace, e.name, e.uid, e.revision, e.body,
           e.deleted, e.actor, e.client, e.request_id, e.at,
           coalesce(p.revision, q.revision), coalesce(p.uid, q.uid), coalesce(p.body, q.body)
    FROM (
        SELECT resource, namespace, name, uid, revision, body, deleted, actor, client, request_id, at, previous
        FROM log WHERE revision IN (SELECT value FROM json_each(?1))
        UNION ALL
        SELECT resource, namespace, name, uid, revision, body, deleted, actor, client, request_id, at, previous
        FROM audit WHERE revision IN (SELECT value FROM json_each(?1))
    ) e LEFT JOIN log p ON p.revision = e.previous LEFT JOIN audit q ON q.revision = e.previous";

/// What leads to the entries looked at: an index does not help with a condition that may be absent.
const OF_KEY: &str = "resource = ?5 AND namespace = ?6 AND name = ?7 AND";
const OF_NAMESPACE: &str = "namespace = ?6 AND";

static FIND: LazyLock<String> = LazyLock::new(|| find("", ""));
static FIND_OF_NAMESPACE: LazyLock<String> = LazyLock::new(|| find("", OF_NAMESPACE));
static FIND_OF_KEY: LazyLock<String> = LazyLock::new(|| find(OF_KEY, OF_KEY));

/// The rows: revision, time, and whether it is how far was looked (0: to the end).
fn find(log_way: &str, audit_way: &str) -> String {
    format!(
        "WITH logged AS MATERIALIZED (
             SELECT revision, resource, namespace, name, actor, at FROM log
             WHERE {log_way} revision < ?1 ORDER BY revision DESC LIMIT ?2
         ), kept AS MATERIALIZED (
             SELECT revision, resource, namespace, name, actor, at FROM audit
             WHERE {audit_way} revision < ?1 ORDER BY revision DESC LIMIT ?2
         ), looked AS (
             SELECT * FROM logged UNION ALL SELECT * FROM kept
         ), reached (upto) AS MATERIALIZED (
             SELECT max((SELECT CASE WHEN count(*) < ?2 THEN 0 ELSE min(revision) END FROM logged),
                        (SELECT CASE WHEN count(*) < ?2 THEN 0 ELSE min(revision) END FROM kept))
         )
         SELECT upto, coalesce((SELECT at FROM looked WHERE revision = upto), 0), true FROM reached
         UNION ALL
         SELECT * FROM (
             SELECT revision, at, false FROM looked
             WHERE revision >= (SELECT upto FROM reached)
               AND (?4 IS NULL OR actor = ?4) AND (?5 IS NULL OR resource = ?5) AND (?6 IS NULL OR namespace = ?6)
               AND (?7 IS NULL OR name = ?7) AND (?8 IS NULL OR at >= ?8) AND (?9 IS NULL OR at < ?9)
               AND resource NOT IN (SELECT value FROM json_each(?10))
             ORDER BY revision DESC LIMIT ?3
         )"
    )
}

/// A revision that nothing up to a time is above.
const START: &str = "SELECT min(revision) FROM (SELECT revision FROM audit WHERE at > ?1 ORDER BY at LIMIT 100)";

const NOTE: &str = "
    INSERT INTO audit_access (at, actor, address, client, request_id, verb, resource, namespace, name, outcome, code, count)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6, value ->> 7,
           value ->> 8, value ->> 9, value ->> 10, value ->> 11
    FROM json_each(?1)";

const ACCESS_END: &str = "SELECT id, at FROM audit_access WHERE id < ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2";
const ACCESS_END_OF_NAMESPACE: &str =
    "SELECT id, at FROM audit_access WHERE namespace = ?3 AND id < ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2";

const ACCESSES: &str = "
    SELECT id, at, actor, address, client, request_id, verb, resource, namespace, name, outcome, code, count
    FROM audit_access
    WHERE id < ?1 AND id >= ?2
      AND (?4 IS NULL OR actor = ?4) AND (?5 IS NULL OR resource = ?5) AND (?6 IS NULL OR namespace = ?6)
      AND (?7 IS NULL OR name = ?7) AND (?8 IS NULL OR at >= ?8) AND (?9 IS NULL OR at < ?9)
    ORDER BY id DESC LIMIT ?3";

const FORGET: &str = "
    DELETE FROM audit WHERE revision IN (SELECT revision FROM audit WHERE until < ?1 ORDER BY until LIMIT ?2)";

/// Ids rise with time: only the oldest are looked at.
const FORGET_ACCESSES: &str = "
    DELETE FROM audit_access
    WHERE at < ?1 AND id IN (SELECT id FROM audit_access ORDER BY id LIMIT ?2)";

/// Takes entries out of the log, and keeps those that are kept.
pub(super) async fn take_out(connection: &mut SqliteConnection, gone: &[Gone]) -> Result<(), BackendError> {
    let gone: Vec<_> = gone.iter().map(|gone| (gone.revision, gone.until.as_microsecond(), gone.kept)).collect();
    let gone = json(&gone)?;
    sqlx::query(KEEP).bind(&gone).execute(&mut *connection).await?;
    sqlx::query(PRUNE).bind(&gone).execute(&mut *connection).await?;
    Ok(())
}

impl Sqlite {
    pub(super) async fn find_audited(&self, query: &AuditQuery, page: AuditPage) -> Result<AuditPiece, BackendError> {
        let mut before = i64::try_from(page.before).unwrap_or(i64::MAX);
        if let Some(to) = query.surely_before() {
            let start: Option<i64> =
                sqlx::query_scalar(START).bind(to.as_microsecond()).fetch_one(&self.pools.read).await?;
            before = start.map_or(before, |start| before.min(start));
        }
        let statement = match query {
            query if query.key().is_some() => &FIND_OF_KEY,
            AuditQuery { namespace: Some(_), .. } => &FIND_OF_NAMESPACE,
            _ => &FIND,
        };
        let rows: Vec<(i64, i64, bool)> = sqlx::query_as(AssertSqlSafe(statement.as_str()))
            .bind(before)
            .bind(page.look as i64)
            .bind(page.limit as i64)
            .bind(query.actor.clone())
            .bind(query.resource.clone())
            .bind(query.namespace.clone())
            .bind(query.name.clone())
            .bind(query.from.map(Timestamp::as_microsecond))
            .bind(query.to.map(Timestamp::as_microsecond))
            .bind(json(&query.left_out())?)
            .fetch_all(&self.pools.read)
            .await?;
        let rows = rows.into_iter().map(|(revision, at, is_end)| Ok((revision as Revision, timestamp(at)?, is_end)));
        Ok(AuditPiece::of(rows.collect::<Result<Vec<_>, sqlx::Error>>()?, query, page.limit))
    }

    pub(super) async fn find_entries(&self, revisions: &[Revision]) -> Result<Vec<Entry>, BackendError> {
        let rows = sqlx::query(ENTRIES).bind(json(&revisions)?).fetch_all(&self.pools.read).await?;
        Ok(rows.iter().map(|row| Columns::of(row).entry()).collect::<Result<_, _>>()?)
    }

    pub(super) async fn note(&self, accesses: &[Access]) -> Result<(), BackendError> {
        let rows: Vec<_> = accesses
            .iter()
            .map(|access| {
                let Access {
                    at,
                    actor,
                    address,
                    client,
                    request_id,
                    verb,
                    resource,
                    namespace,
                    name,
                    outcome,
                    code,
                    count,
                } = access;
                serde_json::json!([
                    at.as_microsecond(),
                    actor,
                    address,
                    client,
                    request_id,
                    verb,
                    resource,
                    namespace,
                    name,
                    outcome,
                    code,
                    count
                ])
            })
            .collect();
        sqlx::query(NOTE).bind(json(&rows)?).execute(&self.pools.write).await?;
        Ok(())
    }

    pub(super) async fn find_accesses(&self, query: &AuditQuery, page: AuditPage) -> Result<AccessPiece, BackendError> {
        let before = i64::try_from(page.before).unwrap_or(i64::MAX);
        let statement = if query.namespace.is_some() { ACCESS_END_OF_NAMESPACE } else { ACCESS_END };
        let mut end = sqlx::query_as(statement).bind(before).bind(page.look as i64 - 1);
        if let Some(namespace) = &query.namespace {
            end = end.bind(namespace.clone());
        }
        let end: Option<(i64, i64)> = end.fetch_optional(&self.pools.read).await?;
        let rows = sqlx::query(ACCESSES)
            .bind(before)
            .bind(end.map_or(0, |(id, _)| id))
            .bind(page.limit as i64)
            .bind(query.actor.clone())
            .bind(query.resource.clone())
            .bind(query.namespace.clone())
            .bind(query.name.clone())
            .bind(query.from.map(Timestamp::as_microsecond))
            .bind(query.to.map(Timestamp::as_microsecond))
            .fetch_all(&self.pools.read)
            .await?;
        let found = rows.iter().map(|row: &SqliteRow| Columns::of(row).access()).collect::<Result<Vec<_>, _>>()?;
        let end = end.map(|(id, at)| Ok::<_, sqlx::Error>((id as u64, timestamp(at)?))).transpose()?;
        Ok(AccessPiece::of(found, end, query, page.limit))
    }

    pub(super) async fn forget(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        let mut forgotten = 0;
        for statement in [FORGET, FORGET_ACCESSES] {
            let query = sqlx::query(statement).bind(before.as_microsecond()).bind(limit as i64);
            forgotten = forgotten.max(query.execute(&self.pools.write).await?.rows_affected() as usize);
        }
        Ok(forgotten)
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, BackendError> {
    Ok(serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))?)
}
