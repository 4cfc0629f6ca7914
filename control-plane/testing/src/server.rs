//! A PostgreSQL server of one's own, which may be killed, paused and set up as a test likes.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// Starts, kills and removes; the same that `make test` uses.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.ci/postgres");

/// Removed with the value.
#[derive(Debug)]
pub struct PostgresServer {
    dir: PathBuf,
    url: String,
}

impl PostgresServer {
    /// With further lines for its configuration. Panics, with the reason, if it does not start.
    pub fn start(settings: &[&str]) -> Self {
        let dir = std::env::temp_dir().join(format!("dropmate-postgres-{}", uuid::Uuid::new_v4().simple()));
        // The value is there before the server is, so that a start that fails leaves nothing either.
        let mut server = Self { dir, url: String::new() };
        server.url = server.run("start", settings);
        server
    }

    /// Its first database, which is empty.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Another one.
    pub fn url_of(&self, database: &str) -> String {
        let (server, _) = self.url.rsplit_once('/').expect("the URL names a database");
        format!("{server}/{database}")
    }

    /// SIGKILL to all its processes.
    pub fn kill(&self) {
        self.run("kill", &[]);
    }

    /// As an operator would.
    pub fn stop(&self) {
        self.run("stop", &[]);
    }

    /// With the same data on the same port.
    pub fn start_again(&self) {
        assert_eq!(self.run("start", &[]), self.url);
    }

    /// SIGSTOP to all its processes: connections stay, nothing answers.
    pub fn pause(&self) {
        let main = self.main_process();
        // First, so that it starts nothing more.
        signal("STOP", &[main]);
        signal("STOP", &children(main));
    }

    /// Ends the pause.
    pub fn resume(&self) {
        let main = self.main_process();
        signal("CONT", &children(main));
        signal("CONT", &[main]);
    }

    /// The process that all others are children of.
    pub fn main_process(&self) -> i32 {
        let file = std::fs::read_to_string(self.dir.join("data/postmaster.pid")).expect("the server runs");
        file.lines().next().and_then(|line| line.parse().ok()).expect("the file names the process")
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

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // A folder that stays is no reason to fail.
        let _ = Command::new(SCRIPT).arg("remove").arg(&self.dir).stdin(Stdio::null()).output();
    }
}

/// Sends a signal to processes by their numbers; one that is gone meanwhile is left out.
pub fn signal(name: &str, pids: &[i32]) {
    let pids: Vec<_> = pids.iter().map(i32::to_string).collect();
    let command = format!("kill -{name} {} 2>/dev/null", pids.join(" "));
    Command::new("sh").args(["-c", &command]).status().expect("a shell runs");
}

fn children(main: i32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{main}/task/{main}/children")).expect("the server runs");
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
