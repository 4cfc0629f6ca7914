//! A server with a data directory and a database of its own, and what they cost.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};
use dropmate_store::Postgres;
use dropmate_testing::PostgresServer;
use tempfile::TempDir;

/// The clock that `/proc` counts in, on every Linux that we run on.
const TICKS_PER_SECOND: u64 = 100;

/// Where objects are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// What a client needs.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) address: SocketAddr,
    pub(crate) token: String,
    pub(crate) ca: Vec<u8>,
}

/// CPU time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    pub(crate) server: Duration,
    pub(crate) database: Duration,
}

/// A running server; it ends with the value.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) database: Option<PostgresServer>,
    pub(crate) access: Access,
    /// Has the data dir, `data`.
    pub(crate) dir: TempDir,
}

/// Starts the program over that data dir and database; where it listens.
pub(crate) fn spawn(data_dir: &Path, database: Option<&PostgresServer>) -> Result<(Child, SocketAddr)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dropmate-control-plane"));
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    // All load comes from one caller.
    command.args(["--rate-limit-caller", "0", "--rate-limit-address", "0", "--data-dir"]);
    command.arg(data_dir);
    if let Some(database) = database {
        command.args(["--database-url", database.url()]);
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("cannot start the server")?;
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().context("no output")?).read_line(&mut line)?;
    let address = line.trim().strip_prefix("https://").with_context(|| format!("the server said {line:?}"))?;
    Ok((child, address.parse()?))
}

impl Server {
    pub(crate) async fn start(kind: Kind) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let database = (kind == Kind::Postgres).then(|| PostgresServer::start(&[]));
        let data_dir = dir.path().join("data");
        if let Some(database) = &database {
            Postgres::migrate(database.url()).await?;
            dropmate_identity::Identity::migrate_postgres(database.url()).await?;
            dropmate_ingest::Ingest::migrate_postgres(database.url()).await?;
        }
        let (child, address) = spawn(&data_dir, database.as_ref())?;
        let kubeconfig = fs::read_to_string(data_dir.join("admin.kubeconfig"))?;
        let field = |name: &str| -> Result<String> {
            let line = kubeconfig.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
            Ok(line.with_context(|| format!("no {name} in the kubeconfig"))?.trim().trim_matches('"').to_owned())
        };
        let access =
            Access { address, token: field("token")?, ca: STANDARD.decode(field("certificate-authority-data")?)? };
        Ok(Self { child, database, access, dir })
    }

    /// What it and its database have used up to now.
    pub(crate) fn cpu(&self) -> Result<Cpu> {
        let server = used(&fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?)?.own;
        let database = match &self.database {
            Some(database) => used_by(database)?,
            None => Duration::ZERO,
        };
        Ok(Cpu { server, database })
    }

    /// Its resident memory in bytes, now and at most.
    pub(crate) fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or_default()
        };
        (kib("VmRSS:") * 1_024, kib("VmHWM:") * 1_024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Cpu {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            server: self.server.saturating_sub(before.server),
            database: self.database.saturating_sub(before.database),
        }
    }
}

/// What a process used, and its children that have ended.
struct Used {
    parent: i32,
    own: Duration,
    children: Duration,
}

fn used(stat: &str) -> Result<Used> {
    // The name in brackets may have spaces.
    let (_, rest) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| -> Result<u64> { Ok(fields.get(index).context("too few fields")?.parse()?) };
    let time = |ticks: u64| Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND);
    Ok(Used {
        parent: i32::try_from(number(1)?)?,
        own: time(number(11)? + number(12)?),
        children: time(number(13)? + number(14)?),
    })
}

/// What a PostgreSQL server and its children used.
fn used_by(server: &PostgresServer) -> Result<Duration> {
    let main = server.main_process();
    let mut sum = Duration::ZERO;
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // Others come and go.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let used = used(&stat)?;
        if pid == main {
            sum += used.own + used.children;
        } else if used.parent == main {
            sum += used.own;
        }
    }
    Ok(sum)
}
