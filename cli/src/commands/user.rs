//! `dropmate user`: inviting people, and the users of a server.

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use crate::{
    connection::{Connection, ConnectionArgs, escape},
    failure::Outcome,
    output::{self, Format, Grid},
};

/// Users asked for at once.
const PAGE: usize = 100;

/// Invite people into a business, and manage the server's users.
#[derive(Args, Debug)]
pub(crate) struct UserArgs {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Subcommand, Debug)]
enum UserCommand {
    Invite(InviteArgs),
    List(ListArgs),
    Disable(DisableArgs),
    Enable(EnableArgs),
    Verify(VerifyArgs),
    Reset(ResetArgs),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    Manager,
    Dispatcher,
    Driver,
    Customer,
    Viewer,
}

/// Make somebody a member of the namespace, and print the link that lets them in, once.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate user invite ada@example.com --role manager -n acme
  dropmate user invite sam@example.com --role driver --driver sam -n acme

The Member is named after the address (--member-name gives another name). Inviting again gives a new link.")]
struct InviteArgs {
    /// The e-mail address.
    email: String,
    /// What they may do.
    #[arg(long, value_enum)]
    role: Role,
    /// Which Driver they are; for the role `driver`.
    #[arg(long, value_name = "NAME", required_if_eq("role", "driver"))]
    driver: Option<String>,
    /// Which customer they are; for the role `customer`.
    #[arg(long, value_name = "NAME", required_if_eq("role", "customer"))]
    customer: Option<String>,
    /// The name of the Member.
    #[arg(long, value_name = "NAME")]
    member_name: Option<String>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// List the server's users (for the operator).
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate user list
  dropmate user list -o json")]
struct ListArgs {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Lock a user out and end all their sessions (for the operator).
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate user disable ada@example.com")]
struct DisableArgs {
    /// The e-mail address.
    email: String,
}

/// Let a disabled user in again (for the operator).
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate user enable ada@example.com")]
struct EnableArgs {
    /// The e-mail address.
    email: String,
}

/// Declare that the address is the user's: Members with it take effect without a link (for the operator).
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate user verify ada@example.com")]
struct VerifyArgs {
    /// The e-mail address.
    email: String,
}

/// Print a link that lets a user set a new password, once (for the operator).
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate user reset ada@example.com")]
struct ResetArgs {
    /// The e-mail address.
    email: String,
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: UserArgs) -> Outcome {
    let connection = Connection::open(connection).await?;
    match args.command {
        UserCommand::Invite(args) => invite(&connection, args).await,
        UserCommand::List(args) => list(&connection, args).await,
        UserCommand::Disable(args) => done(&connection, &args.email, "disable", "disabled").await,
        UserCommand::Enable(args) => done(&connection, &args.email, "enable", "enabled").await,
        UserCommand::Verify(args) => done(&connection, &args.email, "verify", "verified").await,
        UserCommand::Reset(args) => {
            let link = connection.post(&user(&args.email, "/reset"), &json!({})).await?.accepted()?;
            tell_link(&link, Format::Text);
            Ok(())
        }
    }
}

async fn invite(connection: &Connection, args: InviteArgs) -> Outcome {
    let name = args.member_name.unwrap_or_else(|| member_name(&args.email));
    let role = args.role.to_possible_value().map(|role| role.get_name().to_owned()).unwrap_or_default();
    let mut spec = json!({"user": args.email, "role": role});
    for (field, value) in [("driverName", args.driver), ("customerName", args.customer)] {
        if let Some(value) = value {
            spec[field] = value.into();
        }
    }
    let member = json!({
        "apiVersion": dropmate_api::API_VERSION,
        "kind": "Member",
        "metadata": {"name": name, "namespace": connection.namespace},
        "spec": spec,
    });
    let path = format!("{}/members/{}?fieldManager=dropmate&fieldValidation=Strict", connection.ours(), escape(&name));
    let applied = connection.write(Method::PATCH, &path, "application/apply-patch+yaml", &member).await?;
    applied.accepted()?;
    let path = format!("/v1/namespaces/{}/members/{}/invitation", connection.namespace, escape(&name));
    let link = connection.post(&path, &json!({})).await?.accepted()?;
    tell_link(&link, args.output);
    Ok(())
}

/// A name for the Member of an address: `ada.lovelace@example.com` is `ada.lovelace-example.com`.
fn member_name(email: &str) -> String {
    let letters = email.trim().to_lowercase().replace('@', "-");
    let kept = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '-' };
    let name: String = letters.chars().map(kept).take(253).collect();
    // Each part between dots begins and ends with a letter or a digit.
    let parts = name.split('.').map(|part| part.trim_matches('-')).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(".")
}

fn tell_link(link: &Value, format: Format) {
    if format == Format::Json {
        output::json(link);
        return;
    }
    output::line(link["url"].as_str().unwrap_or_default());
    output::note(format!("Good once, until {}.", link["expiresAt"].as_str().unwrap_or("it is used")));
}

async fn list(connection: &Connection, args: ListArgs) -> Outcome {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let mut page = connection.get(&format!("/v1/users?limit={PAGE}{after}")).await?.accepted()?;
        all.extend(page["items"].as_array_mut().map(std::mem::take).unwrap_or_default());
        match &page["next"] {
            Value::Null => break,
            Value::String(next) => after = format!("&after={}", escape(next)),
            next => after = format!("&after={next}"),
        }
    }
    if args.output == Format::Json {
        output::json(&all);
        return Ok(());
    }
    let mut grid = Grid::new(&["EMAIL", "NAME", "VERIFIED", "STATE", "SESSIONS", "SINCE"]);
    for user in &all {
        let text = |name: &str| user[name].as_str().unwrap_or_default().to_owned();
        let yes = |name: &str, yes: &str, no: &str| if user[name] == true { yes.to_owned() } else { no.to_owned() };
        grid.rows.push(vec![
            text("email"),
            text("name"),
            yes("verified", "yes", "no"),
            yes("disabled", "disabled", "enabled"),
            user["sessions"].to_string(),
            text("createdAt"),
        ]);
    }
    for line in grid.lines(&mut Vec::new(), true) {
        output::line(line);
    }
    Ok(())
}

async fn done(connection: &Connection, email: &str, verb: &str, did: &str) -> Outcome {
    connection.post(&user(email, &format!("/{verb}")), &json!({})).await?.accepted()?;
    output::line(format!("{email} {did}"));
    Ok(())
}

fn user(email: &str, part: &str) -> String {
    format!("/v1/users/{}{part}", escape(email))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_named_after_the_address() {
        assert_eq!(member_name("Ada.Lovelace@Example.com"), "ada.lovelace-example.com");
        assert_eq!(member_name("o'neil+shop@example.com"), "o-neil-shop-example.com");
        assert_eq!(member_name("_a_@b.c"), "a--b.c");
        assert_eq!(member_name(".x.-@b."), "x.b");
    }
}
