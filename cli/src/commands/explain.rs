//! `dropmate explain order NAME`: why this driver, why none, or why not yet.

use anyhow::anyhow;
use clap::Args;
use dropmate_api::{
    Order, Phase,
    common::{Condition, ConditionStatus},
    order::{AssignmentReason, Candidate, Decision, RuledOut},
};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    commands::get::targets,
    connection::{Connection, ConnectionArgs, escape},
    failure::Outcome,
    kinds::Kinds,
    output::{self, Format, Grid},
};

/// Say why an order is where it is: who was considered, what each would cost, what ruled the others out.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate explain order o-1 -n acme
  dropmate explain order/o-1 -o json

For the fields of a kind: kubectl explain order.spec")]
pub(crate) struct ExplainArgs {
    /// `order NAME` or `order/NAME`.
    #[arg(value_name = "KIND NAME", required = true, num_args = 1..=2)]
    target: Vec<String>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: ExplainArgs) -> Outcome {
    let connection = Connection::open(connection).await?;
    let targets = targets(&connection, &Kinds::default(), &args.target).await?;
    let target = targets.first().filter(|target| target.resource.kind == "Order");
    let Some(([name], resource)) = target.map(|target| (&target.names[..], &target.resource)) else {
        return Err(anyhow!("orders are explained: dropmate explain order NAME").into());
    };
    let path = format!("{}/{}", resource.path(Some(&connection.namespace)), escape(name));
    let order: Order = serde_json::from_value(connection.get(&path).await?.accepted()?)?;
    let explanation = explain(&order);
    match args.output {
        Format::Json => output::json(&explanation),
        Format::Text => output::print(&explanation.text()),
    }
    Ok(())
}

/// The explanation of one order.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Explanation {
    order: String,
    phase: Phase,
    /// The answer in one sentence.
    summary: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trip_id: Option<String>,
    /// How many drivers were looked at.
    considered: i32,
    candidates: Vec<Candidate>,
    ruled_out: Vec<RuledOut>,
    conditions: Vec<Condition>,
}

/// Explains an order from what its status tells.
pub(crate) fn explain(order: &Order) -> Explanation {
    let status = order.status.clone().unwrap_or_default();
    let assignment = status.assignment.clone().unwrap_or_default();
    let reason = assignment.reason.clone().unwrap_or_default();
    Explanation {
        order: order.metadata.name.clone().unwrap_or_default(),
        phase: order.phase(),
        summary: summary(order, &reason),
        driver: assignment.driver_name,
        bound_at: assignment.bound_at,
        trip_id: assignment.trip_id,
        considered: reason.considered,
        candidates: reason.candidates,
        ruled_out: reason.ruled_out,
        conditions: status.conditions.into_iter().filter(|c| c.status == ConditionStatus::True).collect(),
    }
}

fn summary(order: &Order, reason: &AssignmentReason) -> String {
    let status = order.status.clone().unwrap_or_default();
    let unassignable =
        status.conditions.iter().find(|c| c.type_ == "Unassignable" && c.status == ConditionStatus::True);
    match order.phase() {
        Phase::Cancelled => "Called off (spec.cancelled).".to_owned(),
        Phase::Expired => format!("Given up for lateness{}.", moment(" at ", status.expired_at)),
        Phase::Pending | Phase::Scheduled if order.spec.hold => "Waits: it is on hold (spec.hold).".to_owned(),
        Phase::Pending => format!(
            "Waits for dispatch to look at it{}.",
            order
                .placed_at()
                .map(|at| format!("; placed at {}, and nothing is planned before that", second(at)))
                .unwrap_or_default()
        ),
        Phase::Scheduled => format!("Waits to be released{}.", moment(" at ", status.release_at)),
        Phase::Ready | Phase::Offered => match unassignable {
            Some(condition) => format!("No driver may take it: {}", condition.message),
            None => match &order.spec.driver_name {
                Some(pinned) => format!("Waits for {pinned}, to whom it is pinned (spec.driverName)."),
                None => "Waits for a driver; none had to leave for it yet, or dispatch is still planning.".to_owned(),
            },
        },
        Phase::AttemptFailed | Phase::Failed | Phase::Returning | Phase::Returned => {
            let attempt = status.attempts.last();
            let why = attempt.map_or("no reason was told", |attempt| attempt.reason.as_str());
            let next = match attempt.and_then(|attempt| attempt.decision) {
                None => "dispatch decides what follows",
                Some(Decision::Retry) => "it is tried again",
                Some(Decision::Return) => "the goods go back",
                Some(Decision::Fail) => "it was given up",
            };
            format!("Attempt {} failed: {why}; {next}.", status.attempts.len())
        }
        _ if !reason.summary.is_empty() => reason.summary.clone(),
        _ => match &status.driver_name {
            Some(driver) => format!("Bound to {driver}; no reason was recorded."),
            None => "Nothing is recorded.".to_owned(),
        },
    }
}

fn moment(before: &str, at: Option<Timestamp>) -> String {
    at.map(|at| format!("{before}{}", second(at))).unwrap_or_default()
}

impl Explanation {
    /// The explanation for people.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![format!("Order {} is {:?}.", self.order, self.phase), self.summary.clone()];
        if let Some(driver) = &self.driver {
            let trip = self.trip_id.as_ref().map(|trip| format!(", trip {trip}")).unwrap_or_default();
            lines.push(format!("Driver {driver}{}{trip}.", moment(", bound at ", self.bound_at)));
        }
        if !self.candidates.is_empty() {
            let shown = self.candidates.len();
            lines.push(format!("\nThe {shown} cheapest of {} drivers (lower is better):", self.considered));
            lines.extend(indented(&candidates(&self.candidates, self.driver.as_deref())));
        }
        if !self.ruled_out.is_empty() {
            let mut grid = Grid::new(&["LIMIT", "DRIVERS"]);
            let row = |limit: &RuledOut| vec![limit.limit.clone(), limit.drivers.to_string()];
            grid.rows = self.ruled_out.iter().map(row).collect();
            lines.push("\nRuled out:".to_owned());
            lines.extend(indented(&grid));
        }
        if !self.conditions.is_empty() {
            lines.push("\nConditions:".to_owned());
            lines.extend(self.conditions.iter().map(|condition| {
                format!("  {} since {}: {}", condition.type_, second(condition.last_transition_time), condition.message)
            }));
        }
        lines.join("\n") + "\n"
    }
}

fn indented(grid: &Grid) -> Vec<String> {
    grid.lines(&mut Vec::new(), true).into_iter().map(|line| format!("  {line}")).collect()
}

fn candidates(candidates: &[Candidate], chosen: Option<&str>) -> Grid {
    let mut grid = Grid::new(&["DRIVER", "COST", "LATE", "READY TO DOOR", "DRIVING", "PICKUP", "DROPOFF", ""]);
    grid.rows = candidates
        .iter()
        .map(|candidate| {
            vec![
                candidate.driver.clone(),
                format!("{:.1}", candidate.cost),
                minutes(candidate.lateness_seconds),
                minutes(candidate.freshness_seconds),
                minutes(candidate.driving_seconds),
                clock(candidate.pickup_at),
                clock(candidate.dropoff_at),
                if chosen == Some(candidate.driver.as_str()) { "chosen".to_owned() } else { String::new() },
            ]
        })
        .collect();
    grid
}

/// Seconds as `+12:05`.
pub(crate) fn minutes(seconds: f64) -> String {
    let whole = seconds.abs().round() as i64;
    let sign = if seconds < 0.0 { "-" } else { "+" };
    format!("{sign}{}:{:02}", whole / 60, whole % 60)
}

/// The moment to the second: nobody reads nanoseconds.
pub(crate) fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The time of day, UTC.
pub(crate) fn clock(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.strftime("%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(spec: &serde_json::Value, status: &serde_json::Value) -> Order {
        let stop = json!({"address": "12 Mill St", "location": {"latitude": 43.65, "longitude": -79.36}});
        let mut order = json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Order", "metadata": {"name": "o-1"},
            "spec": {"pickup": stop, "dropoff": stop, "recipient": {"name": "Ada"}},
            "status": status,
        });
        for (key, value) in spec.as_object().unwrap() {
            order["spec"][key] = value.clone();
        }
        serde_json::from_value(order).unwrap()
    }

    #[test]
    fn a_bound_order_shows_its_candidates_and_what_ruled_others_out() {
        let order = order(
            &json!({}),
            &json!({"phase": "Assigned", "driverName": "sam", "assignment": {
                "driverName": "sam", "boundAt": "2026-11-23T10:00:00Z", "tripId": "t-1",
                "reason": {"summary": "sam is closest.", "considered": 5,
                    "candidates": [
                        {"driver": "sam", "cost": 120.25, "drivingSeconds": 125.0, "pickupAt": "2026-11-23T10:05:00Z"},
                        {"driver": "kim", "cost": 300.0, "latenessSeconds": 60.0}],
                    "ruledOut": [{"limit": "Capacity", "drivers": 3}]}}}),
        );
        insta::assert_snapshot!(explain(&order).text(), @r"
        Order o-1 is Assigned.
        sam is closest.
        Driver sam, bound at 2026-11-23T10:00:00Z, trip t-1.

        The 2 cheapest of 5 drivers (lower is better):
          DRIVER   COST    LATE    READY TO DOOR   DRIVING   PICKUP      DROPOFF
          sam      120.2   +0:00   +0:00           +2:05     10:05:00Z   -         chosen
          kim      300.0   +1:00   +0:00           +0:00     -           -

        Ruled out:
          LIMIT      DRIVERS
          Capacity   3
        ");
    }

    #[test]
    fn an_order_without_a_driver_says_why() {
        let status = json!({"phase": "Ready", "conditions": [{"type": "Unassignable", "status": "True",
            "message": "no driver has the skill alcohol", "lastTransitionTime": "2026-11-23T10:00:00Z"}]});
        assert_eq!(
            explain(&order(&json!({}), &status)).summary,
            "No driver may take it: no driver has the skill alcohol"
        );
        let pinned = order(&json!({"driverName": "sam"}), &json!({"phase": "Ready"}));
        assert!(explain(&pinned).summary.contains("Waits for sam"));
    }

    #[test]
    fn a_waiting_order_says_what_it_waits_for() {
        let held = order(&json!({"hold": true}), &json!({"phase": "Pending"}));
        assert_eq!(explain(&held).summary, "Waits: it is on hold (spec.hold).");
        let scheduled = order(&json!({}), &json!({"phase": "Scheduled", "releaseAt": "2026-11-23T10:00:00Z"}));
        assert_eq!(explain(&scheduled).summary, "Waits to be released at 2026-11-23T10:00:00Z.");
    }
}
