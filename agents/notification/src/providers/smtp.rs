//! E-mail over SMTP. The address of the server is checked where it is connected to, and each step of the talk is known: what
//! was lost after the message had gone over is in doubt, what was lost before is not.

mod mail;
mod pool;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use dropmate_agent::Now;
use dropmate_api::notification::MailSecurity;
use lettre::{
    message::Mailbox,
    transport::smtp::{
        client::AsyncSmtpConnection,
        commands::{Data, Mail, Rcpt, Rset},
        extension::{Extension, MailParameter},
        response::Severity,
    },
};
use serde::Deserialize;
use tokio::time::timeout;

pub(super) use self::{
    mail::Sender,
    pool::{Pool, Pools},
};
use super::{secrets::Secret, told::told};
use crate::channel::{Outcome, Outgoing, Provider};

/// To connect, agree on TLS and log in.
const OPEN_WITHIN: Duration = Duration::from_secs(15);

/// For sender and recipient to be taken.
const ENVELOPE_WITHIN: Duration = Duration::from_secs(15);

/// For the message to be taken. Servers look for spam before they answer; who is cut off here makes a double.
const CONTENT_WITHIN: Duration = Duration::from_mins(1);

/// For a connection that is given back to forget what it was about.
const RESET_WITHIN: Duration = Duration::from_secs(5);

/// The longest of it all: twice the beginning, if an open connection turns out to be closed.
pub(super) const SEND_MAX: Duration = Duration::from_secs(2 * (15 + 15) + 60 + 5);

/// A mail server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) login: Option<Login>,
    /// Then it may be private, or this machine.
    pub(super) named_by_operator: bool,
    /// Whose it is; empty: the operator's.
    pub(super) owner: String,
}

impl Server {
    fn name(&self) -> String {
        let owner = if self.owner.is_empty() { String::new() } else { format!(" ({})", self.owner) };
        format!("smtp:{}:{}{owner}", self.host, self.port)
    }
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Security {
    /// TLS from the first byte.
    Tls,
    /// TLS after `STARTTLS`, or nothing is sent.
    StartTls,
    /// Not at all.
    None,
}

impl Security {
    pub(super) fn usual_port(self) -> u16 {
        if self == Self::Tls { 465 } else { 587 }
    }
}

impl From<MailSecurity> for Security {
    fn from(security: MailSecurity) -> Self {
        match security {
            MailSecurity::Tls => Self::Tls,
            MailSecurity::StartTls => Self::StartTls,
            MailSecurity::None => Self::None,
        }
    }
}

/// Who we are to a mail server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: Secret,
}

impl Login {
    /// From a secret of a namespace.
    pub(super) fn parse(secret: &str) -> Result<Self, &'static str> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Form {
            username: String,
            password: String,
        }
        let form: Form = serde_json::from_str(secret)
            .map_err(|_| "is not of the form {\"username\": \"…\", \"password\": \"…\"}")?;
        Ok(Self { user: form.username, password: Secret::new(form.password) })
    }
}

/// A sender or a place for answers, as people write them: an address, or a name and `<address>`.
pub(super) fn mailbox(text: &str) -> Result<Mailbox, &'static str> {
    const FORM: &str = "is not of the form shop@example.org or Corner Shop <shop@example.org>";
    if text.chars().any(char::is_control) {
        return Err("has a line break or another control character in it");
    }
    text.parse().map_err(|_| FORM)
}

/// It closes the connection, whatever it was asked.
const CLOSING: &str = "421";

/// A mail server, in somebody's name.
pub(super) struct Smtp {
    name: String,
    pool: Arc<Pool>,
    sender: Sender,
    now: Now,
}

/// Why a mail was not taken.
#[derive(Debug)]
enum Failed {
    /// The server cannot be used at the moment, or not so: nothing was sent.
    Unusable(String),
    /// The connection was closed before anything was sent.
    Stale(String),
    /// It said so, and may say otherwise later.
    Temporary(String),
    /// It works, and does not take mail for that mailbox at the moment.
    Mailbox(String),
    /// It said so for good.
    Permanent(String),
    /// Everything was sent, and no answer came.
    InDoubt(String),
}

impl Smtp {
    pub(super) fn new(pool: Arc<Pool>, sender: Sender, now: Now) -> Self {
        Self { name: pool.server().name(), pool, sender, now }
    }

    async fn hand_over(&self, mail: &lettre::Message) -> Result<String, Failed> {
        let content = mail.formatted();
        if let Some(mut open) = self.pool.take_open() {
            match talk(&mut open.connection, mail, &content).await {
                // It was closed while nobody looked; nothing was sent into it.
                Err(Failed::Stale(_)) => {}
                answer => {
                    self.give_back(open, &answer).await;
                    return answer;
                }
            }
        }
        let opened = timeout(OPEN_WITHIN, self.pool.open()).await;
        let mut open = opened.map_err(|_| Failed::Unusable("no greeting in time".to_owned()))??;
        let answer = talk(&mut open.connection, mail, &content).await;
        self.give_back(open, &answer).await;
        answer
    }

    /// A connection that has answered is good for the next mail.
    async fn give_back(&self, mut open: pool::Open, answer: &Result<String, Failed>) {
        match answer {
            Ok(_) => self.pool.give_back(open),
            Err(Failed::Temporary(_) | Failed::Mailbox(_) | Failed::Permanent(_)) => {
                let reset = timeout(RESET_WITHIN, open.connection.command(Rset)).await;
                if matches!(reset, Ok(Ok(_))) {
                    self.pool.give_back(open);
                }
            }
            Err(_) => {}
        }
    }
}

#[async_trait]
impl Provider for Smtp {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, message: &Outgoing) -> Outcome {
        let mail = match mail::compose(message, &self.sender, (self.now)()) {
            Ok(mail) => mail,
            Err(answer) => return Outcome::Refused { answer, opted_out: false },
        };
        let told = |answer: String| told(&answer, &message.to);
        match self.hand_over(&mail).await {
            Ok(answer) => Outcome::Sent { provider_id: queued_as(&answer), answer: told(answer) },
            Err(Failed::Unusable(answer) | Failed::Stale(answer) | Failed::Temporary(answer)) => {
                Outcome::Again { answer: told(answer), after: None }
            }
            Err(Failed::Mailbox(answer)) => Outcome::Unreachable { answer: told(answer) },
            Err(Failed::Permanent(answer)) => Outcome::Refused { answer: told(answer), opted_out: false },
            Err(Failed::InDoubt(answer)) => Outcome::InDoubt { answer: told(answer) },
        }
    }
}

/// The name that the server gave the mail, where it says so as most do.
fn queued_as(answer: &str) -> Option<String> {
    let (_, rest) = answer.split_once("queued as ")?;
    let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(128).collect();
    let name = name.trim_end_matches('.').to_owned();
    (!name.is_empty()).then_some(name)
}

/// One mail over one connection.
async fn talk(connection: &mut AsyncSmtpConnection, mail: &lettre::Message, content: &[u8]) -> Result<String, Failed> {
    let envelope = mail.envelope();
    let mut parameters = Vec::new();
    if envelope.to().iter().chain(envelope.from()).any(|address| !AsRef::<str>::as_ref(address).is_ascii()) {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(Failed::Permanent("the mail server takes only addresses of ASCII letters".to_owned()));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    let mut step = Step::Sender;
    let introduced = timeout(ENVELOPE_WITHIN, async {
        connection.command(Mail::new(envelope.from().cloned(), parameters)).await?;
        step = Step::Recipient;
        for to in envelope.to() {
            connection.command(Rcpt::new(to.clone(), Vec::new())).await?;
        }
        step = Step::Content;
        connection.command(Data).await
    });
    match introduced.await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(refused(&error, step)),
        Err(_) => return Err(Failed::Unusable("no answer in time".to_owned())),
    }
    match timeout(CONTENT_WITHIN, connection.message(content)).await {
        Ok(Ok(response)) => {
            let lines: Vec<&str> = response.message().collect();
            Ok(format!("{} {}", response.code(), lines.join(" ")))
        }
        Ok(Err(error)) => Err(answered(&error).unwrap_or_else(|| {
            Failed::InDoubt(format!("the connection was lost before the mail was acknowledged: {}", last(&error)))
        })),
        Err(_) => Err(Failed::InDoubt("the mail was not acknowledged in time".to_owned())),
    }
}

/// How far a mail had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Sender,
    Recipient,
    Content,
}

/// What a no before the content means.
fn refused(error: &lettre::transport::smtp::Error, step: Step) -> Failed {
    let closing = error.status().is_some_and(|code| code.to_string() == CLOSING);
    match (answered(error), step) {
        (None, Step::Sender) => Failed::Stale(last(error)),
        (Some(_), Step::Sender) if closing => Failed::Stale(last(error)),
        (Some(Failed::Temporary(answer)), _) if closing => Failed::Unusable(answer),
        // Before anybody was named it is not about them: a login or a sender that is not as the server wants it.
        (Some(Failed::Permanent(answer)), Step::Sender) => Failed::Unusable(answer),
        (Some(Failed::Temporary(answer)), Step::Recipient) => Failed::Mailbox(answer),
        (Some(failed), _) => failed,
        (None, _) => Failed::Unusable(last(error)),
    }
}

/// What the server said, if it said no.
fn answered(error: &lettre::transport::smtp::Error) -> Option<Failed> {
    let code = error.status()?;
    let answer = format!("{code} {}", last(error));
    match code.severity {
        Severity::PermanentNegativeCompletion => Some(Failed::Permanent(answer)),
        _ => Some(Failed::Temporary(answer)),
    }
}

/// The last cause, which says most.
fn last(error: &lettre::transport::smtp::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_two_fields_and_a_refusal_does_not_repeat_it() {
        let login = Login::parse(r#"{"username": "me", "password": "hunter2"}"#).unwrap();
        assert_eq!((login.user.as_str(), login.password.expose()), ("me", "hunter2"));
        for wrong in ["hunter2", "{}", r#"{"username": "me", "pass": "hunter2"}"#] {
            assert!(!Login::parse(wrong).unwrap_err().contains("hunter2"));
        }
    }

    #[test]
    fn the_servers_name_for_a_mail_is_found_in_what_it_says() {
        assert_eq!(queued_as("250 2.0.0 Ok: queued as 4XyZ12abc").as_deref(), Some("4XyZ12abc"));
        assert_eq!(queued_as("250 OK"), None);
    }
}
