//! A SQLite file, with us and without.

use std::time::Instant;

use anyhow::Result;
use dropmate_store::{Change, Options, Sqlite, Store};
use sqlx::AssertSqlSafe;

use crate::{
    create,
    grouped::{TURN, Turns, WRITERS, grouped},
    now,
};

pub(crate) async fn grouped_writes() -> Result<()> {
    for writers in WRITERS {
        let mut turns = Turns::of("SQLite", 1, writers);
        while turns.go_on() {
            let dir = tempfile::tempdir()?;
            let store = Store::sqlite(dir.path().join("control.db"), now(), Options::default()).await?;
            let batch = turns.store(&grouped(&[store], writers).await?);
            turns.raw(raw(batch).await?);
        }
        turns.print();
    }
    Ok(())
}

/// The same rows into the same tables in transactions of `batch` rows, checking nothing: how many in a turn.
async fn raw(batch: usize) -> Result<usize> {
    let dir = tempfile::tempdir()?;
    let backend = Sqlite::open(&dir.path().join("control.db")).await?;
    let row = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let log = format!(
        "INSERT INTO log (revision, resource, namespace, name, uid, deleted, previous, actor, client, request_id, at, \
         body) VALUES {}",
        vec![row; batch].join(", ")
    );
    let objects = "INSERT INTO objects (resource, namespace, name, uid, revision)
                   SELECT resource, namespace, name, uid, revision FROM log WHERE revision > ?";
    let end = Instant::now() + TURN;
    let mut revision: i64 = 0;
    while Instant::now() < end {
        let mut transaction = backend.pools().write.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query("UPDATE revision SET value = value + ?").bind(batch as i64).execute(&mut *transaction).await?;
        let before = revision;
        let mut query = sqlx::query(AssertSqlSafe(log.as_str()));
        for _ in 0..batch {
            revision += 1;
            let write = create(&format!("order-{}-{}", revision % 256, revision / 256));
            let Change::Put { uid, body } = write.change else { continue };
            query = query
                .bind(revision)
                .bind(write.key.resource)
                .bind(write.key.namespace)
                .bind(write.key.name)
                .bind(uid)
                .bind(false)
                .bind(0_i64)
                .bind(write.actor.user)
                .bind(write.actor.client)
                .bind(write.actor.request_id)
                .bind(0_i64)
                .bind(body);
        }
        query.execute(&mut *transaction).await?;
        sqlx::query(objects).bind(before).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    backend.pools().close().await;
    Ok(revision as usize)
}
