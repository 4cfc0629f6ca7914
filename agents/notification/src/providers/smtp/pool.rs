//! Connections to mail servers that stay open for the next mail.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use dropmate_outbound::{Guard, Trust};
use lettre::transport::smtp::{
    authentication::{Credentials, Mechanism},
    client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters},
    extension::ClientId,
};
use tokio::time::Instant;

use super::{Failed, Security, Server, answered, last};

/// Connections that stay open to one server.
const OPEN_MAX: usize = 4;

/// For so long: servers close theirs after a minute or more.
const OPEN_FOR: Duration = Duration::from_secs(20);

/// Mails over one connection: some servers count, and hang up.
const MAILS_MAX: u32 = 50;

/// Servers that are remembered; the one that nobody has used for the longest time goes first.
const SERVERS_MAX: usize = 1_000;

/// To connect to one of the addresses of a server.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// All servers. What is under their locks is never half done.
pub(crate) struct Pools {
    guard: Guard,
    trust: Trust,
    by_server: Mutex<HashMap<Server, Arc<Pool>>>,
}

/// The connections to one server.
pub(crate) struct Pool {
    server: Server,
    hello: ClientId,
    guard: Guard,
    trust: Trust,
    /// Made once: a hundred certificates are read for it.
    tls: OnceLock<TlsParameters>,
    state: Mutex<State>,
}

struct State {
    open: Vec<Open>,
    used: Instant,
}

/// A connection that is logged in.
pub(super) struct Open {
    pub(super) connection: AsyncSmtpConnection,
    since: Instant,
    mails: u32,
}

impl Pools {
    pub(crate) fn new(guard: Guard, trust: Trust) -> Self {
        Self { guard, trust, by_server: Mutex::default() }
    }

    /// The connections to a server, as it is set up now: another password is another server.
    pub(crate) fn of(&self, server: &Server, hello: Option<String>) -> Arc<Pool> {
        let mut pools = self.by_server.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(server) {
            pool.state().used = Instant::now();
            return pool.clone();
        }
        if pools.len() >= SERVERS_MAX {
            let oldest = pools.iter().min_by_key(|(_, pool)| pool.state().used).map(|(server, _)| server.clone());
            if let Some(oldest) = oldest {
                pools.remove(&oldest);
            }
        }
        let guard = if server.named_by_operator { self.guard.naming(&server.host) } else { self.guard.clone() };
        let pool = Arc::new(Pool {
            server: server.clone(),
            hello: hello.map_or_else(ClientId::default, ClientId::Domain),
            guard,
            trust: self.trust.clone(),
            tls: OnceLock::new(),
            state: Mutex::new(State { open: Vec::new(), used: Instant::now() }),
        });
        pools.insert(server.clone(), pool.clone());
        pool
    }
}

impl Pool {
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    /// A connection that is open, the youngest.
    pub(super) fn take_open(&self) -> Option<Open> {
        let mut state = self.state();
        state.open.retain(|open| open.since.elapsed() < OPEN_FOR);
        state.open.pop()
    }

    /// Keeps a connection for the next mail.
    pub(super) fn give_back(&self, mut open: Open) {
        open.mails += 1;
        open.since = Instant::now();
        let mut state = self.state();
        if open.mails < MAILS_MAX && state.open.len() < OPEN_MAX {
            state.open.push(open);
        }
    }

    /// A new one: resolved, checked, connected to exactly there, protected, logged in. The caller sees to the time.
    pub(super) async fn open(&self) -> Result<Open, Failed> {
        let unusable = |error: lettre::transport::smtp::Error| match answered(&error) {
            Some(Failed::Temporary(answer) | Failed::Permanent(answer)) => Failed::Unusable(answer),
            _ => Failed::Unusable(last(&error)),
        };
        let server = &self.server;
        let addresses = self.guard.resolve(&server.host, server.port).await;
        let addresses = addresses.map_err(|denied| Failed::Unusable(denied.to_string()))?;
        let tls = match server.security {
            Security::Tls | Security::StartTls => Some(self.tls()?),
            Security::None => None,
        };
        let at_once = tls.clone().filter(|_| server.security == Security::Tls);
        let connecting =
            AsyncSmtpConnection::connect_tokio1(&addresses[..], Some(CONNECT_WITHIN), &self.hello, at_once, None);
        let mut connection = connecting.await.map_err(unusable)?;
        if let Some(tls) = tls.filter(|_| server.security == Security::StartTls) {
            if !connection.can_starttls() {
                return Err(Failed::Unusable(
                    "the mail server offers no STARTTLS, and nothing is sent without".to_owned(),
                ));
            }
            connection.starttls(tls, &self.hello).await.map_err(unusable)?;
        }
        if let Some(login) = &server.login {
            let credentials = Credentials::new(login.user.clone(), login.password.expose().to_owned());
            let login = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await;
            // A login that is refused is no fault of the mail: somebody has to set it right.
            login.map_err(|error| match unusable(error) {
                Failed::Unusable(why) => Failed::Unusable(format!("the mail server refuses the login: {why}")),
                other => other,
            })?;
        }
        Ok(Open { connection, since: Instant::now(), mails: 0 })
    }

    /// For the name that was asked for, whatever address it has.
    fn tls(&self) -> Result<TlsParameters, Failed> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        let mut parameters = TlsParameters::builder(self.server.host.clone());
        if !self.trust.public() {
            parameters = parameters.certificate_store(CertificateStore::None);
        }
        for certificate in self.trust.certificates() {
            // What cannot be read as a root is none.
            if let Ok(certificate) = Certificate::from_der(certificate.to_vec()) {
                parameters = parameters.add_root_certificate(certificate);
            }
        }
        let tls = parameters.build().map_err(|error| Failed::Unusable(last(&error)))?;
        Ok(self.tls.get_or_init(|| tls).clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
