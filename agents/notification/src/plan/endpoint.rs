//! What shops' own programs are told: the events themselves, in the order of each object.

use std::time::Duration;

use dropmate_api::{Clock, Webhook};
use kube::ResourceExt;

use super::{Happened, Scene};
use crate::{
    channel::Channel,
    draft::{Birth, Content, Draft},
    webhooks,
};

/// Longer than the schedule of attempts: how long an endpoint is tried is the schedule's to say.
const LIFE: Duration = Duration::from_hours(10 * 24);

/// Webhooks of a namespace that are told, the first by name: one revision has to be planned in one transaction, and nobody
/// may hold up the others by thousands of them.
const ENDPOINTS_MAX: usize = 100;

/// The queue of a Webhook's messages.
pub fn replayable(webhook: &Webhook) -> String {
    format!("webhook/{}", webhook.uid().unwrap_or_default())
}

pub(super) fn deliveries(happened: &Happened<'_>, scene: &Scene, clock: &Clock) -> Vec<Draft> {
    if scene.webhooks.len() > ENDPOINTS_MAX {
        tracing::warn!(
            namespace = happened.namespace,
            webhooks = scene.webhooks.len(),
            most = ENDPOINTS_MAX,
            "a namespace has too many webhooks; only the first by name are told of anything"
        );
    }
    let considered = scene.webhooks.iter().take(ENDPOINTS_MAX);
    let wanted = considered.filter(|webhook| webhooks::wanted(webhook, &happened.event.type_));
    wanted.map(|webhook| delivery(happened, webhook, clock)).collect()
}

fn delivery(happened: &Happened<'_>, webhook: &Webhook, clock: &Clock) -> Draft {
    let uid = webhook.uid().unwrap_or_default();
    let order = happened.order.is_some();
    Draft {
        key: format!("{}/webhook/{uid}", happened.event.id),
        namespace: happened.namespace.to_owned(),
        order: if order { happened.name.to_owned() } else { String::new() },
        uid: if order { happened.uid.to_owned() } else { String::new() },
        event: happened.event.type_.clone(),
        event_id: happened.event.id.clone(),
        revision: happened.revision,
        rule: String::new(),
        policy: String::new(),
        audience: "webhook",
        channel: Channel::Webhook,
        to: webhook.name_any(),
        locale: String::new(),
        http: String::new(),
        queue: replayable(webhook),
        lane: format!("{uid}/{}", happened.uid),
        class: String::new(),
        content: Content { payload: serde_json::to_string(happened.event).ok(), ..Content::default() },
        mail: String::new(),
        // It can be replayed once the endpoint is enabled again.
        birth: if webhooks::is_disabled(webhook) { Birth::Suppressed("disabled") } else { Birth::Planned },
        not_before: clock.system_now(),
        quiet: String::new(),
        life: LIFE,
        quotas: Vec::new(),
    }
}
