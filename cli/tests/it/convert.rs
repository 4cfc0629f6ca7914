//! `dropmate convert mdrp`, on an instance small enough to be checked by eye.

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::{Server, dropmate, run};

fn instance(dir: &Path) {
    let files = [
        ("restaurants.txt", "restaurant\tx\ty\nr1\t1000\t1000\nR2\t3000\t1000\n"),
        ("couriers.txt", "courier\tx\ty\ton_time\toff_time\nc1\t1000\t2000\t600\t690\nc2\t3000\t2000\t600\t720\n"),
        (
            "orders.txt",
            "order\tx\ty\tplacement_time\trestaurant\tready_time\no1\t2000\t3000\t601\tr1\t611\no2\t2500\t2500\t605\tR2\t620\n",
        ),
        (
            "instance_parameters.txt",
            "meters_per_minute\tpickup service minutes\tdropoff service minutes\ttarget click-to-door\tmaximum click-to-door\tpay per order\tguaranteed pay per hour\n320\t4\t3\t40\t90\t10\t15\n",
        ),
    ];
    for (name, text) in files {
        fs::write(dir.join(name), text).unwrap();
    }
}

fn objects(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.split("---\n").filter(|part| !part.trim().is_empty()).map(|part| serde_yaml::from_str(part).unwrap()).collect()
}

#[test]
fn a_day_becomes_drivers_depots_and_orders_that_a_server_takes() {
    let dir = tempfile::tempdir().unwrap();
    instance(dir.path());
    let out = dir.path().join("day");
    let args = ["convert", "mdrp", dir.path().to_str().unwrap(), "--out", out.to_str().unwrap()];
    let place = ["--at", "43.65,-79.38", "--date", "2026-11-23", "-n", "toronto"];
    run(dropmate().args(args).args(place)).with_code(0);

    let orders = objects(&out.join("orders.yaml"));
    let first = &orders[0];
    assert_eq!(first["metadata"]["name"], "o1");
    assert_eq!(first["metadata"]["namespace"], "toronto");
    assert_eq!(first["spec"]["placedAt"], "2026-11-23T10:01:00Z");
    assert_eq!(first["spec"]["readyAt"], "2026-11-23T10:11:00Z");
    assert_eq!(first["spec"]["dueBy"], "2026-11-23T10:41:00Z");
    assert_eq!(first["spec"]["pickup"]["depotName"], "r1");
    assert_eq!(first["spec"]["pickup"]["serviceSeconds"], 240);
    assert_eq!(first["spec"]["dropoff"]["serviceSeconds"], 180);

    let drivers = objects(&out.join("drivers.yaml"));
    assert_eq!(drivers[0]["spec"]["shifts"][0]["start"], "2026-11-23T10:00:00Z");
    assert_eq!(drivers[0]["spec"]["shifts"][0]["end"], "2026-11-23T11:30:00Z");
    let speed = drivers[0]["spec"]["vehicle"]["speedMetersPerSecond"].as_f64().unwrap();
    assert!((speed - 320.0 / 60.0).abs() < 1e-5, "{speed}");
    assert_eq!(objects(&out.join("depots.yaml")).len(), 2);

    let server = Server::start();
    let applied = server.run(&["apply", "-f", out.to_str().unwrap()]).with_code(0);
    assert_eq!(applied.out.lines().filter(|line| line.ends_with(" created")).count(), 7);
    let again = server.run(&["apply", "-f", out.to_str().unwrap()]).with_code(0);
    assert_eq!(again.out.lines().filter(|line| line.ends_with(" unchanged")).count(), 7);
}

#[test]
fn a_broken_instance_is_named_by_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    instance(dir.path());
    fs::write(dir.path().join("couriers.txt"), "courier\tx\ty\ton_time\toff_time\nc1\t1\t2\tsoon\t3\n").unwrap();
    let out = dir.path().join("day");
    let args = ["convert", "mdrp", dir.path().to_str().unwrap(), "--out", out.to_str().unwrap()];
    let ended = run(dropmate().args(args)).with_code(1);
    assert!(ended.err.contains("couriers.txt:2") && ended.err.contains("on_time"), "{}", ended.err);
}

#[test]
fn the_printed_crds_are_the_committed_ones() {
    let printed = run(dropmate().args(["crds", "-o", "json"])).with_code(0).out;
    let printed: Value = serde_json::from_str(&printed).unwrap();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/crds");
    let mut committed: Vec<Value> =
        fs::read_dir(dir).unwrap().flat_map(|entry| objects(&entry.unwrap().path())).collect();
    let mut printed = printed["items"].as_array().unwrap().clone();
    assert!(!printed.is_empty());
    let name = |crd: &Value| crd["metadata"]["name"].as_str().unwrap().to_owned();
    committed.sort_by_key(name);
    printed.sort_by_key(name);
    assert_eq!(printed, committed);
}
