//! The sample business and the simulated drivers of `up`.

use dropmate_api::Clock;
use dropmate_simulation::{drivers, town};
use kube::Client;
use tokio_util::sync::CancellationToken;

/// The namespace of the sample business.
pub(super) const NAMESPACE: &str = "demo";

/// Drives every Driver as a phone would.
pub(super) async fn drive(
    client: Client,
    as_driver: drivers::AsDriver,
    clock: Clock,
    seed: u64,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let config = drivers::Config { seed, ..drivers::Config::default() };
    drivers::run_telling(client, Some(as_driver), clock, config, shutdown).await
}

/// Sets the sample business up and places its orders until shut down.
pub(super) async fn business(
    client: Client,
    clock: Clock,
    seed: u64,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let size = town::Size { namespace: NAMESPACE.to_owned(), ..town::Size::default() };
    town::run_orders(client, clock, town::generate(seed, &size), None, shutdown).await.map(drop)
}
