use std::collections::BTreeMap;

use dropmate_api::order::StopKind;
use dropmate_tracking::{
    fix::{Fix, in_order},
    geofence::Presence,
    watch::{Site, StopId, Watch},
};
use jiff::Timestamp;
use proptest::prelude::*;
use rstest::rstest;

use super::{at, fix, north};

fn presence(fixes: &[(i64, f64)]) -> Presence {
    let fixes = fixes.iter().map(|(seconds, meters)| fix(*seconds, *meters)).collect();
    Presence::of(north(0.0), &in_order(fixes))
}

#[rstest]
#[case::a_stay_is_an_arrival_at_its_first_fix(&[(0, 900.0), (60, 80.0), (75, 60.0), (95, 40.0)], Some(60), None)]
#[case::the_first_fix_inside_counts(&[(0, 10.0), (30, 10.0)], Some(0), None)]
#[case::driving_by_is_none(&[(0, 300.0), (10, 90.0), (20, 50.0), (30, 160.0)], None, None)]
#[case::a_red_light_is_none(&[(0, 90.0), (29, 90.0), (40, 200.0)], None, None)]
#[case::noise_at_the_edge_neither_leaves_nor_comes(&[(0, 95.0), (10, 130.0), (20, 105.0), (31, 149.0)], Some(0), None)]
#[case::the_dwell_starts_anew_after_leaving(&[(0, 50.0), (20, 200.0), (40, 50.0), (69, 50.0)], None, None)]
#[case::leaving_is_told_once(&[(0, 0.0), (60, 0.0), (90, 160.0), (120, 0.0), (180, 500.0)], Some(0), Some(90))]
#[case::between_the_radii_is_not_yet_there(&[(0, 120.0), (60, 120.0)], None, None)]
fn a_stop_is_reached_by_a_stay(#[case] fixes: &[(i64, f64)], #[case] arrived: Option<i64>, #[case] left: Option<i64>) {
    let seen = presence(fixes);
    assert_eq!((seen.arrived_at, seen.left_at), (arrived.map(at), left.map(at)));
}

#[rstest]
#[case::a_coarse_phone_has_wider_radii(60.0, 130.0, true)]
#[case::but_not_without_end(190.0, 190.0, false)]
#[case::and_a_useless_one_says_nothing(500.0, 0.0, false)]
fn the_radii_go_by_accuracy(#[case] accuracy: f64, #[case] meters: f64, #[case] arrives: bool) {
    let coarse = |seconds| Fix { accuracy_meters: Some(accuracy), ..fix(seconds, meters) };
    let seen = Presence::of(north(0.0), &[coarse(0), coarse(40)]);
    assert_eq!(seen.arrived_at.is_some(), arrives);
}

fn stop(name: &str) -> StopId {
    StopId { uid: name.to_owned(), kind: StopKind::Pickup, generation: 0 }
}

/// A history as the agent keeps it: what was pulled, each once.
#[derive(Default)]
struct History(Vec<Fix>);

impl History {
    fn keep(&mut self, fixes: &[Fix]) {
        self.0.extend(fixes);
        self.0 = in_order(std::mem::take(&mut self.0));
    }

    fn since(&self, from: Timestamp) -> Vec<Fix> {
        self.0.iter().filter(|fix| fix.at >= from).copied().collect()
    }
}

fn sites() -> BTreeMap<StopId, Site> {
    [("near", 0.0, 0), ("far", 400.0, 60)]
        .into_iter()
        .map(|(name, meters, since)| (stop(name), Site { place: north(meters), since: at(since) }))
        .collect()
}

/// A drive: a fix each few seconds, here and there.
fn drive() -> impl Strategy<Value = Vec<Fix>> {
    let step = (1_i64..40, -120.0_f64..120.0, prop_oneof![Just(None), Just(Some(5.0)), Just(Some(70.0))]);
    prop::collection::vec(step, 1..60).prop_map(|steps| {
        let (mut seconds, mut meters) = (0, 200.0);
        steps
            .into_iter()
            .map(|(pause, way, accuracy_meters)| {
                seconds += pause;
                meters += way;
                Fix { accuracy_meters, ..fix(seconds, meters) }
            })
            .collect()
    })
}

/// The same drive as a bad network brings it: some fixes twice, in any order, in pieces of any size.
fn delivered() -> impl Strategy<Value = (Vec<Fix>, Vec<Vec<Fix>>)> {
    drive().prop_flat_map(|fixes| {
        let doubled = prop::collection::vec(0..fixes.len(), 0..10);
        let whole = fixes.clone();
        doubled
            .prop_map(move |twice| {
                let mut sent = whole.clone();
                sent.extend(twice.into_iter().map(|index| whole[index]));
                sent
            })
            .prop_shuffle()
            .prop_flat_map(|sent| (Just(sent), 1_usize..9))
            .prop_map(move |(sent, size)| (fixes.clone(), sent.chunks(size).map(<[Fix]>::to_vec).collect()))
    })
}

proptest! {
    #[test]
    fn shuffled_and_doubled_fixes_end_as_those_in_order((fixes, pieces) in delivered(), expected_at in 0_usize..6) {
        let (mut watch, mut history) = (Watch::default(), History::default());
        for (index, piece) in pieces.iter().enumerate() {
            // The order may be bound before, within or after the drive.
            if index == expected_at.min(pieces.len() - 1) {
                watch.expect(sites());
            }
            history.keep(piece);
            watch.see(piece.clone());
            if let Some(from) = watch.wants_history() {
                watch.recall(history.since(from));
            }
        }
        watch.expect(sites());
        if let Some(from) = watch.wants_history() {
            watch.recall(history.since(from));
        }
        for (id, site) in sites() {
            let mine: Vec<Fix> = fixes.iter().filter(|fix| fix.at >= site.since).copied().collect();
            prop_assert_eq!(watch.presence(&id), Some(&Presence::of(site.place, &mine)));
        }
        prop_assert_eq!(watch.newest().map(|fix| fix.at), fixes.iter().map(|fix| fix.at).max());
    }

    #[test]
    fn an_arrival_stays_whatever_follows(fixes in drive()) {
        let mut presence = Presence::default();
        let mut arrived = None;
        for fix in fixes {
            presence.see(north(0.0), &fix);
            prop_assert!(arrived.is_none() || presence.arrived_at == arrived, "exactly one");
            prop_assert!(presence.left_at.is_none() || presence.arrived_at < presence.left_at);
            arrived = presence.arrived_at;
        }
    }
}
