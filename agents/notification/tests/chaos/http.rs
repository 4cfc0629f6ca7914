//! An SMS service that honours keys, and a shop's endpoint that checks signatures and drops what it has. Plain HTTP/1.1 on
//! a socket of our own, so that an answer can be cut off, be garbage or never come.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::ledger::{About, Fault, Faults, Ledger, Side};

/// Longer than anybody waits for an answer.
const STALL: Duration = Duration::from_secs(25);
const SMS_FAULTS: Faults = &[
    (Fault::ServerError, 60),
    (Fault::TooMany, 30),
    (Fault::TakenThenCut, 30),
    (Fault::TakenThenGarbage, 20),
    (Fault::Stall, 2),
];
const WEBHOOK_FAULTS: Faults = &[
    (Fault::ServerError, 40),
    (Fault::TooMany, 20),
    (Fault::TakenThenCut, 20),
    (Fault::Garbage, 10),
    (Fault::Stall, 2),
];

/// The secret that the endpoint checks by.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

struct Request {
    path: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

/// Serves until the runtime ends. `faulty`: whether faults are made.
pub(crate) async fn serve(side: Side, ledger: Ledger, faulty: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            tokio::spawn(talk(side, ledger.clone(), stream, faulty));
        }
    });
    address
}

/// One connection, to its end.
async fn talk(side: Side, ledger: Ledger, stream: TcpStream, faulty: bool) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let request = read(&mut stream).await?;
        let known = if side == Side::Sms { sms(&request) } else { webhook(&request) };
        let Some((key, about)) = known else {
            ledger.wrong(format!("{side:?}: {} {:?}", request.path, request.headers));
            return None;
        };
        let possible = if side == Side::Sms { SMS_FAULTS } else { WEBHOOK_FAULTS };
        let fault = if faulty { ledger.comes(side, &key, possible) } else { None };
        let taken = matches!(fault, None | Some(Fault::TakenThenCut | Fault::TakenThenGarbage));
        if taken {
            ledger.takes(side, &key, about, true);
        }
        let answer = match fault {
            Some(Fault::TakenThenCut) => return None,
            Some(Fault::Stall) => {
                tokio::time::sleep(STALL).await;
                return None;
            }
            Some(Fault::ServerError) => answered(503, "", "try later"),
            Some(Fault::TooMany) => answered(429, "retry-after: 1\r\n", "slow down"),
            Some(Fault::TakenThenGarbage) => answered(200, "", "<html>lol</html>"),
            Some(Fault::Garbage) => "HTP/9 what?\r\n\r\n".to_owned(),
            None if side == Side::Sms => answered(201, "", &format!("{{\"sid\":\"SM{key}\",\"status\":\"queued\"}}")),
            None => answered(200, "", "thank you"),
        };
        stream.get_mut().write_all(answer.as_bytes()).await.ok()?;
        if fault == Some(Fault::Garbage) {
            return None;
        }
    }
}

fn answered(code: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {code} So\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

/// Key and subject of an SMS, as Twilio's API takes it.
fn sms(request: &Request) -> Option<(String, About)> {
    let form = reqwest::Url::parse(&format!("form:?{}", String::from_utf8_lossy(&request.body))).ok()?;
    let text = form.query_pairs().find(|(name, _)| name == "Body")?.1.into_owned();
    let key = request.headers.get("idempotency-key")?.clone();
    Some((key, subject(&text)?)).filter(|_| request.path == "/2010-04-01/Accounts/AC1/Messages.json")
}

/// Key and subject of an event, if the signature is right.
fn webhook(request: &Request) -> Option<(String, About)> {
    let (id, at) = (request.headers.get("webhook-id")?, request.headers.get("webhook-timestamp")?);
    let key = BASE64_STANDARD.decode(SECRET.strip_prefix("whsec_")?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{at}.").as_bytes());
    mac.update(&request.body);
    let signature = format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()));
    let event: Value = serde_json::from_slice(&request.body).ok()?;
    let (_, order) = event["subject"].as_str()?.split_once('/')?;
    let about = (order.to_owned(), event["type"].as_str()?.to_owned());
    (*request.headers.get("webhook-signature")? == signature).then(|| (id.clone(), about))
}

/// `ORDER EVENT …`, as the templates of the run have it.
pub(crate) fn subject(text: &str) -> Option<About> {
    let mut words = text.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}

/// A request; `None` at the end of the connection.
async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert!(head.len() < 64 * 1024, "a head without an end");
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let header = |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
    let headers: HashMap<String, String> = lines.filter_map(header).collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { path, headers, body })
}
