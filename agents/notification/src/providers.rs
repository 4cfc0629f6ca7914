//! What messages go out through: the operator's mail server and SMS service, those of a business, its endpoints; and where
//! there is none, an outbox that can be read.

mod flags;
mod http;
mod objects;
mod outbox;
mod secrets;
pub mod sms;
mod smtp;
mod told;
mod webhook;

use std::{sync::Arc, time::Duration};

use dropmate_agent::Now;
use dropmate_api::{NotificationPolicy, Webhook, notification::NotificationChannels};
use dropmate_outbound::{Client, ClientError, Guard, Limits, Trust, checked};
use reqwest::Method;

pub use self::{
    flags::{FlagError, Flags, Settings},
    outbox::OUTBOX,
};
use self::{
    objects::Objects,
    secrets::{Secret, Secrets},
    smtp::{Login, Pools, Security, Server},
};
use crate::channel::{Channel, Outgoing, Provider};

/// The longest that handing a message over may take; a claim on a message must last longer.
pub const SEND_MAX: Duration = smtp::SEND_MAX;

/// How long to wait for what a person has to set right: a secret that is missing, a setting that cannot be used.
const WAIT_FOR_PEOPLE: Duration = Duration::from_mins(1);

/// How long to wait for a control plane that does not answer.
const WAIT_FOR_SERVER: Duration = Duration::from_secs(5);

/// What an HTTP service may take: SMS services answer within a second or two.
const HTTP_LIMITS: Limits =
    Limits { connect: Duration::from_secs(5), total: Duration::from_secs(15), answer_bytes: 64 * 1024 };

/// What providers are made of.
#[derive(Clone)]
pub struct Setup {
    /// The API, as the notification agent.
    pub client: kube::Client,
    /// Where what businesses name may lead.
    pub guard: Guard,
    /// Whose certificates are believed.
    pub trust: Trust,
    /// System time, for signatures and for `Date`.
    pub now: Now,
    /// What the operator has set up.
    pub settings: Settings,
}

/// Finds what a message goes out through. Clones share connections and what is known.
#[derive(Clone)]
pub struct Providers {
    inner: Arc<Inner>,
}

struct Inner {
    setup: Setup,
    /// For what businesses name.
    guarded: Client,
    /// For the operator's SMS service.
    operators: Client,
    objects: Objects,
    secrets: Secrets,
    pools: Pools,
}

/// Why a message cannot go out now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoProvider {
    /// For managers: no secret, no address of a person.
    pub why: String,
    /// To be looked at again after so long, which is no attempt; `None`: it never will.
    pub wait: Option<Duration>,
}

impl NoProvider {
    /// Somebody has to set something right first.
    fn until_set_right(why: impl Into<String>) -> Self {
        Self { why: why.into(), wait: Some(WAIT_FOR_PEOPLE) }
    }

    fn until_answered() -> Self {
        Self { why: "the control plane does not answer".to_owned(), wait: Some(WAIT_FOR_SERVER) }
    }

    fn never(why: impl Into<String>) -> Self {
        Self { why: why.into(), wait: None }
    }
}

impl Providers {
    /// Watches policies and webhooks from now on.
    pub fn new(setup: Setup) -> Result<Self, ClientError> {
        let guarded = Client::new(setup.guard.clone(), &setup.trust, HTTP_LIMITS)?;
        let named = setup.settings.sms.as_ref().and_then(|sms| sms.url.host_str()).unwrap_or_default();
        let operators = Client::new(setup.guard.naming(named), &setup.trust, HTTP_LIMITS)?;
        let objects = Objects::watch(&setup.client);
        let secrets = Secrets::new(setup.client.clone());
        let pools = Pools::new(setup.guard.clone(), setup.trust.clone());
        Ok(Self { inner: Arc::new(Inner { setup, guarded, operators, objects, secrets, pools }) })
    }

    /// Waits until what was there at the start is known.
    pub async fn synced(&self) {
        self.inner.objects.synced().await;
    }

    /// What a message goes out through, with everything that it takes.
    pub async fn provider(&self, channel: Channel, message: &Outgoing) -> Result<Arc<dyn Provider>, NoProvider> {
        match channel {
            Channel::Email => self.mail(message).await,
            Channel::Sms => self.sms(message).await,
            Channel::Http => self.request(message).await,
            Channel::Webhook => {
                let uid = self.named(&message.namespace, &message.to).await?.metadata.uid.clone().unwrap_or_default();
                if !message.endpoint.is_empty() && message.endpoint != uid {
                    return Err(NoProvider::never(
                        "another Webhook has the name now; what was meant for the one before stays",
                    ));
                }
                self.webhook(&message.namespace, &message.to).await
            }
        }
    }

    /// A webhook by its name, unless nothing is to be sent to it.
    pub async fn webhook(&self, namespace: &str, name: &str) -> Result<Arc<dyn Provider>, NoProvider> {
        let webhook = self.named(namespace, name).await?;
        if crate::webhooks::is_disabled(&webhook) {
            let why = webhook.status.as_ref().and_then(|status| status.disabled_reason.as_deref()).unwrap_or_default();
            return Err(NoProvider::never(format!("the Webhook is disabled ({why}); enable and replay it")));
        }
        if webhook.spec.suspended {
            return Err(NoProvider::until_set_right("the Webhook is suspended"));
        }
        self.endpoint_of(namespace, &webhook).await
    }

    /// The same, whether or not anything is to be sent to it: to try it out.
    pub async fn endpoint(&self, namespace: &str, name: &str) -> Result<Arc<dyn Provider>, NoProvider> {
        let webhook = self.named(namespace, name).await?;
        self.endpoint_of(namespace, &webhook).await
    }

    /// The Webhook itself.
    pub async fn webhook_object(&self, namespace: &str, name: &str) -> Result<Option<Arc<Webhook>>, NoProvider> {
        self.inner.objects.webhook(namespace, name).await
    }

    async fn named(&self, namespace: &str, name: &str) -> Result<Arc<Webhook>, NoProvider> {
        let webhook = self.webhook_object(namespace, name).await?;
        webhook.ok_or_else(|| NoProvider::never(format!("the Webhook {name:?} is gone")))
    }

    async fn endpoint_of(&self, namespace: &str, webhook: &Webhook) -> Result<Arc<dyn Provider>, NoProvider> {
        let url = self.url("spec.url", &webhook.spec.url)?;
        let secret = self.secret(namespace, &webhook.spec.secret_name).await?;
        let keys = crate::webhooks::Keys::parse(secret.expose()).map_err(|error| {
            NoProvider::until_set_right(format!("the secret {:?} {error}", webhook.spec.secret_name))
        })?;
        let (inner, name) = (&self.inner, webhook.metadata.name.as_deref().unwrap_or_default());
        let provider =
            webhook::Endpoint::new(namespace, name, url, keys, inner.guarded.clone(), inner.setup.now.clone());
        Ok(Arc::new(provider))
    }

    /// The token by which a callback about an SMS is believed.
    pub async fn sms_token(&self, namespace: &str, policy: &str) -> Result<Secret, NoProvider> {
        if let Some(sms) = self.channels(namespace, policy).await?.and_then(|channels| channels.sms) {
            return self.secret(namespace, &sms.secret_name).await;
        }
        match &self.inner.setup.settings.sms {
            Some(sms) => Ok(sms.token.clone()),
            None => Err(NoProvider::never("no SMS service is set up (--sms-account)")),
        }
    }

    /// Where the SMS service tells what became of a message; `None` where nobody outside can reach us.
    pub fn callback_url(&self, namespace: &str, message: &str) -> Option<String> {
        let public = self.inner.setup.settings.public_url.as_ref()?;
        Some(format!("{public}/v1/callbacks/sms/{namespace}/{message}"))
    }

    async fn mail(&self, message: &Outgoing) -> Result<Arc<dyn Provider>, NoProvider> {
        let settings = &self.inner.setup.settings;
        let email = self.channels(&message.namespace, &message.policy).await?.and_then(|channels| channels.email);
        let email = email.unwrap_or_default();
        let given = |field: &str, text: &Option<String>| {
            let parse = |text: &String| {
                smtp::mailbox(text)
                    .map_err(|why| NoProvider::until_set_right(format!("spec.channels.email.{field}: {text:?} {why}")))
            };
            text.as_ref().map(parse).transpose()
        };
        let (from, reply_to) = (given("from", &email.from)?, given("replyTo", &email.reply_to)?);
        let operators = settings.smtp.as_ref();
        let (server, envelope) = match (&email.server, operators) {
            (Some(server), _) => {
                let login = match &server.secret_name {
                    Some(name) => Some(self.login(&message.namespace, name).await?),
                    None => None,
                };
                let security = Security::from(server.security);
                let port = server.port.and_then(|port| u16::try_from(port).ok());
                let server = Server {
                    host: server.host.clone(),
                    port: port.unwrap_or(security.usual_port()),
                    security,
                    login,
                    named_by_operator: false,
                    // Whoever breaks their own login breaks nobody else's.
                    owner: format!("{}/{}", message.namespace, message.policy),
                };
                (server, None)
            }
            (None, Some(operators)) => (operators.server.clone(), Some(operators.from.clone())),
            (None, None) => return Ok(Arc::new(outbox::Outbox::new(Channel::Email))),
        };
        let Some(from) = from.or_else(|| envelope.clone()) else {
            let why = "spec.channels.email.from: is missing; a mail server of one's own needs a sender";
            return Err(NoProvider::until_set_right(why));
        };
        let sender = smtp::Sender { from, envelope, reply_to, public_url: settings.public_url.clone() };
        let pool = self.inner.pools.of(&server, settings.hello());
        Ok(Arc::new(smtp::Smtp::new(pool, sender, self.inner.setup.now.clone())))
    }

    async fn sms(&self, message: &Outgoing) -> Result<Arc<dyn Provider>, NoProvider> {
        let (inner, settings) = (&self.inner, &self.inner.setup.settings);
        let callback = self.callback_url(&message.namespace, &message.id);
        let own = self.channels(&message.namespace, &message.policy).await?.and_then(|channels| channels.sms);
        let (account, client, owner) = match (own, &settings.sms) {
            (Some(own), _) => {
                let url = own.url.as_deref().unwrap_or(flags::TWILIO);
                let account = sms::Account {
                    url: self.url("spec.channels.sms.url", url)?,
                    account: own.account,
                    token: self.secret(&message.namespace, &own.secret_name).await?,
                    from: own.from,
                };
                (account, inner.guarded.clone(), format!("{}/{}", message.namespace, message.policy))
            }
            (None, Some(operators)) => (operators.clone(), inner.operators.clone(), String::new()),
            (None, None) => return Ok(Arc::new(outbox::Outbox::new(Channel::Sms))),
        };
        // Nobody else reaches this machine by that name, and some services refuse such an address.
        let callback = callback.filter(|url| !is_here(url) || is_here(account.url.as_str()));
        Ok(Arc::new(sms::Sms::new(account, client, callback, &owner)))
    }

    async fn request(&self, message: &Outgoing) -> Result<Arc<dyn Provider>, NoProvider> {
        let channels = self.channels(&message.namespace, &message.policy).await?.unwrap_or_default();
        let found = channels.http.into_iter().find(|channel| channel.name == message.http);
        let channel = found.ok_or_else(|| {
            NoProvider::until_set_right(format!("the policy has no spec.channels.http named {:?}", message.http))
        })?;
        let url = self.url("spec.channels.http.url", &channel.url)?;
        let secret = match &channel.secret_name {
            Some(name) => Some(self.secret(&message.namespace, name).await?),
            None => None,
        };
        let method = match channel.method.unwrap_or_default() {
            dropmate_api::notification::HttpMethod::Post => Method::POST,
            dropmate_api::notification::HttpMethod::Put => Method::PUT,
        };
        let headers = http::headers(&channel.headers, channel.content_type.as_deref(), secret.as_ref())
            .map_err(NoProvider::until_set_right)?;
        let name = format!("http:{}/{}/{}", message.namespace, message.policy, channel.name);
        Ok(Arc::new(http::Request::new(name, method, url, headers, self.inner.guarded.clone())))
    }

    /// How messages of a policy leave. A policy that is gone leaves its messages to the operator's channels.
    async fn channels(&self, namespace: &str, policy: &str) -> Result<Option<NotificationChannels>, NoProvider> {
        if policy.is_empty() {
            return Ok(None);
        }
        let policy: Option<Arc<NotificationPolicy>> = self.inner.objects.policy(namespace, policy).await?;
        Ok(policy.and_then(|policy| policy.spec.channels.clone()))
    }

    async fn login(&self, namespace: &str, name: &str) -> Result<Login, NoProvider> {
        let secret = self.secret(namespace, name).await?;
        Login::parse(secret.expose()).map_err(|why| NoProvider::until_set_right(format!("the secret {name:?} {why}")))
    }

    async fn secret(&self, namespace: &str, name: &str) -> Result<Secret, NoProvider> {
        let now = (self.inner.setup.now)();
        let secret = self.inner.secrets.get(namespace, name, now).await.map_err(|()| NoProvider::until_answered())?;
        secret.ok_or_else(|| {
            let way = format!("put it: PUT /v1/namespaces/{namespace}/secrets/{name}");
            NoProvider::until_set_right(format!("the secret {name:?} is missing; {way}"))
        })
    }

    fn url(&self, field: &str, url: &str) -> Result<reqwest::Url, NoProvider> {
        checked(url, self.inner.setup.settings.plain)
            .map_err(|why| NoProvider::until_set_right(format!("{field}: {why}")))
    }
}

/// Whether a URL leads to this machine, from wherever it is asked.
fn is_here(url: &str) -> bool {
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_here;

    #[test]
    fn a_service_elsewhere_cannot_call_this_machine_by_its_own_name_for_itself() {
        for here in ["https://localhost:7443/x", "https://127.0.0.1/", "http://[::1]:80/"] {
            assert!(is_here(here), "{here}");
        }
        for there in ["https://dm.example/x", "https://10.0.0.7/", "https://localhost.example/", "nonsense"] {
            assert!(!is_here(there), "{there}");
        }
    }
}
