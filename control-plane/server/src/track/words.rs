//! What the page says, in each language that messages are written in.

mod texts;

use dropmate_api::Phase;
use jiff::{Timestamp, tz::TimeZone};

use self::texts::{ENGLISH, FRENCH, GERMAN, SPANISH};
use super::view::What;

/// The texts of one language. `{…}` are put in by [`fill`].
#[derive(Debug)]
pub(super) struct Words {
    pub(super) lang: &'static str,
    pub(super) decimal: char,
    pub(super) title: &'static str,
    clock: &'static str,
    day: &'static str,
    pub(super) between: &'static str,
    pub(super) next: &'static str,
    pub(super) one_before: &'static str,
    pub(super) some_before: &'static str,
    pub(super) brings: &'static str,
    pub(super) away: &'static str,
    pub(super) old: &'static str,
    pub(super) pin: &'static str,
    pub(super) pin_hint: &'static str,
    pub(super) rating: &'static str,
    pub(super) how_was_it: &'static str,
    pub(super) one_star: &'static str,
    pub(super) stars: &'static str,
    pub(super) comment: &'static str,
    pub(super) send: &'static str,
    pub(super) thanks: &'static str,
    pub(super) choose_stars: &'static str,
    pub(super) too_long: &'static str,
    pub(super) timeline: &'static str,
    pub(super) notified: &'static str,
    pub(super) not_notified: &'static str,
    pub(super) opt_out: &'static str,
    pub(super) opt_in: &'static str,
    pub(super) gone: &'static str,
    pub(super) gone_text: &'static str,
    pub(super) throttled: &'static str,
    pub(super) throttled_text: &'static str,
    pub(super) broken: &'static str,
    pub(super) broken_text: &'static str,
    phases: [&'static str; 9],
    whats: [&'static str; 13],
}

const ALL: [&Words; 4] = [&ENGLISH, &GERMAN, &FRENCH, &SPANISH];

/// The language of the recipient, as the order says, else the first that the browser asks for, else English.
pub(super) fn words(locale: Option<&str>, accepted: &str) -> &'static Words {
    let asked = accepted.split(',').filter_map(|language| language.split(';').next());
    let of = |tag: &str| {
        let primary = tag.trim().split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        ALL.into_iter().find(|words| words.lang == primary)
    };
    locale.into_iter().chain(asked).find_map(of).unwrap_or(&ENGLISH)
}

/// Puts values in the place of their names. What is put in is data: no name in it counts.
pub(super) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            rest = after;
            break;
        };
        if let Some((_, value)) = values.iter().find(|(known, _)| *known == name) {
            filled.push_str(value);
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

impl Words {
    /// The headline of a phase.
    pub(super) fn phase(&self, phase: Phase) -> &'static str {
        let number = match phase {
            Phase::Pending | Phase::Scheduled | Phase::Ready | Phase::Offered => 0,
            Phase::Assigned | Phase::EnRouteToPickup => 1,
            Phase::AtPickup => 2,
            Phase::OutForDelivery => 3,
            Phase::AtDropoff => 4,
            Phase::AttemptFailed => 5,
            Phase::Returning => 6,
            Phase::Delivered => 7,
            Phase::Returned | Phase::Cancelled | Phase::Failed | Phase::Expired => 8,
        };
        self.phases[number]
    }

    /// What happened.
    pub(super) fn what(&self, what: What) -> &'static str {
        self.whats[what as usize]
    }

    /// A time of day, with the day where it is another one.
    pub(super) fn time(&self, at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
        let (at, now) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
        let day = if at.date() == now.date() { String::new() } else { at.strftime(self.day).to_string() };
        format!("{day}{}", at.strftime(self.clock))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Some("de-AT"), "fr", "de")]
    #[case(Some("pt-BR"), "fr-CA,en;q=0.5", "fr")]
    #[case(None, "ES;q=0.9", "es")]
    #[case(None, "", "en")]
    #[case(None, "*, xx", "en")]
    fn the_recipient_s_language_counts_then_the_browser_s(
        #[case] locale: Option<&str>,
        #[case] accepted: &str,
        #[case] lang: &str,
    ) {
        assert_eq!(words(locale, accepted).lang, lang);
    }

    #[test]
    fn what_is_put_in_is_data() {
        assert_eq!(fill("{name} brings {what}.", &[("name", "{what}"), ("what", "it")]), "{what} brings it.");
        assert_eq!(fill("a { b", &[]), "a  b");
    }

    #[test]
    fn a_time_is_local_and_tells_the_day_where_it_is_another() {
        let zone = TimeZone::get("America/Toronto").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2027-01-04T20:00:00Z");
        assert_eq!(ENGLISH.time(at("2027-01-04T20:05:00Z"), now, &zone), "3:05 PM");
        assert_eq!(GERMAN.time(at("2027-01-04T20:05:00Z"), now, &zone), "15:05");
        assert_eq!(GERMAN.time(at("2027-01-05T04:59:00Z"), now, &zone), "23:59");
        assert_eq!(GERMAN.time(at("2027-01-05T05:05:00Z"), now, &zone), "5.1. 00:05");
        assert_eq!(ENGLISH.time(at("2027-01-03T15:05:00Z"), now, &zone), "Jan 3, 10:05 AM");
    }

    #[test]
    fn every_language_says_everything_and_names_the_same_values() {
        let names = |text: &str| -> Vec<String> {
            let mut names: Vec<String> =
                text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect();
            names.sort();
            names
        };
        for words in ALL {
            assert!(words.phases.iter().chain(&words.whats).all(|text| !text.is_empty()), "{}", words.lang);
            for (mine, english) in [
                (words.between, ENGLISH.between),
                (words.some_before, ENGLISH.some_before),
                (words.brings, ENGLISH.brings),
                (words.away, ENGLISH.away),
                (words.old, ENGLISH.old),
                (words.stars, ENGLISH.stars),
            ] {
                assert_eq!(names(mine), names(english), "{}: {mine}", words.lang);
            }
        }
    }
}
