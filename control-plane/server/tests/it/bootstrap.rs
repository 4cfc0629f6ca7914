//! What several processes share, and a control plane that runs on it.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use clap::Parser;
use dropmate_control_plane::{
    Args, Config, ControlPlane,
    bootstrap::{Owner, Wanted, bootstrap},
    install_crypto_provider,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use reqwest::Certificate;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::client::clock;

const FILES: [&str; 12] = [
    "ca.crt",
    "ca.key",
    "tls.crt",
    "tls.key",
    "tokens.csv",
    "admin.kubeconfig",
    "agents/dispatch.token",
    "agents/tracking.token",
    "agents/notification.token",
    "secrets.key",
    "postgres.password",
    "database.url",
];

fn wanted(dir: &TempDir) -> Wanted {
    install_crypto_provider();
    Wanted {
        out: dir.path().join("secrets"),
        server: "https://dispatch.example:7443".parse().unwrap(),
        sans: vec!["control-plane".to_owned()],
        owner: None,
        database: Some("postgres://dropmate@db:5432/dropmate".parse().unwrap()),
    }
}

fn now() -> Timestamp {
    clock().system_now()
}

/// Runs it, and says what it says.
fn run(wanted: &Wanted) -> Vec<String> {
    run_at(wanted, now())
}

fn run_at(wanted: &Wanted, now: Timestamp) -> Vec<String> {
    bootstrap(wanted, now).unwrap().iter().map(ToString::to_string).collect()
}

fn contents(out: &Path) -> BTreeMap<&'static str, String> {
    FILES.into_iter().map(|name| (name, fs::read_to_string(out.join(name)).unwrap())).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_first_run_makes_every_file_for_its_readers_only_and_a_second_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = wanted(&dir);
    assert_eq!(run(&wanted), FILES.map(|name| format!("made {name}")));
    for name in FILES {
        let expected = if name == "postgres.password" { 0o440 } else { 0o400 };
        assert_eq!(mode(&wanted.out.join(name)), expected, "{name}");
    }
    assert_eq!(mode(&wanted.out), 0o711);
    assert_eq!(mode(&wanted.out.join("agents")), 0o711);
    let before = contents(&wanted.out);
    let password = &before["postgres.password"];
    assert_eq!(before["database.url"], format!("postgres://dropmate:{password}@db:5432/dropmate"));
    assert_eq!(run(&wanted), FILES.map(|name| format!("kept {name}")));
    assert_eq!(contents(&wanted.out), before);
    let left: Vec<_> = fs::read_dir(&wanted.out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), FILES.len() - 3 + 1, "nothing else is left there: {left:?}");
}

#[test]
fn files_are_given_to_their_owner_also_those_that_were_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut wanted = wanted(&dir);
    run(&wanted);
    let me = fs::metadata(&wanted.out).unwrap();
    // Only root may give files away.
    let owner = if me.uid() == 0 { Owner { uid: 12_345, gid: 23_456 } } else { Owner { uid: me.uid(), gid: me.gid() } };
    wanted.owner = Some(owner);
    fs::remove_file(wanted.out.join("agents/tracking.token")).unwrap();
    run(&wanted);
    for name in FILES.iter().chain(&["agents"]) {
        let found = fs::metadata(wanted.out.join(name)).unwrap();
        assert_eq!((found.uid(), found.gid()), (owner.uid, owner.gid), "{name}");
    }
}

#[test]
fn whatever_is_missing_is_made_and_fits_the_rest() {
    let changed = |missing: &str| {
        let dir = tempfile::tempdir().unwrap();
        let wanted = wanted(&dir);
        run(&wanted);
        let before = contents(&wanted.out);
        fs::remove_file(wanted.out.join(missing)).unwrap();
        run(&wanted);
        let after = contents(&wanted.out);
        assert_eq!(run(&wanted), FILES.map(|name| format!("kept {name}")), "without {missing}");
        let csv = &after["tokens.csv"];
        assert!(before["tokens.csv"].lines().all(|line| csv.contains(line)), "nobody is forgotten: {missing}");
        FILES.into_iter().filter(|name| before[name] != after[name]).collect::<Vec<_>>()
    };
    assert_eq!(changed("ca.crt"), ["ca.crt", "admin.kubeconfig"]);
    assert_eq!(changed("tls.crt"), ["tls.crt", "tls.key"]);
    assert_eq!(changed("tls.key"), ["tls.crt", "tls.key"]);
    assert!(changed("tokens.csv").is_empty(), "the tokens tell what was in it");
    assert_eq!(changed("admin.kubeconfig"), ["tokens.csv", "admin.kubeconfig"]);
    assert_eq!(changed("agents/dispatch.token"), ["tokens.csv", "agents/dispatch.token"]);
    assert!(changed("postgres.password").is_empty(), "the URL tells it");
    assert!(changed("database.url").is_empty(), "the password tells it");
}

#[test]
fn a_caller_whose_line_was_taken_out_stays_out() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = wanted(&dir);
    run(&wanted);
    let csv = wanted.out.join("tokens.csv");
    let before = fs::read_to_string(&csv).unwrap();
    let (_, without) = before.split_once('\n').unwrap();
    fs::remove_file(&csv).unwrap();
    fs::write(&csv, without).unwrap();
    run(&wanted);
    assert_eq!(fs::read_to_string(&csv).unwrap(), without);
}

#[test]
fn an_authority_that_lost_its_key_is_not_replaced_in_silence() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = wanted(&dir);
    run(&wanted);
    let before = fs::read_to_string(wanted.out.join("ca.crt")).unwrap();
    fs::remove_file(wanted.out.join("ca.key")).unwrap();
    let refused = format!("{:#}", bootstrap(&wanted, now()).unwrap_err());
    assert!(refused.contains("ca.key is missing") && refused.contains("put it back"), "{refused}");
    let other = tempfile::tempdir().unwrap();
    let others = Wanted { out: other.path().join("secrets"), ..wanted.clone() };
    run(&others);
    fs::copy(others.out.join("ca.key"), wanted.out.join("ca.key")).unwrap();
    let refused = format!("{:#}", bootstrap(&wanted, now()).unwrap_err());
    assert!(refused.contains("does not fit"), "{refused}");
    assert_eq!(fs::read_to_string(wanted.out.join("ca.crt")).unwrap(), before);
}

#[test]
fn the_server_certificate_alone_is_made_anew_for_a_new_name_or_before_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let mut wanted = wanted(&dir);
    run(&wanted);
    let before = contents(&wanted.out);
    wanted.sans = vec!["control-plane".to_owned(), "10.0.0.7".to_owned(), "*.shop.example".to_owned()];
    let said = run(&wanted);
    assert_eq!(said[2], "made tls.crt (it was not good for *.shop.example)");
    let after = contents(&wanted.out);
    for name in FILES {
        assert_eq!(before[name] != after[name], name.starts_with("tls."), "{name}");
    }
    assert_eq!(run(&wanted)[2], "kept tls.crt");
    assert_eq!(run_at(&wanted, now() + SignedDuration::from_hours(24 * 360))[2], "kept tls.crt");
    let late = run_at(&wanted, now() + SignedDuration::from_hours(24 * 370));
    assert_eq!(late[2..4], ["made tls.crt (it ends within 30 days)", "made tls.key (it ends within 30 days)"]);
}

#[test]
fn another_address_of_the_server_is_told_to_the_operator_whose_token_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut wanted = wanted(&dir);
    run(&wanted);
    let csv = contents(&wanted.out).remove("tokens.csv");
    wanted.server = "https://elsewhere.example".parse().unwrap();
    assert_eq!(run(&wanted)[5], "made admin.kubeconfig (it was for https://dispatch.example:7443)");
    assert!(contents(&wanted.out)["admin.kubeconfig"].contains("https://elsewhere.example\n"));
    assert_eq!(contents(&wanted.out).remove("tokens.csv"), csv);
}

#[test]
fn several_at_once_make_one_set() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = wanted(&dir);
    let said: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..4).map(|_| scope.spawn(|| run(&wanted))).collect();
        running.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for name in FILES {
        let made = said.iter().flatten().filter(|line| **line == format!("made {name}")).count();
        assert_eq!(made, 1, "{name}: {said:?}");
    }
    assert_eq!(run(&wanted), FILES.map(|name| format!("kept {name}")));
}

#[test]
fn what_makes_no_sense_is_told_by_its_flag() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = wanted(&dir);
    let two_words = Wanted { sans: vec!["two words".to_owned()], ..wanted.clone() };
    let plain = Wanted { server: "http://dispatch.example".parse().unwrap(), ..wanted.clone() };
    let path = Wanted { server: "https://dispatch.example/path".parse().unwrap(), ..wanted.clone() };
    for (wrong, flag) in [(two_words, "--san"), (plain, "--server"), (path, "--server")] {
        let refused = bootstrap(&wrong, now()).unwrap_err().to_string();
        assert!(refused.starts_with(flag), "{refused}");
    }
    assert!(!wanted.out.exists(), "nothing was made");
}

#[derive(Debug, clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

#[tokio::test]
async fn a_control_plane_on_such_files_knows_their_callers_and_makes_no_secrets_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let wanted = Wanted { server: format!("https://127.0.0.1:{port}").parse().unwrap(), ..wanted(&dir) };
    run(&wanted);
    let (out, data) = (&wanted.out, dir.path().join("data"));
    let file = |name: &str| out.join(name).to_str().unwrap().to_owned();
    let cli = Cli::parse_from([
        "test",
        "--listen",
        &format!("127.0.0.1:{port}"),
        "--admin-listen",
        "127.0.0.1:0",
        "--data-dir",
        data.to_str().unwrap(),
        "--tls-cert",
        &file("tls.crt"),
        "--tls-key",
        &file("tls.key"),
        "--token-auth-file",
        &file("tokens.csv"),
        "--secrets-key-file",
        &file("secrets.key"),
    ]);
    let plane = ControlPlane::open(Config::new(cli.args, clock()).unwrap()).await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(plane.clone().serve(stop.clone()));

    let kubeconfig = Kubeconfig::read_from(out.join("admin.kubeconfig")).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(Client::try_from(config).unwrap());
    assert!(!namespaces.list(&ListParams::default()).await.unwrap().items.is_empty(), "the operator may look around");

    // By a name in the certificate, and by nothing else.
    let ca = Certificate::from_pem(&fs::read(out.join("ca.crt")).unwrap()).unwrap();
    let address = ([127, 0, 0, 1], port).into();
    let http = reqwest::Client::builder().tls_certs_only([ca]);
    let http = http.resolve("control-plane", address).resolve("stranger", address).build().unwrap();
    let path = "apis/dropmate.dev/v1/namespaces/default/orders/none/binding";
    let binds = async |name: &str| {
        let token = fs::read_to_string(out.join(format!("agents/{name}.token"))).unwrap();
        let request = http.post(format!("https://control-plane:{port}/{path}")).bearer_auth(token);
        request.json(&serde_json::json!({})).send().await.unwrap().status().as_u16()
    };
    assert_eq!(binds("tracking").await, 403);
    assert_ne!(binds("dispatch").await, 403, "only the dispatch agent may bind");
    assert_ne!(binds("dispatch").await, 401);
    assert!(http.get(format!("https://stranger:{port}/livez")).send().await.unwrap_err().is_connect());

    stop.cancel();
    running.await.unwrap().unwrap();
    let made: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let store = |name: &&std::ffi::OsString| {
        let name = name.to_string_lossy();
        ["control.db", "identity.db", "ingest.db"].iter().any(|file| name.starts_with(file))
    };
    assert!(made.iter().filter(|name| !store(name)).all(|name| name == "LOCK"), "{made:?}");
    assert!(plane.kubeconfig().is_none());
}

#[tokio::test]
async fn files_that_cannot_be_used_are_told_by_their_flags() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = wanted(&dir);
    run(&wanted);
    let (data, out) = (dir.path().join("data"), &wanted.out);
    let open = async |cert: &str, key: &str, tokens: &str| {
        let file = |name: &str| out.join(name).to_str().unwrap().to_owned();
        let (cert, key, tokens) = (file(cert), file(key), file(tokens));
        let flags = ["--tls-cert", &cert, "--tls-key", &key, "--token-auth-file", &tokens];
        let usual = ["test", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"];
        let cli = Cli::parse_from(usual.into_iter().chain([data.to_str().unwrap()]).chain(flags));
        format!("{:#}", ControlPlane::open(Config::new(cli.args, clock()).unwrap()).await.unwrap_err())
    };
    let refused = open("missing.crt", "tls.key", "tokens.csv").await;
    assert!(refused.starts_with("--tls-cert: cannot read ") && refused.contains("missing.crt"), "{refused}");
    let refused = open("tls.crt", "ca.key", "tokens.csv").await;
    assert!(refused.starts_with("--tls-cert and --tls-key: the key does not fit"), "{refused}");
    let refused = open("tls.crt", "tls.key", "tls.crt/tokens.csv").await;
    assert!(refused.starts_with("--token-auth-file: cannot read "), "{refused}");
    assert!(!data.join("tokens").exists(), "no tokens that nobody knows");
}
