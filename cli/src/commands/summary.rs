//! `dropmate summary`: how a day went.

use std::time::Duration;

use clap::Args;
use dropmate_api::Order;
use dropmate_simulation::summary::{Summary, summarize};
use jiff::SignedDuration;
use tokio::time::Instant;

use crate::{
    commands::explain::minutes,
    connection::{Connection, ConnectionArgs, escape},
    failure::{Failure, Outcome},
    output::{self, Format, Grid},
    pages::{PAGE, following},
};

/// How often it is looked with --wait.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Sum a day up: delivered, late, how long customers waited, and what is left and why.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate summary -n chicago
  dropmate summary -n chicago --wait 30m          # until no order is open
  dropmate summary -A -o json

Exit code 1 while orders are open.")]
pub(crate) struct SummaryArgs {
    /// The orders of every namespace.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only orders with these labels.
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// Wait at most this long (system time) until no order is open.
    #[arg(long, value_name = "DURATION")]
    wait: Option<SignedDuration>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: SummaryArgs) -> Outcome {
    let connection = Connection::open(connection).await?;
    let deadline = Instant::now() + args.wait.unwrap_or_default().unsigned_abs();
    let summary = loop {
        let summary = summarize(&orders(&connection, &args).await?);
        if summary.open == 0 || Instant::now() >= deadline {
            break summary;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    match args.output {
        Format::Json => output::json(&summary),
        Format::Text => output::print(&text(&summary)),
    }
    match summary.open {
        0 => Ok(()),
        open => Err(Failure::No(format!("{open} orders are open"))),
    }
}

async fn orders(connection: &Connection, args: &SummaryArgs) -> Outcome<Vec<Order>> {
    let collection = if args.all_namespaces {
        "/apis/dropmate.dev/v1/orders".to_owned()
    } else {
        format!("/apis/dropmate.dev/v1/namespaces/{}/orders", connection.namespace)
    };
    let selector = args.selector.as_ref().map(|selector| format!("&labelSelector={}", escape(selector)));
    let selector = selector.unwrap_or_default();
    let mut orders = Vec::new();
    let mut next = Some(format!("{collection}?limit={PAGE}{selector}"));
    while let Some(path) = next {
        let mut list = connection.get(&path).await?.accepted()?;
        orders.extend(serde_json::from_value::<Vec<Order>>(list["items"].take())?);
        next = following(&list, &path);
    }
    Ok(orders)
}

fn text(summary: &Summary) -> String {
    let share = |part: usize| {
        let percent = 100.0 * part as f64 / summary.orders.max(1) as f64;
        format!("{part} ({percent:.1} %)")
    };
    let time = |seconds: Option<f64>| {
        seconds.map_or_else(|| "-".to_owned(), |s| minutes(s).trim_start_matches('+').to_owned())
    };
    let mut lines = vec![
        format!("Orders:         {}", summary.orders),
        format!("Delivered:      {}", share(summary.delivered)),
        format!("Late:           {}", share(summary.late)),
        format!("Ended else:     {}", summary.ended),
        format!("Open:           {}", summary.open),
        format!(
            "Click to door:  mean {} min, p90 {} min",
            time(summary.click_to_door_mean_seconds),
            time(summary.click_to_door_p90_seconds)
        ),
    ];
    if !summary.undelivered.is_empty() {
        let mut grid = Grid::new(&["NOT DELIVERED", "PHASE", "UNASSIGNABLE"]);
        grid.rows = summary
            .undelivered
            .iter()
            .map(|left| {
                vec![left.order.clone(), format!("{:?}", left.phase), left.unassignable.clone().unwrap_or_default()]
            })
            .collect();
        lines.push(String::new());
        lines.extend(grid.lines(&mut Vec::new(), true));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_reads_like_a_report() {
        let mut summary = summarize(&[] as &[Order]);
        (summary.orders, summary.delivered, summary.late) = (200, 199, 3);
        (summary.click_to_door_mean_seconds, summary.click_to_door_p90_seconds) = (Some(1941.0), Some(2700.0));
        insta::assert_snapshot!(text(&summary), @r"
        Orders:         200
        Delivered:      199 (99.5 %)
        Late:           3 (1.5 %)
        Ended else:     0
        Open:           0
        Click to door:  mean 32:21 min, p90 45:00 min
        ");
    }
}
