//! The notification agent within `up`: over its file in the data dir, or over the control plane's PostgreSQL.

use std::sync::Arc;

use dropmate_api::Clock;
use dropmate_control_plane::{AgentDatabase, ControlPlane};
use dropmate_notification::{
    Config, api,
    providers::{Flags, Providers, Setup},
    store::{FILE, Store},
};
use kube::Client;
use tokio_util::sync::CancellationToken;

/// The agent, ready to run.
pub(super) struct Notification {
    client: Client,
    config: Config,
}

impl Notification {
    /// Opens what it keeps, brought up to date, and lets the control plane tell of it.
    pub(super) async fn open(
        control_plane: &ControlPlane,
        clock: &Clock,
        channels: Flags,
        way_out: &dropmate_notification::WayOut,
        public_url: Option<&str>,
    ) -> anyhow::Result<Self> {
        let store = match control_plane.agent_database(FILE)? {
            AgentDatabase::Sqlite(path) => Store::sqlite(&path).await?,
            AgentDatabase::Postgres(url) => {
                Store::migrate_postgres(&url).await?;
                Store::postgres(&url).await?
            }
        };
        let client = super::client(control_plane, "notification");
        let system = clock.clone();
        let providers = Providers::new(Setup {
            client: client.clone(),
            guard: way_out.guard()?,
            trust: way_out.trust()?,
            now: Arc::new(move || system.system_now()),
            settings: channels.checked(public_url)?,
        })?;
        let vault = Arc::new(dropmate_notification::ControlPlane::new(client.clone()));
        let identity = uuid::Uuid::new_v4().to_string();
        let config = Config::new(clock.clone(), identity, store.clone(), Arc::new(providers), vault);
        let desk = api::Desk { store, clock: clock.clone(), planned: config.planned.clone() };
        control_plane.attach_agent(dropmate_notification::AGENT, api::routes(desk));
        control_plane.register_metrics(|registry| config.metrics.register(registry));
        Ok(Self { client, config })
    }

    /// What it keeps, to be closed in the end.
    pub(super) fn store(&self) -> Store {
        self.config.store.clone()
    }

    /// Runs until shut down.
    pub(super) fn run(self, shutdown: CancellationToken) -> impl Future<Output = anyhow::Result<()>> + Send + 'static {
        dropmate_notification::run(self.client, self.config, shutdown)
    }
}
