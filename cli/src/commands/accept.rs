//! `dropmate accept`: what to do with a link from `dropmate user invite` or `dropmate user reset`.

use clap::Args;
use serde_json::json;

use crate::{
    commands::login::{granted, keep},
    connection::{Connection, ConnectionArgs},
    failure::{Failure, Outcome},
    output,
    session::{self, Session, ask::PasswordArgs},
};

/// Accept an invitation, or set a new password by a reset link.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate accept https://shop.example:7443/invitations/TOKEN --name \"Ada Lovelace\"
  dropmate accept TOKEN --server https://shop.example:7443 --password-stdin < password
  dropmate accept https://shop.example:7443/resets/TOKEN

Whoever is new chooses a password; whoever has a password here gives that one. A link is good once. Accepting an
invitation logs in (see `dropmate login`); a reset ends all sessions, and does not.")]
pub(crate) struct AcceptArgs {
    /// The link, or the token at its end.
    #[arg(value_name = "LINK|TOKEN")]
    link: String,
    /// How others see you; for whoever is new.
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    password: PasswordArgs,
    /// The code of the second factor; for whoever has one here.
    #[arg(long, value_name = "CODE")]
    totp: Option<String>,
    /// Leave the kubeconfig alone.
    #[arg(long)]
    no_kubeconfig: bool,
}

/// What a link says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    server: Option<String>,
    is_reset: bool,
    token: String,
}

/// Reads a link `SERVER/invitations/TOKEN` or `SERVER/resets/TOKEN`, or a token alone.
fn read(text: &str) -> Result<Link, Failure> {
    let text = text.trim();
    let wrong =
        || Failure::No("the link must be of the form https://HOST/invitations/TOKEN or …/resets/TOKEN".to_owned());
    let found = if text.contains("://") {
        let uri: http::Uri = text.parse().map_err(|_| wrong())?;
        let (scheme, host) = (uri.scheme_str().ok_or_else(wrong)?, uri.authority().ok_or_else(wrong)?);
        let parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
        let (is_reset, token) = match parts[..] {
            ["invitations", token] => (false, token),
            ["resets", token] => (true, token),
            _ => return Err(wrong()),
        };
        Link { server: Some(format!("{scheme}://{host}")), is_reset, token: token.to_owned() }
    } else {
        Link { server: None, is_reset: false, token: text.to_owned() }
    };
    let sane = !found.token.is_empty() && found.token.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if sane { Ok(found) } else { Err(wrong()) }
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: AcceptArgs) -> Outcome {
    let link = read(&args.link)?;
    // Where to go may be told apart from the link: a server may have another name in its own network.
    let server = connection.server.as_ref().map(session::normal).or(link.server);
    let server = server.ok_or_else(|| Failure::No("a token alone needs --server https://HOST:PORT".to_owned()))?;
    let ca = connection.ca_text()?;
    let anonymous = Connection::anonymous(&server, ca.as_deref())?;
    let password = args.password.password(if link.is_reset { "New password" } else { "Password" }, true)?;
    let mut body = json!({"token": link.token, "password": password});
    if link.is_reset {
        granted(anonymous.post("/v1/auth/reset", &body).await?.accepted())?;
        output::line(format!("The password is set. Log in: dropmate login --server {server}"));
        return Ok(());
    }
    for (field, value) in [("name", args.name), ("totp", args.totp)] {
        if let Some(value) = value {
            body[field] = value.into();
        }
    }
    let grant = granted(anonymous.post("/v1/auth/invitations/accept", &body).await?.accepted())?;
    let mut session = Session::granted(&grant, "", ca)?;
    // The link does not say whose it is; the server does.
    let me =
        Connection::bearing(&server, session.ca.as_deref(), &session.access_token)?.get("/v1/me").await?.accepted()?;
    me["user"].as_str().unwrap_or_default().clone_into(&mut session.email);
    let email = session.email.clone();
    keep(connection, &server, session, args.no_kubeconfig).await?;
    output::line(format!("Welcome, {email}."));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_into_server_and_token() {
        let link = |server: Option<&str>, is_reset| Link {
            server: server.map(str::to_owned),
            is_reset,
            token: "ab12".to_owned(),
        };
        assert_eq!(
            read("https://shop.example:7443/invitations/ab12").unwrap(),
            link(Some("https://shop.example:7443"), false)
        );
        assert_eq!(read(" https://shop.example/resets/ab12 ").unwrap(), link(Some("https://shop.example"), true));
        assert_eq!(read("ab12").unwrap(), link(None, false));
        for wrong in ["", "https://shop.example/ab12", "https://shop.example/invitations/", "a/b", "https://", "a b"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
