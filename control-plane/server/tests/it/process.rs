//! The server as a process with a data dir of its own, and the real kubectl at it.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// A running server. Killed when it goes.
pub(crate) struct Server {
    child: Child,
    /// `https://127.0.0.1:PORT`.
    pub(crate) url: String,
    data_dir: PathBuf,
}

impl Server {
    /// Starts on a port of the system's choice.
    pub(crate) fn start(data_dir: &Path) -> Self {
        Self::start_at(data_dir, "127.0.0.1:0")
    }

    pub(crate) fn start_at(data_dir: &Path, listen: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dropmate-control-plane"))
            .args(["--listen", listen, "--admin-listen", "127.0.0.1:0", "--log", "warn", "--data-dir"])
            .arg(data_dir)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().to_owned();
        assert!(url.starts_with("https://127.0.0.1:"), "{url:?}");
        Self { child, url, data_dir: data_dir.to_owned() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.data_dir.join("admin.kubeconfig")
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// A server and kubectl, whose home is empty.
pub(crate) struct Shell {
    pub(crate) server: Server,
    pub(crate) home: TempDir,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Outcome {
    /// Standard output, if it went well.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// Standard error, if it did not.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        assert_ne!(self.code, 0, "{self:?}");
        self.err
    }
}

impl Shell {
    pub(crate) fn open() -> Self {
        let home = TempDir::new().unwrap();
        let server = Server::start(&home.path().join("data"));
        Self { server, home }
    }

    /// kubectl, with no flag that turns a check off.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.args(args).env("HOME", self.home.path()).env("KUBECONFIG", self.server.kubeconfig());
        command.env("KUBE_EDITOR", "sed -i s/priority:.0/priority:\\ 9/");
        command
    }

    pub(crate) fn kubectl(&self, args: &[&str]) -> Outcome {
        self.kubectl_with(args, "")
    }

    pub(crate) fn kubectl_with(&self, args: &[&str], input: &str) -> Outcome {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl 1.27 or later is in PATH: `make tools` says where to get it");
        let mut stdin = child.stdin.take().unwrap();
        // Small enough for the pipe, or read by kubectl before it writes.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        Outcome {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
