//! Ages as `kubectl` prints them.

use jiff::{SignedDuration, Timestamp};

/// How long ago that was: `42s`, `5m`, `3h20m`, `2d`; `<invalid>` for the future, beyond a little skew.
pub(super) fn age(then: Timestamp, now: Timestamp) -> String {
    short(now.duration_since(then))
}

fn short(age: SignedDuration) -> String {
    let seconds = age.as_secs();
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    match () {
        () if seconds < 120 => format!("{}s", seconds.max(0)),
        () if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        () if hours < 48 => format!("{hours}h"),
        () if hours < 192 => pair(days, "d", hours % 24, "h"),
        () if years < 2 => format!("{days}d"),
        () if years < 8 => pair(years, "y", days % 365, "d"),
        () => format!("{years}y"),
    }
}

/// The smaller unit is left out when it is zero.
fn pair(large: i64, large_unit: &str, small: i64, small_unit: &str) -> String {
    if small == 0 { format!("{large}{large_unit}") } else { format!("{large}{large_unit}{small}{small_unit}") }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(-2, "<invalid>")]
    #[case(-1, "0s")]
    #[case(0, "0s")]
    #[case(119, "119s")]
    #[case(120, "2m")]
    #[case(150, "2m30s")]
    #[case(600, "10m")]
    #[case(10_799, "179m")]
    #[case(10_800, "3h")]
    #[case(12_000, "3h20m")]
    #[case(28_800, "8h")]
    #[case(172_799, "47h")]
    #[case(172_800, "2d")]
    #[case(180_000, "2d2h")]
    #[case(8 * 86_400, "8d")]
    #[case(729 * 86_400, "729d")]
    #[case(731 * 86_400, "2y1d")]
    #[case(3000 * 86_400, "8y")]
    fn ages_read_as_kubectl_prints_them(#[case] seconds: i64, #[case] text: &str) {
        assert_eq!(short(SignedDuration::from_secs(seconds)), text);
    }
}
