//! `dropmate login`, `dropmate logout`.

use std::{env, fs, path::PathBuf};

use anyhow::Context as _;
use clap::Args;
use serde_json::{Value, json};

use crate::{
    connection::{Connection, ConnectionArgs},
    failure::{Failure, Outcome},
    output,
    session::{
        self, Session, Sessions,
        ask::{self, PasswordArgs},
        kubeconfig, write_private,
    },
};

/// Log in with e-mail and password, and let kubectl and dropmate work as this user.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate login --server https://shop.example:7443 --ca ca.crt
  dropmate login --server https://shop.example --email ada@example.com --password-stdin < password
  kubectl get orders -n acme                     # afterwards, in the context `dropmate`

The session is kept in ~/.config/dropmate/sessions.json, for its owner alone. A context `dropmate` is added to the
kubeconfig (--kubeconfig, else $KUBECONFIG, else ~/.kube/config) and made the current one; it holds no token, but asks
`dropmate token`. With --no-kubeconfig it is left alone.")]
pub(crate) struct LoginArgs {
    /// The e-mail address; asked for if it is not given.
    #[arg(long)]
    email: Option<String>,
    #[command(flatten)]
    password: PasswordArgs,
    /// The code of the second factor.
    #[arg(long, value_name = "CODE")]
    totp: Option<String>,
    /// Leave the kubeconfig alone.
    #[arg(long)]
    no_kubeconfig: bool,
}

/// End the session, here and on the server.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  dropmate logout
  dropmate logout --server https://shop.example:7443")]
pub(crate) struct LogoutArgs {}

/// Runs `login`.
pub(crate) async fn login(connection: &ConnectionArgs, args: LoginArgs) -> Outcome {
    let server = connection.server.as_ref().map(session::normal);
    let server = server.ok_or_else(|| Failure::No("name the server: --server https://HOST:PORT".to_owned()))?;
    let ca = connection.ca_text()?;
    let anonymous = Connection::anonymous(&server, ca.as_deref())?;
    let email = match args.email {
        Some(email) => email,
        None => ask::line("E-mail", "--email")?,
    };
    let password = args.password.password("Password", false)?;
    let mut body = json!({"email": email, "password": password});
    if let Some(code) = args.totp {
        body["totp"] = code.into();
    }
    let grant = granted(anonymous.post("/v1/auth/login", &body).await?.accepted())?;
    keep(connection, &server, Session::granted(&grant, &email, ca)?, args.no_kubeconfig).await?;
    output::line(format!("Logged in at {server} as {email}."));
    Ok(())
}

/// A wrong password is a no, not a question left open.
pub(crate) fn granted(answer: Result<Value, crate::connection::Refusal>) -> Outcome<Value> {
    answer.map_err(|refusal| if refusal.code == 401 { Failure::No(refusal.to_string()) } else { refusal.into() })
}

/// Keeps a new session and lets the kubeconfig know.
pub(crate) async fn keep(connection: &ConnectionArgs, server: &str, session: Session, no_kubeconfig: bool) -> Outcome {
    let ca = session.ca.clone();
    let mut locked = Sessions::lock().await?;
    locked.sessions.current = Some(server.to_owned());
    let before = locked.sessions.servers.insert(server.to_owned(), session);
    locked.save()?;
    drop(locked);
    if let Some(before) = before {
        // What was there is not needed any more; it ends by itself if the server does not hear of it.
        let body = json!({"refreshToken": before.refresh_token});
        let _ = Connection::anonymous(server, before.ca.as_deref())?.post("/v1/auth/logout", &body).await;
    }
    if no_kubeconfig {
        return Ok(());
    }
    let path = kubeconfig_to_write(connection)?;
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())).map_err(Into::into),
    };
    let known: Value = match text.trim() {
        "" => Value::Null,
        text => serde_yaml::from_str(text).with_context(|| format!("cannot use kubeconfig {}", path.display()))?,
    };
    let namespace = connection.namespace.as_deref().unwrap_or("default");
    let config = kubeconfig::into(known, server, ca.as_deref(), namespace, &program());
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    write_private(&path, &serde_yaml::to_string(&config)?)?;
    output::note(format!("kubectl works as this user: context {:?} in {}.", kubeconfig::NAME, path.display()));
    Ok(())
}

/// Where kubectl would write: the first file that it reads.
fn kubeconfig_to_write(connection: &ConnectionArgs) -> anyhow::Result<PathBuf> {
    if let Some(path) = &connection.kubeconfig {
        return Ok(path.clone());
    }
    let named = env::var_os("KUBECONFIG").filter(|paths| !paths.is_empty());
    let first = named.and_then(|paths| env::split_paths(&paths).find(|path| !path.as_os_str().is_empty()));
    let home = || Some(PathBuf::from(env::var_os("HOME").filter(|home| !home.is_empty())?).join(".kube/config"));
    first
        .or_else(home)
        .context("there is no home folder for a kubeconfig: name one by --kubeconfig, or --no-kubeconfig")
}

/// How kubectl calls us: by our own path, which need not be in its PATH.
pub(crate) fn program() -> String {
    env::current_exe().ok().and_then(|path| path.to_str().map(str::to_owned)).unwrap_or_else(|| "dropmate".to_owned())
}

/// Runs `logout`.
pub(crate) async fn logout(connection: &ConnectionArgs, _args: LogoutArgs) -> Outcome {
    let mut locked = Sessions::lock().await?;
    let server = connection.server.as_ref().map(session::normal).or_else(|| locked.sessions.current.clone());
    let not = || Failure::No("not logged in".to_owned());
    let server = server.ok_or_else(not)?;
    let session = locked.sessions.servers.remove(&server).ok_or_else(not)?;
    if locked.sessions.current.as_deref() == Some(server.as_str()) {
        locked.sessions.current = None;
    }
    locked.save()?;
    drop(locked);
    let body = json!({"refreshToken": session.refresh_token});
    let told = Connection::anonymous(&server, session.ca.as_deref())?.post("/v1/auth/logout", &body).await?;
    told.accepted()?;
    output::line(format!("Logged out at {server}."));
    Ok(())
}
