//! Kubernetes Events: what an agent tells people about an object, seen in `kubectl describe`.
//!
//! Best effort, as in Kubernetes: a bounded queue in front of a few writers. An event that does not fit or cannot be
//! written is dropped; what must not be lost is in an object's status.

use futures::StreamExt;
use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{Api, Client, api::PostParams};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{Now, call, call::CallError};

/// Events waiting to be written: a burst of bindings fits, memory stays small.
const QUEUE: usize = 1024;

/// Events written at the same time.
const WRITERS: usize = 8;

/// The longest part of an object's name that goes into an event's (which has 253 characters in all).
const NAME_MAX: usize = 180;

/// The longest message, as in Kubernetes.
const MESSAGE_MAX: usize = 1024;

/// Whether an event is good news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Normal,
    /// A person may have to look.
    Warning,
}

/// Records events. Clones share the queue.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Event>,
    component: &'static str,
    instance: String,
    now: Now,
}

impl Recorder {
    /// Starts recording as `component` (`dropmate-dispatch`) of that process. The task ends, with the queue empty,
    /// after the last clone is dropped.
    pub fn start(client: Client, component: &'static str, instance: &str, now: Now) -> (Self, JoinHandle<()>) {
        let (queue, mut waits) = mpsc::channel::<Event>(QUEUE);
        let events = futures::stream::poll_fn(move |cx| waits.poll_recv(cx));
        let writing = events.for_each_concurrent(WRITERS, move |event| write(client.clone(), event));
        (Self { queue, component, instance: instance.to_owned(), now }, tokio::spawn(writing))
    }

    /// Tells something about an object, which must carry its `resourceVersion`: said of the same version again, it is
    /// the same event. That makes a repeated decision tell once.
    pub fn record(&self, about: ObjectReference, tone: Tone, reason: &str, message: &str) {
        let at = (self.now)();
        let name = format!(
            "{}.{}.{}",
            cut(about.name.as_deref().unwrap_or_default(), NAME_MAX).trim_end_matches(['.', '-']),
            reason.to_ascii_lowercase(),
            about.resource_version.as_deref().unwrap_or_default(),
        );
        let event = Event {
            metadata: ObjectMeta { name: Some(name), namespace: about.namespace.clone(), ..ObjectMeta::default() },
            involved_object: about,
            type_: Some(match tone {
                Tone::Normal => "Normal".to_owned(),
                Tone::Warning => "Warning".to_owned(),
            }),
            reason: Some(reason.to_owned()),
            message: Some(cut(message, MESSAGE_MAX).to_owned()),
            count: Some(1),
            first_timestamp: Some(Time(at)),
            last_timestamp: Some(Time(at)),
            source: Some(EventSource { component: Some(self.component.to_owned()), host: None }),
            reporting_component: Some(self.component.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        };
        if self.queue.try_send(event).is_err() {
            tracing::debug!("an event was dropped because too many wait to be written");
        }
    }
}

async fn write(client: Client, event: Event) {
    let namespace = event.metadata.namespace.clone().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client, &namespace);
    match call(api.create(&PostParams::default(), &event)).await {
        // A conflict is one told before.
        Ok(_) | Err(CallError::LookAgain(_)) => {}
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "an event could not be written");
        }
    }
}

/// The first `max` bytes, at a character's end.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
