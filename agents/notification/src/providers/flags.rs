//! What the operator sets up.

use std::path::PathBuf;

use dropmate_outbound::checked;
use reqwest::Url;

use super::{
    secrets::Secret,
    sms::Account,
    smtp::{self, Login, Security, Server},
};

/// Where SMS go unless told otherwise.
pub(super) const TWILIO: &str = "https://api.twilio.com";

/// Flags of the channels. Beside them stand those of the way out (`dropmate_outbound::OutboundArgs`) and `--public-url`, which a
/// program may have already.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Channels")]
pub struct Flags {
    /// The mail server: smtps://[USER@]HOST[:465] (TLS), or smtp://[USER@]HOST[:587][?tls=required|none] (STARTTLS, or nothing)
    /// [default: e-mail stays in the outbox]
    #[arg(long, env = "DROPMATE_SMTP_URL", value_name = "URL")]
    pub smtp_url: Option<String>,

    /// The password of the user in --smtp-url
    #[arg(long, env = "DROPMATE_SMTP_PASSWORD", value_name = "SECRET", hide_env_values = true)]
    pub smtp_password: Option<String>,

    /// A file that holds it
    #[arg(long, env = "DROPMATE_SMTP_PASSWORD_FILE", value_name = "FILE")]
    pub smtp_password_file: Option<PathBuf>,

    /// The sender of e-mail: shop@example.org, or 'Corner Shop <shop@example.org>'
    #[arg(long, env = "DROPMATE_MAIL_FROM", value_name = "ADDRESS")]
    pub mail_from: Option<String>,

    /// The SMS service, as Twilio's
    #[arg(long, env = "DROPMATE_SMS_URL", value_name = "URL", default_value = TWILIO)]
    pub sms_url: String,

    /// The account at the SMS service [default: SMS stay in the outbox]
    #[arg(long, env = "DROPMATE_SMS_ACCOUNT", value_name = "ACCOUNT")]
    pub sms_account: Option<String>,

    /// The token of --sms-account
    #[arg(long, env = "DROPMATE_SMS_TOKEN", value_name = "SECRET", hide_env_values = true)]
    pub sms_token: Option<String>,

    /// A file that holds it
    #[arg(long, env = "DROPMATE_SMS_TOKEN_FILE", value_name = "FILE")]
    pub sms_token_file: Option<PathBuf>,

    /// The sender of SMS: a number, a name of up to eleven letters, or a messaging service (MG…)
    #[arg(long, env = "DROPMATE_SMS_FROM", value_name = "SENDER")]
    pub sms_from: Option<String>,

    /// Let webhooks and services of businesses be called over http:// as well: what is sent there can be read on the way
    #[arg(long, env = "DROPMATE_ALLOW_PLAIN_WEBHOOKS", value_parser = clap::builder::FalseyValueParser::new())]
    pub allow_plain_webhooks: bool,
}

/// What the flags come to.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The operator's mail server.
    pub(super) smtp: Option<Operators>,
    /// The operator's SMS service.
    pub(super) sms: Option<Account>,
    /// Whether `http://` is called.
    pub(super) plain: bool,
    /// How we are reached from outside, without a slash at the end.
    pub(super) public_url: Option<String>,
}

/// The operator's mail server, and in whose name it sends.
#[derive(Clone, Debug)]
pub(super) struct Operators {
    pub(super) server: Server,
    pub(super) from: lettre::message::Mailbox,
}

/// Why the flags make no sense together.
#[derive(Debug, thiserror::Error)]
pub enum FlagError {
    /// No mail server.
    #[error("--smtp-url: {0:?} {1}")]
    SmtpUrl(String, &'static str),
    /// A user without a password, or the other way round.
    #[error("--smtp-password: {0}")]
    SmtpPassword(&'static str),
    /// No sender of mail.
    #[error("--mail-from: {0}")]
    MailFrom(String),
    /// No SMS service.
    #[error("--sms-url: {0:?}: {1}")]
    SmsUrl(String, dropmate_outbound::UrlError),
    /// Something of the SMS service is missing.
    #[error("{0}: is missing; --sms-account needs --sms-token (or its file) and --sms-from")]
    Sms(&'static str),
    /// Two secrets are named.
    #[error("{0} and {0}-file are both given; leave one out")]
    Two(&'static str),
    /// The file cannot be read.
    #[error("{flag}: cannot read {}", path.display())]
    File {
        /// Of this flag.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No address to be called back at.
    #[error("--public-url: {0:?} is not of the form https://HOST[:PORT]")]
    PublicUrl(String),
}

impl Flags {
    /// Checks the flags. `public_url`: how we are reached from outside; without it SMS services are not asked to call back,
    /// and mails offer no one-click way out.
    pub fn checked(self, public_url: Option<&str>) -> Result<Settings, FlagError> {
        // An empty environment variable is how Compose files say "not set".
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let password =
            secret(given(self.smtp_password), self.smtp_password_file, "--smtp-password", "--smtp-password-file")?;
        let token = secret(given(self.sms_token), self.sms_token_file, "--sms-token", "--sms-token-file")?;
        let smtp = match given(self.smtp_url) {
            None => None,
            Some(url) => {
                let server = server(&url, password)?;
                let from = given(self.mail_from)
                    .ok_or_else(|| FlagError::MailFrom("is missing; --smtp-url needs a sender".to_owned()))?;
                let from = smtp::mailbox(&from).map_err(|why| FlagError::MailFrom(format!("{from:?} {why}")))?;
                Some(Operators { server, from })
            }
        };
        let sms = match given(self.sms_account) {
            None => None,
            Some(account) => {
                let url = if self.sms_url.is_empty() { TWILIO.to_owned() } else { self.sms_url };
                // Whom operators name is theirs to protect: a gateway in the same rack often has no TLS.
                let url = checked(&url, true).map_err(|why| FlagError::SmsUrl(url, why))?;
                let token = token.ok_or(FlagError::Sms("--sms-token"))?;
                let from = given(self.sms_from).ok_or(FlagError::Sms("--sms-from"))?;
                Some(Account { url, account, token, from })
            }
        };
        let public_url = match public_url.filter(|url| !url.is_empty()) {
            None => None,
            Some(url) => {
                let bare = checked(url, true).is_ok_and(|url| url.path() == "/" && url.query().is_none());
                if !bare {
                    return Err(FlagError::PublicUrl(url.to_owned()));
                }
                Some(url.trim_end_matches('/').to_owned())
            }
        };
        Ok(Settings { smtp, sms, plain: self.allow_plain_webhooks, public_url })
    }
}

impl Settings {
    /// The name by which mail servers are greeted.
    pub(super) fn hello(&self) -> Option<String> {
        let url = Url::parse(self.public_url.as_deref()?).ok()?;
        url.domain().filter(|name| name.contains('.')).map(str::to_owned)
    }
}

fn secret(
    value: Option<String>,
    file: Option<PathBuf>,
    flag: &'static str,
    file_flag: &'static str,
) -> Result<Option<Secret>, FlagError> {
    match (value, file.filter(|file| !file.as_os_str().is_empty())) {
        (Some(_), Some(_)) => Err(FlagError::Two(flag)),
        (Some(value), None) => Ok(Some(Secret::new(value))),
        (None, Some(path)) => match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Secret::new(text.trim()))),
            Err(source) => Err(FlagError::File { flag: file_flag, path, source }),
        },
        (None, None) => Ok(None),
    }
}

fn server(text: &str, password: Option<Secret>) -> Result<Server, FlagError> {
    const FORM: &str = "is not of the form smtps://[USER@]HOST[:PORT] or smtp://[USER@]HOST[:PORT][?tls=required|none]";
    // What is told of it again never has a password in it.
    let wrong = |why| FlagError::SmtpUrl(without_password(text), why);
    let url = Url::parse(text).map_err(|_| wrong(FORM))?;
    let tls = match url.query() {
        None => None,
        Some("tls=required") => Some(Security::StartTls),
        Some("tls=none") => Some(Security::None),
        Some(_) => return Err(wrong("says something else than tls=required or tls=none after the ?")),
    };
    let security = match (url.scheme(), tls) {
        ("smtps", None) => Security::Tls,
        ("smtp", tls) => tls.unwrap_or(Security::StartTls),
        _ => return Err(wrong(FORM)),
    };
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong(FORM))?;
    if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        return Err(wrong(FORM));
    }
    if url.password().is_some() {
        return Err(wrong("holds a password; use --smtp-password-file"));
    }
    let user = decoded(url.username()).ok_or_else(|| wrong("has a user name that is not UTF-8"))?;
    let login = match (user.is_empty(), password) {
        (true, None) => None,
        (false, Some(password)) => Some(Login { user, password }),
        (false, None) => return Err(FlagError::SmtpPassword("is missing; --smtp-url names a user")),
        (true, Some(_)) => return Err(FlagError::SmtpPassword("is given, but --smtp-url names no user")),
    };
    Ok(Server {
        host: host.to_owned(),
        port: url.port().unwrap_or(security.usual_port()),
        security,
        login,
        named_by_operator: true,
        owner: String::new(),
    })
}

fn without_password(url: &str) -> String {
    let (Some(scheme), Some(at)) = (url.find("://"), url.rfind('@')) else { return url.to_owned() };
    match url.get(scheme + 3..at).and_then(|user| user.find(':')) {
        Some(colon) => format!("{}:…{}", &url[..scheme + 3 + colon], &url[at..]),
        None => url.to_owned(),
    }
}

/// With `%40` as the `@` it stands for.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let pair = after.get(..2).filter(|_| *first == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
        if let Some(byte) = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};
    use rstest::rstest;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        flags: Flags,
    }

    fn settings(flags: &[&str], public: Option<&str>) -> Result<Settings, FlagError> {
        Cli::parse_from([&["test"], flags].concat()).flags.checked(public)
    }

    #[test]
    fn every_flag_has_its_environment_name() {
        for arg in Cli::command().get_arguments().filter(|arg| arg.get_id() != "help") {
            let long = arg.get_long().expect("every flag is long").to_uppercase().replace('-', "_");
            assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some(format!("DROPMATE_{long}").as_str()));
        }
    }

    #[test]
    fn a_mail_server_is_a_url_with_its_usual_port_and_protected_unless_told_otherwise() {
        let of = |url: &str| {
            let password: &[&str] = if url.contains('@') { &["--smtp-password", "hunter2"] } else { &[] };
            let flags = [&["--smtp-url", url, "--mail-from", "Corner Shop <shop@example.org>"], password].concat();
            let server = settings(&flags, None).unwrap().smtp.unwrap().server;
            let user = server.login.map(|login| login.user);
            (server.host, server.port, server.security, user)
        };
        let told = |port, security, user: Option<&str>| {
            ("mail.example.org".to_owned(), port, security, user.map(str::to_owned))
        };
        assert_eq!(of("smtps://mail.example.org"), told(465, Security::Tls, None));
        assert_eq!(of("smtp://mail.example.org"), told(587, Security::StartTls, None));
        assert_eq!(of("smtp://mail.example.org:2525?tls=none"), told(2525, Security::None, None));
        assert_eq!(
            of("smtp://me%40example.org@mail.example.org/?tls=required"),
            told(587, Security::StartTls, Some("me@example.org"))
        );
    }

    #[rstest]
    #[case::no_sender(&["--smtp-url", "smtps://h"], "--mail-from")]
    #[case::no_address(&["--smtp-url", "smtps://h", "--mail-from", "nobody"], "--mail-from")]
    #[case::two_lines(&["--smtp-url", "smtps://h", "--mail-from", "a <a@b.c>\r\nBcc: x@y.z"], "--mail-from")]
    #[case::another_scheme(&["--smtp-url", "http://h", "--mail-from", "a@b.c"], "--smtp-url")]
    #[case::no_host(&["--smtp-url", "smtp://", "--mail-from", "a@b.c"], "--smtp-url")]
    #[case::perhaps_tls(&["--smtp-url", "smtp://h?tls=maybe", "--mail-from", "a@b.c"], "--smtp-url")]
    #[case::tls_and_none(&["--smtp-url", "smtps://h?tls=none", "--mail-from", "a@b.c"], "--smtp-url")]
    #[case::a_password_in_the_open(&["--smtp-url", "smtps://me:hunter2@h", "--mail-from", "a@b.c"], "--smtp-password-file")]
    #[case::no_password(&["--smtp-url", "smtps://me@h", "--mail-from", "a@b.c"], "--smtp-password")]
    #[case::no_user(&["--smtp-url", "smtps://h", "--smtp-password", "x", "--mail-from", "a@b.c"], "--smtp-password")]
    #[case::no_such_file(&["--smtp-password-file", "/nowhere/password"], "--smtp-password-file")]
    #[case::two_passwords(&["--smtp-password", "a", "--smtp-password-file", "/b"], "--smtp-password-file")]
    #[case::no_token(&["--sms-account", "AC1", "--sms-from", "DropMate"], "--sms-token")]
    #[case::nobody(&["--sms-account", "AC1", "--sms-token", "t"], "--sms-from")]
    #[case::no_service(&["--sms-account", "AC1", "--sms-token", "t", "--sms-from", "x", "--sms-url", "twilio"], "--sms-url")]
    fn senseless_flags_are_refused_by_their_name(#[case] flags: &[&str], #[case] named: &str) {
        let refused = settings(flags, None).unwrap_err().to_string();
        assert!(refused.contains(named) && !refused.contains("hunter2"), "{refused}");
    }

    #[test]
    fn nothing_is_set_up_by_itself_and_no_secret_is_shown() {
        let none = settings(&["--smtp-url", "", "--sms-account", ""], None).unwrap();
        assert!(none.smtp.is_none() && none.sms.is_none() && !none.plain && none.hello().is_none());
        let flags = [
            "--smtp-url",
            "smtps://me@mail.example.org",
            "--smtp-password",
            "hunter2",
            "--mail-from",
            "a@b.c",
            "--sms-account",
            "AC1",
            "--sms-token",
            "hunter3",
            "--sms-from",
            "+15550001111",
        ];
        let all = settings(&flags, Some("https://shop.example:8443/")).unwrap();
        let shown = format!("{all:?}");
        assert!(shown.contains("AC1") && !shown.contains("hunter"), "{shown}");
        assert_eq!(
            (all.public_url.as_deref(), all.hello()),
            (Some("https://shop.example:8443"), Some("shop.example".to_owned()))
        );
        assert!(settings(&[], Some("https://shop.example/dropmate")).is_err());
    }
}
