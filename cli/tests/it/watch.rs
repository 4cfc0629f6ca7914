//! The board on a real pseudo-terminal, made by `script` (util-linux).

use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::json;

use crate::{
    fake::Fake,
    support::{PATIENCE, Server, eventually, order, run, wait},
};

/// What leaves the second screen.
const LEFT: &str = "\u{1b}[?1049l";

struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<String>>,
}

impl Terminal {
    /// The board of a server, every namespace.
    fn open(server: &Server) -> Self {
        let kubeconfig = server.kubeconfig();
        Self::run(server.data.path(), &format!("--kubeconfig {} watch -A", kubeconfig.display()))
    }

    /// Runs dropmate in a terminal, and tells the terminal's settings after it.
    fn run(dir: &Path, args: &str) -> Self {
        let line = format!(
            "stty rows 40 cols 120; sh -c 'echo $$ > {}/board.pid; exec {} {args}'; echo ended with $?; stty -a",
            dir.display(),
            env!("CARGO_BIN_EXE_dropmate"),
        );
        let mut child = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`script` of util-linux is installed");
        let (keys, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let screen = Arc::new(Mutex::new(String::new()));
        let written = screen.clone();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                written.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        });
        Self { child, keys, screen }
    }

    fn shows(&self, text: &str) {
        let seen = || self.screen.lock().unwrap().contains(text).then_some(());
        eventually(&format!("{text:?} on the screen"), seen);
    }

    fn ended_well(mut self) {
        assert_eq!(wait(&mut self.child, PATIENCE), 0);
        self.shows("ended with 0");
        self.shows(LEFT);
        // Lines and echo, as a shell needs them.
        let screen = self.screen.lock().unwrap();
        let (_, settings) = screen.rsplit_once("ended with 0").unwrap();
        let words: Vec<&str> = settings.split_whitespace().collect();
        assert!(words.contains(&"icanon") && words.contains(&"echo"), "{settings}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended already; what runs in it ends with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_board_shows_what_happens_and_q_gives_the_terminal_back() {
    let server = Server::start();
    server.apply("o.yaml", order("first").as_bytes(), &[]).with_code(0);
    let mut terminal = Terminal::open(&server);
    terminal.shows("default/first");
    server.apply("o.yaml", order("second").as_bytes(), &[]).with_code(0);
    terminal.shows("default/second");
    // Blanks that were blank before are not drawn again.
    terminal.shows("new,");
    terminal.keys.write_all(b"q").unwrap();
    terminal.ended_well();
}

#[test]
fn the_board_outlives_the_server_and_goes_on_where_it_was() {
    let mut server = Server::start();
    server.apply("o.yaml", order("first").as_bytes(), &[]).with_code(0);
    let mut terminal = Terminal::open(&server);
    terminal.shows("default/first");
    server.kill_and_restart(&["--agents", "none"]);
    terminal.shows("reconnecting");
    server.apply("o.yaml", order("second").as_bytes(), &[]).with_code(0);
    terminal.shows("default/second");
    // Escape ends it as well.
    terminal.keys.write_all(b"\x1b").unwrap();
    terminal.ended_well();
}

#[test]
fn sigterm_gives_the_terminal_back() {
    let server = Server::start();
    let terminal = Terminal::open(&server);
    terminal.shows("Open orders");
    let pid = std::fs::read_to_string(server.data.path().join("board.pid")).unwrap();
    run(Command::new("kill").args(["-TERM", pid.trim()])).with_code(0);
    terminal.ended_well();
}

#[test]
fn a_list_that_expires_between_its_pages_is_begun_anew() {
    let mut pages = Vec::new();
    let fake = Fake::start(move |_, path| {
        let stop = json!({"address": "1 Main St", "location": {"latitude": 43.0, "longitude": -79.0}});
        let page = |name: &str, next: &str| {
            let spec = json!({"pickup": stop, "dropoff": stop, "recipient": {"name": "Ada"}});
            let order = json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec});
            (200, json!({"metadata": {"resourceVersion": "7", "continue": next}, "items": [order]}).to_string())
        };
        if path == "/v1/clock" {
            let now = "2026-05-01T12:00:00Z";
            return (200, json!({"systemNow": now, "businessNow": now, "speed": 1.0}).to_string());
        }
        if path.contains("watch=true") || !path.contains("/orders?") {
            return (200, json!({"metadata": {"resourceVersion": "7"}, "items": []}).to_string());
        }
        pages.push(path.contains("continue="));
        match &pages[..] {
            [_] => page("lost", "t"),
            [_, _] => (410, json!({"kind": "Status", "code": 410, "reason": "Expired"}).to_string()),
            [_, _, again] => {
                assert!(!again, "the third request begins anew");
                page("early", "t")
            }
            _ => page("late", ""),
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::run(dir.path(), &format!("--server {} --token x -n default watch", fake.url));
    terminal.shows("early");
    terminal.shows("late");
    assert!(!terminal.screen.lock().unwrap().contains("lost"));
    terminal.keys.write_all(b"q").unwrap();
    terminal.ended_well();
}

#[test]
fn without_a_terminal_the_way_for_a_pipe_is_told() {
    let server = Server::start();
    let ended = server.run(&["watch"]).with_code(2);
    assert!(ended.err.contains("dropmate get orders -w"), "{}", ended.err);
    assert_eq!(ended.out, "");
}
