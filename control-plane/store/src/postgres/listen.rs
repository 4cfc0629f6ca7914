//! Hears when other processes write. Only a hint: who follows the log looks by itself as well, and nothing is lost while
//! nobody listens.

use std::{sync::Arc, time::Duration};

use dropmate_sql::postgres::Postgres as Pools;
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Where `control.commit_v1` tells that it has committed.
const CHANNEL: &str = "dropmate_control";
/// How long between two tries to listen.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Listener {
    /// Holds a permit while there is news.
    news: Arc<Notify>,
    stop: CancellationToken,
    _stops_when_dropped: DropGuard,
}

impl Listener {
    /// Listens for all but `own`.
    pub(super) fn start(pools: Pools, own: String) -> Self {
        let (news, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        let (heard, stopped) = (news.clone(), stop.clone());
        tokio::spawn(async move {
            stopped.run_until_cancelled(listen(pools, own, &heard)).await;
        });
        Self { news, stop: stop.clone(), _stops_when_dropped: stop.drop_guard() }
    }

    pub(super) async fn heard(&self) {
        self.news.notified().await;
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}

async fn listen(pools: Pools, own: String, heard: &Notify) {
    loop {
        match pools.listen(CHANNEL).await {
            Ok(mut listener) => {
                // What was told while nobody listened.
                heard.notify_one();
                while let Ok(Some(told)) = listener.try_recv().await {
                    if told.payload() != own {
                        heard.notify_one();
                    }
                }
                tracing::warn!("the connection that hears of others' writes was lost; looking without it");
            }
            Err(error) => tracing::debug!(error = %error, "cannot hear of others' writes; looking without it"),
        }
        sleep(AGAIN).await;
    }
}

/// A name that no other process has.
pub(super) fn fresh_name() -> String {
    uuid::Uuid::new_v4().to_string()
}
