//! Moments as people write them, in the languages of the built-in words.
//!
//! Only letters that an SMS carries in its small alphabet are used: one `û` would double the price of a message.

use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::builtin::language;

/// An ETA is told to so many minutes: more would promise what nobody knows.
const ETA_MINUTES: i64 = 5;

/// The moment, with its day unless that is the day of `now`: `2:35 PM`, `Sat, May 2, 2:35 PM`. UTC is said, since it is the
/// zone of who has said none, and few clocks show it.
pub(crate) fn moment(at: Timestamp, now: Timestamp, zone: &TimeZone, locale: &str) -> String {
    let told = in_zone(at, now, zone, locale);
    if zone.iana_name().is_none_or(|name| name == "UTC") { format!("{told} UTC") } else { told }
}

fn in_zone(at: Timestamp, now: Timestamp, zone: &TimeZone, locale: &str) -> String {
    let (local, today) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()).date());
    if local.date() == today {
        return clock(&local, locale);
    }
    let joint = if language(locale).code == "fr" { " à " } else { ", " };
    format!("{}{joint}{}", day(&local, locale), clock(&local, locale))
}

/// To the nearest five minutes.
pub(crate) fn rounded(at: Timestamp) -> Timestamp {
    let step = ETA_MINUTES * 60;
    let second = at.as_second() + step / 2;
    Timestamp::from_second(second - second.rem_euclid(step)).unwrap_or(at)
}

fn clock(local: &Zoned, locale: &str) -> String {
    let (hour, minute) = (local.hour(), local.minute());
    match language(locale).code {
        "de" => format!("{hour}:{minute:02} Uhr"),
        "fr" => format!("{hour}h{minute:02}"),
        "es" => format!("{hour}:{minute:02}"),
        _ if of_region(locale, &["GB", "IE", "ZA"]) => format!("{hour:02}:{minute:02}"),
        _ => {
            let half = if hour < 12 { "AM" } else { "PM" };
            format!("{}:{minute:02} {half}", if hour % 12 == 0 { 12 } else { hour % 12 })
        }
    }
}

fn day(local: &Zoned, locale: &str) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (month, day) = (local.month(), local.day());
    let weekday =
        |names: [&'static str; 7]| names[usize::try_from(local.weekday().to_monday_zero_offset()).unwrap_or(0)];
    match language(locale).code {
        "de" => format!("{}, {day:02}.{month:02}.", weekday(["Mo.", "Di.", "Mi.", "Do.", "Fr.", "Sa.", "So."])),
        "fr" => {
            let weekday = weekday(["lun.", "mar.", "mer.", "jeu.", "ven.", "sam.", "dim."]);
            format!("{weekday} {day:02}/{month:02}")
        }
        "es" => format!("{day}/{month}"),
        _ => {
            let weekday = weekday(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]);
            let name = MONTHS[usize::try_from(month - 1).unwrap_or(0)];
            if of_region(locale, &["GB", "IE", "ZA", "AU", "NZ"]) {
                format!("{weekday} {day} {name}")
            } else {
                format!("{weekday}, {name} {day}")
            }
        }
    }
}

fn of_region(locale: &str, regions: &[&str]) -> bool {
    locale.split('-').skip(1).any(|part| regions.iter().any(|region| part.eq_ignore_ascii_case(region)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("en", "2:35 PM", "Sat, May 2, 12:05 AM")]
    #[case("en-US", "2:35 PM", "Sat, May 2, 12:05 AM")]
    #[case("en-GB", "14:35", "Sat 2 May, 00:05")]
    #[case("de-AT", "14:35 Uhr", "Sa., 02.05., 0:05 Uhr")]
    #[case("fr", "14h35", "sam. 02/05 à 0h05")]
    #[case("es", "14:35", "2/5, 0:05")]
    #[case("xx", "2:35 PM", "Sat, May 2, 12:05 AM")]
    fn as_people_write_it(#[case] locale: &str, #[case] today: &str, #[case] tomorrow: &str) {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let now: Timestamp = "2026-05-01T06:00:00Z".parse().unwrap();
        let at = |text: &str| moment(text.parse().unwrap(), now, &zone, locale);
        assert_eq!(at("2026-05-01T12:35:00Z"), today);
        assert_eq!(at("2026-05-01T22:05:00Z"), tomorrow);
    }

    #[test]
    fn the_zone_of_who_has_said_none_is_told() {
        let at: Timestamp = "2026-05-01T12:35:00Z".parse().unwrap();
        assert_eq!(moment(at, at, &TimeZone::UTC, "en"), "12:35 PM UTC");
        assert_eq!(moment(at, at, &TimeZone::get("Europe/London").unwrap(), "en-GB"), "13:35");
    }

    #[test]
    fn an_eta_is_told_to_five_minutes() {
        let told = |text: &str| rounded(text.parse().unwrap()).to_string();
        assert_eq!(told("2026-05-01T12:02:29Z"), "2026-05-01T12:00:00Z");
        assert_eq!(told("2026-05-01T12:02:30Z"), "2026-05-01T12:05:00Z");
        assert_eq!(told("2026-05-01T23:58:00Z"), "2026-05-02T00:00:00Z");
    }
}
