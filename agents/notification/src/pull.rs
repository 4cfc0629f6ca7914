//! The leader's way of feeds into messages: pulled on from where they are planned, planned, and written down with how far
//! that goes. Nothing is sent here.

use std::{sync::Arc, time::Duration};

use dropmate_agent::Backoff;
use dropmate_api::{Clock, events::cloud::CloudEvent};
use http::StatusCode;
use kube::Client;
use serde::Deserialize;
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    Metrics,
    ask::{self, AskError},
    draft::Draft,
    plan::{
        self, Planned,
        mail::{self, Mail},
    },
    store::{Feed, Mark, Stale, Store, Taken},
    world::{Scenes, World},
};

/// Revisions asked for at once: some hundred messages, which one transaction takes in well within its time.
const REVISIONS: usize = 100;

/// Mails asked for at once.
const MAILS: usize = 100;

/// How long the control plane may wait for something to happen; a server that shuts down waits no longer.
const WAIT: Duration = Duration::from_secs(5);

/// Messages in one transaction; a revision is never split, so that it may be more.
const MESSAGES: usize = 400;

/// The watches show a policy or a webhook this much later than the feed shows the order that was made after it.
const WATCHES_LAG: Duration = Duration::from_millis(20);

/// Failures in a row after which it is news: a restart of the server is none.
const TELL_AFTER: u32 = 3;

/// What pulling and planning needs.
pub(crate) struct Puller {
    pub(crate) client: Client,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    /// Wakes the senders of this process.
    pub(crate) planned: Arc<Notify>,
    /// Wakes whoever tells what was planned and at once given up.
    pub(crate) ended: Arc<Notify>,
    /// How far the events are planned, for who keeps their history.
    pub(crate) cursor: Arc<tokio::sync::watch::Sender<i64>>,
}

#[derive(Deserialize)]
struct Page {
    epoch: String,
    events: Vec<CloudEvent>,
    next: i64,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "as the control plane names it")]
struct Mails {
    mails: Vec<Mail>,
    next: i64,
    /// The history that the numbers are of.
    #[serde(default)]
    epoch: String,
}

/// Where a reader has to go on that is not where it was.
#[derive(Deserialize)]
struct Elsewhere {
    #[serde(default)]
    oldest: i64,
    #[serde(default)]
    epoch: String,
}

impl Puller {
    /// Plans a feed until the term ends.
    pub(crate) async fn run(&self, feed: Feed, world: &World, ended: &CancellationToken) {
        let mut backoff = Backoff::default();
        loop {
            let step = async {
                match feed {
                    Feed::Events => self.events(world).await,
                    Feed::Mails => self.mails().await,
                }
            };
            match ended.run_until_cancelled(step).await {
                None => return,
                Some(Ok(())) => backoff = Backoff::default(),
                Some(Err(error)) => {
                    let failures = backoff.failures();
                    let wait = backoff.after_failure();
                    self.metrics.pull_failures.inc();
                    if failures >= TELL_AFTER {
                        tracing::warn!(?feed, error = %format!("{error:#}"), "a feed cannot be planned; trying again");
                    }
                    if ended.run_until_cancelled(sleep(wait)).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// One piece of the events.
    async fn events(&self, world: &World) -> anyhow::Result<()> {
        let from = self.store.progress(Feed::Events).await?;
        self.cursor.send_replace(from.position);
        let after = if from.position < 0 { "latest".to_owned() } else { from.position.to_string() };
        let epoch = if from.epoch.is_empty() { String::new() } else { format!("&epoch={}", from.epoch) };
        let path = format!("/v1/internal/events?after={after}&limit={REVISIONS}&wait={}{epoch}", WAIT.as_secs());
        let asked_at = Instant::now();
        let answer = ask::get(&self.client, &path, WAIT).await?;
        if answer.status == StatusCode::GONE {
            return self
                .begin_elsewhere(&from, serde_json::from_slice(&answer.body).map_err(AskError::Unreadable)?)
                .await;
        }
        let Page { epoch, events, next } = answer.read()?;
        if from.position >= 0 && !from.epoch.is_empty() && epoch != from.epoch {
            return self.begin_elsewhere(&from, Elsewhere { oldest: 0, epoch }).await;
        }
        if events.is_empty() {
            if next == from.position {
                // A server that shuts down, or does not know how to wait, answers at once.
                if asked_at.elapsed() < Duration::from_millis(50) {
                    sleep(Duration::from_millis(200)).await;
                }
                return Ok(());
            }
            self.take(Feed::Events, &from, &Mark { epoch, position: next }, &[], &[]).await?;
            return Ok(());
        }
        sleep(WATCHES_LAG).await;
        self.plan_events(from, &epoch, &events, next, world).await
    }

    /// Plans events, some revisions at a time.
    async fn plan_events(
        &self,
        mut from: Mark,
        epoch: &str,
        events: &[CloudEvent],
        next: i64,
        world: &World,
    ) -> anyhow::Result<()> {
        let mut scenes = Scenes::of(world);
        let mut planned = Planned::default();
        let mut events = events.iter().peekable();
        while let Some(event) = events.next() {
            let namespace = event.subject.split('/').next().unwrap_or_default();
            let Planned { drafts, stale } = plan::plan(event, scenes.scene(namespace), &self.clock);
            planned.drafts.extend(drafts);
            planned.stale.extend(stale);
            let revision = plan::revision(&event.id).unwrap_or(from.position);
            let last = events.peek().is_none();
            let whole = events.peek().is_none_or(|following| plan::revision(&following.id) != Some(revision));
            if !last && (!whole || planned.drafts.len() < MESSAGES) {
                continue;
            }
            let to = Mark { epoch: epoch.to_owned(), position: if last { next } else { revision } };
            let Planned { drafts, stale } = std::mem::take(&mut planned);
            if self.take(Feed::Events, &from, &to, &drafts, &newest(stale)).await? == Taken::Elsewhere {
                // Another leads, and has been here.
                return Ok(());
            }
            from = to;
        }
        Ok(())
    }

    /// The history is another, or its end that we were at is gone.
    async fn begin_elsewhere(&self, from: &Mark, elsewhere: Elsewhere) -> anyhow::Result<()> {
        let Elsewhere { oldest, epoch } = elsewhere;
        let other_history = epoch != from.epoch || oldest <= from.position;
        let to = if other_history {
            tracing::warn!(
                "the control plane's history is another than before: beginning with what happens from now on"
            );
            Mark { epoch: String::new(), position: -1 }
        } else {
            tracing::error!(missed = oldest - from.position, "what happened was removed before it could be told");
            self.metrics.missed.inc_by((oldest - from.position).unsigned_abs());
            Mark { epoch, position: oldest }
        };
        self.take(Feed::Events, from, &to, &[], &[]).await?;
        Ok(())
    }

    /// One piece of the mails.
    async fn mails(&self) -> anyhow::Result<()> {
        let from = self.store.progress(Feed::Mails).await?;
        let path = format!("/v1/internal/mails?after={}&limit={MAILS}&wait={}", from.position.max(0), WAIT.as_secs());
        let asked_at = Instant::now();
        let answer = ask::get(&self.client, &path, WAIT).await?;
        let Mails { mails, next, epoch } = answer.read()?;
        if mails.is_empty() && next == from.position {
            if asked_at.elapsed() < Duration::from_millis(50) {
                sleep(Duration::from_millis(200)).await;
            }
            return Ok(());
        }
        let drafts: Vec<Draft> = mails.iter().map(|one| mail::plan(one, &self.clock)).collect();
        self.take(Feed::Mails, &from, &Mark { epoch, position: next }, &drafts, &[]).await?;
        Ok(())
    }

    async fn take(
        &self,
        feed: Feed,
        from: &Mark,
        to: &Mark,
        drafts: &[Draft],
        stale: &[Stale],
    ) -> anyhow::Result<Taken> {
        let taken = self.store.take(feed, (from, to), drafts, stale, self.clock.system_now()).await?;
        if let Taken::Planned(new) = taken {
            if feed == Feed::Events {
                self.cursor.send_replace(to.position);
            }
            if new > 0 {
                self.metrics.planned.inc_by(new);
                self.planned.notify_one();
                self.ended.notify_one();
            }
        }
        Ok(taken)
    }
}

/// Of what makes the same messages old the newest: a statement touches a row once.
fn newest(stale: Vec<Stale>) -> Vec<Stale> {
    let mut by_class = std::collections::BTreeMap::new();
    for one in stale {
        by_class.insert((one.uid.clone(), one.class), one);
    }
    by_class.into_values().collect()
}
