//! One question to one address, without a caller's identity.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use http::{Method, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use kube::{Client, Config, client::Body};

use super::{ConnectionArgs, certificates, from_kubeconfig, innermost, kubeconfig_path, request};
use crate::failure::Outcome;

/// Whoever supervises us gives a check up after some seconds; the reason is worth more than its time-out.
const TIMEOUT: Duration = Duration::from_secs(3);
/// A health check's answer is a few lines.
const MAX_BYTES: usize = 64 * 1024;

/// GETs the address and returns the status and what the server said. Sends no token: the address may be anybody's.
pub(crate) async fn probe(args: &ConnectionArgs, url: &Uri) -> Outcome<(StatusCode, String)> {
    let mut server = url.clone().into_parts();
    // The client puts the path of the request behind that of the server.
    server.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
    let mut config = Config::new(Uri::from_parts(server)?);
    if url.scheme_str() == Some("https") {
        trust(args, &mut config).await?;
    } else {
        // Nothing to verify, and small containers have no authorities to load.
        config.root_cert = Some(Vec::new());
    }
    config.connect_timeout = Some(TIMEOUT);
    config.default_retry = false;
    let client = Client::try_from(config).with_context(|| format!("cannot prepare to ask {url}"))?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = request(Method::GET, path, "*/*").body(Body::empty())?;
    let exchange = async {
        let response = client.send(request).await.map_err(|error| innermost(&error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_BYTES).collect().await.map_err(|error| innermost(&*error))?;
        Ok::<_, String>((parts.status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    };
    match tokio::time::timeout(TIMEOUT, exchange).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(cause)) => Err(anyhow!("cannot reach {url}: {cause}").into()),
        Err(_) => Err(anyhow!("{url} did not answer within {} s", TIMEOUT.as_secs()).into()),
    }
}

/// Whose certificates count: --ca, else what the kubeconfig says, else the system's.
async fn trust(args: &ConnectionArgs, config: &mut Config) -> anyhow::Result<()> {
    if let Some(ca) = &args.ca {
        config.root_cert = Some(certificates(ca)?);
        return Ok(());
    }
    // One that is not there is no mistake, unless it was named.
    let Ok(Some(paths)) = kubeconfig_path(args) else { return Ok(()) };
    let known = from_kubeconfig(args, paths).await?;
    config.root_cert = known.root_cert;
    config.accept_invalid_certs = known.accept_invalid_certs;
    Ok(())
}
