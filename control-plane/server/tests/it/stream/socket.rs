//! A client of live streams, over TLS.

use std::{collections::BTreeMap, fs, net::SocketAddr, sync::Arc, time::Duration};

use futures::{SinkExt, StreamExt};
use http::Request;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, handshake::client::generate_key},
};

use crate::server::Server;

/// How long anything may take to come.
pub(crate) const SOON: Duration = Duration::from_secs(5);

pub(crate) struct Socket {
    stream: WebSocketStream<TlsStream<TcpStream>>,
    pub(crate) epoch: String,
    pub(crate) seq: u64,
    /// Frames that say `delivery.updated`: they come beside those that say how, and are put aside here.
    pub(crate) coarse: Vec<Value>,
}

/// A request for a stream, with these headers besides.
pub(crate) async fn ask(server: &Server, query: &str, headers: &[(&str, &str)]) -> Result<Socket, u16> {
    ask_at(server, &format!("/v1/stream?{query}"), headers).await
}

/// The same at another path.
pub(crate) async fn ask_at(server: &Server, path: &str, headers: &[(&str, &str)]) -> Result<Socket, u16> {
    let url = server.plane.url().unwrap();
    let address: SocketAddr = url.trim_start_matches("https://").parse().unwrap();
    let ca = fs::read(server.dir.path().join("tls/ca.crt")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&ca).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    let mut request = Request::builder()
        .uri(format!("wss://localhost:{}{path}", address.port()))
        .header("host", "localhost")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", generate_key());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    match client_async(request.body(()).unwrap(), tls).await {
        Ok((stream, _)) => Ok(Socket { stream, epoch: String::new(), seq: 0, coarse: Vec::new() }),
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

impl Socket {
    /// A stream of whoever holds the token, after its first frame.
    pub(crate) async fn open(server: &Server, token: &str, query: &str) -> Self {
        let mut socket =
            ask(server, query, &[("authorization", &format!("Bearer {token}"))]).await.expect("it may be opened");
        let hello = socket.next().await;
        assert_eq!(hello["type"], "hello", "{hello}");
        hello["epoch"].as_str().unwrap().clone_into(&mut socket.epoch);
        socket
    }

    /// The same stream again, from where it was cut.
    pub(crate) async fn again(self, server: &Server, token: &str, query: &str) -> Self {
        let query = format!("{query}&epoch={}&seq={}", self.epoch, self.seq);
        drop(self.stream);
        Self::open(server, token, &query).await
    }

    /// The next frame; `None`: none comes within that time.
    pub(crate) async fn within(&mut self, time: Duration) -> Option<Value> {
        let frame = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let frame = serde_json::from_str::<Value>(&text).unwrap();
                        if frame["data"]["type"] != "delivery.updated" {
                            return frame;
                        }
                        self.seq = frame["seq"].as_u64().unwrap();
                        self.coarse.push(frame);
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => panic!("no frame, but {other:?}"),
                }
            }
        };
        let frame = tokio::time::timeout(time, frame).await.ok()?;
        self.seq = frame["seq"].as_u64().unwrap();
        Some(frame)
    }

    pub(crate) async fn next(&mut self) -> Value {
        self.within(SOON).await.expect("a frame in time")
    }

    /// The next frame that is an event: its type, and its subject.
    pub(crate) async fn event(&mut self) -> (String, String) {
        let frame = self.event_frame().await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&frame["data"]["type"]), text(&frame["data"]["subject"]))
    }

    pub(crate) async fn event_frame(&mut self) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == "event" {
                return frame;
            }
        }
    }

    /// What else is on its way.
    pub(crate) async fn settle_within(&mut self, time: Duration) {
        assert_eq!(self.within(time).await, None, "nothing comes but what is put aside");
    }

    /// The end of a revision whose last event is the coarse one.
    pub(crate) async fn settle(&mut self) {
        let known = self.coarse.len();
        let settled = async {
            while self.coarse.len() == known {
                assert_eq!(self.within(Duration::from_millis(20)).await, None, "nothing else comes before it");
            }
        };
        tokio::time::timeout(SOON, settled).await.expect("the coarse event comes");
    }

    /// All of a snapshot: the phases of the orders by name, and how many positions there are.
    pub(crate) async fn snapshot(&mut self) -> (BTreeMap<String, String>, usize, usize) {
        let (mut orders, mut positions, mut frames) = (BTreeMap::new(), 0, 0);
        loop {
            let frame = self.next().await;
            assert_eq!(frame["type"], "reset", "{frame}");
            frames += 1;
            for order in frame["data"]["orders"].as_array().unwrap() {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                orders.insert(text(&order["metadata"]["name"]), text(&order["status"]["phase"]));
            }
            positions += frame["data"]["positions"].as_array().unwrap().len();
            if frame["data"]["more"] != true {
                assert!(self.seq > 0);
                return (orders, positions, frames);
            }
            assert_eq!(self.seq, 0, "whoever is cut off now begins anew");
        }
    }

    /// The code with which the server closes it; what comes before is passed over.
    pub(crate) async fn closed(&mut self) -> u16 {
        let closed = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Close(frame))) => return frame.map_or(1005, |frame| frame.code.into()),
                    Some(Ok(_)) => {}
                    None | Some(Err(_)) => return 1006,
                }
            }
        };
        tokio::time::timeout(SOON, closed).await.expect("it is closed in time")
    }

    pub(crate) async fn say(&mut self, text: &str) -> Result<(), Error> {
        self.stream.send(Message::Text(text.into())).await
    }
}
