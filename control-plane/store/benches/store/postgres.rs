//! A PostgreSQL server of the benchmark's own, as durable as it comes, with us and without.

use std::time::Instant;

use anyhow::Result;
use dropmate_store::{Change, Options, Postgres, Store, Write};
use dropmate_testing::PostgresServer;
use futures::future::try_join_all;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    create,
    grouped::{TURN, Turns, WRITERS, grouped},
    now,
};

pub(crate) async fn grouped_writes() -> Result<()> {
    let server = PostgresServer::start(&[]);
    for replicas in [1, 2] {
        for writers in WRITERS {
            let mut turns = Turns::of("PostgreSQL", replicas, writers);
            while turns.go_on() {
                let url = fresh_database(&server).await?;
                let stores = (0..replicas).map(|_| Store::postgres(&url, now(), Options::default()));
                let batch = turns.store(&grouped(&try_join_all(stores).await?, writers).await?);
                // A lone writer is on one replica.
                let connections = replicas.min(writers);
                turns.raw(raw(&fresh_database(&server).await?, FREE, connections, batch).await?);
                turns.in_order(raw(&fresh_database(&server).await?, IN_ORDER, connections, batch).await?);
            }
            turns.print();
        }
    }
    Ok(())
}

/// The same rows into the same tables, checking nothing and waiting for nobody.
const FREE: &str = "
    WITH logged AS (
        INSERT INTO control.log (revision, resource, namespace, name, uid, deleted, previous, actor, client, request_id,
                                 at, total, body)
        SELECT w.revision, w.resource, w.namespace, w.name, w.uid, false, 0, w.actor, w.client, w.request_id, 0, 0, w.body
        FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                    $9::text[])
             AS w(revision, resource, namespace, name, uid, actor, client, request_id, body)
    )
    INSERT INTO control.objects (revision, resource, namespace, name, uid)
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[])";

/// As `FREE`, but the counter is raised first: what becomes visible does so in one order, whoever writes it. No log in
/// order does less.
const IN_ORDER: &str = "
    WITH counter AS (
        UPDATE control.revision SET value = value + cardinality($1::bigint[]) RETURNING value
    ), logged AS (
        INSERT INTO control.log (revision, resource, namespace, name, uid, deleted, previous, actor, client, request_id,
                                 at, total, body)
        SELECT w.revision, w.resource, w.namespace, w.name, w.uid, false, 0, w.actor, w.client, w.request_id, 0, c.value,
               w.body
        FROM counter c,
             unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                    $9::text[])
             AS w(revision, resource, namespace, name, uid, actor, client, request_id, body)
    )
    INSERT INTO control.objects (revision, resource, namespace, name, uid)
    SELECT w.* FROM counter c, unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[]) w";

/// Inserts in transactions of `batch` rows by so many connections: how many in a turn.
async fn raw(url: &str, insert: &'static str, connections: usize, batch: usize) -> Result<usize> {
    let inserting = (0..connections).map(async |connection| {
        let url = url.to_owned();
        tokio::spawn(async move { raw_by(&url, insert, connection, batch).await }).await?
    });
    Ok(try_join_all(inserting).await?.into_iter().sum())
}

async fn raw_by(url: &str, insert: &'static str, number: usize, batch: usize) -> Result<usize> {
    let mut connection = PgConnection::connect(url).await?;
    let end = Instant::now() + TURN;
    let first = number as i64 * 1_000_000_000;
    let mut inserted = 0;
    while Instant::now() < end {
        let writes: Vec<_> = (inserted..inserted + batch)
            .map(|row| create(&format!("order-{}-{}", row % 256 + number * 256, row / 256)))
            .collect();
        let revisions: Vec<_> = (1..=batch).map(|row| first + (inserted + row) as i64).collect();
        let column = |value: fn(&Write) -> &str| writes.iter().map(value).collect::<Vec<_>>();
        sqlx::query(insert)
            .bind(revisions)
            .bind(column(|write| &write.key.resource))
            .bind(column(|write| &write.key.namespace))
            .bind(column(|write| &write.key.name))
            .bind(column(|write| match &write.change {
                Change::Put { uid, .. } => uid,
                Change::Delete { .. } | Change::Archive { .. } => "",
            }))
            .bind(column(|write| &write.actor.user))
            .bind(column(|write| &write.actor.client))
            .bind(column(|write| &write.actor.request_id))
            .bind(column(|write| write.change.body()))
            .execute(&mut connection)
            .await?;
        inserted += batch;
    }
    connection.close().await?;
    Ok(inserted)
}

async fn fresh_database(server: &PostgresServer) -> Result<String> {
    let name = format!("bench_{}", uuid::Uuid::new_v4().simple());
    let mut connection = PgConnection::connect(server.url()).await?;
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await?;
    connection.close().await?;
    let url = server.url_of(&name);
    Postgres::migrate(&url).await?;
    Ok(url)
}
