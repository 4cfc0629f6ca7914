//! A server of one's own, and the programs that talk to it.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A loaded machine takes its time; a test that needs longer is stuck.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// `dropmate up` on free ports and a data dir of its own, killed with the value.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    pub(crate) data: TempDir,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn dropmate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dropmate"));
    command.env_remove("KUBECONFIG").env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/examples")
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Ended {
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    Ended {
        code: status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

impl Ended {
    /// Asserts the exit code, and shows everything if it is another.
    #[track_caller]
    pub(crate) fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "out:\n{}\nerr:\n{}", self.out, self.err);
        self
    }
}

impl Server {
    /// Starts one without agents: nothing happens but what a test does.
    pub(crate) fn start() -> Self {
        Self::start_with(&["--agents", "none"])
    }

    pub(crate) fn start_with(flags: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("a temporary directory");
        let (child, url) = spawn(data.path(), "127.0.0.1:0", flags);
        Self { child, url, data }
    }

    /// Ends the server without a chance to say goodbye, and starts it again on the same port and data.
    pub(crate) fn kill_and_restart(&mut self, flags: &[&str]) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("the server ends");
        let address = self.url.trim_start_matches("https://").to_owned();
        let (child, url) = spawn(self.data.path(), &address, flags);
        assert_eq!(url, self.url);
        self.child = child;
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.data.path().join("admin.kubeconfig")
    }

    /// `dropmate ARGS` against this server.
    pub(crate) fn dropmate(&self, args: &[&str]) -> Command {
        let mut command = dropmate();
        command.arg("--kubeconfig").arg(self.kubeconfig()).args(args);
        command
    }

    /// Runs `dropmate ARGS` to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        run(&mut self.dropmate(args))
    }

    /// Runs `kubectl ARGS` to its end.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Ended {
        let mut command = Command::new("kubectl");
        // Its discovery cache is keyed by host and port, and ports come back.
        command.arg("--cache-dir").arg(self.data.path().join("kubectl-cache"));
        run(command.arg("--kubeconfig").arg(self.kubeconfig()).args(args).stdin(Stdio::null()))
    }

    /// The same with a variable set.
    pub(crate) fn kubectl_with(&self, name: &str, value: &str, args: &[&str]) -> Ended {
        let mut command = Command::new("kubectl");
        command.arg("--cache-dir").arg(self.data.path().join("kubectl-cache")).env(name, value);
        run(command.arg("--kubeconfig").arg(self.kubeconfig()).args(args).stdin(Stdio::null()))
    }

    /// Applies a text and returns how that ended.
    pub(crate) fn apply(&self, name: &str, text: &[u8], flags: &[&str]) -> Ended {
        let path = self.data.path().join(name);
        std::fs::write(&path, text).expect("the data dir is writable");
        let mut command = self.dropmate(&["apply", "-f", name]);
        run(command.args(flags).current_dir(self.data.path()))
    }

    /// Compares with a text and returns how that ended.
    pub(crate) fn diff(&self, name: &str, text: &str, flags: &[&str]) -> Ended {
        std::fs::write(self.data.path().join(name), text).expect("the data dir is writable");
        let mut command = self.dropmate(&["diff", "-f", name]);
        run(command.args(flags).current_dir(self.data.path()))
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn terminate(mut self) -> i32 {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        wait(&mut self.child, PATIENCE)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(data: &Path, listen: &str, flags: &[&str]) -> (Child, String) {
    let mut child = dropmate()
        .args(["up", "--listen", listen, "--admin-listen", "127.0.0.1:0", "--log-level", "warn", "--data-dir"])
        .arg(data)
        .args(flags)
        .stdout(Stdio::piped())
        .spawn()
        .expect("dropmate starts");
    let mut lines = BufReader::new(child.stdout.take().expect("standard output is piped"));
    let mut url = String::new();
    lines.read_line(&mut url).expect("the server prints its address");
    assert!(url.starts_with("https://"), "the first line is {url:?}");
    // Read on, or the server would block once the pipe is full.
    thread::spawn(move || lines.lines().map_while(Result::ok).for_each(drop));
    (child, url.trim().to_owned())
}

/// Waits for the end of a process, within limits.
pub(crate) fn wait(child: &mut Child, patience: Duration) -> i32 {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait().expect("the process can be waited for") {
            return status.code().unwrap_or(-1);
        }
        assert!(Instant::now() < deadline, "the process did not end within {patience:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Tries until it gives something, within limits.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not happen within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// A valid order as YAML.
pub(crate) fn order(name: &str) -> String {
    format!(
        "apiVersion: dropmate.dev/v1\n\
         kind: Order\n\
         metadata:\n  name: {name}\n  namespace: default\n\
         spec:\n\
         \x20 pickup:\n    address: 12 Mill St\n    location:\n      latitude: 43.6503\n      longitude: -79.3596\n\
         \x20 dropoff:\n    address: 88 Queens Quay\n    location:\n      latitude: 43.6405\n      longitude: -79.3760\n\
         \x20 recipient:\n    name: Ada\n"
    )
}
