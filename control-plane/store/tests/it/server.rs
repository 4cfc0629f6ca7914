//! A PostgreSQL server of one test's own, which may be killed, paused and set up as the test likes.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use dropmate_store::Postgres;

/// Starts, kills and removes; the same that `make test` uses.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.ci/postgres");

/// Removed with the value.
pub(crate) struct Server {
    dir: PathBuf,
    url: String,
}

impl Server {
    /// With further lines for its configuration. Its database is migrated.
    pub(crate) async fn start(settings: &[&str]) -> Self {
        let dir = std::env::temp_dir().join(format!("dropmate-postgres-{}", uuid::Uuid::new_v4().simple()));
        // The value is there before the server is, so that a start that fails leaves nothing either.
        let mut server = Self { dir, url: String::new() };
        server.url = server.run("start", settings);
        Postgres::migrate(&server.url).await.unwrap();
        server
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// SIGKILL to all its processes.
    pub(crate) fn kill(&self) {
        self.run("kill", &[]);
    }

    pub(crate) fn stop(&self) {
        self.run("stop", &[]);
    }

    pub(crate) fn start_again(&self) {
        assert_eq!(self.run("start", &[]), self.url);
    }

    /// SIGSTOP to all its processes: connections stay, nothing answers.
    pub(crate) fn pause(&self) {
        let main = self.main();
        // First, so that it starts nothing more.
        signal("STOP", &[main]);
        signal("STOP", &children(main));
    }

    pub(crate) fn resume(&self) {
        let main = self.main();
        signal("CONT", &children(main));
        signal("CONT", &[main]);
    }

    fn main(&self) -> i32 {
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
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A folder that stays is no reason to fail.
        let _ = Command::new(SCRIPT).arg("remove").arg(&self.dir).stdin(Stdio::null()).output();
    }
}

/// By its number; a process that is gone meanwhile is none.
pub(crate) fn signal(name: &str, pids: &[i32]) {
    let pids: Vec<_> = pids.iter().map(i32::to_string).collect();
    let command = format!("kill -{name} {} 2>/dev/null", pids.join(" "));
    Command::new("sh").args(["-c", &command]).status().expect("a shell runs");
}

fn children(main: i32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{main}/task/{main}/children")).expect("the server runs");
    children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}
