//! The agents, as processes.

use std::{fs::File, path::PathBuf, process::Stdio, time::Duration};

use tokio::process::{Child, Command};

/// What all of them are given.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Where logs go, and where the control plane's data dir is.
    pub(crate) folder: PathBuf,
    pub(crate) flags: Vec<String>,
}

/// Agents that run, one in each place.
pub(crate) struct Fleet {
    setup: Setup,
    agents: Vec<Child>,
    pub(crate) kills: usize,
}

impl Fleet {
    pub(crate) fn start(setup: Setup, count: usize) -> Self {
        let agents = (0..count).map(|place| spawn(&setup, place)).collect();
        Self { setup, agents, kills: 0 }
    }

    /// SIGKILL to one of them, and another in its place at once.
    pub(crate) async fn kill(&mut self, place: usize) {
        let agent = &mut self.agents[place];
        // One that ended by itself was not killed, and should not have ended.
        if let Ok(Some(status)) = agent.try_wait() {
            panic!("agent {place} ended by itself: {status}; see {}", self.setup.folder.display());
        }
        agent.kill().await.unwrap();
        self.kills += 1;
        self.agents[place] = spawn(&self.setup, place);
    }

    pub(crate) fn len(&self) -> usize {
        self.agents.len()
    }

    /// SIGTERM to all of them; each must end well.
    pub(crate) async fn end(mut self) {
        let pids: Vec<i32> = self.agents.iter().filter_map(|agent| i32::try_from(agent.id()?).ok()).collect();
        dropmate_testing::signal("TERM", &pids);
        for agent in &mut self.agents {
            let status = tokio::time::timeout(Duration::from_secs(30), agent.wait()).await;
            let status = status.expect("an agent ends in time").unwrap();
            assert_eq!(status.code(), Some(0), "an agent ends well");
        }
    }
}

fn spawn(setup: &Setup, place: usize) -> Child {
    let log = setup.folder.join(format!("agent-{place}.log"));
    let log = File::options().create(true).append(true).open(log).unwrap();
    Command::new(env!("CARGO_BIN_EXE_dropmate-notification"))
        .args(&setup.flags)
        .args(["--admin-listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}
