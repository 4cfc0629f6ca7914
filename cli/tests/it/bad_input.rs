//! What people get wrong, and what others try: each is named by its place, and costs nobody else anything.

use std::{fmt::Write as _, io::Write as _, process::Stdio};

use crate::support::{Ended, PATIENCE, Server, order, wait};

/// Applies the bad text between two good orders; both must go in, and the exit code must say that something did not.
fn beside_good_ones(bad: &str) -> (Ended, usize) {
    let server = Server::start();
    let before = format!("---\n{}---\n", order("before"));
    let text = format!("{before}{bad}\n---\n{}", order("after"));
    let ended = server.apply("orders.yaml", text.as_bytes(), &[]).with_code(1);
    let names = server.run(&["get", "orders", "-o", "name"]).with_code(0).out;
    assert_eq!(names, "order.dropmate.dev/after\norder.dropmate.dev/before\n", "err:\n{}", ended.err);
    (ended, before.lines().count())
}

/// The place of the line of `bad` that holds `needle`.
fn place(bad: &str, before: usize, needle: &str) -> String {
    let line = bad.lines().position(|line| line.contains(needle)).expect("the needle is in the text");
    format!("orders.yaml:{}:", before + line + 1)
}

#[track_caller]
fn names_the_place(bad: &str, needle: &str, words: &[&str]) {
    let (ended, before) = beside_good_ones(bad);
    let place = place(bad, before, needle);
    let complaint = ended.err.lines().find(|line| line.contains(&place));
    let complaint = complaint.unwrap_or_else(|| panic!("nothing names {place} in:\n{}", ended.err));
    for word in words {
        assert!(complaint.contains(word), "{word:?} is not in: {complaint}");
    }
}

#[test]
fn an_unknown_field_is_named_on_its_line() {
    names_the_place(
        &order("bad").replace("address: 12 Mill St", "address: x\n    adress: 12 Mill St"),
        "adress",
        &["unknown field", "spec.pickup.adress"],
    );
}

#[test]
fn a_wrong_type_is_named_on_its_line() {
    names_the_place(&(order("bad") + "  priority: high\n"), "priority", &["spec.priority", "expected numeric"]);
}

#[test]
fn a_latitude_of_91_is_named_on_its_line() {
    names_the_place(&order("bad").replace("43.6405", "91"), "latitude: 91", &["spec.dropoff.location.latitude", "90"]);
}

#[test]
fn a_window_that_ends_before_it_starts_is_named_on_its_line() {
    let bad = order("bad").replace(
        "    address: 88 Queens Quay\n",
        "    address: 88 Queens Quay\n    window:\n      earliest: 2026-11-23T12:00:00Z\n      latest: 2026-11-23T11:00:00Z\n",
    );
    names_the_place(&bad, "latest", &["spec.dropoff.window"]);
}

#[test]
fn a_document_that_is_not_yaml_is_named_on_its_line() {
    names_the_place(
        "apiVersion: dropmate.dev/v1\nkind: [Order\nmetadata: {name: bad}\n",
        "metadata",
        &["not valid YAML"],
    );
}

#[test]
fn a_duplicate_key_is_named_on_its_line() {
    names_the_place(&(order("bad") + "  hold: true\n  hold: false\n"), "hold: false", &["duplicate key", "hold"]);
}

#[test]
fn a_kind_that_does_not_exist_is_named_on_its_line() {
    names_the_place(&order("bad").replace("kind: Order", "kind: Odrer"), "kind: Odrer", &["Odrer"]);
}

#[test]
fn a_document_of_four_mebibytes_is_named_by_its_first_line() {
    let bad = order("bad") + "    note: " + &"x".repeat(4 * 1024 * 1024);
    let (ended, before) = beside_good_ones(&bad);
    assert!(ended.err.contains(&format!("orders.yaml:{before}: ")), "{}", ended.err);
    assert!(ended.err.contains("at most 3 MiB"), "{}", ended.err);
}

#[test]
fn an_alias_bomb_is_refused_and_the_memory_stays_flat() {
    let mut bad = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let before = level - 1;
        writeln!(bad, "a{level}: &a{level} [{}]", vec![format!("*a{before}"); 10].join(", ")).unwrap();
    }
    let (ended, _) = beside_good_ones(&bad);
    assert!(ended.err.contains("1 MiB"), "{}", ended.err);
}

#[test]
fn deep_nesting_is_refused() {
    let (ended, _) = beside_good_ones(&format!("a: {}", "[".repeat(500_000)));
    assert!(ended.err.contains("orders.yaml:"), "{}", ended.err);
}

#[test]
fn an_empty_file_is_named_and_the_others_go_in() {
    let server = Server::start();
    std::fs::write(server.data.path().join("good.yaml"), order("good")).unwrap();
    let ended = server.apply("empty.yaml", b"", &["-f", "good.yaml"]).with_code(1);
    assert!(ended.err.contains("empty.yaml: holds no objects"), "{}", ended.err);
    assert_eq!(ended.out, "order.dropmate.dev/good created\n");
}

#[test]
fn memory_stays_flat_over_a_long_stream() {
    let server = Server::start();
    let mut child = server
        .dropmate(&["apply", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // 256 MiB that are too large to be taken, and 8 MiB that are parsed and refused.
    let document =
        |bytes| format!("---\napiVersion: v1\nkind: Nothing\nmetadata: {{name: x}}\ndata: {}\n", "x".repeat(bytes));
    for _ in 0..64 {
        stdin.write_all(document(4 * 1024 * 1024).as_bytes()).unwrap();
    }
    for _ in 0..8 {
        stdin.write_all(document(1024 * 1024).as_bytes()).unwrap();
    }
    let peak = peak_memory_kilobytes(child.id());
    drop(stdin);
    assert_eq!(wait(&mut child, PATIENCE), 1);
    assert!(peak < 128 * 1024, "{peak} kB at its peak");
}

#[test]
fn memory_stays_flat_over_thousands_of_orders() {
    let server = Server::start();
    let mut child = server
        .dropmate(&["apply", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A pipe holds some hundred of them: what is written has nearly all been taken up.
    let mut send = |orders: std::ops::Range<usize>| {
        for index in orders {
            stdin.write_all(format!("---\n{}", order(&format!("o-{index}"))).as_bytes()).unwrap();
        }
        peak_memory_kilobytes(child.id())
    };
    let early = send(0..500);
    let late = send(500..2_000);
    drop(stdin);
    assert_eq!(wait(&mut child, PATIENCE), 0);
    assert!(late < early + 8 * 1024 && late < 96 * 1024, "{early} kB after 500 orders, {late} kB after 2,000");
    let count = server.kubectl(&["get", "--raw", "/apis/dropmate.dev/v1/orders?limit=1"]).with_code(0).out;
    assert!(count.contains("\"remainingItemCount\":1999"), "{count}");
}

/// The most memory the process has had so far.
fn peak_memory_kilobytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
