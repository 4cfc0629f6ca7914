//! A client of a live stream, over TLS.

use anyhow::{Result, ensure};
use futures::StreamExt;
use http::Request;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, Utf8Bytes, handshake::client::generate_key, protocol::WebSocketConfig},
};

use crate::server::Server;

pub(crate) struct Socket(WebSocketStream<TlsStream<TcpStream>>);

impl Socket {
    /// Opens one, up to its first frame.
    pub(crate) async fn open(server: &Server, query: String) -> Result<Self> {
        let tcp = TcpStream::connect(server.address).await?;
        let tls = TlsConnector::from(server.tls.clone()).connect(ServerName::try_from("localhost")?, tcp).await?;
        let request = Request::builder()
            .uri(format!("wss://localhost/v1/stream?{query}"))
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", server.token))
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", generate_key())
            .body(())?;
        let config = WebSocketConfig::default().read_buffer_size(4_096).write_buffer_size(2_048);
        let (stream, _) = client_async_with_config(request, tls, Some(config)).await?;
        let mut socket = Self(stream);
        let hello = socket.next().await;
        ensure!(hello.as_ref().is_some_and(|hello| hello.contains("\"hello\"")), "no hello, but {hello:?}");
        Ok(socket)
    }

    /// The next frame; `None` when it is closed.
    pub(crate) async fn next(&mut self) -> Option<Utf8Bytes> {
        loop {
            match self.0.next().await? {
                Ok(Message::Text(text)) => return Some(text),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}
