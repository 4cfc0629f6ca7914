//! The audit in PostgreSQL.

use std::sync::LazyLock;

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, PgConnection};

use super::Postgres;
use crate::{
    Access, AccessPiece, AuditPage, AuditPiece, AuditQuery, BackendError, Entry, Gone, Revision, archive::timestamp,
    columns::Columns,
};

/// One statement, so that an entry is never in both places or in none, and nothing waits for a round trip.
const TAKE_OUT: &str = "
    WITH gone AS (
        DELETE FROM control.log l USING unnest($1::bigint[], $2::bigint[], $3::boolean[]) AS g(revision, until, kept)
        WHERE l.revision = g.revision
        RETURNING l.*, g.until, g.kept
    )
    INSERT INTO control.audit (revision, resource, namespace, name, uid, deleted, previous, actor, client, request_id,
                               at, until, body)
    SELECT revision, resource, namespace, name, uid, deleted, previous, actor, client, request_id, at, until, body
    FROM gone WHERE kept
    ON CONFLICT (revision) DO NOTHING";

const ENTRIES: &str = "
    SELECT e.resource, e.namespace, e.name, e.uid, e.revision, e.body,
           e.deleted, e.actor, e.client, e.request_id, e.at,
           coalesce(p.revision, q.revision), coalesce(p.uid, q.uid), coalesce(p.body, q.body)
    FROM (
        SELECT resource, namespace, name, uid, revision, body, deleted, actor, client, request_id, at, previous
        FROM control.log WHERE revision = ANY ($1)
        UNION ALL
        SELECT resource, namespace, name, uid, revision, body, deleted, actor, client, request_id, at, previous
        FROM control.audit WHERE revision = ANY ($1)
    ) e
    LEFT JOIN control.log p ON p.revision = e.previous LEFT JOIN control.audit q ON q.revision = e.previous";

/// What leads to the entries looked at: an index does not help with a condition that may be absent.
const OF_KEY: &str = "resource = $5 AND namespace = $6 AND name = $7 AND";
const OF_NAMESPACE: &str = "namespace = $6 AND";

static FIND: LazyLock<String> = LazyLock::new(|| find("", ""));
static FIND_OF_NAMESPACE: LazyLock<String> = LazyLock::new(|| find("", OF_NAMESPACE));
static FIND_OF_KEY: LazyLock<String> = LazyLock::new(|| find(OF_KEY, OF_KEY));

/// The rows: revision, time, and whether it is how far was looked (0: to the end).
fn find(log_way: &str, audit_way: &str) -> String {
    format!(
        "WITH logged AS MATERIALIZED (
             SELECT revision, resource, namespace, name, actor, at FROM control.log
             WHERE {log_way} revision < $1 ORDER BY revision DESC LIMIT $2
         ), kept AS MATERIALIZED (
             SELECT revision, resource, namespace, name, actor, at FROM control.audit
             WHERE {audit_way} revision < $1 ORDER BY revision DESC LIMIT $2
         ), looked AS (
             SELECT * FROM logged UNION ALL SELECT * FROM kept
         ), reached (upto) AS MATERIALIZED (
             SELECT greatest((SELECT CASE WHEN count(*) < $2 THEN 0 ELSE min(revision) END FROM logged),
                             (SELECT CASE WHEN count(*) < $2 THEN 0 ELSE min(revision) END FROM kept))
         )
         SELECT upto, coalesce((SELECT at FROM looked WHERE revision = upto), 0), true FROM reached
         UNION ALL
         SELECT * FROM (
             SELECT revision, at, false FROM looked
             WHERE revision >= (SELECT upto FROM reached)
               AND ($4::text IS NULL OR actor = $4) AND ($5::text IS NULL OR resource = $5)
               AND ($6::text IS NULL OR namespace = $6) AND ($7::text IS NULL OR name = $7)
               AND ($8::bigint IS NULL OR at >= $8) AND ($9::bigint IS NULL OR at < $9)
               AND resource <> ALL ($10::text[])
             ORDER BY revision DESC LIMIT $3
         ) f"
    )
}

/// A revision that nothing up to a time is above.
const START: &str =
    "SELECT min(revision) FROM (SELECT revision FROM control.audit WHERE at > $1 ORDER BY at LIMIT 100) a";

const NOTE: &str = "
    INSERT INTO control.audit_access (at, actor, address, client, request_id, verb, resource, namespace, name, outcome,
                                      code, count)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                         $8::text[], $9::text[], $10::text[], $11::integer[], $12::bigint[])";

const ACCESS_END: &str = "SELECT id, at FROM control.audit_access WHERE id < $1 ORDER BY id DESC LIMIT 1 OFFSET $2";
const ACCESS_END_OF_NAMESPACE: &str =
    "SELECT id, at FROM control.audit_access WHERE namespace = $3 AND id < $1 ORDER BY id DESC LIMIT 1 OFFSET $2";

const ACCESSES: &str = "
    SELECT id, at, actor, address, client, request_id, verb, resource, namespace, name, outcome, code::bigint, count
    FROM control.audit_access
    WHERE id < $1 AND id >= $2
      AND ($4::text IS NULL OR actor = $4) AND ($5::text IS NULL OR resource = $5)
      AND ($6::text IS NULL OR namespace = $6) AND ($7::text IS NULL OR name = $7)
      AND ($8::bigint IS NULL OR at >= $8) AND ($9::bigint IS NULL OR at < $9)
    ORDER BY id DESC LIMIT $3";

const FORGET: &str = "
    DELETE FROM control.audit
    WHERE revision = ANY (ARRAY(SELECT revision FROM control.audit WHERE until < $1 ORDER BY until LIMIT $2))";

/// Ids rise with time: only the oldest are looked at.
const FORGET_ACCESSES: &str = "
    DELETE FROM control.audit_access
    WHERE at < $1 AND id = ANY (ARRAY(SELECT id FROM control.audit_access ORDER BY id LIMIT $2))";

/// Takes entries out of the log, and keeps those that are kept.
pub(super) async fn take_out(connection: &mut PgConnection, gone: &[Gone]) -> Result<(), sqlx::Error> {
    let revisions: Vec<i64> = gone.iter().map(|gone| gone.revision as i64).collect();
    let until: Vec<i64> = gone.iter().map(|gone| gone.until.as_microsecond()).collect();
    let kept: Vec<bool> = gone.iter().map(|gone| gone.kept).collect();
    sqlx::query(TAKE_OUT).bind(revisions).bind(until).bind(kept).execute(connection).await?;
    Ok(())
}

impl Postgres {
    pub(super) async fn find_audited(&self, query: &AuditQuery, page: AuditPage) -> Result<AuditPiece, BackendError> {
        let statement = match query {
            query if query.key().is_some() => &FIND_OF_KEY,
            AuditQuery { namespace: Some(_), .. } => &FIND_OF_NAMESPACE,
            _ => &FIND,
        };
        let rows: Vec<(i64, i64, bool)> = self
            .read(async |connection| {
                let mut before = i64::try_from(page.before).unwrap_or(i64::MAX);
                if let Some(to) = query.surely_before() {
                    let start = sqlx::query_scalar(START).bind(to.as_microsecond());
                    let start: Option<i64> = start.fetch_one(&mut *connection).await?;
                    before = start.map_or(before, |start| before.min(start));
                }
                sqlx::query_as(AssertSqlSafe(statement.as_str()))
                    .bind(before)
                    .bind(page.look as i64)
                    .bind(page.limit as i64)
                    .bind(query.actor.as_deref())
                    .bind(query.resource.as_deref())
                    .bind(query.namespace.as_deref())
                    .bind(query.name.as_deref())
                    .bind(query.from.map(Timestamp::as_microsecond))
                    .bind(query.to.map(Timestamp::as_microsecond))
                    .bind(query.left_out())
                    .fetch_all(connection)
                    .await
            })
            .await?;
        let rows = rows.into_iter().map(|(revision, at, is_end)| Ok((revision as Revision, timestamp(at)?, is_end)));
        Ok(AuditPiece::of(rows.collect::<Result<Vec<_>, sqlx::Error>>()?, query, page.limit))
    }

    pub(super) async fn find_entries(&self, revisions: &[Revision]) -> Result<Vec<Entry>, BackendError> {
        let revisions: Vec<i64> = revisions.iter().map(|&revision| revision as i64).collect();
        let rows =
            self.read(async |connection| sqlx::query(ENTRIES).bind(revisions).fetch_all(connection).await).await?;
        Ok(rows.iter().map(|row| Columns::of(row).entry()).collect::<Result<_, _>>()?)
    }

    pub(super) async fn note(&self, accesses: &[Access]) -> Result<(), BackendError> {
        fn column<'a, T>(accesses: &'a [Access], of: impl Fn(&'a Access) -> T) -> Vec<T> {
            accesses.iter().map(of).collect()
        }
        self.read(async |connection| {
            sqlx::query(NOTE)
                .bind(column(accesses, |access| access.at.as_microsecond()))
                .bind(column(accesses, |access| access.actor.as_str()))
                .bind(column(accesses, |access| access.address.as_str()))
                .bind(column(accesses, |access| access.client.as_str()))
                .bind(column(accesses, |access| access.request_id.as_str()))
                .bind(column(accesses, |access| access.verb.as_str()))
                .bind(column(accesses, |access| access.resource.as_str()))
                .bind(column(accesses, |access| access.namespace.as_str()))
                .bind(column(accesses, |access| access.name.as_str()))
                .bind(column(accesses, |access| access.outcome.as_str()))
                .bind(column(accesses, |access| i32::from(access.code)))
                .bind(column(accesses, |access| access.count as i64))
                .execute(connection)
                .await
        })
        .await?;
        Ok(())
    }

    pub(super) async fn find_accesses(&self, query: &AuditQuery, page: AuditPage) -> Result<AccessPiece, BackendError> {
        let before = i64::try_from(page.before).unwrap_or(i64::MAX);
        let statement = if query.namespace.is_some() { ACCESS_END_OF_NAMESPACE } else { ACCESS_END };
        let (end, rows) = self
            .read(async |connection| {
                let mut end = sqlx::query_as(statement).bind(before).bind(page.look as i64 - 1);
                if let Some(namespace) = &query.namespace {
                    end = end.bind(namespace);
                }
                let end: Option<(i64, i64)> = end.fetch_optional(&mut *connection).await?;
                let rows = sqlx::query(ACCESSES)
                    .bind(before)
                    .bind(end.map_or(0, |(id, _)| id))
                    .bind(page.limit as i64)
                    .bind(query.actor.as_deref())
                    .bind(query.resource.as_deref())
                    .bind(query.namespace.as_deref())
                    .bind(query.name.as_deref())
                    .bind(query.from.map(Timestamp::as_microsecond))
                    .bind(query.to.map(Timestamp::as_microsecond))
                    .fetch_all(connection)
                    .await?;
                Ok((end, rows))
            })
            .await?;
        let found = rows.iter().map(|row| Columns::of(row).access()).collect::<Result<Vec<_>, _>>()?;
        let end = end.map(|(id, at)| Ok::<_, sqlx::Error>((id as u64, timestamp(at)?))).transpose()?;
        Ok(AccessPiece::of(found, end, query, page.limit))
    }

    pub(super) async fn forget(&self, before: Timestamp, limit: usize) -> Result<usize, BackendError> {
        let mut forgotten = 0;
        for statement in [FORGET, FORGET_ACCESSES] {
            let done = self.read(async |connection| {
                let query = sqlx::query(statement).bind(before.as_microsecond()).bind(limit as i64);
                query.execute(connection).await
            });
            forgotten = forgotten.max(done.await?.rows_affected() as usize);
        }
        Ok(forgotten)
    }
}
