//! Where the control plane meets the machine: its data dir, its ports, its certificate.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use axum::Router;
use dropmate_identity::{Identity, Outside, OutsideConfig, Sealer};
use dropmate_ingest::Ingest;
use dropmate_store::{Now, Options, Postgres, Store};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    args::{ADMIN_LISTEN_DEFAULT, AdminListen, Config, Database, ProofStoreConfig, PublicUrl},
    datadir::DataDir,
    folder::Folder,
    kubeconfig,
    metrics::Metrics,
    proofs::{ProofStore, Proofs},
    serve::{self, Limits, Port},
    tls::Tls,
    tokens::{self, Tokens},
};

/// How often old history is removed: Leases, kept for ten minutes, are what piles up first.
const COMPACT_INTERVAL: Duration = Duration::from_mins(1);
/// The file of the store in a data dir.
pub(crate) const CONTROL_DB: &str = "control.db";
/// The file of the schema `identity` in a data dir.
pub(crate) const IDENTITY_DB: &str = "identity.db";
/// The file of the schema `ingest` in a data dir.
pub(crate) const INGEST_DB: &str = "ingest.db";
/// The folder of proofs in a data dir.
const PROOFS: &str = "proofs";
/// The sealing key in a data dir, and in the folder that `bootstrap` fills.
pub(crate) const SECRETS_KEY: &str = "secrets.key";
pub(crate) const KUBECONFIG: &str = "admin.kubeconfig";

/// Where an agent in the control plane's process keeps what it keeps. A URL holds a password, so it is not shown.
pub enum AgentDatabase {
    /// A SQLite file of its own.
    Sqlite(PathBuf),
    /// The URL of the control plane's PostgreSQL database.
    Postgres(String),
}

/// The data dir with the ports bound and the certificate ready.
#[derive(Debug)]
pub(crate) struct Edge {
    dir: DataDir,
    database: Database,
    tls: Tls,
    /// Taken by the one call of `serve`.
    listeners: Mutex<Option<Listeners>>,
    bound: SocketAddr,
    url: String,
    admin_url: String,
    kubeconfig: Option<PathBuf>,
}

#[derive(Debug)]
struct Listeners {
    main: TcpListener,
    plain: Option<TcpListener>,
    admin: TcpListener,
}

impl Edge {
    /// Takes the data dir, makes certificate, tokens and kubeconfig, and binds the ports.
    pub(crate) async fn open(config: &Config) -> anyhow::Result<Self> {
        let dir = DataDir::open(&config.data_dir)?;
        let main = bind(config.listen, "--listen").await?;
        let plain = match config.plain_listen {
            Some(address) => Some(bind(address, "--plain-listen").await?),
            None => None,
        };
        let admin = bind_admin(config.admin_listen).await?;
        let (bound, admin_bound) = (main.local_addr()?, admin.local_addr()?);
        let tls = Tls::open(&config.tls, &dir.folder.folder("tls"), &config.clock)?;
        let token_file = token_file(&dir, config.token_auth_file.as_deref());
        let tokens = dir.folder.folder("tokens");
        tokens::make_missing(&tokens, &token_file).context("--token-auth-file")?;
        let local_url = kubeconfig::local_url(bound);
        let kubeconfig = match tokens::operator_token(&tokens)? {
            None => None,
            Some(token) => {
                // A certificate of the user's own is good for its public name, ours for this machine's addresses.
                let public = config.public_url.as_ref().filter(|_| !tls.is_own()).map(PublicUrl::as_text);
                let server = public.as_deref().unwrap_or(&local_url);
                dir.folder.write(KUBECONFIG, &kubeconfig::render(server, &tls.ca_pem, &token))?;
                Some(dir.folder.join(KUBECONFIG))
            }
        };
        Ok(Self {
            dir,
            database: config.database.clone(),
            tls,
            listeners: Mutex::new(Some(Listeners { main, plain, admin })),
            bound,
            url: format!("https://{bound}"),
            admin_url: format!("http://{admin_bound}"),
            kubeconfig,
        })
    }

    /// The store: of this data dir, or in PostgreSQL.
    pub(crate) async fn store(&self, config: &Config, now: Now) -> anyhow::Result<Store> {
        let options = Options { compact_every: Some(COMPACT_INTERVAL), ..Options::default() };
        match &config.database {
            Database::Sqlite { .. } => {
                let path = self.dir.database(CONTROL_DB)?;
                Store::sqlite(&path, now, options).await.with_context(|| format!("cannot open {}", path.display()))
            }
            Database::Postgres { url } => {
                if config.migrates {
                    Postgres::migrate(url).await?;
                }
                Ok(Store::postgres(url, now, options).await?)
            }
        }
    }

    /// Who there is: in this data dir, or in PostgreSQL. After the store, which waits for the database.
    pub(crate) async fn identity(&self, config: &Config, now: Now) -> anyhow::Result<Identity> {
        let issuer = config.public_url.as_ref().map_or_else(|| self.url.clone(), PublicUrl::as_text);
        let options =
            dropmate_identity::Options { now, issuer, sealer: self.sealer(config.secrets_key_file.as_deref())? };
        match &config.database {
            Database::Sqlite { .. } => {
                let path = self.dir.database(IDENTITY_DB)?;
                Identity::sqlite(&path, options).await.with_context(|| format!("cannot open {}", path.display()))
            }
            Database::Postgres { url } => {
                if config.migrates {
                    Identity::migrate_postgres(url).await?;
                }
                Ok(Identity::postgres(url, options).await?)
            }
        }
    }

    /// What phones bring in: in this data dir, or in PostgreSQL.
    pub(crate) async fn ingest(&self, config: &Config, now: Now) -> anyhow::Result<Ingest> {
        match &config.database {
            Database::Sqlite { .. } => {
                let path = self.dir.database(INGEST_DB)?;
                Ingest::sqlite(&path, now).await.with_context(|| format!("cannot open {}", path.display()))
            }
            Database::Postgres { url } => {
                if config.migrates {
                    Ingest::migrate_postgres(url).await?;
                }
                Ok(Ingest::postgres(url, now).await?)
            }
        }
    }

    /// Proofs of delivery: their files in this data dir, in another folder, or in a bucket.
    pub(crate) async fn proofs(&self, config: &Config, ingest: &Ingest) -> anyhow::Result<Proofs> {
        let installation = ingest.installation().await?;
        let store = match &config.proofs {
            ProofStoreConfig::DataDir => {
                if matches!(config.database, Database::Postgres { .. }) {
                    tracing::warn!(
                        "proofs are kept in this replica's data dir, where other replicas do not find them; name a store \
                         for all with --proof-store"
                    );
                }
                ProofStore::folder(&self.dir.folder.folder(PROOFS), &installation)?
            }
            ProofStoreConfig::Folder(folder) => ProofStore::folder(&Folder::private(folder), &installation)?,
            ProofStoreConfig::S3(s3) => ProofStore::s3(s3, &installation)?,
        };
        Ok(Proofs::new(store, ingest.clone()))
    }

    /// Where an agent in this process keeps what it keeps: a file of its own, made if it is missing, or our database.
    pub(crate) fn agent_database(&self, file: &str) -> anyhow::Result<AgentDatabase> {
        match &self.database {
            Database::Sqlite { .. } => Ok(AgentDatabase::Sqlite(self.dir.database(file)?)),
            Database::Postgres { url } => Ok(AgentDatabase::Postgres(url.clone())),
        }
    }

    /// The sealing key. One that is named is there; the data dir's own is made on first start.
    fn sealer(&self, file: Option<&Path>) -> anyhow::Result<Sealer> {
        let key = match file {
            Some(file) => std::fs::read_to_string(file).with_context(|| {
                let file = file.display();
                format!(
                    "--secrets-key-file: cannot read {file}; `dropmate bootstrap` or `openssl rand -hex 32` makes one"
                )
            })?,
            None => self.dir.folder.read_or_make(SECRETS_KEY, tokens::new_token)?,
        };
        Sealer::from_hex(&key).with_context(|| {
            let file = file.map_or_else(|| self.dir.folder.join(SECRETS_KEY), Path::to_owned);
            format!("--secrets-key-file: {} holds no key", file.display())
        })
    }

    /// The outside issuer, if there is one.
    pub(crate) fn outside(config: &Config, now: Now) -> anyhow::Result<Option<Outside>> {
        let Some(oidc) = &config.oidc else { return Ok(None) };
        let ca_pem = match &oidc.ca {
            None => None,
            Some(file) => {
                Some(std::fs::read(file).with_context(|| format!("--oidc-ca: cannot read {}", file.display()))?)
            }
        };
        let outside = OutsideConfig {
            issuer: oidc.issuer.clone(),
            audience: oidc.audience.clone(),
            email_claim: oidc.email_claim.clone(),
            ca_pem,
            guard: config.way_out.guard()?,
            trust: config.way_out.trust().context("--outbound-ca")?,
        };
        Ok(Some(Outside::new(outside, now)?))
    }

    /// The static callers.
    pub(crate) fn tokens(&self, file: Option<&Path>) -> anyhow::Result<Tokens> {
        Tokens::load(token_file(&self.dir, file)).context("--token-auth-file")
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Where HTTPS is served.
    pub(crate) fn bound(&self) -> SocketAddr {
        self.bound
    }

    pub(crate) fn admin_url(&self) -> &str {
        &self.admin_url
    }

    pub(crate) fn kubeconfig(&self) -> Option<&Path> {
        self.kubeconfig.as_deref()
    }

    /// Serves until `shutdown`, and to the end of the requests that are open then.
    pub(crate) async fn serve(
        &self,
        router: Router,
        admin: Router,
        metrics: Metrics,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let taken = self.listeners.lock().unwrap_or_else(PoisonError::into_inner).take();
        let listeners = taken.context("the ports are being served already")?;
        tokio::spawn(self.tls.clone().keep_fresh(shutdown.clone()));
        tracing::info!(url = self.url, admin = self.admin_url, "serving");
        let mut ports = vec![
            Port { listener: listeners.main, tls: Some(self.tls.server.clone()), router: router.clone() },
            Port { listener: listeners.admin, tls: None, router: admin },
        ];
        ports.extend(listeners.plain.map(|listener| Port { listener, tls: None, router }));
        serve::serve(ports, Limits::default(), metrics, shutdown).await;
        Ok(())
    }
}

fn token_file(dir: &DataDir, given: Option<&Path>) -> PathBuf {
    given.map_or_else(|| dir.folder.join("tokens.csv"), Path::to_owned)
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{flag}: cannot listen on {address}"))
}

/// The default admin port may be another instance's: a free one does as well, and the log names it.
async fn bind_admin(listen: AdminListen) -> anyhow::Result<TcpListener> {
    match listen {
        AdminListen::At(address) => bind(address, "--admin-listen").await,
        AdminListen::Default => match TcpListener::bind(ADMIN_LISTEN_DEFAULT).await {
            Ok(listener) => Ok(listener),
            Err(error) => {
                let free = SocketAddr::new(ADMIN_LISTEN_DEFAULT.ip(), 0);
                let listener = bind(free, "--admin-listen").await?;
                tracing::warn!(
                    %error,
                    wanted = %ADMIN_LISTEN_DEFAULT,
                    got = %listener.local_addr()?,
                    "the admin port is taken; serving it elsewhere"
                );
                Ok(listener)
            }
        },
    }
}
