//! `dropmate convert`: other formats to manifests.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use dropmate_api::Location;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde_json::json;

use crate::{
    failure::{Failure, Outcome},
    mdrp::{self, Placement},
    output::{self, Format},
};

/// Turn other formats into manifests.
#[derive(Args, Debug)]
pub(crate) struct ConvertArgs {
    #[command(subcommand)]
    from: From,
}

#[derive(Subcommand, Debug)]
enum From {
    Mdrp(MdrpArgs),
}

/// A day of the Meal Delivery Routing Problem: couriers become Drivers, restaurants Depots, orders Orders.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate convert mdrp instances/0o50t100s1p100 --out day/
  dropmate convert mdrp instances/0o50t100s1p100 --out day/ --at 41.88,-87.63 --date 2026-11-23 -n chicago
  dropmate apply -f day/")]
struct MdrpArgs {
    /// The instance: a directory with couriers.txt, restaurants.txt, orders.txt and instance_parameters.txt.
    #[arg(value_name = "DIR")]
    instance: PathBuf,
    /// Where to write namespace.yaml, depots.yaml, drivers.yaml and orders.yaml.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Where on Earth the middle of the instance's plane is put.
    #[arg(long, value_name = "LAT,LON", default_value = "41.8800,-87.6300", value_parser = location, allow_hyphen_values = true)]
    at: Location,
    /// The day on which minute 0 is midnight UTC.
    #[arg(long, default_value = "2026-01-05")]
    date: Date,
    /// Convert only the first N orders.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// How to print what was written.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

fn location(text: &str) -> Result<Location, String> {
    let wrong = || format!("{text:?} is not LATITUDE,LONGITUDE in degrees");
    let (latitude, longitude) = text.split_once(',').ok_or_else(wrong)?;
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| wrong());
    let location = Location { latitude: number(latitude)?, longitude: number(longitude)? };
    // Near a pole or the date line the plane cannot be laid out.
    if location.latitude.abs() <= 80.0 && location.longitude.abs() <= 179.0 { Ok(location) } else { Err(wrong()) }
}

/// Runs it.
pub(crate) fn run(namespace: Option<&str>, args: &ConvertArgs) -> Outcome {
    let From::Mdrp(args) = &args.from;
    let midnight: Timestamp = args.date.to_zoned(TimeZone::UTC)?.timestamp();
    let instance = mdrp::read(&args.instance).map_err(|error| Failure::No(format!("{error:#}")))?;
    let placement =
        Placement { namespace: namespace.unwrap_or("mdrp").to_owned(), at: args.at, midnight, limit: args.limit };
    let day = mdrp::convert(&instance, &placement)?;
    day.write(&args.out)?;
    let counts = json!({
        "depots": day.depots.len(), "drivers": day.drivers.len(), "orders": day.orders.len(),
        "namespace": placement.namespace, "out": args.out, "startTime": day.first_placed_at,
    });
    match args.output {
        Format::Json => output::json(&counts),
        Format::Text => {
            let out = args.out.display();
            output::line(format!(
                "{} depots, {} drivers and {} orders of namespace {} are in {out}",
                day.depots.len(),
                day.drivers.len(),
                day.orders.len(),
                placement.namespace
            ));
            if let Some(first) = day.first_placed_at {
                output::note(format!(
                    "Drive the day: dropmate up --simulate-drivers --speed 60 --start-time {first}, then dropmate apply -f {out}"
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_checked() {
        assert_eq!(location("41.88, -87.63"), Ok(Location { latitude: 41.88, longitude: -87.63 }));
        for wrong in ["41.88", "a,b", "91,0", "0,180", "nan,0"] {
            assert!(location(wrong).is_err(), "{wrong}");
        }
    }
}
