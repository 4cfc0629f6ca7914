//! What operators say of the way out.

use std::{net::IpAddr, path::PathBuf};

use ipnet::IpNet;

use crate::{Guard, Trust, TrustError};

/// Flags of whoever calls addresses that others have named.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Way out")]
pub struct OutboundArgs {
    /// Private networks or addresses that may be called although others name them: webhooks, mail servers and SMS services of
    /// businesses, keys of an issuer
    #[arg(long, env = "DROPMATE_ALLOW_OUTBOUND", value_name = "CIDR", value_delimiter = ',')]
    pub allow_outbound: Vec<String>,

    /// Further certificates (PEM) to trust when calling out, beside the machine's
    #[arg(long, env = "DROPMATE_OUTBOUND_CA", value_name = "FILE")]
    pub outbound_ca: Option<PathBuf>,
}

/// It is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--allow-outbound: {0:?} is neither a network like 10.0.0.0/8 nor an address")]
pub struct NotANetwork(String);

impl OutboundArgs {
    /// Who may be called.
    pub fn guard(&self) -> Result<Guard, NotANetwork> {
        // An empty environment variable gives one empty name.
        let given = self.allow_outbound.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
        Ok(Guard::new(given.map(network).collect::<Result<Vec<_>, _>>()?))
    }

    /// Whom to believe.
    pub fn trust(&self) -> Result<Trust, TrustError> {
        match self.outbound_ca.as_ref().filter(|file| !file.as_os_str().is_empty()) {
            Some(file) => Trust::machine_and(file),
            None => Ok(Trust::machine()),
        }
    }
}

/// A network, or one address.
fn network(text: &str) -> Result<IpNet, NotANetwork> {
    let net = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    net.ok_or_else(|| NotANetwork(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_single_addresses_are_taken_and_nothing_else() {
        assert_eq!(network("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("::1").unwrap().to_string(), "::1/128");
        for wrong in ["", "internal", "10.0.0.0/33", "10.0.0"] {
            assert!(network(wrong).unwrap_err().to_string().contains("10.0.0.0/8"), "{wrong}");
        }
        let guard = |nets: &[&str]| {
            let allow_outbound = nets.iter().map(|net| (*net).to_owned()).collect();
            OutboundArgs { allow_outbound, outbound_ca: None }.guard()
        };
        assert!(guard(&[""]).is_ok_and(|guard| !guard.permits("10.0.0.1".parse().unwrap())));
        assert!(guard(&["10.0.0.0/8", " ::1"]).is_ok_and(|guard| guard.permits("10.0.0.1".parse().unwrap())));
        assert!(guard(&["10.0.0.0/8", "internal"]).is_err());
    }
}
