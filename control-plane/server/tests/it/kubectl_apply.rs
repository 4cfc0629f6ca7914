//! Server-side apply by the real kubectl.

use crate::process::{Outcome, Shell};

const DRIVER: &str = r"
apiVersion: dropmate.dev/v1
kind: Driver
metadata: {name: sam, namespace: acme}
spec:
  displayName: Sam
  vehicle: {type: bicycle}
";

fn shell() -> Shell {
    let shell = Shell::open();
    shell.kubectl(&["create", "namespace", "acme"]).ok();
    shell
}

fn apply(shell: &Shell, flags: &[&str], manifest: &str) -> Outcome {
    let args: Vec<&str> = ["apply", "--server-side", "-f", "-"].iter().chain(flags).copied().collect();
    shell.kubectl_with(&args, manifest)
}

fn get(shell: &Shell, path: &str) -> String {
    shell.kubectl(&["get", "driver", "sam", "-n", "acme", "--show-managed-fields", "-o", path]).ok()
}

#[test]
fn kubectl_applies_on_the_server_and_tells_conflicts() {
    let shell = shell();
    let done = "driver.dropmate.dev/sam serverside-applied\n";
    assert_eq!(apply(&shell, &[], DRIVER).ok(), done);
    let version = get(&shell, "jsonpath={.metadata.resourceVersion}");
    assert_eq!(apply(&shell, &[], DRIVER).ok(), done);
    assert_eq!(get(&shell, "jsonpath={.metadata.resourceVersion}"), version);

    let other = DRIVER.replace("Sam", "Samuel");
    let refused = apply(&shell, &["--field-manager=other"], &other);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.err.starts_with(
            "error: Apply failed with 1 conflict: conflict with \"kubectl\": .spec.displayName\nPlease review the fields above"
        ),
        "{refused:?}"
    );
    assert_eq!(apply(&shell, &["--field-manager=other", "--force-conflicts"], &other).ok(), done);
    assert_eq!(get(&shell, "jsonpath={.spec.displayName}"), "Samuel");
    let bogus = apply(&shell, &[], &DRIVER.replace("vehicle:", "bogus: 1\n  vehicle:")).refused();
    assert!(bogus.contains(".spec.bogus: field not declared in schema"), "{bogus}");
    let hidden = shell.kubectl(&["get", "driver", "sam", "-n", "acme", "-o", "yaml"]).ok();
    assert!(!hidden.contains("managedFields"), "{hidden}");
}

#[test]
fn kubectl_moves_from_client_side_apply_to_the_server() {
    let shell = shell();
    shell.kubectl_with(&["apply", "-f", "-"], DRIVER).ok();
    let managers = "jsonpath={range .metadata.managedFields[*]}{.manager}/{.operation} {end}";
    assert_eq!(get(&shell, managers), "kubectl-client-side-apply/Update ");
    apply(&shell, &[], &DRIVER.replace("Sam", "Samuel")).ok();
    assert_eq!(get(&shell, "jsonpath={.spec.displayName}"), "Samuel");
    let after = get(&shell, managers);
    assert!(after.contains("kubectl/Apply ") && !after.contains("kubectl-client-side-apply"), "{after}");
    // What is left out now goes: kubectl owned it before it moved.
    apply(&shell, &[], &DRIVER.replace("  vehicle: {type: bicycle}\n", "  vehicle: {type: car}\n")).ok();
    assert_eq!(get(&shell, "jsonpath={.spec.vehicle.type}"), "car");
    // And back: the annotation was kept true, so that client-side apply knows what was applied, and takes it away.
    let home = "  displayName: Samuel\n  timeZone: America/Toronto\n";
    apply(&shell, &[], &DRIVER.replace("  displayName: Sam\n", home)).ok();
    assert_eq!(get(&shell, "jsonpath={.spec.timeZone}"), "America/Toronto");
    shell.kubectl_with(&["apply", "-f", "-"], DRIVER).ok();
    assert_eq!(get(&shell, "jsonpath={.spec.displayName}{.spec.timeZone}"), "Sam");
}

#[test]
fn kubectl_diffs_on_the_server() {
    let shell = shell();
    apply(&shell, &[], DRIVER).ok();
    let diff = |manifest: &str| shell.kubectl_with(&["diff", "--server-side", "-f", "-"], manifest);
    assert_eq!(diff(DRIVER).code, 0);
    let changed = diff(&DRIVER.replace("Sam", "Samuel"));
    assert_eq!(changed.code, 1, "{changed:?}");
    assert!(changed.out.contains("-  displayName: Sam\n+  displayName: Samuel\n"), "{changed:?}");
    assert_eq!(get(&shell, "jsonpath={.spec.displayName}"), "Sam");
}

#[test]
fn kubectl_applies_the_kinds_of_kubernetes_on_the_server() {
    let shell = shell();
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: beta, labels: {team: a}}\n";
    assert_eq!(apply(&shell, &[], namespace).ok(), "namespace/beta serverside-applied\n");
    apply(&shell, &[], &namespace.replace("labels: {team: a}", "labels: {tier: b}")).ok();
    let labels = shell.kubectl(&["get", "namespace", "beta", "-o", "jsonpath={.metadata.labels}"]).ok();
    assert_eq!(labels, "{\"kubernetes.io/metadata.name\":\"beta\",\"tier\":\"b\"}");
}
