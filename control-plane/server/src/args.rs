//! The flags that `dropmate-control-plane` and `dropmate up` share, and what they come to once checked.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use dropmate_api::Clock;
use dropmate_live::RedisUrl;
use http::Uri;

pub use crate::limits::Rate;
use crate::limits::{self, Allowed};

/// Where `/metrics` and the detailed probes are found unless `--admin-listen` says otherwise.
pub const ADMIN_LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7450);

/// Flags of the server.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Server")]
pub struct Args {
    /// Where to serve HTTPS; port 0 picks a free one, printed on the first line
    #[arg(long, env = "DROPMATE_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7443")]
    pub listen: SocketAddr,

    /// Also serve plain HTTP here, for a trusted reverse proxy
    #[arg(long, env = "DROPMATE_PLAIN_LISTEN", value_name = "ADDRESS:PORT")]
    pub plain_listen: Option<SocketAddr>,

    /// Where to serve /metrics, /livez and /readyz; never public [default: 127.0.0.1:7450, or a free port if it is taken]
    #[arg(long, env = "DROPMATE_ADMIN_LISTEN", value_name = "ADDRESS:PORT")]
    pub admin_listen: Option<SocketAddr>,

    #[command(flatten)]
    pub database: DatabaseArgs,

    /// Redis to share hints between replicas, which may vanish at any moment:
    /// redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS [default: hints stay in the process]
    #[arg(long, env = "DROPMATE_REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: Option<String>,

    /// A file that holds the URL of --redis-url
    #[arg(long, env = "DROPMATE_REDIS_URL_FILE", value_name = "FILE")]
    pub redis_url_file: Option<PathBuf>,

    /// Further origins whose pages may open live streams, as browsers say them [default: only this server's own]
    #[arg(long, env = "DROPMATE_ALLOWED_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    pub allowed_origins: Vec<String>,

    /// Certificate chain (PEM) to serve with, instead of one made on first start
    #[arg(long, env = "DROPMATE_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Private key (PEM) of --tls-cert
    #[arg(long, env = "DROPMATE_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Further names and addresses the made certificate is good for
    #[arg(long, env = "DROPMATE_TLS_SAN", value_name = "NAME", value_delimiter = ',')]
    pub tls_san: Vec<String>,

    /// How the server is reached from outside, for links [default: from --listen]
    #[arg(long, env = "DROPMATE_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,

    /// Let anybody become a user; without roles, until somebody gives them one
    #[arg(long, env = "DROPMATE_OPEN_REGISTRATION", value_parser = clap::builder::FalseyValueParser::new())]
    pub open_registration: bool,

    /// Proxies whose X-Forwarded-For counts, as networks or addresses
    #[arg(long, env = "DROPMATE_TRUSTED_PROXIES", value_name = "CIDR", value_delimiter = ',')]
    pub trusted_proxies: Vec<String>,

    /// Requests a second from one caller, and how many at once after a rest; 0 is no limit
    #[arg(long, env = "DROPMATE_RATE_LIMIT_CALLER", value_name = "PER_SECOND[:BURST]", default_value = "1000:2000")]
    pub rate_limit_caller: Rate,

    /// Requests a second from one client address (of IPv6: one /64)
    #[arg(long, env = "DROPMATE_RATE_LIMIT_ADDRESS", value_name = "PER_SECOND[:BURST]", default_value = "2000:4000")]
    pub rate_limit_address: Rate,

    /// Requests a second to /v1/auth/ from one client address: what tries passwords and one-time links
    #[arg(long, env = "DROPMATE_RATE_LIMIT_AUTH", value_name = "PER_SECOND[:BURST]", default_value = "20:100")]
    pub rate_limit_auth: Rate,

    /// Static callers, one `sha256(token),user` a line, re-read on change [default: tokens.csv in the data dir]
    #[arg(long, env = "DROPMATE_TOKEN_AUTH_FILE", value_name = "FILE")]
    pub token_auth_file: Option<PathBuf>,

    /// The key that seals secrets and signing keys in the database: 32 bytes in hex, the same for all replicas [default:
    /// secrets.key in the data dir, made on first start]
    #[arg(long, env = "DROPMATE_SECRETS_KEY_FILE", value_name = "FILE")]
    pub secrets_key_file: Option<PathBuf>,

    #[command(flatten)]
    pub oidc: OidcArgs,

    #[command(flatten)]
    pub way_out: dropmate_outbound::OutboundArgs,

    #[command(flatten)]
    pub proofs: ProofArgs,
}

/// Flags of an outside issuer of tokens (OpenID Connect).
#[derive(Clone, Debug, Default, clap::Args)]
pub struct OidcArgs {
    /// Also take tokens of this issuer, exactly as their `iss`
    #[arg(long, env = "DROPMATE_OIDC_ISSUER", value_name = "URL")]
    pub oidc_issuer: Option<String>,

    /// What the `aud` of its tokens must hold
    #[arg(long, env = "DROPMATE_OIDC_AUDIENCE", value_name = "AUD")]
    pub oidc_audience: Option<String>,

    /// Which claim is the caller's e-mail address; `email_verified` must be true beside it. Another than `email` must be
    /// one that users cannot change themselves
    #[arg(long, env = "DROPMATE_OIDC_EMAIL_CLAIM", value_name = "CLAIM", default_value = "email")]
    pub oidc_email_claim: String,

    /// Certificates (PEM) to trust when fetching its keys, instead of the system's
    #[arg(long, env = "DROPMATE_OIDC_CA", value_name = "FILE")]
    pub oidc_ca: Option<PathBuf>,
}

impl OidcArgs {
    fn checked(self) -> Result<Option<OidcConfig>, ConfigError> {
        // An empty environment variable is how Compose files say "not set".
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        match (given(self.oidc_issuer), given(self.oidc_audience)) {
            (None, None) => Ok(None),
            (Some(issuer), Some(audience)) => Ok(Some(OidcConfig {
                issuer,
                audience,
                email_claim: self.oidc_email_claim,
                ca: self.oidc_ca.filter(|file| !file.as_os_str().is_empty()),
            })),
            (issuer, _) => Err(ConfigError::Oidc(if issuer.is_some() { "--oidc-audience" } else { "--oidc-issuer" })),
        }
    }
}

/// An outside issuer whose tokens are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OidcConfig {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) email_claim: String,
    pub(crate) ca: Option<PathBuf>,
}

/// Flags that say where proofs of delivery are kept.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ProofArgs {
    /// Where photos and signatures are kept, the same for all replicas: a folder, or s3://BUCKET[/PREFIX] [default: proofs
    /// in the data dir]
    #[arg(long, env = "DROPMATE_PROOF_STORE", value_name = "FOLDER|URL")]
    pub proof_store: Option<String>,

    /// The server of an s3:// store, if it is not Amazon's
    #[arg(long, env = "DROPMATE_S3_ENDPOINT", value_name = "URL")]
    pub s3_endpoint: Option<String>,

    /// The region of an s3:// store
    #[arg(long, env = "DROPMATE_S3_REGION", value_name = "REGION", default_value = "us-east-1")]
    pub s3_region: String,

    /// Who we are to an s3:// store
    #[arg(long, env = "DROPMATE_S3_ACCESS_KEY_ID", value_name = "ID")]
    pub s3_access_key_id: Option<String>,

    /// The secret of --s3-access-key-id
    #[arg(long, env = "DROPMATE_S3_SECRET_ACCESS_KEY", value_name = "SECRET", hide_env_values = true)]
    pub s3_secret_access_key: Option<String>,

    /// A file that holds it
    #[arg(long, env = "DROPMATE_S3_SECRET_ACCESS_KEY_FILE", value_name = "FILE")]
    pub s3_secret_access_key_file: Option<PathBuf>,
}

impl ProofArgs {
    fn checked(self) -> Result<ProofStoreConfig, ConfigError> {
        // An empty environment variable is how Compose files say "not set".
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let Some(store) = given(self.proof_store) else { return Ok(ProofStoreConfig::DataDir) };
        let Some(bucket) = store.strip_prefix("s3://") else {
            let folder = store.strip_prefix("file://").unwrap_or(&store);
            if folder.is_empty() || folder.contains("://") {
                return Err(ConfigError::ProofStore(store));
            }
            return Ok(ProofStoreConfig::Folder(folder.into()));
        };
        let (bucket, prefix) = bucket.split_once('/').unwrap_or((bucket, ""));
        if bucket.is_empty() {
            return Err(ConfigError::ProofStore(store));
        }
        let endpoint = given(self.s3_endpoint);
        if let Some(endpoint) =
            endpoint.as_ref().filter(|url| !url.starts_with("https://") && !url.starts_with("http://"))
        {
            return Err(ConfigError::S3Endpoint(endpoint.clone()));
        }
        let file = self.s3_secret_access_key_file.filter(|file| !file.as_os_str().is_empty());
        let secret_access_key = match (given(self.s3_secret_access_key), file) {
            (Some(_), Some(_)) => return Err(ConfigError::TwoS3Secrets),
            (Some(secret), None) => secret,
            (None, Some(path)) => match std::fs::read_to_string(&path) {
                Ok(text) => text.trim().to_owned(),
                Err(source) => return Err(ConfigError::S3SecretFile { path, source }),
            },
            (None, None) => return Err(ConfigError::S3("--s3-secret-access-key")),
        };
        Ok(ProofStoreConfig::S3(S3Config {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            endpoint,
            region: self.s3_region,
            access_key_id: given(self.s3_access_key_id).ok_or(ConfigError::S3("--s3-access-key-id"))?,
            secret_access_key,
        }))
    }
}

/// Where proofs of delivery are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProofStoreConfig {
    /// `proofs` in the data dir.
    DataDir,
    /// A folder.
    Folder(PathBuf),
    /// A bucket.
    S3(S3Config),
}

/// A bucket that speaks S3.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct S3Config {
    pub(crate) bucket: String,
    /// Below which everything is; may be empty.
    pub(crate) prefix: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) region: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
}

/// Without the secret.
impl std::fmt::Debug for S3Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Config").field("bucket", &self.bucket).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Flags that say where objects are kept.
#[derive(Clone, Debug, clap::Args)]
pub struct DatabaseArgs {
    /// Where everything is kept [default: the user's data folder, or /var/lib/dropmate as root]
    #[arg(long, env = "DROPMATE_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// PostgreSQL to keep objects in, shared by all replicas: postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE [default:
    /// SQLite in the data dir]
    #[arg(long, env = "DROPMATE_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// A file that holds the URL of --database-url
    #[arg(long, env = "DROPMATE_DATABASE_URL_FILE", value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,
}

/// Where objects are kept.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// `control.db` in the data dir.
    Sqlite {
        /// The data dir.
        data_dir: PathBuf,
    },
    /// A PostgreSQL database.
    Postgres {
        /// Its URL; holds a password.
        url: String,
    },
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite { data_dir } => f.debug_struct("Sqlite").field("data_dir", data_dir).finish(),
            Self::Postgres { .. } => f.debug_struct("Postgres").finish_non_exhaustive(),
        }
    }
}

impl DatabaseArgs {
    /// Checks the flags.
    pub fn database(&self) -> Result<Database, ConfigError> {
        // An empty environment variable is how Compose files say "not set".
        let url = self.database_url.clone().filter(|url| !url.is_empty());
        let file = self.database_url_file.as_deref().filter(|file| !file.as_os_str().is_empty());
        let url = match (url, file) {
            (Some(_), Some(_)) => return Err(ConfigError::TwoDatabases),
            (Some(url), None) => url,
            (None, Some(file)) => std::fs::read_to_string(file)
                .map_err(|source| ConfigError::DatabaseUrlFile { path: file.to_owned(), source })?
                .trim()
                .to_owned(),
            (None, None) => return Ok(Database::Sqlite { data_dir: self.data_dir()? }),
        };
        // The URL itself is not repeated: it may hold a password.
        let known = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
        if known { Ok(Database::Postgres { url }) } else { Err(ConfigError::DatabaseScheme) }
    }

    fn data_dir(&self) -> Result<PathBuf, ConfigError> {
        self.data_dir.clone().or_else(default_data_dir).ok_or(ConfigError::NoDataDir)
    }
}

/// Why the flags make no sense together.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Two databases are named.
    #[error("--database-url and --database-url-file are both given; leave one out")]
    TwoDatabases,
    /// The file cannot be read.
    #[error("--database-url-file: cannot read {}", path.display())]
    DatabaseUrlFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no PostgreSQL URL.
    #[error("--database-url: must be of the form postgres://USER[:PASSWORD]@HOST[:PORT]/DATABASE")]
    DatabaseScheme,
    /// Two Redis are named.
    #[error("--redis-url and --redis-url-file are both given; leave one out")]
    TwoRedis,
    /// The file cannot be read.
    #[error("--redis-url-file: cannot read {}", path.display())]
    RedisUrlFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no URL of a Redis. The URL itself is not repeated: it may hold a password.
    #[error("--redis-url: {0}")]
    Redis(dropmate_live::OpenError),
    /// It is no origin.
    #[error("--allowed-origins: {0:?} is not of the form https://HOST[:PORT]")]
    Origin(String),
    /// No home to keep data in.
    #[error("--data-dir: there is no home folder to keep data in; name a folder")]
    NoDataDir,
    /// `--public-url` cannot be used.
    #[error("--public-url: {0:?} is not of the form https://HOST[:PORT]")]
    PublicUrl(String),
    /// A proxy that is no network.
    #[error("--trusted-proxies: {0:?} is neither a network like 10.0.0.0/8 nor an address")]
    Proxy(String),
    /// A name that no certificate can carry.
    #[error("--tls-san: {0:?} is neither a host name nor an address")]
    San(String),
    /// An outside issuer is named by two flags.
    #[error("{0}: is missing; an outside issuer needs --oidc-issuer and --oidc-audience")]
    Oidc(&'static str),
    /// No place for proofs.
    #[error("--proof-store: {0:?} is neither a folder nor of the form s3://BUCKET[/PREFIX]")]
    ProofStore(String),
    /// No server.
    #[error("--s3-endpoint: {0:?} is not of the form https://HOST[:PORT]")]
    S3Endpoint(String),
    /// A bucket needs two flags.
    #[error("{0}: is missing; --proof-store s3://… needs --s3-access-key-id and --s3-secret-access-key (or its file)")]
    S3(&'static str),
    /// Two secrets are named.
    #[error("--s3-secret-access-key and --s3-secret-access-key-file are both given; leave one out")]
    TwoS3Secrets,
    /// The file cannot be read.
    #[error("--s3-secret-access-key-file: cannot read {}", path.display())]
    S3SecretFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// How the server runs; made once from [`Args`], cannot be wrong.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) plain_listen: Option<SocketAddr>,
    pub(crate) admin_listen: AdminListen,
    pub(crate) data_dir: PathBuf,
    pub(crate) database: Database,
    /// Whether the database is migrated at the start, instead of refused if it is old.
    pub(crate) migrates: bool,
    pub(crate) tls: TlsSource,
    pub(crate) public_url: Option<PublicUrl>,
    pub(crate) open_registration: bool,
    pub(crate) token_auth_file: Option<PathBuf>,
    pub(crate) secrets_key_file: Option<PathBuf>,
    pub(crate) oidc: Option<OidcConfig>,
    pub(crate) way_out: dropmate_outbound::OutboundArgs,
    pub(crate) proofs: ProofStoreConfig,
    pub(crate) rates: Allowed,
    /// `None`: hints stay in this process.
    pub(crate) redis: Option<RedisUrl>,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) clock: Clock,
}

/// Where the admin port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdminListen {
    /// Asked for: exactly there.
    At(SocketAddr),
    /// Not asked for: the default, or a free port beside it, so that a second instance on a machine just starts.
    Default,
}

/// Whose certificate is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TlsSource {
    /// Ours, also good for these names.
    Own { sans: Vec<String> },
    /// The user's.
    Files { cert: PathBuf, key: PathBuf },
}

/// `https://HOST[:PORT]`, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicUrl(Uri);

impl PublicUrl {
    fn parse(text: &str) -> Result<Self, ConfigError> {
        let refused = || ConfigError::PublicUrl(text.to_owned());
        let uri: Uri = text.trim_end_matches('/').parse().map_err(|_| refused())?;
        let scheme = matches!(uri.scheme_str(), Some("https" | "http"));
        let bare = uri.path() == "/" && uri.query().is_none();
        if scheme && bare && uri.host().is_some_and(|host| !host.is_empty()) { Ok(Self(uri)) } else { Err(refused()) }
    }

    pub(crate) fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_matches(['[', ']'])
    }

    /// As browsers say it.
    pub(crate) fn origin(&self) -> String {
        let (scheme, host) = (self.0.scheme_str().unwrap_or_default(), self.0.host().unwrap_or_default());
        let host = host.to_ascii_lowercase();
        match self.0.port_u16().filter(|port| (scheme, *port) != ("https", 443) && (scheme, *port) != ("http", 80)) {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }
    }

    pub(crate) fn as_text(&self) -> String {
        self.0.to_string().trim_end_matches('/').to_owned()
    }
}

impl Config {
    /// Checks the flags. `clock` stamps everything the server writes.
    pub fn new(args: Args, clock: Clock) -> Result<Self, ConfigError> {
        let redis = redis(args.redis_url, args.redis_url_file)?;
        let origins = args.allowed_origins.iter().filter(|text| !text.trim().is_empty());
        let allowed_origins = origins.map(|text| origin(text)).collect::<Result<_, _>>()?;
        // An empty environment variable is how Compose files say "not set".
        let public_url = args.public_url.as_deref().filter(|url| !url.is_empty()).map(PublicUrl::parse).transpose()?;
        let tls = match (args.tls_cert, args.tls_key) {
            (Some(cert), Some(key)) => TlsSource::Files { cert, key },
            _ => TlsSource::Own { sans: sans(args.tls_san, &args.listen, public_url.as_ref())? },
        };
        // An empty environment variable gives one empty name.
        let proxies = args.trusted_proxies.iter().filter(|text| !text.trim().is_empty());
        let proxy = |text: &String| limits::network(text).ok_or_else(|| ConfigError::Proxy(text.clone()));
        let rates = Allowed {
            caller: args.rate_limit_caller,
            address: args.rate_limit_address,
            auth: args.rate_limit_auth,
            trusted_proxies: proxies.map(proxy).collect::<Result<_, _>>()?,
        };
        Ok(Self {
            listen: args.listen,
            plain_listen: args.plain_listen,
            admin_listen: args.admin_listen.map_or(AdminListen::Default, AdminListen::At),
            data_dir: args.database.data_dir()?,
            database: args.database.database()?,
            migrates: false,
            tls,
            public_url,
            open_registration: args.open_registration,
            token_auth_file: args.token_auth_file,
            secrets_key_file: args.secrets_key_file.filter(|file| !file.as_os_str().is_empty()),
            oidc: args.oidc.checked()?,
            way_out: args.way_out,
            proofs: args.proofs.checked()?,
            rates,
            redis,
            allowed_origins,
            clock,
        })
    }

    /// Migrates a PostgreSQL database at the start. (A SQLite file, which nobody else has, always is.)
    #[must_use]
    pub fn migrating(self) -> Self {
        Self { migrates: true, ..self }
    }

    /// Where everything is kept.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }
}

fn redis(url: Option<String>, file: Option<PathBuf>) -> Result<Option<RedisUrl>, ConfigError> {
    // An empty environment variable is how Compose files say "not set".
    let url = url.filter(|url| !url.is_empty());
    let url = match (url, file.filter(|file| !file.as_os_str().is_empty())) {
        (Some(_), Some(_)) => return Err(ConfigError::TwoRedis),
        (None, None) => return Ok(None),
        (Some(url), None) => url,
        (None, Some(path)) => {
            let read = std::fs::read_to_string(&path);
            read.map_err(|source| ConfigError::RedisUrlFile { path, source })?.trim().to_owned()
        }
    };
    RedisUrl::parse(&url).map(Some).map_err(ConfigError::Redis)
}

/// An origin as browsers say it: in lower case, without a path.
fn origin(text: &str) -> Result<String, ConfigError> {
    let refused = |_| ConfigError::Origin(text.to_owned());
    Ok(PublicUrl::parse(text.trim()).map_err(refused)?.origin())
}

/// Every name the made certificate is good for, sorted, each once.
fn sans(asked: Vec<String>, listen: &SocketAddr, public_url: Option<&PublicUrl>) -> Result<Vec<String>, ConfigError> {
    let mut sans = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    sans.extend(host_name().filter(|name| is_name(name)));
    if !listen.ip().is_unspecified() {
        sans.push(listen.ip().to_string());
    }
    if let Some(url) = public_url {
        sans.push(url.host().to_owned());
    }
    for name in asked.into_iter().filter(|name| !name.is_empty()) {
        if !is_name(&name) {
            return Err(ConfigError::San(name));
        }
        sans.push(name);
    }
    sans.sort();
    sans.dedup();
    Ok(sans)
}

/// Whether a certificate can carry it: an address, or letters, digits, dots, dashes and a leading `*.`.
pub(crate) fn is_name(name: &str) -> bool {
    let host = name.strip_prefix("*.").unwrap_or(name);
    let letters = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    name.parse::<std::net::IpAddr>().is_ok() || (host.len() <= 253 && host.split('.').all(letters))
}

fn host_name() -> Option<String> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    kernel.or_else(|| env::var("HOSTNAME").ok()).map(|name| name.trim().to_owned())
}

/// Where everything is kept unless told otherwise: the user's data folder, or /var/lib/dropmate as root.
pub fn default_data_dir() -> Option<PathBuf> {
    if is_root() {
        return Some(PathBuf::from("/var/lib/dropmate"));
    }
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = set("HOME");
    let folder = if cfg!(target_os = "macos") {
        home.map(|home| home.join("Library/Application Support"))
    } else {
        set("XDG_DATA_HOME").or_else(|| home.map(|home| home.join(".local/share")))
    };
    folder.map(|folder| folder.join("dropmate"))
}

/// Whether this process runs as root: its own entry under /proc belongs to the effective user.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};
    use rstest::rstest;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn config(flags: &[&str]) -> Result<Config, ConfigError> {
        let args = Cli::parse_from([&["test", "--data-dir", "/nowhere"], flags].concat()).args;
        Config::new(args, Clock::real(std::sync::Arc::new(|| jiff::Timestamp::UNIX_EPOCH)))
    }

    #[test]
    fn every_flag_has_its_environment_name() {
        for arg in Cli::command().get_arguments().filter(|arg| arg.get_id() != "help") {
            let long = arg.get_long().expect("every flag is long").to_uppercase().replace('-', "_");
            assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some(format!("DROPMATE_{long}").as_str()));
        }
    }

    #[rstest]
    #[case::mysql(&["--database-url", "mysql://db/dropmate"])]
    #[case::no_such_file(&["--database-url-file", "/nowhere/database.url"])]
    #[case::two_databases(&["--database-url", "postgres://db/dropmate", "--database-url-file", "/nowhere"])]
    #[case::no_redis(&["--redis-url", "http://:hunter2@cache"])]
    #[case::no_such_redis_file(&["--redis-url-file", "/nowhere/redis.url"])]
    #[case::two_redis(&["--redis-url", "redis://cache", "--redis-url-file", "/nowhere"])]
    #[case::an_origin_with_a_path(&["--allowed-origins", "https://app.example/path"])]
    #[case::path_in_url(&["--public-url", "https://example.com/dropmate"])]
    #[case::no_scheme(&["--public-url", "example.com"])]
    #[case::not_a_network(&["--trusted-proxies", "10.0.0.0/8,proxy"])]
    #[case::no_store(&["--proof-store", "gs://bucket"])]
    #[case::no_bucket(&["--proof-store", "s3:///proofs"])]
    #[case::no_key_of_the_bucket(&["--proof-store", "s3://bucket", "--s3-access-key-id", "me"])]
    #[case::two_secrets_of_the_bucket(&[
        "--proof-store", "s3://bucket", "--s3-access-key-id", "me", "--s3-secret-access-key", "a",
        "--s3-secret-access-key-file", "/nowhere",
    ])]
    #[case::not_an_endpoint(&["--proof-store", "s3://bucket", "--s3-endpoint", "minio:9000"])]
    #[case::not_a_name(&["--tls-san", "two words"])]
    fn senseless_flags_are_refused(#[case] flags: &[&str]) {
        assert!(config(flags).is_err());
    }

    #[test]
    fn the_limits_are_on_unless_they_are_turned_off() {
        let rates = config(&[]).unwrap().rates;
        assert_eq!(rates.caller.to_string(), "1000:2000");
        let rates = config(&["--rate-limit-caller", "0", "--trusted-proxies", "10.0.0.0/8,192.0.2.1"]).unwrap().rates;
        assert_eq!((rates.caller, rates.trusted_proxies.len()), (Rate::default(), 2));
    }

    #[test]
    fn a_database_url_can_come_from_a_file_and_is_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "postgres://dropmate:hunter2@db/dropmate\n").unwrap();
        let config = config(&["--database-url-file", file.path().to_str().unwrap()]).unwrap();
        assert_eq!(config.database, Database::Postgres { url: "postgres://dropmate:hunter2@db/dropmate".to_owned() });
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_bucket_has_a_prefix_and_its_secret_is_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "hunter2\n").unwrap();
        let file = file.path().to_str().unwrap();
        let keys = ["--s3-access-key-id", "me", "--s3-secret-access-key-file", file];
        let config = config(&[&["--proof-store", "s3://shop/dropmate/proofs/"], &keys[..]].concat()).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        let ProofStoreConfig::S3(s3) = config.proofs else { panic!("a bucket") };
        assert_eq!((&*s3.bucket, &*s3.prefix, &*s3.secret_access_key), ("shop", "dropmate/proofs", "hunter2"));
    }

    #[test]
    fn a_redis_url_is_never_shown() {
        let taken = config(&["--redis-url", "rediss://:hunter2@cache:6380/1"]).unwrap();
        assert!(taken.redis.is_some() && !format!("{taken:?}").contains("hunter2"));
        let refused = config(&["--redis-url", "http://:hunter2@cache"]).unwrap_err();
        assert!(!format!("{refused:?} {refused}").contains("hunter2"), "{refused}");
        assert!(config(&["--redis-url", ""]).unwrap().redis.is_none());
    }

    #[test]
    fn origins_are_as_browsers_say_them() {
        let flags = ["--allowed-origins", "https://App.Example:443,http://localhost:5173/", "--allowed-origins", ""];
        assert_eq!(config(&flags).unwrap().allowed_origins, ["https://app.example", "http://localhost:5173"]);
    }

    #[test]
    fn the_certificate_covers_this_machine_and_what_was_asked_for() {
        let config =
            config(&["--tls-san", "dm.example.com,10.0.0.7", "--public-url", "https://shop.example:8443/"]).unwrap();
        let TlsSource::Own { sans } = config.tls else { panic!("own certificate") };
        for name in ["localhost", "127.0.0.1", "::1", "dm.example.com", "10.0.0.7", "shop.example"] {
            assert!(sans.iter().any(|san| san == name), "{name} is missing in {sans:?}");
        }
        assert_eq!(config.public_url.unwrap().as_text(), "https://shop.example:8443");
    }
}
