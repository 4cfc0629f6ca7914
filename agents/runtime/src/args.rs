//! The flags that the agents' programs share.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use http::Uri;
use tracing_subscriber::EnvFilter;

/// What is logged unless told otherwise. The client's own words about a failed connection ("client error") say less than
/// ours.
const LOG: &str = "info,kube_client::client::builder=off";

/// Flags of an agent.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Agent")]
pub struct Args {
    /// The control plane's address, always HTTPS
    #[arg(long, env = "DROPMATE_SERVER", value_name = "URL", value_parser = https)]
    pub server: Uri,

    /// The agent's token; read again every few seconds, so that it may be replaced while the agent runs
    #[arg(long, env = "DROPMATE_TOKEN_FILE", value_name = "FILE")]
    pub token_file: PathBuf,

    /// The certificate authority to trust (PEM); read again every minute [default: those of the system]
    #[arg(long, env = "DROPMATE_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// Where to serve /metrics, /livez and /readyz; never public [default: 127.0.0.1:7451 dispatch, :7452 tracking, :7453 notification, or a free port if that is taken]
    #[arg(long, env = "DROPMATE_ADMIN_LISTEN", value_name = "ADDRESS:PORT")]
    pub admin_listen: Option<SocketAddr>,

    /// How others reach the admin port; told in the Lease while this process leads
    #[arg(long, env = "DROPMATE_ADVERTISE_ADDRESS", value_name = "URL|HOST:PORT")]
    pub advertise_address: Option<Advertised>,

    /// PostgreSQL, for agents that keep something; others ignore it
    #[arg(long, env = "DROPMATE_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// A file with the --database-url
    #[arg(long, env = "DROPMATE_DATABASE_URL_FILE", value_name = "FILE", conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,

    /// Redis, for agents that share hints; others ignore it
    #[arg(long, env = "DROPMATE_REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: Option<String>,

    /// A file with the --redis-url
    #[arg(long, env = "DROPMATE_REDIS_URL_FILE", value_name = "FILE", conflicts_with = "redis_url")]
    pub redis_url_file: Option<PathBuf>,

    /// What to log: a level, or levels by module
    #[arg(long, env = "DROPMATE_LOG", value_name = "FILTER", default_value = LOG)]
    pub log: EnvFilter,
}

/// How others reach an agent's admin port: as it was given, or nothing if that was empty (as Compose files say "not
/// set").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertised(Option<String>);

impl Advertised {
    /// The address.
    pub fn address(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl FromStr for Advertised {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let uri: Uri = text.parse().map_err(|_| NotAnAddress)?;
        let as_url = matches!(uri.scheme_str(), Some("http" | "https"));
        // `HOST:PORT` is an authority by itself; without a port nobody could connect to it.
        let as_authority = uri.scheme().is_none() && uri.path_and_query().is_none() && uri.port_u16().is_some();
        let host = uri.authority().is_some_and(|authority| !authority.host().is_empty());
        let no_user = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        if host && no_user && (as_url || as_authority) { Ok(Self(Some(text.to_owned()))) } else { Err(NotAnAddress) }
    }
}

/// Not an address to advertise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnAddress;

impl fmt::Display for NotAnAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be http://HOST[:PORT], https://HOST[:PORT] or HOST:PORT")
    }
}

impl std::error::Error for NotAnAddress {}

/// The token goes over this line, so it is HTTPS or nothing.
fn https(text: &str) -> Result<Uri, String> {
    let uri: Uri =
        text.trim_end_matches('/').parse().map_err(|_| "must be of the form https://HOST[:PORT]".to_owned())?;
    let bare = uri.path() == "/" && uri.query().is_none();
    match uri.scheme_str() {
        Some("https") if bare && uri.host().is_some_and(|host| !host.is_empty()) => Ok(uri),
        Some("http") => Err("must be https: the agent's token would be readable on the way".to_owned()),
        _ => Err("must be of the form https://HOST[:PORT]".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(flags: &[&str]) -> Result<Args, clap::Error> {
        let usual = ["agent", "--token-file", "token"];
        Cli::try_parse_from(usual.iter().chain(flags)).map(|cli| cli.args)
    }

    #[test]
    fn every_flag_has_its_environment_name() {
        for arg in Cli::command().get_arguments().filter(|arg| arg.get_id() != "help") {
            let long = arg.get_long().expect("every flag is long").to_uppercase().replace('-', "_");
            assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some(format!("DROPMATE_{long}").as_str()));
        }
    }

    #[test]
    fn a_server_without_https_is_refused_and_told_why() {
        assert!(parse(&["--server", "https://127.0.0.1:7443/"]).is_ok());
        for wrong in ["http://127.0.0.1:7443", "127.0.0.1:7443", "https://host/path", "https://"] {
            let refused = parse(&["--server", wrong]).unwrap_err().to_string();
            assert!(refused.contains("--server") && refused.contains(wrong), "{refused}");
        }
    }

    #[test]
    fn an_address_to_advertise_can_be_connected_to() {
        for right in ["10.0.0.7:7451", "dispatch-0.internal:7451", "http://dispatch:7451", "[::1]:7451"] {
            assert_eq!(right.parse::<Advertised>().unwrap().address(), Some(right));
        }
        assert_eq!("".parse::<Advertised>().unwrap().address(), None);
        for wrong in ["dispatch", "ftp://dispatch:21", "http://", "two words:1", "http://user:secret@host:1"] {
            assert!(wrong.parse::<Advertised>().is_err(), "{wrong}");
        }
    }
}
