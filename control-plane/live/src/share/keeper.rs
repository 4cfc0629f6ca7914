//! Keeps the connection, and finds out whether Redis is another than before.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use redis::{ErrorKind, RedisError};
use tokio::{sync::Notify, time::sleep};
use uuid::Uuid;

use super::{
    Hint, Owed,
    commands::{self, PIECE},
    link::Link,
};
use crate::{Inner, metrics::Metrics};

/// How often Redis is asked how it is: what was lost there is back within 5 s.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The pause before the next try to connect.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Positions of one namespace asked for at once.
const SCAN: usize = 500;

pub(super) struct Keeper {
    link: Arc<Link>,
    inner: Weak<Inner>,
    owed: Arc<Owed>,
    metrics: Metrics,
    /// Something may have been missed.
    anew: Arc<Notify>,
    /// What Redis showed when all was well.
    marker: Option<String>,
    /// Whether it was told that Redis is away.
    told: bool,
}

impl Keeper {
    pub(super) fn new(
        link: Arc<Link>,
        inner: Weak<Inner>,
        owed: Arc<Owed>,
        metrics: Metrics,
        anew: Arc<Notify>,
    ) -> Self {
        Self { link, inner, owed, metrics, anew, marker: None, told: false }
    }

    pub(super) async fn run(mut self) {
        loop {
            if !self.link.is_connected() {
                if let Err(error) = self.link.connect().await {
                    self.is_away(&error);
                    sleep(AGAIN_AFTER).await;
                    continue;
                }
                self.marker = None;
            }
            if let Err(error) = self.look().await {
                self.link.disconnect();
                self.is_away(&error);
                sleep(AGAIN_AFTER).await;
                continue;
            }
            if std::mem::take(&mut self.told) {
                tracing::info!("Redis is back; hints are shared again");
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = self.link.broken.notified() => {}
                () = self.anew.notified() => self.marker = None,
            }
        }
    }

    fn is_away(&mut self, error: &RedisError) {
        if !std::mem::replace(&mut self.told, true) {
            // Never the URL, which may hold a password.
            tracing::warn!(%error, "Redis is away; hints stay in this process, and nothing else changes");
        }
    }

    /// Shows a sign of life, and makes good what may be missing if Redis is not the one that it was.
    async fn look(&mut self) -> Result<(), RedisError> {
        let marker = commands::marker(&self.link);
        let mut pipeline = redis::pipe();
        pipeline.cmd("SET").arg(&marker).arg(Uuid::new_v4().to_string()).arg("NX").ignore();
        pipeline.cmd("GET").arg(&marker);
        commands::beat(&mut pipeline, &self.link, self.link.id());
        let (found,): (String,) = self.link.steady("look", &pipeline).await?;
        if self.marker.as_ref() != Some(&found) {
            self.heal().await?;
            self.metrics.healed.inc();
            self.marker = Some(found);
        }
        Ok(())
    }

    /// Reads what the others know, and writes what is known here.
    async fn heal(&self) -> Result<(), RedisError> {
        let Some(inner) = self.inner.upgrade() else { return Ok(()) };
        let owed = self.owed.keys();
        for keys in owed.chunks(PIECE) {
            let mut pipeline = redis::pipe();
            pipeline.cmd("UNLINK").arg(keys).ignore();
            self.link.steady::<()>("heal", &pipeline).await?;
            for key in keys {
                self.owed.paid(key);
            }
        }
        let mut pipeline = redis::pipe();
        pipeline.cmd("SMEMBERS").arg(commands::namespaces(&self.link));
        let (namespaces,): (Vec<String>,) = self.link.steady("heal", &pipeline).await?;
        for namespace in namespaces {
            self.load(&inner, &namespace).await?;
        }
        let known: Vec<Hint> = inner.fleet().everywhere().into_iter().map(Hint::Seen).collect();
        for hints in known.chunks(PIECE) {
            let mut pipeline = redis::pipe();
            commands::tell(&mut pipeline, &self.link, self.link.id(), hints);
            self.link.steady::<()>("heal", &pipeline).await?;
        }
        Ok(())
    }

    async fn load(&self, inner: &Inner, namespace: &str) -> Result<(), RedisError> {
        let mut cursor = "0".to_owned();
        loop {
            let mut pipeline = redis::pipe();
            pipeline.cmd("HSCAN").arg(commands::positions(&self.link, namespace)).arg(&cursor);
            pipeline.arg("COUNT").arg(SCAN);
            let ((next, found),): ((String, Vec<Vec<u8>>),) = self.link.steady("heal", &pipeline).await?;
            // Names and values by turns.
            let positions = found.chunks_exact(2).filter_map(|pair| commands::kept(&pair[1]));
            // A process that was started by somebody else may have written anything.
            let positions: Vec<_> = positions.filter(|position| position.namespace == namespace).collect();
            inner.took(positions);
            if next == "0" {
                return Ok(());
            }
            if next == cursor {
                return Err((ErrorKind::UnexpectedReturnType, "a walk does not go on").into());
            }
            cursor = next;
        }
    }
}
