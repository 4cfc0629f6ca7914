//! A Redis server of one's own, which may be emptied, paused, stopped and started again as a test likes; and the server
//! that `make test` has started.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::server::signal;

/// Names the server. `.ci/test` sets it.
const SERVER: &str = "DROPMATE_TEST_REDIS_URL";
/// Starts, kills and removes; the same that `make test` uses.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.ci/redis");

/// A server, removed with the value.
#[derive(Debug)]
pub struct RedisServer {
    dir: PathBuf,
    url: String,
}

impl RedisServer {
    /// With further settings, names and values by turns. Panics, with the reason, if it does not start.
    pub fn start(settings: &[&str]) -> Self {
        let dir = std::env::temp_dir().join(format!("dropmate-redis-{}", uuid::Uuid::new_v4().simple()));
        // The value is there before the server is, so that a start that fails leaves nothing either.
        let mut server = Self { dir, url: String::new() };
        server.url = server.run("start", settings);
        server
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Takes everything out of it, as `FLUSHALL` does.
    pub fn empty(&self) {
        self.ask(&["FLUSHALL"]);
    }

    /// What it answers to a command.
    pub fn ask(&self, command: &[&str]) -> String {
        ask(&self.url, command)
    }

    /// SIGKILL.
    pub fn kill(&self) {
        self.run("kill", &[]);
    }

    /// As an operator would.
    pub fn stop(&self) {
        self.run("stop", &[]);
    }

    /// On the same port, with nothing in it.
    pub fn start_again(&self) {
        assert_eq!(self.run("start", &[]), self.url);
    }

    /// SIGSTOP: connections stay, nothing answers.
    pub fn pause(&self) {
        signal("STOP", &[self.process()]);
    }

    /// Ends the pause.
    pub fn resume(&self) {
        signal("CONT", &[self.process()]);
    }

    fn process(&self) -> i32 {
        let file = std::fs::read_to_string(self.dir.join("pid")).expect("the server runs");
        file.trim().parse().expect("the file names the process")
    }

    fn run(&self, command: &str, settings: &[&str]) -> String {
        let output = Command::new(SCRIPT)
            .arg(command)
            .arg(&self.dir)
            .args(settings)
            .stdin(Stdio::null())
            .output()
            .expect("the script runs");
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("it prints a URL").trim().to_owned()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // A folder that stays is no reason to fail.
        let _ = Command::new(SCRIPT).arg("remove").arg(&self.dir).stdin(Stdio::null()).output();
    }
}

/// The URL of the server that `make test` has started. Other tests use it at the same time: names must be one's own, and
/// whoever empties or stops it starts a [`RedisServer`].
pub fn redis_url() -> String {
    std::env::var(SERVER).unwrap_or_else(|_| {
        panic!("{SERVER} is not set. Run `make test`, or: export {SERVER}=$(.ci/redis start /tmp/dropmate-redis)")
    })
}

fn ask(url: &str, command: &[&str]) -> String {
    let output = Command::new("redis-cli").args(["-u", url]).args(command).output().expect("redis-cli is installed");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
