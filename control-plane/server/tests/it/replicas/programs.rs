//! The program on a database that is not fit, or not there. It never repeats the password.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use dropmate_testing::{Database, Proxy};

use super::migrated;

const PASSWORD: &str = "hunter2";

fn with_password(url: &str) -> String {
    url.replacen('@', &format!(":{PASSWORD}@"), 1)
}

fn program(dir: &Path, url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dropmate-control-plane"));
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log", "trace", "--data-dir"]);
    command.arg(dir).args(["--database-url", &with_password(url)]).stdin(Stdio::null());
    command
}

/// Runs it to its end, which it must find by itself; its exit code, and everything that it said.
fn ended(url: &str) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let output = program(dir.path(), url).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(!said.contains(PASSWORD), "it tells the password: {said}");
    (output.status.code(), said)
}

#[tokio::test]
async fn a_database_that_has_not_been_migrated_is_refused_with_the_way_out() {
    let database = Database::create().await;
    let (code, said) = ended(&database.url());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("run `dropmate migrate` with the same --database-url"), "{said}");
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused_with_both_versions() {
    let database = migrated().await;
    let newer = "INSERT INTO control.migrations (version, description, success, checksum, execution_time)
        VALUES (9999, 'of tomorrow', true, '', 0)";
    database.execute(newer).await;
    let (code, said) = ended(&database.url());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is at version 9999") && said.contains("or a newer one"), "{said}");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_waited_for_and_told_by_host_and_port() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let begun = Instant::now();
    let (code, said) = ended(&format!("postgres://dropmate@{address}/shop"));
    let took = begun.elapsed();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(&format!("cannot connect to the database shop at {address}")), "{said}");
    let tries: Vec<_> = said.lines().filter(|line| line.contains("cannot reach the database; trying again")).collect();
    let named = format!("\"port\":{}", address.port());
    assert!(!tries.is_empty() && tries.iter().all(|line| line.contains(&named)), "{said}");
    assert!(took > Duration::from_secs(25) && took < Duration::from_secs(50), "it gave up after {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_comes_late_is_used() {
    let database = migrated().await;
    let proxy = Proxy::start(database.address()).await;
    proxy.cut();
    let dir = tempfile::tempdir().unwrap();
    let mut command = program(dir.path(), &database.url_by(proxy.address()));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(child.try_wait().unwrap().is_none(), "it did not wait");
    proxy.mend();
    let stdout = child.stdout.take().unwrap();
    let first = tokio::task::spawn_blocking(move || BufReader::new(stdout).lines().next()).await.unwrap();
    assert!(first.unwrap().unwrap().starts_with("https://127.0.0.1:"));
    child.kill().unwrap();
    child.wait().unwrap();
}
