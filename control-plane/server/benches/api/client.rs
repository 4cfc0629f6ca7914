//! One HTTP/1.1 connection over TLS: as little of a client as there can be, since it shares the machine with the server.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http::{
    Method, Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT},
};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::server::Access;

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_mins(1);

/// A connection, used by one caller at a time.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    /// As whom it asks, and whom.
    pub(crate) access: Access,
}

impl Client {
    pub(crate) async fn connect(access: &Access) -> Result<Self> {
        let stream = TcpStream::connect(access.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(access.address.ip().into());
        let stream = TlsConnector::from(config(access)?).connect(name, stream).await?;
        let (sender, connection) = Builder::new().max_buf_size(64 * 1024).handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, access: access.clone() })
    }

    /// Sends a request and reads the whole answer, which must be a success.
    pub(crate) async fn call(&mut self, method: Method, path: &str, form: &str, body: Bytes) -> Result<Bytes> {
        let whole = async {
            let answer = self.open(method, path, form, body, None).await?;
            let status = answer.status();
            let body = answer.into_body().collect().await?.to_bytes();
            ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&body));
            Ok(body)
        };
        tokio::time::timeout(DEADLINE, whole).await.context("no answer in time")?
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Bytes> {
        self.call(Method::GET, path, "application/json", Bytes::new()).await
    }

    /// Reads a whole answer and throws it away as it comes; how many bytes it had.
    pub(crate) async fn drain(&mut self, path: &str, header: Option<(&str, &str)>) -> Result<usize> {
        let answer = self.open(Method::GET, path, "application/json", Bytes::new(), header).await?;
        ensure!(answer.status() == StatusCode::OK, "{path}: {}", answer.status());
        let mut body = answer.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok(bytes)
    }

    /// Sends a request; the answer's body is still to be read.
    pub(crate) async fn open(
        &mut self,
        method: Method,
        path: &str,
        form: &str,
        body: Bytes,
        header: Option<(&str, &str)>,
    ) -> Result<http::Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.access.address.to_string())
            .header(AUTHORIZATION, format!("Bearer {}", self.access.token))
            .header(CONTENT_TYPE, form)
            .header(USER_AGENT, "bench");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body))?;
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }
}

fn config(access: &Access) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&access.ca) {
        roots.add(certificate?)?;
    }
    if roots.is_empty() {
        bail!("there is no certificate in the kubeconfig");
    }
    Ok(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()))
}

/// The answer as JSON.
pub(crate) fn json(bytes: &[u8]) -> Result<Value> {
    Ok(serde_json::from_slice(bytes)?)
}
