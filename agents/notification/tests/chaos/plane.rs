//! The control plane as a process of its own: this test program, started again to be one.

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use clap::Parser;
use dropmate_api::Clock;
use dropmate_control_plane::{Config, install_crypto_provider};
use jiff::Timestamp;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// Says to the process that it is one, and its flags, by lines.
const FLAGS: &str = "DROPMATE_CHAOS_PLANE";

#[derive(Debug, clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: dropmate_control_plane::Args,
}

/// Is no test: the control plane, if it is started as one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_plane() {
    let Ok(flags) = std::env::var(FLAGS) else { return };
    install_crypto_provider();
    #[expect(clippy::disallowed_methods, reason = "a process owns its clock")]
    let clock = Clock::real(Arc::new(Timestamp::now));
    let flags = std::iter::once("plane").chain(flags.lines());
    let config = Config::new(Cli::parse_from(flags).args, clock).unwrap();
    let plane = dropmate_control_plane::ControlPlane::open(config).await.unwrap();
    plane.serve(CancellationToken::new()).await.unwrap();
}

/// Starts one, and waits until it is there.
pub(crate) async fn start(folder: &Path, listen: &str, flags: &[String]) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("plane.log")).unwrap();
    let mut all = vec![
        "--data-dir".to_owned(),
        folder.join("plane").to_str().unwrap().to_owned(),
        "--listen".to_owned(),
        listen.to_owned(),
        "--admin-listen".to_owned(),
        "127.0.0.1:0".to_owned(),
    ];
    all.extend_from_slice(flags);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "plane::control_plane", "--nocapture"])
        .env(FLAGS, all.join("\n"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let ready = async {
        while tokio::net::TcpStream::connect(listen).await.is_err()
            || !folder.join("plane/tokens/notification.token").exists()
        {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), ready).await.expect("the control plane starts; see plane.log");
    child
}
