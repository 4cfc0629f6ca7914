use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    sync::mpsc,
    thread,
};

use serde_json::{Value, json};

use crate::{
    fake::Fake,
    support::{PATIENCE, Server, dropmate, eventually, examples, order, run},
};

#[test]
fn objects_are_shown_as_a_table_by_any_name_of_their_kind() {
    let server = Server::start();
    server.apply("o.yaml", order("o-1").as_bytes(), &[]).with_code(0);
    for kind in ["orders", "order", "ord", "orders.dropmate.dev"] {
        let table = server.run(&["get", kind]).with_code(0).out;
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].starts_with("NAME "), "{table}");
        assert!(lines[0].contains("PHASE") && lines[0].ends_with("AGE"), "{table}");
        assert!(lines[1].starts_with("o-1 "), "{table}");
    }
}

#[test]
fn the_table_is_the_one_kubectl_prints() {
    let server = Server::start();
    server.run(&["apply", "-f", examples().to_str().unwrap()]).with_code(0);
    for kind in ["orders", "drivers", "depots"] {
        let ours = server.run(&["get", kind, "-n", "corner-shop"]).with_code(0).out;
        let theirs = server.kubectl(&["get", kind, "-n", "corner-shop"]).with_code(0).out;
        let without_age = |table: &str| -> Vec<String> {
            table.lines().map(|line| line.rsplit_once(' ').unwrap().0.trim_end().to_owned()).collect()
        };
        assert_eq!(without_age(&ours), without_age(&theirs));
    }
}

#[test]
fn objects_come_as_json_yaml_and_names() {
    let server = Server::start();
    server.run(&["apply", "-f", examples().to_str().unwrap()]).with_code(0);
    let list: Value =
        serde_json::from_str(&server.run(&["get", "orders", "-n", "corner-shop", "-o", "json"]).out).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 6);
    assert_eq!(list["items"][0]["kind"], "Order");
    let yaml = server.run(&["get", "order", "o-1001", "-n", "corner-shop", "-o", "yaml"]).with_code(0).out;
    assert!(yaml.starts_with("apiVersion: dropmate.dev/v1\n"), "{yaml}");
    let names = server.run(&["get", "drivers", "-A", "-l", "team=evening", "-o", "name"]).with_code(0).out;
    assert_eq!(names, "driver.dropmate.dev/kim\n");
    let selected = server.run(&["get", "orders", "-A", "--field-selector", "spec.driverName=kim", "-o", "name"]).out;
    assert_eq!(selected, "order.dropmate.dev/o-1005\n");
}

#[test]
fn exit_codes_tell_no_from_cannot_tell() {
    let server = Server::start();
    let missing = server.run(&["get", "order", "nowhere"]).with_code(1);
    assert!(missing.err.contains("orders.dropmate.dev \"nowhere\" not found"), "{}", missing.err);
    server.run(&["get", "nothings"]).with_code(1);
    server.run(&["get", "orders"]).with_code(0);

    let unreachable = ["--server", "https://127.0.0.1:1", "--token", "x", "get", "orders"];
    let ended = run(dropmate().args(unreachable)).with_code(2);
    assert!(ended.err.contains("cannot reach https://127.0.0.1:1"), "{}", ended.err);
    let stranger = run(server.dropmate(&["--token", "wrong", "get", "orders"]).env("NO_COLOR", "1")).with_code(2);
    assert!(stranger.err.contains("does not know this caller"), "{}", stranger.err);
    run(dropmate().args(["get", "orders", "--data-dir-does-not-exist"])).with_code(2);
}

#[test]
fn output_to_a_pipe_has_no_colours() {
    let server = Server::start();
    let ended = server.apply("o.yaml", order("o-1").as_bytes(), &[]).with_code(0);
    assert!(!ended.out.contains('\u{1b}'));
    assert!(!server.run(&["get", "order", "nowhere"]).err.contains('\u{1b}'));
}

#[test]
fn a_watch_goes_on_over_a_kill_of_the_server_without_a_gap() {
    let mut server = Server::start();
    server.apply("o.yaml", order("first").as_bytes(), &[]).with_code(0);

    let mut watch = server.dropmate(&["get", "orders", "-w", "-o", "name"]).stdout(Stdio::piped()).spawn().unwrap();
    let (sender, seen) = mpsc::channel();
    let lines = BufReader::new(watch.stdout.take().unwrap());
    thread::spawn(move || lines.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    let next = || seen.recv_timeout(PATIENCE).expect("the watch goes on");
    assert_eq!(next(), "order.dropmate.dev/first");

    server.apply("o.yaml", order("second").as_bytes(), &[]).with_code(0);
    assert_eq!(next(), "order.dropmate.dev/second");
    server.kill_and_restart(&["--agents", "none"]);
    server.apply("o.yaml", order("third").as_bytes(), &[]).with_code(0);
    server.apply("o.yaml", order("fourth").as_bytes(), &[]).with_code(0);
    // Neither the second again nor the third left out.
    assert_eq!([next(), next()], ["order.dropmate.dev/third", "order.dropmate.dev/fourth"]);

    watch.kill().unwrap();
    watch.wait().unwrap();
}

#[test]
fn a_watch_whose_history_is_gone_lists_again_and_says_so() {
    let mut lists = 0;
    let fake = Fake::start(move |_, path| {
        let item = |name: &str| json!({"metadata": {"name": name, "resourceVersion": "9"}});
        if path == "/apis/dropmate.dev/v1" {
            let orders = json!({"name": "orders", "singularName": "order", "namespaced": true, "kind": "Order"});
            return (200, json!({ "resources": [orders] }).to_string());
        }
        if path.contains("watch=true") && path.ends_with("&resourceVersion=1") {
            return (200, json!({"type": "ERROR", "object": {"code": 410, "reason": "Expired"}}).to_string() + "\n");
        }
        if path.contains("watch=true") {
            return (403, json!({"kind": "Status", "code": 403, "message": "that is all"}).to_string());
        }
        lists += 1;
        let items = if lists == 1 { vec![item("o-1")] } else { vec![item("o-1"), item("o-2")] };
        (200, json!({"metadata": {"resourceVersion": lists.to_string()}, "items": items}).to_string())
    });
    let mut command = dropmate();
    command.args(["--server", &fake.url, "--token", "x", "-n", "default", "get", "orders", "-w", "-o", "name"]);
    let ended = run(&mut command).with_code(1);
    let (first, again) = ("order.dropmate.dev/o-1\n", "order.dropmate.dev/o-1\norder.dropmate.dev/o-2\n");
    assert_eq!(ended.out, [first, again].concat());
    assert!(ended.err.contains("listing again") && ended.err.contains("that is all"), "{}", ended.err);
}

#[test]
fn an_order_is_described_and_its_binding_explained() {
    // Faster than life, and with drivers who move: a binding waits until somebody has to leave for it.
    let server = Server::start_with(&["--speed", "60", "--simulate-drivers"]);
    server.run(&["apply", "-f", examples().to_str().unwrap()]).with_code(0);
    let explained = eventually("a binding", || {
        let ended = server.run(&["explain", "order", "o-1001", "-n", "corner-shop"]).with_code(0);
        ended.out.contains("chosen").then_some(ended.out)
    });
    assert!(explained.contains("cheapest of"), "{explained}");
    let json = server.run(&["explain", "order/o-1001", "-n", "corner-shop", "-o", "json"]).with_code(0);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert!(json["driver"].is_string(), "{json}");

    let described = server.run(&["describe", "order", "o-1001", "-n", "corner-shop"]).with_code(0).out;
    for part in ["Name: o-1001", "Spec:", "Progress:", "Stops:", "Events:"] {
        assert!(described.contains(part), "{part} is not in:\n{described}");
    }
    let held = server.run(&["explain", "order", "o-1006", "-n", "corner-shop"]).with_code(0).out;
    assert!(held.contains("on hold"), "{held}");
}

#[test]
fn versions_of_client_and_server_are_told() {
    let server = Server::start();
    let ended = server.run(&["version", "-o", "json"]).with_code(0);
    let json: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(json["client"], env!("CARGO_PKG_VERSION"));
    assert!(json["server"]["gitVersion"].is_string(), "{json}");
    run(dropmate().args(["version", "--client"])).with_code(0);
}
