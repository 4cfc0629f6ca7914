//! Hears what the other processes say.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures::StreamExt;
use redis::{RedisError, aio::PubSub};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    commands::{self, Heard},
    link::Link,
};
use crate::Inner;

/// How long subscribing may take.
const SUBSCRIBE: Duration = Duration::from_secs(1);
/// Our own sign of life comes every second: who hears nothing for as long as this is on a dead line.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// The pause before the next try.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// `anew` is told whenever something may have been missed before.
pub(super) async fn run(link: Arc<Link>, inner: Weak<Inner>, anew: Arc<Notify>) {
    loop {
        match timeout(SUBSCRIBE, subscribe(&link)).await {
            Ok(Ok(said)) => {
                anew.notify_one();
                listen(said, &link, &inner).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "cannot hear what other processes say"),
            Err(_elapsed) => tracing::debug!("Redis does not let us hear what other processes say in time"),
        }
        sleep(AGAIN_AFTER).await;
    }
}

async fn subscribe(link: &Link) -> Result<PubSub, RedisError> {
    let mut said = link.client().get_async_pubsub().await?;
    said.subscribe(commands::channel(link)).await?;
    Ok(said)
}

async fn listen(mut said: PubSub, link: &Link, inner: &Weak<Inner>) {
    let mut messages = said.on_message();
    while let Ok(Some(message)) = timeout(SILENCE_MAX, messages.next()).await {
        let Some(inner) = inner.upgrade() else { return };
        let Some(heard) = Heard::read(message.get_payload_bytes()) else { continue };
        if heard.from == link.id() {
            continue;
        }
        let topics: Vec<_> = heard.topics().collect();
        inner.took(heard.positions);
        for topic in topics {
            inner.wake(topic);
        }
    }
}
