//! `dropmate driver`: the phones of drivers.

use clap::{Args, Subcommand};
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};
use serde_json::{Value, json};

use crate::{
    connection::{Connection, ConnectionArgs, escape},
    failure::{Failure, Outcome},
    output::{self, Format},
};

/// What a tracker app is told: a point each 15 seconds or 20 metres, also while the driver waits at a counter.
const TRACKER_SETTINGS: &str = "interval=15&distance=20&accuracy=high&stop_detection=false";

/// Pair drivers' phones, and end that.
#[derive(Args, Debug)]
pub(crate) struct DriverArgs {
    #[command(subcommand)]
    command: DriverCommand,
}

#[derive(Subcommand, Debug)]
enum DriverCommand {
    Pair(PairArgs),
    Unpair(UnpairArgs),
}

/// Print a QR code and a link that make a phone the driver's, once.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate driver pair sam -n acme              # the driver scans it, and has the phone page
  dropmate driver pair sam -n acme --tracker    # for the Traccar Client, OwnTracks, Overland, OsmAnd

The link is good once, for 24 hours, and takes the place of one that was not used. A driver may have several phones.")]
struct PairArgs {
    /// The driver.
    name: String,
    /// Use the code at once, and print the addresses that tracker apps send to: whoever has one may send positions as this
    /// driver, and do nothing else.
    #[arg(long)]
    tracker: bool,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// End every phone of the driver, and a link that was not used.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate driver unpair sam -n acme")]
struct UnpairArgs {
    /// The driver.
    name: String,
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: DriverArgs) -> Outcome {
    let connection = Connection::open(connection).await?;
    let pairing = |name: &str| format!("/v1/namespaces/{}/drivers/{}/pairing", connection.namespace, escape(name));
    match args.command {
        DriverCommand::Pair(args) => {
            let code = connection.post(&pairing(&args.name), &json!({})).await?.accepted()?;
            if args.tracker {
                let paired = connection.post("/v1/pair", &json!({"code": code["code"]})).await?.accepted()?;
                return tell_tracker(&paired, args.output);
            }
            tell_link(&code, args.output)
        }
        DriverCommand::Unpair(args) => {
            connection.delete(&pairing(&args.name)).await?.accepted()?;
            output::line(format!("driver/{} unpaired", args.name));
            Ok(())
        }
    }
}

fn tell_link(code: &Value, format: Format) -> Outcome {
    if format == Format::Json {
        output::json(code);
        return Ok(());
    }
    let url = text(code, "url");
    output::print(&qr(url)?);
    output::line(url);
    output::note(format!("Good once, until {}. Scan it with the driver's phone.", text(code, "expiresAt")));
    Ok(())
}

fn tell_tracker(paired: &Value, format: Format) -> Outcome {
    let urls = tracker_urls(paired);
    if format == Format::Json {
        output::json(&urls);
        return Ok(());
    }
    let of = |app: &str| text(&urls, app).to_owned();
    output::print(&qr(&of("traccarClient"))?);
    output::line(format!("Traccar Client   {}", of("traccarClient")));
    output::line(format!("OsmAnd           {}", of("osmand")));
    output::line(format!("OwnTracks        {}", of("owntracks")));
    output::line(format!("Overland         {}", of("overland")));
    output::line(format!("Traccar server   {}", of("traccarServer")));
    output::note(
        "Scan the code in the Traccar Client (Settings, QR code), or copy an address into its app. They are shown once; \
         `dropmate driver unpair` ends them.",
    );
    Ok(())
}

/// The addresses of tracker apps, by app.
fn tracker_urls(paired: &Value) -> Value {
    let (server, token, driver) = (text(paired, "server"), text(paired, "ingestToken"), text(paired, "driver"));
    let to = |protocol: &str| format!("{server}/ingest/{protocol}/{token}");
    let places = "lat={0}&lon={1}&timestamp={2}&hdop={3}&altitude={4}&speed={5}&bearing={6}";
    json!({
        "traccarClient": format!("{}?id={}&{TRACKER_SETTINGS}", to("osmand"), escape(driver)),
        "osmand": format!("{}?{places}", to("osmand")),
        "owntracks": to("owntracks"),
        "overland": to("overland"),
        "traccarServer": to("traccar"),
    })
}

/// The text as a QR code, two modules a character. Light on dark, as most terminals are; cameras read either.
fn qr(content: &str) -> Outcome<String> {
    let code = QrCode::with_error_correction_level(content, EcLevel::L)
        .map_err(|error| Failure::from(anyhow::anyhow!("the link makes no QR code: {error}")))?;
    let drawn = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    Ok(format!("{drawn}\n"))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_fits_on_an_ordinary_terminal() {
        let token = "ab".repeat(32);
        let paired = json!({"server": "https://dispatch.example.com:7443", "ingestToken": token, "driver": "sam"});
        for url in
            [tracker_urls(&paired)["traccarClient"].as_str().unwrap(), &format!("https://x.example/d#pair={token}")]
        {
            let drawn = qr(url).unwrap();
            assert!(drawn.lines().all(|line| line.chars().count() <= 80), "{url}");
            assert!(drawn.lines().count() <= 40, "{url}");
        }
    }

    #[test]
    fn a_tracker_is_told_where_to_send_and_how_often() {
        let urls = tracker_urls(&json!({"server": "https://s", "ingestToken": "t", "driver": "sam"}));
        let client = "https://s/ingest/osmand/t?id=sam&interval=15&distance=20&accuracy=high&stop_detection=false";
        assert_eq!(urls["traccarClient"], client);
        assert_eq!(urls["owntracks"], "https://s/ingest/owntracks/t");
    }
}
