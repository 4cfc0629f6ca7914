//! `apply --prune`: what left the manifests goes, and nothing else ever.

use std::{fs, thread, time::Duration};

use serde_json::Value;

use crate::support::{Ended, PATIENCE, Server, eventually, order, wait};

const LABEL: &str = "applyset.kubernetes.io/part-of";

/// A directory of manifests, one file an order.
struct Shop<'s> {
    server: &'s Server,
    dir: String,
}

impl<'s> Shop<'s> {
    fn new(server: &'s Server, name: &str, orders: &[&str]) -> Self {
        let dir = server.data.path().join(name);
        fs::create_dir(&dir).unwrap();
        let shop = Self { server, dir: dir.display().to_string() };
        for name in orders {
            shop.write(name, &order(name));
        }
        shop
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(format!("{}/{name}.yaml", self.dir), text).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(format!("{}/{name}.yaml", self.dir)).unwrap();
    }

    fn apply(&self, flags: &[&str]) -> Ended {
        self.server.run(&[&["apply", "-f", &self.dir, "--prune", "--applyset", "shop"], flags].concat())
    }
}

impl Server {
    fn orders(&self) -> Vec<String> {
        let out = self.run(&["get", "orders", "-o", "name"]).with_code(0).out;
        out.lines().map(|line| line.replace("order.dropmate.dev/", "")).collect()
    }

    fn set(&self, name: &str) -> Value {
        serde_json::from_str(&self.run(&["get", "applyset", name, "-o", "json"]).with_code(0).out).unwrap()
    }
}

#[test]
fn what_left_the_manifests_goes_and_what_others_made_stays() {
    let server = Server::start();
    server.apply("mine.yaml", order("mine").as_bytes(), &[]).with_code(0);
    let shop = Shop::new(&server, "shop", &["o-1", "o-2"]);
    shop.apply(&[]).with_code(0);
    assert_eq!(server.set("shop")["status"]["members"], 2);
    shop.remove("o-2");

    let dry = shop.apply(&["--dry-run=server"]).with_code(0).out;
    assert_eq!(
        dry,
        "order.dropmate.dev/o-1 unchanged (server dry run)\norder.dropmate.dev/o-2 pruned (server dry run)\n"
    );
    let diff = server.run(&["diff", "-f", &shop.dir, "--prune", "--applyset", "shop"]).with_code(1).out;
    assert!(diff.contains("--- live/default/order.dropmate.dev/o-2\n+++ /dev/null\n"), "{diff}");
    assert_eq!(server.orders(), ["mine", "o-1", "o-2"]);

    let pruned = shop.apply(&[]).with_code(0).out;
    assert_eq!(pruned, "order.dropmate.dev/o-1 unchanged\norder.dropmate.dev/o-2 pruned\n");
    assert_eq!(server.orders(), ["mine", "o-1"]);
    let again = shop.apply(&[]).with_code(0).out;
    assert_eq!(again, "order.dropmate.dev/o-1 unchanged\n");
}

#[test]
fn without_prune_nothing_goes_and_the_set_does_not_forget() {
    let server = Server::start();
    let shop = Shop::new(&server, "shop", &["o-1", "o-2"]);
    shop.apply(&[]).with_code(0);
    shop.remove("o-2");
    server.run(&["apply", "-f", &shop.dir, "--applyset", "shop"]).with_code(0);
    server.run(&["apply", "-f", &shop.dir]).with_code(0);
    assert_eq!(server.orders(), ["o-1", "o-2"]);
    shop.apply(&[]).with_code(0);
    assert_eq!(server.orders(), ["o-1"]);
    // Applied by itself it stayed a member.
    shop.remove("o-1");
    shop.apply(&["--allow-empty"]).with_code(0);
    assert_eq!(server.orders(), [""; 0]);
}

#[test]
fn an_object_that_somebody_made_anew_stays_even_with_the_label() {
    let server = Server::start();
    let shop = Shop::new(&server, "shop", &["o-1", "copied", "anew"]);
    shop.apply(&[]).with_code(0);
    let copy = server.run(&["get", "order", "copied", "-o", "yaml"]).with_code(0).out;
    assert!(copy.contains(LABEL), "{copy}");
    server.run(&["delete", "order", "copied", "anew"]).with_code(0);
    let path = server.data.path().join("copy.yaml");
    fs::write(
        &path,
        copy.lines().filter(|l| !l.contains("resourceVersion") && !l.contains("uid")).collect::<Vec<_>>().join("\n"),
    )
    .unwrap();
    server.kubectl(&["create", "-f", path.to_str().unwrap()]).with_code(0);
    fs::write(&path, order("anew")).unwrap();
    server.kubectl(&["create", "-f", path.to_str().unwrap()]).with_code(0);

    shop.remove("copied");
    shop.remove("anew");
    let ended = shop.apply(&[]).with_code(0);
    assert_eq!(server.orders(), ["anew", "copied", "o-1"]);
    assert!(ended.err.contains("order.dropmate.dev/copied") && ended.err.contains("left alone"), "{}", ended.err);
}

#[test]
fn after_an_error_nothing_goes() {
    let server = Server::start();
    let shop = Shop::new(&server, "shop", &["o-1", "o-2"]);
    shop.apply(&[]).with_code(0);
    shop.remove("o-2");
    let wrongs = [
        order("bad").replace("43.6405", "91"),
        "kind: [".to_owned(),
        order("bad").replace("kind: Order", "kind: Odrer"),
    ];
    for wrong in wrongs {
        shop.write("bad", &wrong);
        let ended = shop.apply(&[]).with_code(1);
        assert!(ended.err.contains("nothing is pruned"), "{}", ended.err);
        assert_eq!(server.orders(), ["o-1", "o-2"]);
    }
    shop.remove("bad");
    shop.apply(&[]).with_code(0);
    assert_eq!(server.orders(), ["o-1"]);
}

#[test]
fn no_manifests_at_all_are_taken_for_a_mistake() {
    let server = Server::start();
    let shop = Shop::new(&server, "shop", &["o-1"]);
    shop.apply(&[]).with_code(0);
    shop.remove("o-1");
    shop.apply(&[]).with_code(2);
    shop.write("ns", "apiVersion: v1\nkind: Namespace\nmetadata: {name: acme}\n");
    let refused = shop.apply(&[]).with_code(1);
    assert!(refused.err.contains("--allow-empty"), "{}", refused.err);
    assert_eq!(server.orders(), ["o-1"]);
    shop.remove("ns");
    shop.apply(&["--allow-empty"]).with_code(0);
    assert_eq!(server.orders(), [""; 0]);
}

#[test]
fn a_member_of_one_set_is_neither_taken_nor_deleted_by_another() {
    let server = Server::start();
    let shop = Shop::new(&server, "shop", &["o-1", "shared"]);
    shop.apply(&[]).with_code(0);
    let other = Shop::new(&server, "other", &["o-2"]);
    let apply_other = || server.run(&["apply", "-f", &other.dir, "--prune", "--applyset", "other"]);
    apply_other().with_code(0);
    assert_eq!(server.orders(), ["o-1", "o-2", "shared"]);
    other.write("shared", &order("shared"));
    let refused = apply_other().with_code(1);
    assert!(refused.err.contains("member of another ApplySet"), "{}", refused.err);
    other.remove("shared");
    apply_other().with_code(0);
    assert_eq!(server.orders(), ["o-1", "o-2", "shared"]);
}

#[test]
fn an_object_with_a_finalizer_waits_for_it_and_goes_later() {
    let server = Server::start();
    let shop = Shop::new(&server, "shop", &["o-1", "o-2"]);
    shop.apply(&[]).with_code(0);
    let finalizers = |list: &str| {
        let patch = format!(r#"{{"metadata":{{"finalizers":{list}}}}}"#);
        server.kubectl(&["patch", "order", "o-2", "--type", "merge", "-p", &patch]).with_code(0);
    };
    finalizers(r#"["shop.example/receipt"]"#);
    shop.remove("o-2");
    for _ in 0..2 {
        let ended = shop.apply(&[]).with_code(0);
        assert!(ended.out.contains("order.dropmate.dev/o-2 pruned, waits for shop.example/receipt"), "{}", ended.out);
        assert_eq!(server.orders(), ["o-1", "o-2"]);
    }
    finalizers("[]");
    assert_eq!(server.orders(), ["o-1"]);
}

#[test]
fn a_run_that_was_killed_loses_nothing() {
    let server = Server::start();
    let names: Vec<String> = (0..300).map(|index| format!("o-{index:03}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let shop = Shop::new(&server, "shop", &names);
    let mut run = server.dropmate(&["apply", "-f", &shop.dir, "--prune", "--applyset", "shop"]);
    let mut run = run.stdout(std::process::Stdio::null()).spawn().unwrap();
    while server.orders().len() < 20 {
        assert!(run.try_wait().unwrap().is_none(), "it is to be killed before its end");
        thread::sleep(Duration::from_millis(5));
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let there = server.orders();
    assert!(there.len() < 300);
    // Everything that went in before is known to be the set's, with the kinds to look for.
    let set = server.set("shop");
    assert_eq!(set["metadata"]["annotations"]["applyset.kubernetes.io/contains-group-kinds"], "Order.dropmate.dev");
    let kept = there[0].as_str();
    for name in names.iter().filter(|name| **name != kept) {
        shop.remove(name);
    }
    // A person who knows that the run is dead need not wait for its hold to run out.
    let patch = ["patch", "applyset", "shop", "--type", "merge", "-p", r#"{"spec":{"run":null}}"#];
    server.kubectl(&patch).with_code(0);
    shop.apply(&[]).with_code(0);
    assert_eq!(server.orders(), [kept]);
}

#[test]
fn a_second_run_waits_for_the_first() {
    let server = Server::start();
    let shop = Shop::new(&server, "shop", &["o-1"]);
    shop.apply(&[]).with_code(0);
    let held = r#"{"spec":{"run":{"id":"first","holder":"ann@laptop"}}}"#;
    server.kubectl(&["patch", "applyset", "shop", "--type", "merge", "-p", held]).with_code(0);
    shop.write("o-2", &order("o-2"));
    let second = thread::scope(|scope| {
        let second = scope.spawn(|| shop.apply(&[]));
        thread::sleep(Duration::from_secs(2));
        assert!(!second.is_finished());
        assert_eq!(server.orders(), ["o-1"]);
        server
            .kubectl(&["patch", "applyset", "shop", "--type", "merge", "-p", r#"{"spec":{"run":null}}"#])
            .with_code(0);
        second.join().unwrap()
    });
    let second = second.with_code(0);
    assert!(second.err.contains("waiting for the run of ann@laptop"), "{}", second.err);
    assert_eq!(server.orders(), ["o-1", "o-2"]);
}

#[test]
fn an_interrupted_run_lets_the_next_one_in_at_once() {
    let server = Server::start();
    let shop = Shop::new(&server, "shop", &["o-1"]);
    shop.apply(&[]).with_code(0);
    let mut run = server.dropmate(&["apply", "-f", "-", "--applyset", "shop"]);
    let mut run = run.stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(run.stdin.as_mut().unwrap(), (order("o-2") + "---\n").as_bytes()).unwrap();
    eventually("the run has the set", || server.set("shop")["spec"]["run"].is_object().then_some(()));
    assert!(std::process::Command::new("kill").args(["-INT", &run.id().to_string()]).status().unwrap().success());
    assert_eq!(wait(&mut run, PATIENCE), 2);
    assert_eq!(server.set("shop")["spec"].get("run"), None);
}

#[test]
fn many_runs_at_once_end_as_the_last_of_them_says() {
    let server = Server::start();
    let shops: Vec<Shop<'_>> =
        (0..4).map(|index| Shop::new(&server, &format!("shop-{index}"), &["all", &format!("o-{index}")])).collect();
    thread::scope(|scope| {
        for shop in &shops {
            scope.spawn(|| shop.apply(&[]).with_code(0));
        }
    });
    let left = server.orders();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(left[0], "all");
    assert_eq!(server.set("shop")["spec"].get("run"), None);
}

#[test]
fn a_set_of_another_program_and_a_hand_made_label_are_refused() {
    let server = Server::start();
    let shop = Shop::new(&server, "shop", &["o-1"]);
    shop.apply(&[]).with_code(0);
    let theirs = "applyset.kubernetes.io/tooling=kubectl/v1.32.0";
    server.kubectl(&["annotate", "applyset", "shop", "--overwrite", theirs]).with_code(0);
    let refused = shop.apply(&[]).with_code(1);
    assert!(refused.err.contains("kubectl/v1.32.0"), "{}", refused.err);
    server.run(&["diff", "-f", &shop.dir, "--prune", "--applyset", "shop"]).with_code(2);

    let text = order("o-2").replace("  namespace:", &format!("  labels: {{{LABEL}: x}}\n  namespace:"));
    let refused = server.apply("o.yaml", text.as_bytes(), &[]).with_code(1);
    assert!(refused.err.contains("o.yaml:5") && refused.err.contains("--applyset"), "{}", refused.err);
}

#[test]
fn kubectl_prunes_its_own_and_not_what_a_set_holds() {
    let server = Server::start();
    let shop = Shop::new(&server, "shop", &["o-1"]);
    shop.apply(&[]).with_code(0);
    let dir = server.data.path().join("theirs");
    fs::create_dir(&dir).unwrap();
    let labelled = |name: &str| order(name).replace("  namespace:", "  labels: {batch: monday}\n  namespace:");
    fs::write(dir.join("a.yaml"), labelled("theirs-1") + "---\n" + &labelled("theirs-2")).unwrap();
    let apply = [
        "apply",
        "-f",
        dir.to_str().unwrap(),
        "--prune",
        "-l",
        "batch=monday",
        "--prune-allowlist",
        "dropmate.dev/v1/Order",
        "-n",
        "default",
    ];
    server.kubectl(&apply).with_code(0);
    fs::write(dir.join("a.yaml"), labelled("theirs-1")).unwrap();
    let ended = server.kubectl(&apply).with_code(0);
    assert!(ended.out.contains("theirs-2 pruned"), "{}\n{}", ended.out, ended.err);
    assert_eq!(server.orders(), ["o-1", "theirs-1"]);
    shop.apply(&[]).with_code(0);
    assert_eq!(server.orders(), ["o-1", "theirs-1"]);
}
