//! Whose certificates are believed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};

/// Whose certificates are believed.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Those that are said one by one.
    said: Arc<[CertificateDer<'static>]>,
    /// Whether Mozilla's are believed as well.
    public: bool,
}

/// Why there is nobody to believe.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// There is nothing in it.
    #[error("there is no certificate (PEM) in the file")]
    Nothing,
}

impl Trust {
    /// Those that the machine believes, and Mozilla's: slim images have none of their own.
    pub fn machine() -> Self {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "certificates of this machine cannot be read");
        }
        Self { said: found.certs.into(), public: true }
    }

    /// Those, and the certificates of a file.
    pub fn machine_and(file: &Path) -> Result<Self, TrustError> {
        let pem = std::fs::read(file).map_err(|error| TrustError::Read(file.to_owned(), error))?;
        let machine = Self::machine();
        let said = machine.said.iter().cloned().chain(read(&pem)?).collect();
        Ok(Self { said, public: true })
    }

    /// Only the certificates of this text (PEM).
    pub fn only(pem: &[u8]) -> Result<Self, TrustError> {
        Ok(Self { said: read(pem)?.into(), public: false })
    }

    /// Those that are said one by one, for clients with a list of their own.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.said
    }

    /// Whether Mozilla's are believed beside them.
    pub fn public(&self) -> bool {
        self.public
    }

    /// For TLS as a client, over HTTP/1.1.
    pub(crate) fn client(&self) -> Result<ClientConfig, rustls::Error> {
        let mut roots = RootCertStore::empty();
        // What cannot be read as a root is none; machines have a few of these.
        let _ = roots.add_parsable_certificates(self.said.iter().cloned());
        if self.public {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn read(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(TrustError::Nothing),
    }
}
