//! The SQL of the log in SQLite.

use std::sync::LazyLock;

use sqlx::AssertSqlSafe;

pub(super) const NEWEST: &str = "SELECT value FROM revision";

pub(super) const TAKE: &str = "UPDATE revision SET value = value + ?1 RETURNING value, bytes";

pub(super) const APPENDED: &str = "SELECT bytes FROM revision";

pub(super) const SET_APPENDED: &str = "UPDATE revision SET bytes = ?1";

pub(super) const FLOORS: &str = "SELECT resource, revision FROM floors";

pub(super) const LIVE_OBJECTS: &str = "
    SELECT o.resource, o.namespace, o.name, o.uid, o.revision, l.body
    FROM objects o JOIN log l ON l.revision = o.revision";

/// The keys come as a JSON array of `[resource, namespace, name, with body]`. CROSS JOIN keeps the order of the loops:
/// one look-up for each key.
pub(super) const FIND: &str = "
    SELECT o.resource, o.namespace, o.name, o.uid, o.revision,
           CASE WHEN k.value ->> 3 THEN (SELECT body FROM log WHERE revision = o.revision) ELSE '' END
    FROM json_each(?1) k CROSS JOIN objects o
    ON o.resource = k.value ->> 0 AND o.namespace = k.value ->> 1 AND o.name = k.value ->> 2";

pub(super) const POINT_OBJECTS: &str = "
    INSERT INTO objects (resource, namespace, name, uid, revision)
    SELECT resource, namespace, name, uid, revision FROM log WHERE revision > ?1 AND NOT deleted
    ON CONFLICT DO UPDATE SET uid = excluded.uid, revision = excluded.revision";

pub(super) const DROP_OBJECTS: &str = "
    DELETE FROM objects WHERE (resource, namespace, name) IN
    (SELECT resource, namespace, name FROM log WHERE revision > ?1 AND deleted)";

/// The scope is a condition on each row, never a way in: the log is read in its own order.
pub(super) const ENTRIES: &str = "
    SELECT l.resource, l.namespace, l.name, l.uid, l.revision, l.body,
           l.deleted, l.actor, l.client, l.request_id, l.at, p.revision, p.uid, p.body
    FROM log l NOT INDEXED LEFT JOIN log p ON p.revision = l.previous
    WHERE l.revision > ?1 AND l.revision <= ?2
      AND (?3 IS NULL OR l.resource = ?3) AND (?4 IS NULL OR l.namespace = ?4)
    ORDER BY l.revision LIMIT ?5";

pub(super) const HISTORY: &str = "
    SELECT l.resource, l.namespace, l.name, l.uid, l.revision, l.body,
           l.deleted, l.actor, l.client, l.request_id, l.at, p.revision, p.uid, p.body
    FROM log l LEFT JOIN log p ON p.revision = l.previous
    WHERE l.resource = ?1 AND l.namespace = ?2 AND l.name = ?3 AND l.revision > ?4
    ORDER BY l.revision LIMIT ?5";

pub(super) const HEADERS: &str = "
    SELECT revision, resource, previous, deleted, at, total FROM log NOT INDEXED
    WHERE revision > ?1 ORDER BY revision LIMIT ?2";

pub(super) const RAISE_FLOOR: &str = "
    INSERT INTO floors (resource, revision) VALUES (?1, ?2)
    ON CONFLICT DO UPDATE SET revision = max(revision, excluded.revision)";

pub(super) const ARCHIVE: &str = "
    INSERT INTO archive (revision, resource, namespace, name, uid, at, body)
    SELECT revision, resource, namespace, name, uid, at, ?2 FROM log WHERE revision = ?1";

/// One statement for each way in: an index does not help with a condition that may be absent.
pub(super) const ARCHIVED: &str = "
    SELECT resource, namespace, name, uid, revision, body, at FROM archive
    WHERE resource = ?1 AND (?2 IS NULL OR namespace = ?2) AND revision < ?3
    ORDER BY revision DESC LIMIT ?4";

pub(super) const ARCHIVED_BY_NAME: &str = "
    SELECT resource, namespace, name, uid, revision, body, at FROM archive
    WHERE resource = ?1 AND (?2 IS NULL OR namespace = ?2) AND revision < ?3 AND name = ?5
    ORDER BY revision DESC LIMIT ?4";

/// The row counts that there is a statement for. Few, so that all stay prepared; steep, so that a batch needs few.
const APPEND_ROWS: [usize; 4] = [64, 16, 4, 1];

static APPEND: LazyLock<[String; 4]> = LazyLock::new(|| {
    APPEND_ROWS.map(|rows| {
        let row = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        format!(
            "INSERT INTO log (revision, resource, namespace, name, uid, deleted, previous, actor, client, request_id, \
             at, total, body) VALUES {}",
            vec![row; rows].join(", ")
        )
    })
});

/// The largest statement that appends at most `rows` rows, and how many it appends.
pub(super) fn append(rows: usize) -> (usize, AssertSqlSafe<&'static str>) {
    let index = APPEND_ROWS.iter().position(|&count| count <= rows).unwrap_or(APPEND_ROWS.len() - 1);
    (APPEND_ROWS[index], AssertSqlSafe(APPEND[index].as_str()))
}
