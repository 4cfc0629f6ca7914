use std::{process::Stdio, time::Duration};

use crate::support::{Server, dropmate, order, run, wait};

#[test]
fn sigterm_ends_it_with_0_and_what_was_applied_is_there_next_time() {
    let mut server = Server::start_with(&[]);
    server.apply("o.yaml", order("o-1").as_bytes(), &[]).with_code(0);
    server.kill_and_restart(&[]);
    server.run(&["get", "order", "o-1"]).with_code(0);
    assert_eq!(server.terminate(), 0);
}

#[test]
fn a_data_dir_takes_one_process_only() {
    let server = Server::start();
    let mut second = dropmate();
    second
        .args(["up", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
        .arg(server.data.path());
    let ended = run(&mut second).with_code(1);
    assert!(ended.err.contains("in use by another dropmate"), "{}", ended.err);
}

#[test]
fn the_demo_delivers_its_first_order_and_ends() {
    let data = tempfile::tempdir().unwrap();
    let mut demo = dropmate()
        .args(["up", "--demo", "--speed", "120", "--until-delivered", "1", "--within", "2m"])
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
        .arg(data.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let code = wait(&mut demo, Duration::from_mins(3));
    let story = std::io::read_to_string(demo.stdout.take().unwrap()).unwrap();
    assert_eq!(code, 0, "{story}");
    assert!(story.starts_with("https://"), "{story}");
    for part in ["placed by", "assigned to", "picked up by", "delivered by", "export KUBECONFIG="] {
        assert!(story.contains(part), "{part:?} is not in:\n{story}");
    }
}

#[test]
fn too_few_deliveries_in_time_are_told_by_the_exit_code() {
    let data = tempfile::tempdir().unwrap();
    let mut idle = dropmate();
    idle.args(["up", "--agents", "none", "--until-delivered", "1", "--within", "1s"]);
    idle.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"]).arg(data.path());
    let ended = run(&mut idle).with_code(1);
    assert!(ended.err.contains("0 of 1 orders"), "{}", ended.err);
}
