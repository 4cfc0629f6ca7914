//! First starts, later ones, and those that are cut short.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use dropmate_control_plane::{ControlPlane, exit_code};

use crate::server::{Server, config, trusting};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dropmate-control-plane");

fn spawn(dir: &std::path::Path) -> Child {
    let free = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let mut command = Command::new(PROGRAM);
    command.arg("--data-dir").arg(dir).args(free).stdout(Stdio::piped()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

#[tokio::test]
async fn a_second_process_is_refused_while_the_first_has_the_data_dir() {
    let server = Server::start().await;
    let refused = ControlPlane::open(config(server.dir.path())).await.unwrap_err();
    assert_eq!(exit_code(&refused), 1);
    assert!(format!("{refused:#}").contains("in use by another dropmate"), "{refused:#}");
    let process = spawn(server.dir.path()).wait_with_output().unwrap();
    assert_eq!(process.status.code(), Some(1));
}

#[tokio::test]
async fn a_restart_keeps_authority_tokens_and_objects() {
    let server = Server::start().await;
    let (ca, token) = (fs::read(server.dir.path().join("tls/ca.crt")).unwrap(), server.token("operator"));
    // The list's own version goes on with what the server itself writes.
    let items = async |server: &Server| {
        let list: serde_json::Value = server.get("/api/v1/namespaces").await.json().await.unwrap();
        list["items"].clone()
    };
    let namespaces = items(&server).await;
    assert_eq!(namespaces.as_array().map(Vec::len), Some(2));
    let dir = server.end().await;
    let again = Server::start_in(dir).await;
    assert_eq!(fs::read(again.dir.path().join("tls/ca.crt")).unwrap(), ca);
    assert_eq!(again.token("operator"), token);
    assert_eq!(items(&again).await, namespaces);
}

#[tokio::test]
async fn who_does_not_trust_the_authority_does_not_connect() {
    let (server, other) = (Server::start().await, Server::start().await);
    let stranger = trusting(other.dir.path()).build().unwrap();
    let refused = stranger.get(server.url("/livez")).send().await.unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");
    let url = server.url("/livez").replace("127.0.0.1", "localhost");
    assert_eq!(server.http.get(url).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_data_dir_that_misses_pieces_is_completed() {
    for missing in ["tokens.csv", "tls/ca.crt", "admin.kubeconfig", "tls/tls.key", "tokens/tracking.token"] {
        let dir = Server::start().await.end().await;
        fs::remove_file(dir.path().join(missing)).unwrap();
        if missing.starts_with("tokens/") {
            // The file of all callers comes last: it cannot be there before they are.
            fs::remove_file(dir.path().join("tokens.csv")).unwrap();
        }
        let server = Server::start_in(dir).await;
        assert_eq!(server.get("/api/v1/namespaces").await.status(), 200, "without {missing}");
    }
}

#[tokio::test]
async fn a_first_start_killed_at_any_moment_is_completed_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..12 {
        let mut child = spawn(dir.path());
        std::thread::sleep(Duration::from_millis(round * 6));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let server = Server::start_in(dir).await;
    assert_eq!(server.get("/api/v1/namespaces").await.status(), 200);
}

#[tokio::test]
async fn the_program_prints_where_it_serves_and_ends_cleanly_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = spawn(dir.path());
    let url = first_line(&mut child);
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    dropmate_control_plane::install_crypto_provider();
    let http = trusting(dir.path()).build().unwrap();
    let token = fs::read_to_string(dir.path().join("tokens/operator.token")).unwrap();
    let watch = http.get(format!("{url}/api/v1/namespaces?watch=true")).bearer_auth(token).send().await.unwrap();
    assert_eq!(watch.status(), 200);
    let started = Instant::now();
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    assert_eq!(ended.code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(30), "an open watch does not hold it up");
}
