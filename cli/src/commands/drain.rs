//! `dropmate drain`: takes from drivers what they have not picked up yet.

mod plan;

use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use dropmate_api::Order;
use http::Method;
use jiff::SignedDuration;
use serde_json::json;
use tokio::time::Instant;

use self::plan::{Bound, Plan, selector};
use crate::{
    commands::cordon::{self, Drivers, Trial},
    connection::{Connection, ConnectionArgs, escape},
    failure::{Failure, Outcome},
    output,
    pages::{PAGE, following},
};

/// How long after a lost race it is looked again: whoever won it is done by then.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// A page is read in milliseconds and lives for hours: a list that expires this often is no accident.
const MAX_LISTS: usize = 3;

/// Cordon drivers and take away the orders they have not picked up yet; dispatch finds others for them.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate drain driver sam -n acme
  dropmate drain driver sam -n acme --reason 'flat tyre'
  dropmate drain driver/sam driver/kim --dry-run=server    # what would be taken away, and what stays
  dropmate drain -l team=evening --timeout 2m

What a driver is picking up or has picked up goes on, and is listed. An order that a person pinned to the driver is
taken away too, but no other driver gets it while the pin stands. Back to work: dropmate uncordon NAME.")]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    drivers: Drivers,
    #[command(flatten)]
    trial: Trial,
    /// Why; sent with each unbinding. [default: driver NAME is drained]
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// How long to look again, for each driver, at orders that changed while they were taken away: 30s, 5m.
    #[arg(long, default_value = "60s")]
    timeout: SignedDuration,
}

impl DrainArgs {
    /// Runs it.
    pub(crate) async fn run(self, connection: &ConnectionArgs) -> Outcome {
        let connection = Connection::open(connection).await?;
        let mut refused = Vec::new();
        for name in self.drivers.names(&connection).await? {
            match self.drain(&connection, &name).await {
                Err(Failure::No(why)) => refused.push(why),
                ended => ended?,
            }
        }
        cordon::told(&refused)
    }

    async fn drain(&self, connection: &Connection, driver: &str) -> Outcome {
        // A binding under way is checked against the driver when it is written: once the driver is cordoned none comes
        // in any more, and what did come in is seen by the looks after it.
        cordon::set(connection, driver, true, self.trial).await?;
        let deadline = Instant::now() + self.timeout.unsigned_abs();
        let mut tried = false;
        loop {
            let plan = look(connection, driver).await?;
            // What was only tried is still bound.
            if plan.unbind.is_empty() || (tried && self.trial.is_dry()) {
                for order in &plan.stay {
                    output::line(order.stays());
                }
                output::line(format!("driver/{driver} drained{}", self.trial.remark()));
                return Ok(());
            }
            if tried && Instant::now() >= deadline {
                return Err(Failure::No(plan.left_after(driver, &format!("{:#}", self.timeout))));
            }
            let mut lost = false;
            for order in &plan.unbind {
                lost |= !self.unbind(connection, driver, order).await?;
            }
            if lost {
                tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            }
            tried = true;
        }
    }

    /// Whether the order was taken away; `false` if somebody else changed it first.
    async fn unbind(&self, connection: &Connection, driver: &str, order: &Bound) -> Outcome<bool> {
        let path = format!("{}/orders/{}/binding{}", connection.ours(), escape(&order.name), self.trial.query());
        let reason = self.reason.clone().unwrap_or_else(|| format!("driver {driver} is drained"));
        let answer =
            connection.write(Method::DELETE, &path, "application/json", &json!({ "reason": reason })).await?.accepted();
        match answer {
            Ok(_) => {
                output::line(order.unbound(driver, self.trial.remark()));
                Ok(true)
            }
            Err(refusal) if matches!(refusal.code, 404 | 409) => {
                output::note(format!("order/{} changed meanwhile and is looked at again: {refusal}", order.name));
                Ok(false)
            }
            Err(refusal) => Err(refusal.into()),
        }
    }
}

/// What is bound to the driver now.
async fn look(connection: &Connection, driver: &str) -> Outcome<Plan> {
    for _ in 0..MAX_LISTS {
        if let Some(plan) = list(connection, driver).await? {
            return Ok(plan);
        }
    }
    Err(anyhow!("the list of the orders of driver/{driver} expired {MAX_LISTS} times while it was read").into())
}

/// Page by page; `None` if the list expired while it was read.
async fn list(connection: &Connection, driver: &str) -> Outcome<Option<Plan>> {
    let mut plan = Plan::default();
    let selector = escape(&selector(driver));
    let mut next = Some(format!("{}/orders?limit={PAGE}&fieldSelector={selector}", connection.ours()));
    while let Some(path) = next {
        let mut list = match connection.get(&path).await?.accepted() {
            Err(refusal) if refusal.code == 410 => return Ok(None),
            answer => answer?,
        };
        next = following(&list, &path);
        plan.add(driver, &serde_json::from_value::<Vec<Order>>(list["items"].take())?);
    }
    Ok(Some(plan))
}
