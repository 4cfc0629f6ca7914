//! `admin.kubeconfig`: how kubectl and dropmate reach this server as the operator.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::json;

/// The name of cluster, user and context.
const NAME: &str = "dropmate";

/// The kubeconfig's text.
pub(crate) fn render(server: &str, ca_pem: &str, token: &str) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": NAME,
            "cluster": { "server": server, "certificate-authority-data": BASE64_STANDARD.encode(ca_pem) },
        }],
        "users": [{ "name": NAME, "user": { "token": token } }],
        "contexts": [{ "name": NAME, "context": { "cluster": NAME, "user": NAME, "namespace": "default" } }],
        "current-context": NAME,
    });
    serde_yaml::to_string(&config).expect("a value of strings is YAML")
}

/// What a kubeconfig of ours says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) server: String,
    pub(crate) ca_pem: String,
    pub(crate) token: String,
}

/// Reads what [`render`] wrote; `None` if it is another's, or changed beyond recognition.
pub(crate) fn read(text: &str) -> Option<Said> {
    let config: serde_json::Value = serde_yaml::from_str(text).ok()?;
    let at = |pointer: &str| config.pointer(pointer)?.as_str().map(str::to_owned);
    let ca_pem = BASE64_STANDARD.decode(at("/clusters/0/cluster/certificate-authority-data")?).ok()?;
    Some(Said {
        server: at("/clusters/0/cluster/server")?,
        ca_pem: String::from_utf8(ca_pem).ok()?,
        token: at("/users/0/user/token")?,
    })
}

/// How a client on this machine reaches that address: `0.0.0.0` is where to listen, not where to call.
pub(crate) fn local_url(bound: SocketAddr) -> String {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("https://{}", SocketAddr::new(ip, bound.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everywhere_is_called_by_the_loopback_address() {
        assert_eq!(local_url("0.0.0.0:7443".parse().unwrap()), "https://127.0.0.1:7443");
        assert_eq!(local_url("[::]:7443".parse().unwrap()), "https://[::1]:7443");
        assert_eq!(local_url("10.0.0.7:1".parse().unwrap()), "https://10.0.0.7:1");
    }

    #[test]
    fn the_kubeconfig_is_one_that_kube_clients_read() {
        let text = render("https://127.0.0.1:7443", "PEM", "secret");
        let read: kube::config::Kubeconfig = serde_yaml::from_str(&text).unwrap();
        assert_eq!(read.current_context.as_deref(), Some("dropmate"));
        let said = Said { server: "https://127.0.0.1:7443".into(), ca_pem: "PEM".into(), token: "secret".into() };
        assert_eq!(super::read(&text), Some(said));
        assert_eq!(read.clusters[0].cluster.as_ref().unwrap().server.as_deref(), Some("https://127.0.0.1:7443"));
    }
}
