//! The garbage collector: an object whose owners are all gone goes too, and an object that was deleted with its
//! dependents in mind waits for them (`foregroundDeletion`) or lets them go (`orphan`).
//!
//! Every replica collects. What it knows of owners and dependents is a graph that it keeps from watches; what it does
//! rests on the store as it is at that moment, and each write names the state it was decided on. So the store lets one of
//! several replicas win, and a restart is nothing special: it looks at everything again.

mod act;
mod graph;
mod metrics;
mod observed;
#[cfg(test)]
mod properties;
mod retries;
mod step;

use std::{sync::Arc, time::Duration};

use dropmate_api::registry::{Kind, kinds};
use dropmate_store::{At, Event, ReadError, Scope, Watch};
use futures::FutureExt;
use tokio::time::{Instant, timeout};

pub(crate) use self::metrics::Metrics;
use self::{graph::Graph, retries::Retries};
use crate::{
    error::{ApiError, Result},
    resources,
    state::AppState,
};

/// How long between two tries to follow the objects.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Objects looked at side by side: enough for the store to group the writes, few enough to leave it to others.
const AT_ONCE: usize = 64;
/// Changes taken in before others on this thread have their turn.
const CHANGES_AT_ONCE: usize = 1_024;
/// How long the watches may take to bring what the store has already acknowledged.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether they have.
const CATCH_UP_POLL: Duration = Duration::from_millis(2);

/// Runs until the server drains.
pub(crate) async fn run(state: AppState, metrics: Metrics) {
    let collect = async {
        loop {
            if let Err(error) = Collector::follow(&state, &metrics).await {
                tracing::warn!(error = error.message(), "owners could not be followed; trying again");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    state.shutdown.run_until_cancelled(collect).await;
}

/// One kind for each place whose objects may be owners or dependents: that in whose form they are stored.
fn collected_kinds() -> impl Iterator<Item = &'static Kind> {
    kinds().iter().filter(|kind| kind.strategy.collected() && kind.renamed.is_empty())
}

/// Follows all objects.
struct Collector<'a> {
    state: &'a AppState,
    metrics: &'a Metrics,
    graph: Graph,
    retries: Retries,
    watches: Vec<Watch>,
}

impl<'a> Collector<'a> {
    /// From a list of everything until a watch ends.
    async fn follow(state: &'a AppState, metrics: &'a Metrics) -> Result<()> {
        let (graph, retries, watches) = (Graph::default(), Retries::default(), Vec::new());
        let mut collector = Self { state, metrics, graph, retries, watches };
        for kind in collected_kinds() {
            let scope = Scope { resource: kind.storage.into(), namespace: None };
            let page = state.store.list(&scope, At::Latest, None, None).await?;
            for object in &page.objects {
                collector.graph.note(object);
            }
            collector.watches.push(state.store.watch(scope, page.revision).await?);
        }
        while collector.round().await? {}
        Ok(())
    }

    /// Takes in what has changed and looks at what it touches. Tells whether to go on.
    async fn round(&mut self) -> Result<bool> {
        if !self.take_in().await? {
            return Ok(false);
        }
        let now = Instant::now();
        let mut due = self.retries.take_due(now, AT_ONCE);
        due.extend(self.graph.take_touched(AT_ONCE - due.len()));
        self.metrics.observe(self.graph.len(), self.graph.touched() + self.retries.len() + due.len());
        if due.is_empty() {
            let event = tokio::select! {
                biased;
                event = next(&mut self.watches) => event,
                () = self.retries.wait() => return Ok(true),
            };
            return self.note(event);
        }
        // Whoever has a dependent that was acknowledged before now is known to have it.
        if !self.catch_up().await? {
            return Ok(false);
        }
        let graph = &self.graph;
        let looks = due.into_iter().map(|uid| async {
            let looked = act::look(self.state, graph, &uid, self.metrics).await;
            (uid, looked)
        });
        for (uid, looked) in futures::future::join_all(looks).await {
            match looked {
                Ok(()) => self.retries.forget(&uid),
                Err(error) => {
                    // Somebody else was faster: nothing that a second look does not settle.
                    if !matches!(error.reason(), "NotFound" | "Conflict") {
                        self.metrics.failures.inc();
                        tracing::warn!(error = error.message(), "cannot collect an object; trying again");
                    }
                    self.retries.add(uid, Instant::now());
                }
            }
        }
        Ok(true)
    }

    /// Takes in what the watches have. Tells whether there may be more.
    async fn take_in(&mut self) -> Result<bool> {
        let mut taken = 0;
        for index in 0..self.watches.len() {
            while let Some(event) = self.watches[index].next().now_or_never() {
                if !self.note(event)? {
                    return Ok(false);
                }
                taken += 1;
                if taken % CHANGES_AT_ONCE == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(true)
    }

    /// Takes in everything that had been acknowledged before the call.
    async fn catch_up(&mut self) -> Result<bool> {
        let (_, revision) = self.state.store.get(&resources::namespace_key("default"), At::Latest).await?;
        let deadline = Instant::now() + CATCH_UP_WITHIN;
        loop {
            if !self.take_in().await? {
                return Ok(false);
            }
            if self.watches.iter().all(|watch| watch.position() >= revision) {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Err(ApiError::timeout("the watches do not keep up with the store"));
            }
            if let Ok(event) = timeout(CATCH_UP_POLL, next(&mut self.watches)).await
                && !self.note(event)?
            {
                return Ok(false);
            }
        }
    }

    fn note(&mut self, event: Option<Result<Arc<Event>, ReadError>>) -> Result<bool> {
        let Some(event) = event else { return Ok(false) };
        let event = event?;
        if event.deleted {
            self.graph.forget(&event.object.uid);
        } else {
            self.graph.note(&event.object);
        }
        Ok(true)
    }
}

/// The next change of any of them.
async fn next(watches: &mut [Watch]) -> Option<Result<Arc<Event>, ReadError>> {
    futures::future::select_all(watches.iter_mut().map(|watch| Box::pin(watch.next()))).await.0
}
