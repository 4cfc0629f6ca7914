//! Cordon, uncordon and drain.

use serde_json::{Value, json};

use crate::{
    fake::Fake,
    support::{Server, dropmate, order, run},
};

const WHEN: &str = "2026-01-05T10:00:00Z";

fn driver(name: &str) -> String {
    format!(
        "apiVersion: dropmate.dev/v1\nkind: Driver\nmetadata: {{name: {name}, namespace: default, labels: {{team: evening}}}}\n\
         spec: {{displayName: {name}}}\n---\n"
    )
}

/// A server with sam and kim, and a test in the place of the dispatch agent.
struct Shop {
    server: Server,
    fence: Value,
}

impl Shop {
    fn open() -> Self {
        let server = Server::start();
        server.apply("drivers.yaml", (driver("sam") + &driver("kim")).as_bytes(), &[]).with_code(0);
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "dispatch", "namespace": "dropmate-system"},
            "spec": {"holderIdentity": "test", "leaseTransitions": 1, "leaseDurationSeconds": 3600},
        });
        server.apply("lease.json", lease.to_string().as_bytes(), &[]).with_code(0);
        let uid =
            server.kubectl(&["get", "lease", "dispatch", "-n", "dropmate-system", "-o", "jsonpath={.metadata.uid}"]);
        let fence = json!({"lease": "dispatch", "leaseUid": uid.out, "holder": "test", "transitions": 1});
        Self { server, fence }
    }

    fn post(&self, order: &str, subresource: &str, body: &Value, as_dispatch: bool) {
        let file = self.server.data.path().join("body.json");
        std::fs::write(&file, body.to_string()).unwrap();
        let path = format!("/apis/dropmate.dev/v1/namespaces/default/orders/{order}/{subresource}");
        let token = std::fs::read_to_string(self.server.data.path().join("tokens/dispatch.token")).unwrap();
        let mut args = vec!["create", "--raw", &path, "-f", file.to_str().unwrap()];
        if as_dispatch {
            args.extend(["--token", token.trim()]);
        }
        self.server.kubectl(&args).with_code(0);
    }

    /// A new order, bound to the driver, for which the driver has reported that.
    fn bound(&self, name: &str, driver: &str, more: &str, reports: &[&str]) {
        self.server.apply("o.yaml", (order(name) + more).as_bytes(), &[]).with_code(0);
        let release = json!({"clientEventId": "r", "type": "release", "occurredAt": WHEN, "fence": self.fence});
        self.post(name, "progress", &release, true);
        let binding = json!({
            "apiVersion": "dropmate.dev/v1", "kind": "Binding", "metadata": {"name": name},
            "target": {"kind": "Driver", "name": driver}, "fence": self.fence,
        });
        self.post(name, "binding", &binding, true);
        for (index, report) in reports.iter().enumerate() {
            let report = json!({"clientEventId": index.to_string(), "type": report, "occurredAt": WHEN});
            self.post(name, "progress", &report, false);
        }
    }

    /// Phase and driver of every order.
    fn orders(&self) -> Vec<String> {
        let path = "jsonpath={range .items[*]}{.metadata.name} {.status.phase} {.status.driverName}{\"\\n\"}{end}";
        let listed = self.server.kubectl(&["get", "orders", "-o", path]).with_code(0);
        listed.out.lines().map(|line| line.trim().to_owned()).collect()
    }

    fn suspended(&self, driver: &str) -> bool {
        let path = "jsonpath={.spec.suspended}";
        self.server.kubectl(&["get", "driver", driver, "-o", path]).with_code(0).out == "true"
    }
}

#[test]
fn a_driver_is_cordoned_and_uncordoned_and_told_if_it_was_so_already() {
    let shop = Shop::open();
    let run = |args: &[&str]| shop.server.run(args).with_code(0).out;
    assert_eq!(run(&["cordon", "sam", "--dry-run=server"]), "driver/sam cordoned (server dry run)\n");
    assert!(!shop.suspended("sam"));
    assert_eq!(run(&["cordon", "driver", "sam", "kim"]), "driver/sam cordoned\ndriver/kim cordoned\n");
    assert!(shop.suspended("sam") && shop.suspended("kim"));
    assert_eq!(run(&["cordon", "driver/sam"]), "driver/sam already cordoned\n");
    assert_eq!(run(&["uncordon", "-l", "team=evening"]), "driver/kim uncordoned\ndriver/sam uncordoned\n");
    assert!(!shop.suspended("sam") && !shop.suspended("kim"));
    assert_eq!(run(&["uncordon", "sam"]), "driver/sam already uncordoned\n");
}

#[test]
fn an_unknown_driver_is_a_no_and_the_others_are_cordoned() {
    let shop = Shop::open();
    let ended = shop.server.run(&["cordon", "nobody", "sam"]).with_code(1);
    assert!(ended.err.contains("\"nobody\" not found"), "{}", ended.err);
    assert!(shop.suspended("sam"));
    let ended = shop.server.run(&["drain", "driver", "nobody"]).with_code(1);
    assert!(ended.err.contains("\"nobody\" not found"), "{}", ended.err);
    let ended = shop.server.run(&["uncordon", "-l", "team=day"]).with_code(1);
    assert!(ended.err.contains("no driver in default has labels \"team=day\""), "{}", ended.err);
    let ended = shop.server.run(&["cordon", "order/o-1"]).with_code(1);
    assert!(ended.err.contains("only drivers are meant"), "{}", ended.err);
}

#[test]
fn draining_takes_away_what_was_not_picked_up_and_leaves_the_rest() {
    let shop = Shop::open();
    shop.bound("assigned", "sam", "", &[]);
    shop.bound("fetched", "sam", "", &["depart", "arrive", "pickUp"]);
    shop.bound("of-kim", "kim", "", &[]);
    shop.bound("on-the-way", "sam", "", &["depart"]);
    shop.bound("pinned", "sam", "  driverName: sam\n", &[]);
    shop.bound("there", "sam", "", &["depart", "arrive"]);
    shop.bound("done", "sam", "", &["depart", "arrive", "pickUp", "arrive", "deliver"]);
    let before = shop.orders();

    let dry = shop.server.run(&["drain", "driver", "sam", "--dry-run=server"]).with_code(0).out;
    assert!(dry.contains("order/assigned unbound (server dry run)\n"), "{dry}");
    assert_eq!(shop.orders(), before);
    assert!(!shop.suspended("sam"));

    let ended = shop.server.run(&["drain", "driver", "sam", "--reason", "flat tyre"]).with_code(0);
    assert_eq!(
        shop.orders(),
        [
            "assigned Ready",
            "done Delivered sam",
            "fetched OutForDelivery sam",
            "of-kim Assigned kim",
            "on-the-way Ready",
            "pinned Ready",
            "there AtPickup sam",
        ]
    );
    assert!(shop.suspended("sam") && !shop.suspended("kim"));
    assert_eq!(
        ended.out,
        "driver/sam cordoned\norder/assigned unbound\norder/on-the-way unbound\n\
         order/pinned unbound; it is pinned to sam (spec.driverName): no other driver gets it until the pin is removed, \
         and sam gets it again once uncordoned\n\
         order/fetched stays (OutForDelivery)\norder/there stays (AtPickup)\ndriver/sam drained\n"
    );
    let again = shop.server.run(&["drain", "driver/sam"]).with_code(0).out;
    assert!(again.starts_with("driver/sam already cordoned\norder/fetched stays"), "{again}");
}

/// A server on which one order is bound to sam, and which refuses so many unbindings because the order changed.
fn contested(mut refusals: usize) -> Fake {
    let mut bound = true;
    let stop = json!({"address": "1 Main St", "location": {"latitude": 43.0, "longitude": -79.0}});
    let order = json!({
        "metadata": {"name": "o-1", "namespace": "default"},
        "spec": {"pickup": stop, "dropoff": stop, "recipient": {"name": "Ada"}},
        "status": {"phase": "Assigned", "assignment": {"driverName": "sam"}},
    });
    Fake::start(move |method, path| match method {
        "GET" if path.contains("/drivers/") => (200, json!({"spec": {"suspended": true}}).to_string()),
        "GET" => (200, json!({"metadata": {}, "items": if bound { vec![order.clone()] } else { vec![] }}).to_string()),
        _ if refusals > 0 => {
            refusals -= 1;
            (409, json!({"kind": "Status", "code": 409, "message": "the object has been modified"}).to_string())
        }
        _ => {
            bound = false;
            (200, json!({"kind": "Status", "status": "Success"}).to_string())
        }
    })
}

fn drain(server: &Fake, timeout: &str) -> crate::support::Ended {
    run(dropmate().args([
        "--server",
        &server.url,
        "--token",
        "x",
        "-n",
        "default",
        "drain",
        "sam",
        "--timeout",
        timeout,
    ]))
}

#[test]
fn a_lost_race_is_looked_at_again() {
    let ended = drain(&contested(2), "60s").with_code(0);
    assert_eq!(ended.out, "driver/sam already cordoned\norder/o-1 unbound\ndriver/sam drained\n");
    assert_eq!(ended.err.matches("order/o-1 changed meanwhile").count(), 2, "{}", ended.err);
}

#[test]
fn what_is_left_after_the_timeout_is_named() {
    let ended = drain(&contested(usize::MAX), "1s").with_code(1);
    assert!(ended.err.contains("not drained after 1s; left: order/o-1 (Assigned)"), "{}", ended.err);
}
