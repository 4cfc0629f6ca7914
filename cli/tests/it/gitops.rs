//! The repository of `manifests/gitops`, and the commands of its workflow as the workflow's file has them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Ended, Server, order, run};

/// A repository with the workflow, and what its settings say.
struct Repository {
    dir: TempDir,
    settings: BTreeMap<String, String>,
}

/// How a run of the workflow ended, and what it wrote into its summary.
struct Workflow {
    ended: Ended,
    summary: String,
}

impl Repository {
    fn new(server: &Server) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/gitops"), dir.path());
        let data = server.data.path();
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_dropmate"));
        let hash = run(Command::new("sha256sum").arg(&binary)).with_code(0).out.split(' ').next().unwrap().to_owned();
        let settings = [
            ("vars.DROPMATE_SERVER", server.url.clone()),
            ("vars.DROPMATE_CA", fs::read_to_string(data.join("tls/ca.crt")).unwrap()),
            ("vars.DROPMATE_BINARY_URL", format!("file://{}", binary.display())),
            ("vars.DROPMATE_BINARY_SHA256", hash),
            (
                "secrets.DROPMATE_TOKEN",
                fs::read_to_string(data.join("tokens/operator.token")).unwrap().trim().to_owned(),
            ),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value)).into();
        let repository = Self { dir, settings };
        repository.git(&["init", "-q", "-b", "main"]);
        repository.commit("Two tenants");
        repository
    }

    fn git(&self, args: &[&str]) {
        let mut command = Command::new("git");
        command.current_dir(self.dir.path()).env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.args(["-c", "user.name=Ann", "-c", "user.email=ann@shop.example", "-c", "commit.gpgsign=false"]);
        run(command.args(args)).with_code(0);
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    fn edit(&self, file: &str, edit: impl Fn(&str) -> String) {
        let path = self.dir.path().join("environments").join(file);
        let before = fs::read_to_string(&path).unwrap();
        let after = edit(&before);
        assert_ne!(before, after, "{file}");
        fs::write(path, after).unwrap();
    }

    /// What GitHub would run for that event, on a clean checkout of what was committed last.
    fn workflow(&self, event: &str) -> Workflow {
        let checkout = tempfile::tempdir().unwrap();
        self.git(&["clone", "-q", ".", checkout.path().to_str().unwrap()]);
        let temp = tempfile::tempdir().unwrap();
        let file = |name: &str| temp.path().join(name);
        for name in ["path", "env", "summary"] {
            fs::write(file(name), "").unwrap();
        }
        let text = fs::read_to_string(checkout.path().join(".github/workflows/deliveries.yml")).unwrap();
        let workflow: Value = serde_yaml::from_str(&text).unwrap();
        let job = &workflow["jobs"]["deliveries"];
        let (mut out, mut err, mut ran) = (String::new(), String::new(), 0);
        for step in job["steps"].as_array().unwrap() {
            let wanted = step["if"].as_str().is_none_or(|when| when == format!("github.event_name == '{event}'"));
            let Some(script) = step["run"].as_str().filter(|_| wanted) else { continue };
            ran += 1;
            let mut command = Command::new("bash");
            command.args(["--noprofile", "--norc", "-e", "-o", "pipefail", "-c", script]);
            command.current_dir(checkout.path()).stdin(Stdio::null()).env_clear().env("HOME", temp.path());
            for (name, value) in self.environment(&job["env"]).chain(self.environment(&step["env"])) {
                command.env(name, value);
            }
            let added = fs::read_to_string(file("env")).unwrap();
            command.envs(added.lines().filter_map(|line| line.split_once('=')));
            let paths = fs::read_to_string(file("path")).unwrap();
            let path = std::env::var("PATH").unwrap();
            command.env("PATH", paths.lines().chain([path.as_str()]).collect::<Vec<_>>().join(":"));
            command.env("RUNNER_TEMP", temp.path()).env("GITHUB_PATH", file("path")).env("GITHUB_ENV", file("env"));
            command.env("GITHUB_STEP_SUMMARY", file("summary"));
            let ended = run(&mut command);
            out += &ended.out;
            err += &ended.err;
            if ended.code != 0 {
                let ended = Ended { code: ended.code, out, err };
                return Workflow { ended, summary: fs::read_to_string(file("summary")).unwrap() };
            }
        }
        assert_eq!(ran, 3, "fetch, render, and what the event is for");
        Workflow { ended: Ended { code: 0, out, err }, summary: fs::read_to_string(file("summary")).unwrap() }
    }

    /// Variables, with what the settings say in the place of expressions.
    fn environment<'a>(&'a self, env: &'a Value) -> impl Iterator<Item = (String, String)> + 'a {
        env.as_object().into_iter().flatten().map(|(name, value)| {
            let value = value.as_str().unwrap();
            let expression = value.strip_prefix("${{ ").and_then(|value| value.strip_suffix(" }}"));
            let value = expression.map_or(value, |expression| self.settings[expression].as_str());
            (name.clone(), value.to_owned())
        })
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Every object of ours, with its version.
fn world(server: &Server) -> BTreeMap<String, String> {
    let args = ["get", "orders,drivers,depots,dispatchpolicies", "-A", "-o", "json"];
    let list: Value = serde_json::from_str(&server.run(&args).with_code(0).out).unwrap();
    let object = |item: &Value| {
        let text = |pointer| item.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
        let name = format!("{}/{}/{}", text("/metadata/namespace"), text("/kind"), text("/metadata/name"));
        (name, text("/metadata/resourceVersion"))
    };
    list["items"].as_array().unwrap().iter().map(object).collect()
}

#[test]
fn a_pull_request_shows_what_its_merge_then_does_and_nothing_else_is_touched() {
    let server = Server::start();
    let repository = Repository::new(&server);
    repository.workflow("push").ended.with_code(0);
    let first = world(&server);
    assert!(first.contains_key("corner-shop/Order/bakery-monday") && first.contains_key("night-kitchen/Driver/alex"));
    assert_eq!(first.len(), 9, "{first:?}");
    let unchanged = repository.workflow("pull_request");
    unchanged.ended.with_code(0);
    assert!(unchanged.summary.contains("Nothing would change."), "{}", unchanged.summary);

    // Others have objects in the same namespaces, and one they made anew under a name of the repository.
    let customers = order("customer-1").replace("namespace: default", "namespace: corner-shop");
    let path = server.data.path().join("theirs.yaml");
    fs::write(&path, customers).unwrap();
    server.kubectl(&["create", "-f", path.to_str().unwrap()]).with_code(0);
    server.run(&["delete", "order", "festival", "-n", "corner-shop"]).with_code(0);
    fs::write(&path, order("festival").replace("namespace: default", "namespace: corner-shop")).unwrap();
    server.kubectl(&["create", "-f", path.to_str().unwrap()]).with_code(0);
    let before = world(&server);

    repository.git(&["switch", "-q", "-c", "change"]);
    repository.edit("corner-shop/drivers.yaml", |text| text.replace("orders: 8", "orders: 9"));
    repository.edit("corner-shop/orders.yaml", |_| order("monday-2").replace("  namespace: default\n", ""));
    repository.edit("night-kitchen/kustomization.yaml", |text| text.replace("value: 1}", "value: 2}"));
    repository.commit("A second Monday");
    let request = repository.workflow("pull_request");
    request.ended.with_code(0);
    let changed: Vec<&str> = request.summary.lines().filter(|line| line.starts_with(['+', '-'])).collect();
    for line in [
        "-    orders: 8",
        "+    orders: 9",
        "-  maxOrdersPerTrip: 1",
        "+  maxOrdersPerTrip: 2",
        "+  name: monday-2",
        "-  name: bakery-monday",
    ] {
        assert!(changed.contains(&line), "{line} is not in:\n{}", request.summary);
    }
    assert!(!request.summary.contains("festival") || !changed.contains(&"-  name: festival"), "{}", request.summary);
    assert_eq!(world(&server), before, "a pull request changes nothing");

    repository.git(&["switch", "-q", "main"]);
    repository.git(&["merge", "-q", "--no-ff", "-m", "Merge", "change"]);
    let merged = repository.workflow("push").ended.with_code(0).out;
    assert!(merged.contains("order.dropmate.dev/bakery-monday pruned"), "{merged}");
    let after = world(&server);
    assert!(!after.contains_key("corner-shop/Order/bakery-monday"));
    assert!(after.contains_key("corner-shop/Order/monday-2"));
    for theirs in ["corner-shop/Order/customer-1", "corner-shop/Order/festival", "night-kitchen/Driver/alex"] {
        assert_eq!(after.get(theirs), before.get(theirs), "{theirs}");
    }
    let limit = ["get", "dispatchpolicy", "default", "-n", "night-kitchen", "-o", "jsonpath={.spec.maxOrdersPerTrip}"];
    assert_eq!(server.kubectl(&limit).with_code(0).out, "2");
    let again = repository.workflow("pull_request");
    assert!(again.summary.contains("Nothing would change."), "{}", again.summary);

    // A tenant leaves: what the repository put there goes, the namespace stays.
    repository.edit("kustomization.yaml", |text| text.replace("  - night-kitchen\n", ""));
    repository.commit("The night kitchen closes");
    repository.workflow("push").ended.with_code(0);
    let left = world(&server);
    assert!(left.keys().all(|name| name.starts_with("corner-shop/")), "{left:?}");
    server.run(&["get", "namespace", "night-kitchen"]).with_code(0);
}

#[test]
fn a_wrong_manifest_fails_the_pull_request_and_a_merge_of_it_deletes_nothing() {
    let server = Server::start();
    let repository = Repository::new(&server);
    repository.workflow("push").ended.with_code(0);
    let before = world(&server);
    repository.edit("corner-shop/drivers.yaml", |text| text.replace("bicycle", "rocket"));
    repository.edit("corner-shop/orders.yaml", |text| text.split("---\n").next().unwrap().to_owned());
    repository.commit("Faster");
    let request = repository.workflow("pull_request");
    request.ended.with_code(1);
    assert!(
        request.summary.contains("cannot be told") && request.summary.contains("spec.vehicle.type"),
        "{}",
        request.summary
    );
    let merged = repository.workflow("push").ended.with_code(1);
    assert!(merged.err.contains("nothing is pruned"), "{}", merged.err);
    assert_eq!(world(&server), before);
}

#[test]
fn a_program_that_is_not_the_one_of_the_settings_is_not_run() {
    let server = Server::start();
    let mut repository = Repository::new(&server);
    repository.settings.insert("vars.DROPMATE_BINARY_SHA256".to_owned(), "0".repeat(64));
    repository.workflow("push").ended.with_code(1);
    assert_eq!(world(&server).len(), 0);
}
