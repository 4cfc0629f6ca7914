//! `dropmate whoami`.

use clap::Args;

use crate::{
    connection::{Connection, ConnectionArgs},
    failure::Outcome,
    output::{self, Format, Grid},
};

/// Show who the server takes you for, and your roles.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate whoami
  dropmate whoami -o json")]
pub(crate) struct WhoamiArgs {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: WhoamiArgs) -> Outcome {
    let connection = Connection::open(connection).await?;
    let me = connection.get("/v1/me").await?.accepted()?;
    if args.output == Format::Json {
        output::json(&me);
        return Ok(());
    }
    let role = me["role"].as_str().map(|role| format!(" ({role})")).unwrap_or_default();
    output::line(format!("{}{role} at {}", me["user"].as_str().unwrap_or_default(), connection.server));
    let memberships = me["memberships"].as_array().map(Vec::as_slice).unwrap_or_default();
    if memberships.is_empty() {
        return Ok(());
    }
    let mut grid = Grid::new(&["NAMESPACE", "ROLE", "AS"]);
    for membership in memberships {
        let text = |name: &str| membership[name].as_str().unwrap_or_default().to_owned();
        let as_whom = if membership["driver"].is_string() { text("driver") } else { text("customer") };
        grid.rows.push(vec![text("namespace"), text("role"), as_whom]);
    }
    for line in grid.lines(&mut Vec::new(), true) {
        output::line(line);
    }
    Ok(())
}
