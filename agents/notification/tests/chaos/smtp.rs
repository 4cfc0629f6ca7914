//! A mail server that keeps every copy that it has said yes to, and fails in every way.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{
    http::subject,
    ledger::{About, Fault, Faults, Ledger, Side},
};

/// Longer than anybody waits before the mail itself has gone over.
const STALL: Duration = Duration::from_secs(20);
const FAULTS: Faults = &[
    (Fault::ServerError, 60),
    (Fault::TooMany, 20),
    (Fault::TakenThenCut, 40),
    (Fault::Garbage, 20),
    (Fault::Stall, 2),
];

/// Serves until the runtime ends.
pub(crate) async fn serve(ledger: Ledger, faulty: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            tokio::spawn(talk(ledger.clone(), stream, faulty));
        }
    });
    address
}

struct Line(BufReader<TcpStream>);

impl Line {
    async fn say(&mut self, answer: &str) -> Option<()> {
        self.0.get_mut().write_all(format!("{answer}\r\n").as_bytes()).await.ok()
    }

    async fn hear(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let read = self.0.read_until(b'\n', &mut line).await.ok()?;
        (read > 0).then(|| String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }
}

async fn talk(ledger: Ledger, stream: TcpStream, faulty: bool) -> Option<()> {
    let mut line = Line(BufReader::new(stream));
    line.say("220 mail.test").await?;
    // What is done to a mail is decided by whom it is for, before it is seen: so that faults can come early as well.
    let mut fault = None;
    loop {
        let said = line.hear().await?;
        let word = said.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        match word.as_str() {
            "EHLO" => line.say("250-mail.test\r\n250 8BITMIME").await?,
            "MAIL" | "RSET" | "NOOP" => line.say("250 ok").await?,
            "RCPT" => {
                fault = if faulty { ledger.comes(Side::Mail, &said, FAULTS) } else { None };
                match fault {
                    Some(Fault::TooMany) => line.say("451 4.7.1 too many, come again").await?,
                    Some(Fault::Garbage) => line.say("banana").await?,
                    Some(Fault::Stall) => {
                        tokio::time::sleep(STALL).await;
                        return None;
                    }
                    _ => line.say("250 ok").await?,
                }
            }
            "DATA" => {
                line.say("354 go on").await?;
                let (key, about) = match mail(&mut line).await? {
                    (Some(key), Some(about)) => (key, about),
                    other => {
                        ledger.wrong(format!("a mail without Message-ID or subject: {other:?}"));
                        return None;
                    }
                };
                if fault == Some(Fault::ServerError) {
                    line.say("451 4.3.0 the disk is full").await?;
                    continue;
                }
                ledger.takes(Side::Mail, &key, about, false);
                if fault == Some(Fault::TakenThenCut) {
                    return None;
                }
                line.say("250 2.0.0 ok").await?;
            }
            "QUIT" => {
                line.say("221 bye").await?;
                return None;
            }
            _ => line.say("502 what?").await?,
        }
    }
}

/// The mail's `Message-ID`, and what it is about.
async fn mail(line: &mut Line) -> Option<(Option<String>, Option<About>)> {
    let (mut key, mut about) = (None, None);
    loop {
        let said = line.hear().await?;
        if said == "." {
            return Some((key, about));
        }
        let header = |name: &str| {
            let head = said.get(..name.len()).filter(|head| head.eq_ignore_ascii_case(name));
            head.map(|_| said[name.len()..].trim().to_owned())
        };
        key = key.or_else(|| header("message-id:"));
        about = about.or_else(|| header("subject:").and_then(|text| subject(&text)));
    }
}
