//! Clients of the Kubernetes API that nobody here wrote, each at a server process of its own. The scripts are in
//! `tests/clients`; `.ci/prepare` makes the virtual environment that they run in.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::process::Server;

/// What one case may take before it is cut off: an operator starts, works and ends in a few seconds.
const SECONDS_MAX: &str = "120";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// The interpreter of the virtual environment with the clients in it.
fn python() -> PathBuf {
    let python = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../tools/clients/bin/python");
    assert!(python.exists(), "{} is missing: run .ci/prepare, which makes it", python.display());
    python
}

fn run(script: &str, args: &[&str], home: &TempDir) -> Output {
    Command::new("timeout")
        .args(["--kill-after=5", SECONDS_MAX])
        .arg(python())
        .arg(folder().join(script))
        .args(args)
        .env("HOME", home.path())
        .env("KUBECONFIG", home.path().join("data/admin.kubeconfig"))
        // The tree stays as it is.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONUNBUFFERED", "1")
        .output()
        .expect("python runs")
}

#[track_caller]
fn check(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}\n{}", output.status, text(&output.stdout), text(&output.stderr));
}

/// Runs a case of a script at a new server.
fn passes(script: &str, case: &str) {
    let home = TempDir::new().unwrap();
    let data = home.path().join("data");
    let mut server = Server::start(&data);
    if case.contains("history_that_is_gone") {
        server.kill();
        check(&run("lose_history.py", &[data.join("control.db").to_str().unwrap()], &home));
        server = Server::start(&data);
    }
    check(&run(script, &[case], &home));
    drop(server);
}

/// A test for every case of a script, under its name, and one that none is forgotten.
macro_rules! cases {
    ($script:literal: $($case:ident),+ $(,)?) => {
        use super::*;

        $(
            #[test]
            fn $case() {
                passes($script, stringify!($case));
            }
        )+

        #[test]
        fn every_case_of_the_script_is_a_test() {
            let listed = run($script, &["--list"], &TempDir::new().unwrap());
            check(&listed);
            let listed = String::from_utf8(listed.stdout).unwrap();
            assert_eq!(listed.lines().collect::<Vec<_>>(), [$(stringify!($case)),+]);
        }
    };
}

mod kubernetes {
    cases!(
        "kubernetes_client.py":
        objects_are_made_read_changed_and_deleted,
        every_form_of_patch_is_taken,
        refusals_carry_a_status_with_reason_and_causes,
        deletes_heed_preconditions_and_dry_runs_write_nothing,
        a_list_is_read_page_by_page_and_by_selectors,
        a_watch_tells_every_change_once_and_goes_on_where_it_ended,
        a_watch_that_takes_bookmarks_gets_one_before_its_end,
        a_watch_of_history_that_is_gone_is_410_and_so_is_a_list,
        typed_objects_of_the_core_groups_are_read_and_written,
        what_is_served_is_told_by_discovery_and_definitions,
        the_dynamic_client_finds_kinds_and_works_with_them,
        forms_other_than_json_are_given_to_who_asks,
        a_manifest_of_several_documents_is_made,
        a_leader_is_elected_by_a_lease,
    );
}

mod kopf {
    cases!(
        "kopf_operator.py":
        an_operator_handles_creation_changes_and_deletion_with_its_finalizer,
        an_operator_that_was_away_resumes_with_what_it_missed,
        a_handler_that_fails_is_tried_again_and_its_progress_is_kept,
        events_timers_and_daemons_follow_objects,
        an_operator_of_all_namespaces_finds_those_that_come,
    );
}

mod kr8s {
    cases!(
        "kr8s_client.py":
        objects_are_made_read_changed_and_deleted,
        refusals_carry_the_status_of_the_server,
        kinds_are_found_by_any_of_their_names,
        lists_follow_pages_and_selectors,
        a_watch_tells_what_changes_and_resumes,
        objects_wait_for_conditions_and_for_their_end,
        owners_finalizers_and_core_kinds_work_together,
    );
}

mod lightkube {
    cases!(
        "lightkube_client.py":
        objects_are_made_read_changed_and_deleted,
        apply_owns_fields_and_tells_conflicts,
        refusals_carry_the_status_of_the_server,
        lists_come_in_chunks_and_by_selectors,
        a_watch_tells_what_changes_and_resumes,
        a_watch_of_history_that_is_gone_is_410,
        clients_wait_for_conditions_and_hear_of_failures,
        kinds_are_loaded_from_the_definitions_that_are_served,
        typed_objects_of_the_core_groups_are_read_and_written,
    );
}
