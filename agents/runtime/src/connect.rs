//! From the flags to a client of the API: HTTPS only, its authority trusted, the token from a file that may change.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{HeaderValue, Request, header::AUTHORIZATION};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::time::Instant;
use tower::util::MapRequestLayer;

use crate::Args;

/// How long a connection may take to be made: another continent answers within this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the token file is read: a token that was replaced is in use soon after, and reading costs next to nothing.
const TOKEN_EVERY: Duration = Duration::from_secs(5);

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The token file cannot be read.
    #[error("--token-file: cannot read {}", .0.display())]
    ReadToken(PathBuf, #[source] io::Error),
    /// What is in it is no token.
    #[error("--token-file: {} must hold one token, in one line", .0.display())]
    NoToken(PathBuf),
    /// The authority's file cannot be read.
    #[error("--ca-file: cannot read {}", .0.display())]
    ReadAuthority(PathBuf, #[source] io::Error),
    /// What is in it is no certificate.
    #[error("--ca-file: {} holds no certificate (PEM)", .0.display())]
    NoAuthority(PathBuf),
    /// No client with all that.
    #[error("--server: cannot prepare to talk to {0}")]
    Client(String, #[source] kube::Error),
}

/// A client of the API at `--server`. Sends nothing yet: a server that is not there is no reason to end.
pub fn connect(args: &Args) -> Result<Client, ConnectError> {
    let failed = |error| ConnectError::Client(args.server.to_string(), error);
    let mut config = Config::new(args.server.clone());
    if let Some(file) = &args.ca_file {
        config.root_cert = Some(authorities(file)?);
        // This one is read again now and then.
        config.root_cert_file = Some(file.clone());
    }
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // Who called decides whether to try again, and when.
    config.default_retry = false;
    let token = Token::open(&args.token_file)?;
    let authenticated = MapRequestLayer::new(move |mut request: Request<Body>| {
        request.headers_mut().insert(AUTHORIZATION, token.header());
        request
    });
    Ok(ClientBuilder::try_from(config).map_err(failed)?.with_layer(&authenticated).build())
}

fn authorities(file: &Path) -> Result<Vec<Vec<u8>>, ConnectError> {
    let pem = fs::read(file).map_err(|error| ConnectError::ReadAuthority(file.to_owned(), error))?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(found) if !found.is_empty() => Ok(found.into_iter().map(|certificate| certificate.to_vec()).collect()),
        _ => Err(ConnectError::NoAuthority(file.to_owned())),
    }
}

/// The token of a file, read again every few seconds. (kube's own reads the file too, once a minute, but takes a line
/// break at its end for a part of the token.)
#[derive(Clone)]
struct Token {
    file: Arc<Path>,
    known: Arc<Mutex<Known>>,
}

struct Known {
    header: HeaderValue,
    read_at: Instant,
}

impl Token {
    fn open(file: &Path) -> Result<Self, ConnectError> {
        let known = Known { header: header(file)?, read_at: Instant::now() };
        Ok(Self { file: file.into(), known: Arc::new(Mutex::new(known)) })
    }

    /// The token as it is now. While the file cannot be read, the last one: files are replaced, and mounts come and go.
    fn header(&self) -> HeaderValue {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.read_at.elapsed() >= TOKEN_EVERY {
            known.read_at = Instant::now();
            match header(&self.file) {
                Ok(header) => known.header = header,
                Err(error) => {
                    tracing::warn!(%error, "the token file cannot be read again; the last token stays in use");
                }
            }
        }
        known.header.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("file", &self.file).finish_non_exhaustive()
    }
}

fn header(file: &Path) -> Result<HeaderValue, ConnectError> {
    let text = fs::read_to_string(file).map_err(|error| ConnectError::ReadToken(file.to_owned(), error))?;
    let token = text.trim();
    let header = HeaderValue::try_from(format!("Bearer {token}"));
    match header {
        Ok(mut header) if !token.is_empty() && !token.contains(char::is_whitespace) => {
            header.set_sensitive(true);
            Ok(header)
        }
        _ => Err(ConnectError::NoToken(file.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_replaced_is_in_use_within_seconds_and_one_that_is_gone_stays_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, "first\n").unwrap();
        let token = Token::open(&file).unwrap();
        assert_eq!(token.header(), "Bearer first");
        fs::write(&file, "second").unwrap();
        tokio::time::advance(TOKEN_EVERY).await;
        assert_eq!(token.header(), "Bearer second");
        fs::remove_file(&file).unwrap();
        tokio::time::advance(TOKEN_EVERY).await;
        assert_eq!(token.header(), "Bearer second");
    }

    #[test]
    fn what_is_no_token_is_refused_by_flag_and_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        for wrong in ["", "\n", "two words", "two\nlines"] {
            fs::write(&file, wrong).unwrap();
            let refused = Token::open(&file).unwrap_err().to_string();
            assert!(refused.contains("--token-file") && refused.contains("token"), "{refused}");
        }
    }
}
