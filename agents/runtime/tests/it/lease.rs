use std::{sync::Arc, time::Duration};

use dropmate_agent::{
    Election, Now,
    lease::{ADDRESS, DURATION, RENEW_EVERY, RETRY_EVERY, TRUST},
};
use dropmate_control_plane::ControlPlane;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::gate::{Gate, plane};

/// Longer than anything here may take.
const LONG: Duration = Duration::from_mins(2);

fn election(plane: &ControlPlane, client: Client, holder: &str) -> Election {
    let clock = plane.clock().clone();
    let now: Now = Arc::new(move || clock.system_now());
    Election::new(client, "dropmate-system", "dispatch", holder, now, CancellationToken::new())
}

async fn stored(plane: &ControlPlane) -> LeaseSpec {
    let leases: Api<Lease> = Api::namespaced(Gate::default().client(plane), "dropmate-system");
    leases.get("dispatch").await.unwrap().spec.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_first_to_come_leads_and_the_store_says_so() {
    let plane = plane().await;
    let term = election(&plane, Gate::default().client(&plane), "a").win().await.unwrap();
    let lease = stored(&plane).await;
    assert_eq!(lease.holder_identity.as_deref(), Some("a"));
    assert_eq!(lease.lease_transitions.unwrap_or(0), term.transitions);
}

#[tokio::test(start_paused = true)]
async fn a_holder_renews_and_keeps_its_term() {
    let plane = plane().await;
    let term = election(&plane, Gate::default().client(&plane), "a").win().await.unwrap();
    let before = stored(&plane).await;
    sleep(RENEW_EVERY * 20).await;
    let after = stored(&plane).await;
    assert!(after.renew_time > before.renew_time);
    assert_eq!(after.lease_transitions, before.lease_transitions);
    assert!(!term.ended().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_standby_does_not_take_over_while_the_holder_renews() {
    let plane = plane().await;
    let _leader = election(&plane, Gate::default().client(&plane), "a").win().await.unwrap();
    let mut standby = election(&plane, Gate::default().client(&plane), "b");
    assert!(timeout(LONG, standby.win()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_resigned_lease_is_taken_at_once_with_another_transition() {
    let plane = plane().await;
    let first = election(&plane, Gate::default().client(&plane), "a").win().await.unwrap();
    let transitions = first.transitions;
    first.resign().await;
    let asked_at = Instant::now();
    let second = election(&plane, Gate::default().client(&plane), "b").win().await.unwrap();
    assert!(asked_at.elapsed() <= RETRY_EVERY);
    assert_eq!(second.transitions, transitions + 1);
    assert_eq!(stored(&plane).await.holder_identity.as_deref(), Some("b"));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_knows_that_its_term_has_ended_before_another_leads() {
    let plane = plane().await;
    let gate = Gate::default();
    let leader = election(&plane, gate.client(&plane), "a").win().await.unwrap();
    let mut standby = election(&plane, Gate::default().client(&plane), "b");
    gate.close();
    let cut_at = Instant::now();
    let (ended_after, (won_after, second)) = tokio::join!(
        async {
            leader.ended().cancelled().await;
            cut_at.elapsed()
        },
        async {
            let term = standby.win().await.unwrap();
            (cut_at.elapsed(), term)
        }
    );
    assert!(ended_after < won_after, "ended after {ended_after:?}, the other led after {won_after:?}");
    assert!(ended_after <= TRUST);
    assert!(won_after <= DURATION + RENEW_EVERY + RETRY_EVERY);
    assert_eq!(second.transitions, leader.transitions + 1);
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_does_not_end_a_term() {
    let plane = plane().await;
    let gate = Gate::default();
    let leader = election(&plane, gate.client(&plane), "a").win().await.unwrap();
    gate.close();
    sleep(TRUST.saturating_sub(RENEW_EVERY)).await;
    gate.open();
    sleep(LONG).await;
    assert!(!leader.ended().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_term_ends_when_somebody_else_writes_himself_into_the_lease() {
    let plane = plane().await;
    let client = Gate::default().client(&plane);
    let term = election(&plane, client.clone(), "a").win().await.unwrap();
    let leases: Api<Lease> = Api::namespaced(client, "dropmate-system");
    let mut lease = leases.get("dispatch").await.unwrap();
    lease.spec.as_mut().unwrap().holder_identity = Some("usurper".into());
    leases.replace("dispatch", &kube::api::PostParams::default(), &lease).await.unwrap();
    timeout(RENEW_EVERY + RETRY_EVERY, term.ended().cancelled()).await.unwrap();
    // Resigning takes nothing away from the new holder.
    term.resign().await;
    assert_eq!(stored(&plane).await.holder_identity.as_deref(), Some("usurper"));
}

#[tokio::test(start_paused = true)]
async fn a_change_by_others_that_leaves_the_lease_ours_does_not_end_the_term() {
    let plane = plane().await;
    let client = Gate::default().client(&plane);
    let term = election(&plane, client.clone(), "a").win().await.unwrap();
    let leases: Api<Lease> = Api::namespaced(client, "dropmate-system");
    let mut lease = leases.get("dispatch").await.unwrap();
    lease.metadata.annotations = Some([("dropmate.dev/address".to_owned(), "127.0.0.1:7451".to_owned())].into());
    leases.replace("dispatch", &kube::api::PostParams::default(), &lease).await.unwrap();
    sleep(LONG).await;
    assert!(!term.ended().is_cancelled());
    let kept = leases.get("dispatch").await.unwrap().metadata.annotations.unwrap_or_default();
    assert!(kept.contains_key("dropmate.dev/address"));
}

#[tokio::test(start_paused = true)]
async fn no_two_terms_of_one_process_are_alike() {
    let plane = plane().await;
    let mut election = election(&plane, Gate::default().client(&plane), "a");
    let first = election.win().await.unwrap();
    let transitions = first.transitions;
    // As after a crash of the task: nothing was given back, and the stored holder is still this process.
    drop(first);
    assert_eq!(election.win().await.unwrap().transitions, transitions + 1);
}

#[tokio::test(start_paused = true)]
async fn the_lease_tells_the_address_of_its_holder_and_of_nobody_else() {
    let plane = plane().await;
    let client = Gate::default().client(&plane);
    let leases: Api<Lease> = Api::namespaced(client.clone(), "dropmate-system");
    let told = async || leases.get("dispatch").await.unwrap().metadata.annotations.unwrap_or_default().remove(ADDRESS);

    let first = election(&plane, client.clone(), "a").advertise(Some("10.0.0.7:7451".into())).win().await.unwrap();
    assert_eq!(told().await.as_deref(), Some("10.0.0.7:7451"));
    sleep(RENEW_EVERY * 2).await;
    assert_eq!(told().await.as_deref(), Some("10.0.0.7:7451"), "a renewal keeps it");
    // As after a crash: nothing is given back.
    drop(first);
    let second = election(&plane, client.clone(), "b").win().await.unwrap();
    assert_eq!(told().await, None, "the new holder has none");
    second.resign().await;
    let third = election(&plane, client, "c").advertise(Some("http://c:7451".into())).win().await.unwrap();
    assert_eq!(told().await.as_deref(), Some("http://c:7451"));
    third.resign().await;
    assert_eq!(told().await, None, "nobody leads");
}
