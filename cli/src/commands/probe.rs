//! `dropmate probe`: for health checks of containers, in which there is no curl.

use clap::Args;
use http::{StatusCode, Uri, uri::Scheme};

use crate::{
    connection::{ConnectionArgs, probe},
    failure::{Failure, Outcome},
    output,
};

/// Ask whether a server is ready: GET one address, print the answer, exit accordingly.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate probe                                          # the admin port of this machine's control plane
  dropmate probe https://127.0.0.1:7443/readyz --ca tls/ca.crt
  HEALTHCHECK CMD [\"dropmate\", \"probe\"]                   # in a Dockerfile

No token is sent. Over https the certificate must be of the authority of --ca, else of the kubeconfig, else of the
system. Exit codes: 0 it answers 200, 1 it answers otherwise, 2 it cannot be reached within 3 s.")]
pub(crate) struct ProbeArgs {
    /// The address: http:// or https://.
    #[arg(default_value = "http://127.0.0.1:7450/readyz", value_parser = address)]
    url: Uri,
}

/// Checked here, so that a mistake is told by its argument.
fn address(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
    match (uri.scheme(), uri.authority()) {
        (Some(scheme), Some(_)) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => Ok(uri),
        _ => Err("must be a whole address, such as http://127.0.0.1:7450/readyz".to_owned()),
    }
}

/// Runs it.
pub(crate) async fn run(connection: &ConnectionArgs, args: ProbeArgs) -> Outcome {
    let (code, body) = probe(connection, &args.url).await?;
    if !body.is_empty() {
        output::line(body.trim_end());
    }
    if code == StatusCode::OK { Ok(()) } else { Err(Failure::No(format!("{} answered {code}", args.url))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_whole() {
        assert!(address("http://localhost:7450/readyz").is_ok());
        assert!(address("https://[::1]:7443").is_ok());
        for wrong in ["localhost:7450", "/readyz", "ftp://localhost/", "http://", ""] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
