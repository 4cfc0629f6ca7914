use std::{fs, path::Path, process::Command, thread::sleep, time::Duration};

use crate::support::{dropmate, run};

fn bootstrap(out: &Path, more: &[&str]) -> Command {
    let mut command = dropmate();
    command.args(["bootstrap", "--server", "https://dispatch.example:7443", "--out"]).arg(out).args(more);
    command
}

#[test]
fn each_file_is_told_with_what_became_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("secrets");
    let first = run(&mut bootstrap(&out, &["--san", "a.example,b.example", "--san", "10.0.0.7"])).with_code(0);
    assert!(first.out.starts_with("made ca.crt\nmade ca.key\nmade tls.crt\n"), "{}", first.out);
    let fewer = run(&mut bootstrap(&out, &["--san", "b.example"])).with_code(0);
    assert_eq!(fewer.out, first.out.replace("made", "kept"));
    let more = run(&mut bootstrap(&out, &["--san", "b.example", "c.example"])).with_code(0);
    assert!(more.out.contains("made tls.crt (it was not good for c.example)\n"), "{}", more.out);
}

#[test]
fn killed_at_any_moment_it_is_completed_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("secrets");
    let database = ["--database", "postgres://dropmate@db/dropmate"];
    for round in 0..20 {
        let mut child = bootstrap(&out, &database).stdout(std::process::Stdio::null()).spawn().unwrap();
        sleep(Duration::from_millis(round * 3));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    run(&mut bootstrap(&out, &database)).with_code(0);
    let again = run(&mut bootstrap(&out, &database)).with_code(0);
    assert_eq!(again.out.lines().filter(|line| line.starts_with("kept ")).count(), 12, "{}", again.out);
    assert_eq!(again.out.lines().count(), 12, "{}", again.out);
}

#[test]
fn what_makes_no_sense_is_told_by_its_flag_and_a_password_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("secrets");
    for (flags, told) in [
        (["--san", "two words"], "--san"),
        (["--owner", "dropmate:dropmate"], "--owner"),
        (["--database", "postgres://dropmate:geheim@db/dropmate"], "--database must not hold a password"),
    ] {
        let refused = run(&mut bootstrap(&out, &flags)).with_code(2);
        assert!(refused.err.contains(told) && !refused.err.contains("geheim"), "{}", refused.err);
    }
    let mut nowhere = dropmate();
    let refused = run(nowhere.args(["bootstrap", "--out"]).arg(&out)).with_code(2);
    assert!(refused.err.contains("--server"), "{}", refused.err);
    assert!(fs::metadata(&out).is_err(), "nothing was made");
}
