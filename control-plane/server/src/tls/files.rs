//! The user's own certificate and key, read again when they change.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use super::{Current, certified};

/// How often the files are looked at; a `stat` costs next to nothing.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Where they are.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

/// One that cannot be read, by flag.
#[derive(Debug, thiserror::Error)]
#[error("{flag}: cannot read {}", path.display())]
struct Unreadable {
    flag: &'static str,
    path: PathBuf,
    source: std::io::Error,
}

/// What tells that a file has changed.
type Stamp = (u64, u64, i64, i64);

impl Files {
    /// The certificate with its key, and its PEM text.
    pub(super) fn load(&self) -> anyhow::Result<(CertifiedKey, String)> {
        let (certs, key) = (read("--tls-cert", &self.cert)?, read("--tls-key", &self.key)?);
        let provider = rustls::crypto::ring::default_provider();
        let certified = certified(&certs, &key, &provider).context("--tls-cert and --tls-key")?;
        Ok((certified, certs))
    }

    /// Follows the files until `stop`. While they cannot be used (of two files one is always written first), the
    /// certificate that is served stays.
    pub(super) async fn follow(self, current: &Current, stop: CancellationToken) {
        // Unknown at first: a change between the start and now must not be missed.
        let (mut seen, mut refused) = (None, None);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL_INTERVAL) => {}
            }
            let stamps = Some((stamp(&self.cert).await, stamp(&self.key).await));
            if stamps == seen {
                continue;
            }
            match self.load() {
                Ok((fresh, _)) => {
                    (seen, refused) = (stamps, None);
                    if current.replace(fresh) {
                        tracing::info!("serving the certificate that --tls-cert holds now");
                    }
                }
                // Once for each state of the files.
                Err(error) if refused != stamps => {
                    refused = stamps;
                    tracing::warn!(error = %format!("{error:#}"), "cannot re-read the certificate; the last one stays");
                }
                Err(_) => {}
            }
        }
    }
}

async fn stamp(path: &Path) -> Option<Stamp> {
    let found = tokio::fs::metadata(path).await.ok()?;
    Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}

fn read(flag: &'static str, path: &Path) -> Result<String, Unreadable> {
    fs::read_to_string(path).map_err(|source| Unreadable { flag, path: path.to_owned(), source })
}
