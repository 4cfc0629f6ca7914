//! HTTPS from the first start: an own certificate authority in the data dir, and a server certificate signed by it.
//!
//! The authority is made once and kept: clients trust it. The server certificate is made anew at every start, so it
//! always carries today's names, and again while the server runs, long before it expires. For servers that share one
//! (`dropmate bootstrap`) it is kept while it is good for every name, for a while to come.

mod files;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::Context;
use dropmate_api::Clock;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    CertificateError, RootCertStore, ServerConfig,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::CryptoProvider,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use tokio_util::sync::CancellationToken;

use self::files::Files;
use crate::{args::TlsSource, folder::Folder};

/// Clients keep the authority in their kubeconfig; ten years is longer than anybody keeps one.
const CA_VALID: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);
/// The longest that browsers accept.
const LEAF_VALID: SignedDuration = SignedDuration::from_hours(397 * 24);
/// How often a running server makes itself a new certificate: so early that one failure, or ten, do not matter.
const LEAF_RENEW_INTERVAL: Duration = Duration::from_hours(30 * 24);
/// Clients whose clock is a little behind must accept a certificate made just now.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(24);
/// How long a certificate that is kept must still be good: whoever makes certificates now and then has this long.
const LEAF_GOOD_FOR: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Makes ring the process's crypto provider. The first line of every `main` and of every test that speaks TLS.
pub fn install_crypto_provider() {
    // An error says that one is installed already: fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// What the listener serves with, and what clients must trust.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) server: Arc<ServerConfig>,
    /// PEM of what clients must trust.
    pub(crate) ca_pem: String,
    resolver: Arc<Current>,
    upkeep: Upkeep,
}

/// Where the next certificate comes from.
#[derive(Clone, Debug)]
enum Upkeep {
    /// We make it.
    Own(Renewal),
    /// The user puts it there.
    Users(Files),
}

/// Everything a new server certificate needs.
#[derive(Clone, Debug)]
struct Renewal {
    authority: Authority,
    sans: Vec<String>,
    clock: Clock,
}

/// Whom clients trust (PEM).
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    pub(crate) cert: String,
    key: String,
}

/// The certificate of the moment.
#[derive(Debug)]
struct Current {
    certified: RwLock<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

impl Current {
    /// Serves another one from now on. Tells whether it is another.
    fn replace(&self, fresh: CertifiedKey) -> bool {
        let mut current = self.certified.write().unwrap_or_else(PoisonError::into_inner);
        let changed = current.cert != fresh.cert;
        *current = Arc::new(fresh);
        changed
    }
}

impl Tls {
    pub(crate) fn open(source: &TlsSource, dir: &Folder, clock: &Clock) -> anyhow::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (certified, ca_pem, upkeep) = match source {
            TlsSource::Files { cert, key } => {
                let files = Files { cert: cert.clone(), key: key.clone() };
                let (certified, certs) = files.load()?;
                (certified, certs, Upkeep::Users(files))
            }
            TlsSource::Own { sans } => {
                let authority = Authority::open(dir, clock.system_now())?;
                let ca_pem = authority.cert.clone();
                let renewal = Renewal { authority, sans: sans.clone(), clock: clock.clone() };
                let (certs, key) = renewal.leaf()?;
                // For people who look; the server itself does not read them back.
                dir.write("tls.key", &key)?;
                dir.write("tls.crt", &certs)?;
                (certified(&certs, &key, &provider)?, ca_pem, Upkeep::Own(renewal))
            }
        };
        let resolver = Arc::new(Current { certified: RwLock::new(Arc::new(certified)) });
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("no TLS version in common with the crypto provider")?
            .with_no_client_auth()
            .with_cert_resolver(resolver.clone());
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { server: Arc::new(server), ca_pem, resolver, upkeep })
    }

    /// Whether the certificate is ours, so that it is good for this machine's own addresses.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self.upkeep, Upkeep::Own(_))
    }

    /// Renews our certificate now and then until `stop`; the user's own is theirs to renew, and is read again when it
    /// changes.
    pub(crate) async fn keep_fresh(self, stop: CancellationToken) {
        let renewal = match self.upkeep {
            Upkeep::Own(renewal) => renewal,
            Upkeep::Users(files) => return files.follow(&self.resolver, stop).await,
        };
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LEAF_RENEW_INTERVAL) => {}
            }
            let provider = rustls::crypto::ring::default_provider();
            match renewal.leaf().and_then(|(certs, key)| certified(&certs, &key, &provider)) {
                Ok(fresh) => {
                    self.resolver.replace(fresh);
                    tracing::info!("renewed the server certificate");
                }
                Err(error) => tracing::error!(error = %format!("{error:#}"), "cannot renew the server certificate"),
            }
        }
    }
}

impl Renewal {
    fn leaf(&self) -> anyhow::Result<(String, String)> {
        self.authority.leaf(&self.sans, self.clock.system_now())
    }
}

impl Authority {
    /// The authority of a folder (`ca.key`, `ca.crt`), made if there is none. The certificate follows from the key: a
    /// first start that ends between the two goes on with the key it finds.
    pub(crate) fn open(dir: &Folder, now: Timestamp) -> anyhow::Result<Self> {
        let (key_path, cert_path) = (dir.join("ca.key"), dir.join("ca.crt"));
        anyhow::ensure!(
            dir.read("ca.key")?.is_some() || dir.read("ca.crt")?.is_none(),
            "{} is missing, so nothing can be signed for {}; put it back, or remove that one too for a new authority, which every client must then be told to trust",
            key_path.display(),
            cert_path.display(),
        );
        let no_key = || format!("{} is not a private key", key_path.display());
        let key = dir
            .read_or_make("ca.key", || anyhow::Ok(KeyPair::generate().context("cannot make a key")?.serialize_pem()))?;
        let cert = dir.read_or_make("ca.crt", || {
            let key = KeyPair::from_pem(&key).with_context(no_key)?;
            let mut params = CertificateParams::default();
            valid(&mut params, now, CA_VALID);
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, "dropmate certificate authority");
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            anyhow::Ok(params.self_signed(&key).context("cannot make the certificate authority")?.pem())
        })?;
        certified(&cert, &key, &rustls::crypto::ring::default_provider())
            .with_context(|| format!("{} and {}", cert_path.display(), key_path.display()))?;
        Ok(Self { cert, key })
    }

    /// A new server certificate with its chain, and its key (PEM).
    pub(crate) fn leaf(&self, sans: &[String], now: Timestamp) -> anyhow::Result<(String, String)> {
        let key = KeyPair::generate().context("cannot make a key")?;
        let mut params = CertificateParams::new(sans).context("a name that no certificate can carry")?;
        valid(&mut params, now, LEAF_VALID);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "dropmate");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let ca_key = KeyPair::from_pem(&self.key).context("the authority's key is not a private key")?;
        let issuer = Issuer::from_ca_cert_pem(&self.cert, ca_key).context("the authority is no certificate")?;
        let cert = params.signed_by(&key, &issuer).context("cannot sign the server certificate")?;
        Ok((format!("{}{}", cert.pem(), self.cert), key.serialize_pem()))
    }

    /// Why a server certificate is not, or not much longer, good for all these names; `None` if it is.
    pub(crate) fn lacks(&self, certs: &str, key: &str, sans: &[String], now: Timestamp) -> Option<String> {
        match self.check(certs, key, sans, now) {
            Ok(lack) => lack,
            Err(error) => Some(format!("{error:#}")),
        }
    }

    fn check(&self, certs: &str, key: &str, sans: &[String], now: Timestamp) -> anyhow::Result<Option<String>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let served = certified(certs, key, &provider)?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.cert.as_bytes())?)?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        let later = (now + LEAF_GOOD_FOR).as_second().unsigned_abs();
        let later = UnixTime::since_unix_epoch(Duration::from_secs(later));
        for san in sans {
            // What is good for every host of a domain is good for one of them.
            let name = ServerName::try_from(san.replacen('*', "any", 1))?;
            match verifier.verify_server_cert(served.end_entity_cert()?, &[], &name, &[], later) {
                Ok(_) => {}
                Err(rustls::Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) => return Ok(Some(format!("it was not good for {san}"))),
                Err(rustls::Error::InvalidCertificate(
                    CertificateError::Expired | CertificateError::ExpiredContext { .. },
                )) => return Ok(Some("it ends within 30 days".to_owned())),
                Err(other) => return Ok(Some(other.to_string())),
            }
        }
        Ok(None)
    }
}

fn valid(params: &mut CertificateParams, now: Timestamp, span: SignedDuration) {
    // Whole days (UTC) are fine enough, and the day before covers clients whose clock is behind.
    let date = |at: Timestamp| {
        let day = at.to_zoned(TimeZone::UTC).date();
        rcgen::date_time_ymd(day.year().into(), day.month() as u8, day.day() as u8)
    };
    params.not_before = date(now - CLOCK_SKEW);
    params.not_after = date(now + span);
}

fn certified(certs: &str, key: &str, provider: &CryptoProvider) -> anyhow::Result<CertifiedKey> {
    let certs: Vec<_> = CertificateDer::pem_slice_iter(certs.as_bytes())
        .collect::<Result<_, _>>()
        .context("the certificate file is not PEM")?;
    anyhow::ensure!(!certs.is_empty(), "the certificate file holds no certificate");
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).context("the key file holds no private key (PEM)")?;
    let certified = CertifiedKey::from_der(certs, key, provider).context("the key does not fit the certificate")?;
    Ok(certified)
}
