//! A rate as a flag says it: `PER_SECOND[:BURST]`.

use std::{fmt, num::NonZeroU32, str::FromStr};

use governor::Quota;

/// Beyond this no machine answers, and the arithmetic of the limiter works in nanoseconds.
const MAX: u32 = 1_000_000;

/// Requests a second, and how many may come at once after a rest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate(Option<(NonZeroU32, NonZeroU32)>);

/// A rate that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not of the form PER_SECOND[:BURST], with whole numbers up to 1000000; 0 is no limit")]
pub struct RateError(String);

impl Rate {
    /// What the limiter goes by; `None`: no limit.
    pub(super) fn quota(self) -> Option<Quota> {
        self.0.map(|(rate, burst)| Quota::per_second(rate).allow_burst(burst))
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let refused = || RateError(text.to_owned());
        let number = |part: &str| part.trim().parse::<u32>().ok().filter(|&n| n <= MAX).ok_or_else(refused);
        let (rate, burst) = match text.split_once(':') {
            Some((rate, burst)) => (number(rate)?, number(burst)?),
            // Two seconds' worth: what a client does at its start.
            None => (number(text)?, number(text)?.saturating_mul(2)),
        };
        match (NonZeroU32::new(rate), NonZeroU32::new(burst)) {
            (None, _) => Ok(Self(None)),
            (Some(rate), Some(burst)) => Ok(Self(Some((rate, burst)))),
            // Nothing could ever pass.
            (Some(_), None) => Err(refused()),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((rate, burst)) => write!(f, "{rate}:{burst}"),
            None => f.write_str("0"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1000:2000", "1000:2000")]
    #[case("50", "50:100")]
    #[case("0", "0")]
    #[case("0:7", "0")]
    #[case(" 5 : 1 ", "5:1")]
    fn a_rate_is_read(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(text.parse::<Rate>().unwrap().to_string(), shown);
    }

    #[rstest]
    #[case("")]
    #[case("5:0")]
    #[case("-1")]
    #[case("1.5")]
    #[case("10/s")]
    #[case("1000001")]
    #[case("1:2:3")]
    fn what_is_no_rate_is_refused_with_the_form(#[case] text: &str) {
        assert!(text.parse::<Rate>().unwrap_err().to_string().contains("PER_SECOND[:BURST]"));
    }
}
