//! Quiet hours: until when somebody is left alone.

use jiff::{Timestamp, ToSpan, civil::Time, tz::TimeZone};

use super::QuietHours;

/// The end of the quiet hours, if they are on at that moment in that zone.
///
/// Local days decide, also where the clock is put forward or back: an end that a day does not have is the moment after the
/// gap, and one that a day has twice is the first that is still to come.
pub fn until(quiet: &QuietHours, zone: &TimeZone, at: Timestamp) -> Option<Timestamp> {
    let (start, end) = (time(&quiet.start)?, time(&quiet.end)?);
    let local = at.to_zoned(zone.clone());
    let now = local.time();
    let days = if start < end {
        (start <= now && now < end).then_some(0)
    } else if start == end {
        // Nobody means a whole day, and it is refused at apply.
        None
    } else if now >= start {
        Some(1)
    } else {
        (now < end).then_some(0)
    }?;
    let ends = local.date().checked_add(days.days()).ok()?.to_datetime(end);
    let ends = zone.to_ambiguous_timestamp(ends);
    let first = ends.compatible().ok()?;
    if first > at { Some(first) } else { ends.later().ok().filter(|later| *later > at) }
}

/// `22:00`.
pub(crate) fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn hours(start: &str, end: &str) -> QuietHours {
        QuietHours { start: start.to_owned(), end: end.to_owned() }
    }

    #[rstest]
    // Over midnight, in Berlin: two hours ahead of UTC in summer.
    #[case("22:00", "07:00", "Europe/Berlin", "2026-05-01T19:59:59Z", None)]
    #[case("22:00", "07:00", "Europe/Berlin", "2026-05-01T20:00:00Z", Some("2026-05-02T05:00:00Z"))]
    #[case("22:00", "07:00", "Europe/Berlin", "2026-05-02T04:59:59Z", Some("2026-05-02T05:00:00Z"))]
    #[case("22:00", "07:00", "Europe/Berlin", "2026-05-02T05:00:00Z", None)]
    // Within a day.
    #[case("12:00", "14:00", "UTC", "2026-05-01T13:00:00Z", Some("2026-05-01T14:00:00Z"))]
    #[case("12:00", "14:00", "UTC", "2026-05-01T14:00:00Z", None)]
    // To midnight.
    #[case("20:00", "00:00", "UTC", "2026-05-01T23:59:00Z", Some("2026-05-02T00:00:00Z"))]
    #[case("20:00", "00:00", "UTC", "2026-05-01T00:00:00Z", None)]
    // The night in which 02:30 does not exist, and the one in which it is twice.
    #[case("22:00", "02:30", "Europe/Berlin", "2026-03-28T22:00:00Z", Some("2026-03-29T01:30:00Z"))]
    #[case("22:00", "02:30", "Europe/Berlin", "2026-10-24T22:00:00Z", Some("2026-10-25T00:30:00Z"))]
    #[case("22:00", "02:30", "Europe/Berlin", "2026-10-25T01:10:00Z", Some("2026-10-25T01:30:00Z"))]
    // No hours at all.
    #[case("08:00", "08:00", "UTC", "2026-05-01T08:00:00Z", None)]
    fn until_when(
        #[case] start: &str,
        #[case] end: &str,
        #[case] zone: &str,
        #[case] at: &str,
        #[case] expected: Option<&str>,
    ) {
        let zone = TimeZone::get(zone).unwrap();
        let told = until(&hours(start, end), &zone, at.parse().unwrap());
        assert_eq!(told.map(|at| at.to_string()).as_deref(), expected);
    }

    proptest! {
        /// A message that waits for the end goes out then, and waits for a day at most.
        #[test]
        fn the_end_is_ahead_and_then_it_is_over(
            start in 0..1440_i16, end in 0..1440_i16, at in 1_770_000_000..1_810_000_000_i64,
            zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Chatham"]),
        ) {
            let text = |minutes: i16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
            let (quiet, zone) = (hours(&text(start), &text(end)), TimeZone::get(zone).unwrap());
            let at = Timestamp::from_second(at).unwrap();
            if let Some(ends) = until(&quiet, &zone, at) {
                prop_assert!(ends > at);
                prop_assert!(ends.duration_since(at) <= SignedDuration::from_hours(25));
                prop_assert_eq!(until(&quiet, &zone, ends), None);
            }
        }
    }
}
