//! The tracking agent within `up`: over its file in the data dir, or over the control plane's PostgreSQL.

use dropmate_api::Clock;
use dropmate_control_plane::{AgentDatabase, ControlPlane};
use dropmate_tracking::{
    Config, Metrics, api,
    store::{FILE, Store},
    travel::TravelTimes,
};
use tokio_util::sync::CancellationToken;

use super::BusinessArgs;

/// The agent, ready to run.
pub(super) struct Tracking {
    store: Store,
    travel_times: TravelTimes,
    metrics: Metrics,
}

impl Tracking {
    /// Opens what it keeps, brought up to date, and lets the control plane tell of it.
    pub(super) async fn open(control_plane: &ControlPlane, args: &BusinessArgs) -> anyhow::Result<Self> {
        let store = match control_plane.agent_database(FILE)? {
            AgentDatabase::Sqlite(path) => Store::sqlite(&path).await?,
            AgentDatabase::Postgres(url) => {
                Store::migrate_postgres(&url).await?;
                Store::postgres(&url).await?
            }
        };
        let metrics = Metrics::default();
        let timeout = args.travel_timeout.unsigned_abs();
        let travel_times = TravelTimes::new(&args.travel_times, timeout, metrics.clone())?;
        control_plane.attach_agent("tracking", api::routes(store.clone()));
        control_plane.register_metrics(|registry| metrics.register(registry));
        Ok(Self { store, travel_times, metrics })
    }

    /// What it keeps, to be closed in the end.
    pub(super) fn store(&self) -> Store {
        self.store.clone()
    }

    /// Runs until shut down.
    pub(super) fn run(
        self,
        control_plane: &ControlPlane,
        clock: Clock,
        shutdown: CancellationToken,
    ) -> impl Future<Output = anyhow::Result<()>> + Send + 'static {
        let client = super::client(control_plane, "tracking");
        let identity = uuid::Uuid::new_v4().to_string();
        let config = Config::new(clock, identity, self.store, self.travel_times, self.metrics);
        dropmate_tracking::run(client, config, shutdown)
    }
}
