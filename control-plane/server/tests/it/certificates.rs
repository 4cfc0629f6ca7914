//! A certificate of the user's own, and another that takes its place.

use std::{fs, path::Path, time::Duration};

use dropmate_control_plane::{
    bootstrap::{Wanted, bootstrap},
    install_crypto_provider,
};
use reqwest::{Certificate, Client};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{client::clock, server::Server};

/// Longer than the server needs to see a change.
const SEEN: Duration = Duration::from_secs(3);
const WITHIN: Duration = Duration::from_secs(20);

/// An authority and a certificate signed by it.
fn make(out: &Path) {
    install_crypto_provider();
    let server = "https://127.0.0.1:7443".parse().unwrap();
    let wanted = Wanted { out: out.to_owned(), server, sans: Vec::new(), owner: None, database: None };
    bootstrap(&wanted, clock().system_now()).unwrap();
}

/// Puts a file into place whole, as tools do that renew certificates.
fn put(from: &Path, to: &Path) {
    let aside = to.with_extension("new");
    fs::copy(from, &aside).unwrap();
    fs::rename(&aside, to).unwrap();
}

/// Whether a new connection by somebody who trusts that authority alone is served.
async fn serves(server: &Server, authority: &Path) -> bool {
    let ca = Certificate::from_pem(&fs::read(authority.join("ca.crt")).unwrap()).unwrap();
    let client = Client::builder().tls_certs_only([ca]).build().unwrap();
    match client.get(server.url("/livez")).send().await {
        Ok(answer) => answer.status() == 200,
        Err(error) => {
            assert!(error.is_connect(), "{error:?}");
            false
        }
    }
}

#[tokio::test]
async fn a_new_certificate_is_served_without_a_restart_once_it_is_whole() {
    let dir: TempDir = tempfile::tempdir().unwrap();
    let [old, new, live] = ["old", "new", "live"].map(|name| dir.path().join(name));
    make(&old);
    make(&new);
    fs::create_dir(&live).unwrap();
    let (cert, key) = (live.join("tls.crt"), live.join("tls.key"));
    put(&old.join("tls.crt"), &cert);
    put(&old.join("tls.key"), &key);
    let flags = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let server = Server::start_with_own(tempfile::tempdir().unwrap(), &flags).await;
    assert!(serves(&server, &old).await && !serves(&server, &new).await);
    // One that was connected before.
    let ca = Certificate::from_pem(&fs::read(old.join("ca.crt")).unwrap()).unwrap();
    let connected = Client::builder().tls_certs_only([ca]).build().unwrap();
    assert_eq!(connected.get(server.url("/livez")).send().await.unwrap().status(), 200);

    put(&new.join("tls.crt"), &cert);
    sleep(SEEN).await;
    assert!(serves(&server, &old).await, "the new certificate is of no use without its key");
    put(&new.join("tls.key"), &key);
    let deadline = Instant::now() + WITHIN;
    while !serves(&server, &new).await {
        assert!(Instant::now() < deadline, "the new certificate is not served");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(!serves(&server, &old).await, "nobody gets the old one any more");
    let still = connected.get(server.url("/livez")).send().await.unwrap();
    assert_eq!(still.status(), 200, "who is connected stays so");
    fs::remove_file(&key).unwrap();
    sleep(SEEN).await;
    assert!(serves(&server, &new).await, "a file that is away changes nothing");
}
