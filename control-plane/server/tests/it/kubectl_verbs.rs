//! What else people do with kubectl from the first day on.

use std::{fs, process::Stdio, time::Duration};

use crate::process::{Outcome, Shell};

const DRIVERS: &str = r"
apiVersion: dropmate.dev/v1
kind: Driver
metadata: {name: sam, namespace: acme, labels: {team: north, shift: early}}
spec: {displayName: Sam, vehicle: {type: bicycle}}
---
apiVersion: dropmate.dev/v1
kind: Driver
metadata: {name: ada, namespace: acme, labels: {team: south}}
spec: {displayName: Ada, vehicle: {type: car}}
---
apiVersion: dropmate.dev/v1
kind: Driver
metadata: {name: bob, namespace: acme}
spec: {displayName: Bob, vehicle: {type: van}}
";

fn drivers() -> Shell {
    let shell = Shell::open();
    shell.kubectl(&["create", "namespace", "acme"]).ok();
    shell.kubectl_with(&["create", "-f", "-"], DRIVERS).ok();
    shell
}

fn acme(shell: &Shell, args: &[&str]) -> Outcome {
    shell.kubectl(&args.iter().chain(&["-n", "acme"]).copied().collect::<Vec<_>>())
}

/// Waits for something that comes true by itself.
fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..200 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("in 20 s not: {what}");
}

#[test]
fn kubectl_selects_sorts_and_shows_in_every_form() {
    let shell = drivers();
    let names = |args: &[&str]| {
        let args: Vec<&str> = ["get", "drivers", "-o", "name"].iter().chain(args).copied().collect();
        acme(&shell, &args).ok().replace("driver.dropmate.dev/", "").replace('\n', " ")
    };
    assert_eq!(names(&[]), "ada bob sam ");
    assert_eq!(names(&["-l", "team in (north,south)"]), "ada sam ");
    assert_eq!(names(&["-l", "team notin (north)"]), "ada bob ");
    assert_eq!(names(&["-l", "team,!shift"]), "ada ");
    assert_eq!(names(&["-l", "!team"]), "bob ");
    assert_eq!(names(&["-l", "team!=north,team"]), "ada ");
    assert_eq!(names(&["--field-selector", "metadata.name!=bob"]), "ada sam ");
    assert_eq!(names(&["--sort-by", ".spec.vehicle.type"]), "sam ada bob ");
    assert_eq!(names(&["--chunk-size", "1"]), "ada bob sam ");
    let get = |form: &str| acme(&shell, &["get", "driver", "sam", "-o", form]).ok();
    assert_eq!(get("jsonpath={.spec.displayName}/{.metadata.labels.team}"), "Sam/north");
    assert_eq!(get("custom-columns=N:.metadata.name,V:.spec.vehicle.type"), "N     V\nsam   bicycle\n");
    assert_eq!(get("go-template={{.spec.displayName}}"), "Sam");
    assert!(get("yaml").contains("displayName: Sam"));
    let wide = get("wide");
    assert!(wide.starts_with("NAME   VEHICLE   ORDERS   SUSPENDED   AGE   DISPLAY NAME   NEXT"), "{wide}");
    let labels = acme(&shell, &["get", "drivers", "--show-labels", "-L", "team"]).ok();
    assert!(labels.contains("shift=early,team=north"), "{labels}");
    let all = acme(&shell, &["get", "all"]).ok();
    assert!(all.contains("driver.dropmate.dev/sam"), "{all}");
    let refused = acme(&shell, &["get", "drivers", "-l", "a b"]).refused();
    assert!(refused.contains("unable to parse requirement"), "{refused}");
    let refused = acme(&shell, &["get", "drivers", "--field-selector", "spec.displayName=Sam"]).refused();
    assert!(refused.contains("field label not supported: spec.displayName"), "{refused}");
}

#[test]
fn kubectl_replaces_and_patches_object_and_status() {
    let shell = drivers();
    let mut live: serde_json::Value =
        serde_json::from_str(&acme(&shell, &["get", "driver", "sam", "-o", "json"]).ok()).unwrap();
    live["spec"]["displayName"] = "Samuel".into();
    assert_eq!(
        shell.kubectl_with(&["replace", "-f", "-"], &live.to_string()).ok(),
        "driver.dropmate.dev/sam replaced\n"
    );
    let stale = shell.kubectl_with(&["replace", "-f", "-"], &live.to_string()).refused();
    assert!(stale.starts_with("Error from server (Conflict): error when replacing"), "{stale}");
    let forced = shell.kubectl_with(&["replace", "--force", "-f", "-"], &live.to_string());
    // Newer versions also say from which namespace.
    assert_eq!(
        forced.ok().replace(" from acme namespace", ""),
        "driver.dropmate.dev \"sam\" deleted\ndriver.dropmate.dev/sam replaced\n"
    );
    let patch = |args: &[&str]| {
        let args: Vec<&str> = ["patch", "driver", "sam"].iter().chain(args).copied().collect();
        acme(&shell, &args)
    };
    patch(&["--type=merge", "-p", "{\"spec\":{\"suspended\":true}}"]).ok();
    patch(&["--type=json", "-p", "[{\"op\":\"remove\",\"path\":\"/spec/suspended\"}]"]).ok();
    let strategic = patch(&["-p", "{\"spec\":{\"suspended\":true}}"]).refused();
    assert!(
        strategic.contains("application/strategic-merge-patch+json is not supported")
            || strategic.contains("415")
            || strategic.contains("UnsupportedMediaType"),
        "{strategic}"
    );
    patch(&[
        "--subresource=status",
        "--type=merge",
        "-p",
        "{\"status\":{\"activeOrders\":3},\"spec\":{\"displayName\":\"No\"}}",
    ])
    .ok();
    let status = acme(
        &shell,
        &["get", "driver", "sam", "--subresource=status", "-o", "jsonpath={.status.activeOrders} {.spec.displayName}"],
    );
    assert_eq!(status.ok(), "3 Samuel");
    let dry = patch(&[
        "--dry-run=server",
        "--type=merge",
        "-p",
        "{\"spec\":{\"displayName\":\"Dry\"}}",
        "-o",
        "jsonpath={.spec.displayName}",
    ]);
    assert_eq!(dry.ok(), "Dry");
    assert_eq!(acme(&shell, &["get", "driver", "sam", "-o", "jsonpath={.spec.displayName}"]).ok(), "Samuel");
    assert_eq!(
        acme(&shell, &["label", "driver", "sam", "team=north", "--overwrite"]).ok(),
        "driver.dropmate.dev/sam not labeled\n"
    );
    assert_eq!(acme(&shell, &["label", "driver", "sam", "team-"]).ok(), "driver.dropmate.dev/sam unlabeled\n");
    acme(&shell, &["annotate", "drivers", "--all", "example.com/seen=yes"]).ok();
    let seen = acme(&shell, &["get", "drivers", "-o", "jsonpath={.items[*].metadata.annotations.example\\.com/seen}"]);
    assert_eq!(seen.ok(), "yes yes yes");
}

#[test]
fn kubectl_applies_diffs_and_prunes() {
    let shell = drivers();
    let file = shell.home.path().join("drivers.yaml");
    let path = file.to_str().unwrap();
    let labelled = DRIVERS
        .replace("namespace: acme", "namespace: acme, annotations: {set: a}")
        .replace("labels: {", "labels: {app: shop, ")
        .replace("name: bob, namespace", "name: bob, labels: {app: shop}, namespace");
    fs::write(&file, &labelled).unwrap();
    shell.kubectl(&["apply", "-f", path]).ok();
    assert_eq!(shell.kubectl(&["diff", "-f", path]).code, 0);
    let changed = labelled.replace("displayName: Sam", "displayName: Samuel");
    fs::write(&file, &changed).unwrap();
    let diff = shell.kubectl(&["diff", "-f", path]);
    assert_eq!(diff.code, 1, "{diff:?}");
    assert!(diff.out.contains("-  displayName: Sam\n+  displayName: Samuel\n"), "{diff:?}");
    assert!(shell.kubectl(&["apply", "--dry-run=server", "-f", path]).ok().contains("sam configured (server dry run)"));
    shell.kubectl(&["apply", "-f", path]).ok();
    let without_bob = changed.rsplit_once("---").unwrap().0;
    fs::write(&file, without_bob).unwrap();
    let pruned = shell.kubectl(&[
        "apply",
        "-f",
        path,
        "-n",
        "acme",
        "--prune",
        "-l",
        "app=shop",
        "--prune-allowlist=dropmate.dev/v1/Driver",
    ]);
    assert!(pruned.ok().contains("driver.dropmate.dev/bob pruned"));
    assert_eq!(acme(&shell, &["get", "drivers", "-o", "jsonpath={.items[*].metadata.name}"]).ok(), "ada sam");
    let view = acme(&shell, &["apply", "view-last-applied", "driver", "sam"]).ok();
    assert!(view.contains("displayName: Samuel"), "{view}");
    let folder = shell.home.path().join("kustomized");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("kustomization.yaml"), "namePrefix: k-\nresources: [drivers.yaml]\n").unwrap();
    fs::write(folder.join("drivers.yaml"), without_bob).unwrap();
    let kustomized = shell.kubectl(&["apply", "-k", folder.to_str().unwrap()]).ok();
    assert!(kustomized.contains("driver.dropmate.dev/k-sam created"), "{kustomized}");
    assert!(shell.kubectl(&["delete", "-f", path]).ok().contains("\"ada\" deleted"));
}

#[test]
fn kubectl_waits_for_conditions_fields_and_deletion() {
    let shell = drivers();
    let mut waiting = shell
        .command(&["wait", "driver/sam", "-n", "acme", "--for=condition=Ready", "--timeout=30s"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let condition = "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"reason\":\"Here\",\"message\":\"\",\"lastTransitionTime\":\"2026-11-23T10:00:00Z\"}]}}";
    acme(&shell, &["patch", "driver", "sam", "--subresource=status", "--type=merge", "-p", condition]).ok();
    assert!(waiting.wait().unwrap().success());
    acme(&shell, &["wait", "driver/sam", "--for=jsonpath={.spec.vehicle.type}=bicycle", "--timeout=10s"]).ok();
    acme(&shell, &["wait", "drivers", "--all", "--for=jsonpath={.spec.displayName}", "--timeout=10s"]).ok();
    let late = acme(&shell, &["wait", "driver/ada", "--for=condition=Ready", "--timeout=1s"]).refused();
    assert!(late.contains("timed out waiting for the condition"), "{late}");
    shell.kubectl(&["wait", "crd/orders.dropmate.dev", "--for=condition=Established", "--timeout=10s"]).ok();

    acme(
        &shell,
        &["patch", "driver", "sam", "--type=merge", "-p", "{\"metadata\":{\"finalizers\":[\"example.com/hold\"]}}"],
    )
    .ok();
    let mut deleting = shell.command(&["delete", "driver", "sam", "-n", "acme"]).stdout(Stdio::null()).spawn().unwrap();
    let mut gone = shell
        .command(&["wait", "driver/sam", "-n", "acme", "--for=delete", "--timeout=30s"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("the driver is marked", || {
        !acme(&shell, &["get", "driver", "sam", "-o", "jsonpath={.metadata.deletionTimestamp}"]).ok().is_empty()
    });
    assert!(deleting.try_wait().unwrap().is_none(), "kubectl waits for the finalizer");
    acme(&shell, &["patch", "driver", "sam", "--type=merge", "-p", "{\"metadata\":{\"finalizers\":null}}"]).ok();
    assert!(deleting.wait().unwrap().success());
    assert!(gone.wait().unwrap().success());
    acme(&shell, &["delete", "drivers", "-l", "team=south", "--wait=false"]).ok();
    acme(&shell, &["delete", "driver", "bob", "--cascade=foreground", "--grace-period=5"]).ok();
    assert_eq!(acme(&shell, &["get", "drivers", "-o", "name"]).ok(), "");
    assert_eq!(acme(&shell, &["delete", "driver", "bob", "--ignore-not-found"]).ok(), "");
}

#[test]
fn kubectl_tells_what_happened_and_what_is_served() {
    let shell = drivers();
    let event = "apiVersion: v1\nkind: Event\nmetadata: {name: e1, namespace: acme}\nreason: Met\nmessage: hello\ntype: Normal\nlastTimestamp: \"2026-11-23T10:00:00Z\"\ninvolvedObject: {apiVersion: dropmate.dev/v1, kind: Driver, name: sam, namespace: acme}\n";
    shell.kubectl_with(&["create", "-f", "-"], event).ok();
    let events = acme(&shell, &["get", "events", "--field-selector", "involvedObject.name=sam,type=Normal"]).ok();
    assert!(events.starts_with("LAST SEEN   TYPE     REASON   OBJECT       MESSAGE"), "{events}");
    assert!(events.contains("Met      driver/sam   hello"), "{events}");
    let events = acme(&shell, &["events", "--for", "driver/sam"]).ok();
    assert!(events.contains("Driver/sam") && events.contains("hello"), "{events}");
    assert!(acme(&shell, &["describe", "driver", "sam"]).ok().contains("Display Name:  Sam"));
    let described = shell.kubectl(&["describe", "namespace", "acme"]).ok();
    assert!(described.contains("Status:       Active"), "{described}");
    let versions = shell.kubectl(&["api-versions"]).ok();
    assert_eq!(
        versions,
        "apiextensions.k8s.io/v1\nauthentication.k8s.io/v1\nauthorization.k8s.io/v1\ncoordination.k8s.io/v1\ndropmate.dev/v1\nevents.k8s.io/v1\nv1\n"
    );
    let ours = shell.kubectl(&["api-resources", "--api-group=dropmate.dev", "--namespaced=true", "-o", "name"]).ok();
    let expected =
        ["applysets", "depots", "dispatchpolicies", "drivers", "members", "notificationpolicies", "orders", "webhooks"];
    assert_eq!(ours, expected.map(|plural| format!("{plural}.dropmate.dev\n")).concat());
    let definitions = shell.kubectl(&["get", "crds"]).ok();
    assert_eq!(definitions.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(), ["NAME", "CREATED", "AT"]);
    assert!(definitions.lines().nth(1).unwrap().ends_with('Z'), "{definitions}");
    let refused = shell.kubectl(&["delete", "crd", "orders.dropmate.dev"]).refused();
    assert!(refused.contains("MethodNotAllowed"), "{refused}");
    for field in
        ["order", "order.spec.dropoff.location.latitude", "driver.status", "namespace.spec", "lease.spec", "event"]
    {
        let explained = shell.kubectl(&["explain", field]).ok();
        assert!(explained.contains("DESCRIPTION:"), "{field}: {explained}");
    }
    let recursive = shell.kubectl(&["explain", "order", "--recursive"]).ok();
    assert!(recursive.contains("latitude\t<number>"), "{recursive}");
    let raw = shell.kubectl(&["get", "--raw", "/apis/dropmate.dev/v1/namespaces/acme/drivers/sam"]).ok();
    assert!(raw.contains("\"displayName\":\"Sam\""), "{raw}");
    assert!(shell.kubectl(&["get", "--raw", "/readyz"]).ok().starts_with("ok"));
}

#[test]
fn kubectl_deletes_namespaces_and_tells_what_holds_them() {
    let shell = drivers();
    acme(
        &shell,
        &["patch", "driver", "sam", "--type=merge", "-p", "{\"metadata\":{\"finalizers\":[\"example.com/hold\"]}}"],
    )
    .ok();
    let mut deleting = shell.command(&["delete", "namespace", "acme"]).stdout(Stdio::null()).spawn().unwrap();
    let conditions = "jsonpath={range .status.conditions[?(@.status==\"True\")]}{.type}: {.message}{\"\\n\"}{end}";
    until("the namespace says what holds it", || {
        let told = shell.kubectl(&["get", "namespace", "acme", "-o", conditions]).ok();
        told.contains("NamespaceFinalizersRemaining: Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances")
            && told.contains("NamespaceContentRemaining: Some resources are remaining: drivers.dropmate.dev has 1 resource instances")
    });
    assert!(deleting.try_wait().unwrap().is_none(), "kubectl waits");
    let refused = shell.kubectl_with(&["create", "-f", "-"], DRIVERS).refused();
    assert!(refused.contains("because it is being terminated"), "{refused}");
    acme(&shell, &["patch", "driver", "sam", "--type=merge", "-p", "{\"metadata\":{\"finalizers\":null}}"]).ok();
    assert!(deleting.wait().unwrap().success());
    let missing = shell.kubectl(&["get", "namespace", "acme"]).refused();
    assert_eq!(missing, "Error from server (NotFound): namespaces \"acme\" not found\n");
    let protected = shell.kubectl(&["delete", "namespace", "default"]).refused();
    assert!(protected.contains("Forbidden"), "{protected}");
}
