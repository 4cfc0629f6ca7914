//! The SQL of the log in PostgreSQL.

pub(super) const NEWEST: &str = "SELECT value FROM control.revision";

/// Waits for commits under way.
pub(super) const NEWEST_SETTLED: &str = "SELECT value FROM control.revision FOR UPDATE";

pub(super) const APPENDED: &str = "SELECT bytes FROM control.revision";

pub(super) const FLOORS: &str = "SELECT resource, revision FROM control.floors";

pub(super) const LIVE_OBJECTS: &str = "
    SELECT o.resource, o.namespace, o.name, o.uid, o.revision, l.body
    FROM control.objects o JOIN control.log l ON l.revision = o.revision";

pub(super) const COMMIT: &str = "
    SELECT before, newest, outcomes
    FROM control.commit_v1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
                           $21, $22)";

/// The bodies of a piece come to at most `$6` bytes, or it is one entry; the last column says whether there was more.
/// The scope is a condition on each row, never a way in: the log is read in its own order.
pub(super) const ENTRIES: &str = "
    WITH sized AS (
        SELECT s.revision, sum(octet_length(s.body)) OVER (ORDER BY s.revision) - octet_length(s.body) AS before
        FROM (
            SELECT revision, body FROM control.log
            WHERE revision > $1 AND revision <= $2
              AND ($3::text IS NULL OR resource = $3) AND ($4::text IS NULL OR namespace = $4)
            ORDER BY revision LIMIT $5
        ) s
    )
    SELECT l.resource, l.namespace, l.name, l.uid, l.revision, l.body,
           l.deleted, l.actor, l.client, l.request_id, l.at, p.revision, p.uid, p.body,
           EXISTS (SELECT FROM sized WHERE sized.before > $6)
    FROM sized s JOIN control.log l ON l.revision = s.revision LEFT JOIN control.log p ON p.revision = l.previous
    WHERE s.before <= $6
    ORDER BY l.revision";

/// The counter before each entry; one row without an entry if there is none. One statement, so that both are of the same
/// moment. The bodies of a piece come to at most `$3` bytes, or it is one entry: `total` counts them without a look at
/// each. The last column says that the next would not fit.
pub(super) const NEWS: &str = "
    SELECT r.value, l.resource, l.namespace, l.name, l.uid, l.revision, l.body,
           l.deleted, l.actor, l.client, l.request_id, l.at, p.revision, p.uid, p.body, l.total > l.most
    FROM control.revision r
    LEFT JOIN (
        SELECT log.*, f.most
        FROM (
            SELECT (SELECT total - octet_length(body) + $3 FROM control.log
                    WHERE revision > $1 ORDER BY revision LIMIT 1) AS most
        ) f, control.log
        WHERE log.revision > $1 AND log.total - octet_length(log.body) <= f.most
        ORDER BY log.revision LIMIT $2
    ) l ON true
    LEFT JOIN control.log p ON p.revision = l.previous
    ORDER BY l.revision";

pub(super) const HISTORY: &str = "
    SELECT l.resource, l.namespace, l.name, l.uid, l.revision, l.body,
           l.deleted, l.actor, l.client, l.request_id, l.at, p.revision, p.uid, p.body
    FROM control.log l LEFT JOIN control.log p ON p.revision = l.previous
    WHERE l.resource = $1 AND l.namespace = $2 AND l.name = $3 AND l.revision > $4
    ORDER BY l.revision LIMIT $5";

pub(super) const HEADERS: &str = "
    SELECT revision, resource, previous, deleted, at, total FROM control.log
    WHERE revision > $1 ORDER BY revision LIMIT $2";

/// One statement for each way in: an index does not help with a condition that may be absent.
pub(super) const ARCHIVED: &str = "
    SELECT resource, namespace, name, uid, revision, body, at FROM control.archive
    WHERE resource = $1 AND ($2::text IS NULL OR namespace = $2) AND revision < $3
    ORDER BY revision DESC LIMIT $4";

pub(super) const ARCHIVED_BY_NAME: &str = "
    SELECT resource, namespace, name, uid, revision, body, at FROM control.archive
    WHERE resource = $1 AND ($2::text IS NULL OR namespace = $2) AND revision < $3 AND name = $5
    ORDER BY revision DESC LIMIT $4";

pub(super) const RAISE_FLOORS: &str = "
    INSERT INTO control.floors (resource, revision)
    SELECT f.resource, f.revision FROM unnest($1::text[], $2::bigint[]) AS f(resource, revision) ORDER BY f.resource
    ON CONFLICT (resource) DO UPDATE SET revision = greatest(floors.revision, excluded.revision)";
