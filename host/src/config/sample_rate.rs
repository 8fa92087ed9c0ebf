//! The share of passing runs that is sent.

use std::fmt;

use serde_json::Value;

use super::table::Field;

/// A share of runs, in millionths. Sentry's `sample_rand` has six digits: with a finer rate, another share would be
/// sent than the rate that is reported with it, and the counts that Sentry extrapolates would be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleRate(u32);

const MILLION: u32 = 1_000_000;

impl SampleRate {
    /// Every run.
    pub const ALL: Self = Self(MILLION);
    /// No run.
    pub const NONE: Self = Self(0);

    /// Returns the share in millionths, at most 1,000,000.
    pub fn millionths(self) -> u32 {
        self.0
    }

    /// Returns the rate nearest to a share. Returns `None` if the share is not from 0 to 1, or if it is not 0 but
    /// rounds to 0.
    pub fn from_share(share: f64) -> Option<Self> {
        let millionths = (share * f64::from(MILLION)).round();
        let is_valid = share == 0.0 || ((0.0..=1.0).contains(&share) && millionths >= 1.0);
        is_valid.then_some(Self(millionths as u32))
    }

    /// Reads `0.1` or `1 of 10`.
    pub(super) fn read(field: &Field) -> Result<Self, String> {
        let share = match &field.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => parse_ratio(text),
            _ => None,
        };
        let share = share.ok_or_else(|| field.mismatch("must be a rate such as 0.1, or text like `1 of 10`"))?;
        Self::from_share(share).ok_or_else(|| field.mismatch("must be 0, or from 0.000001 to 1"))
    }
}

impl Default for SampleRate {
    fn default() -> Self {
        Self::ALL
    }
}

/// Writes the share as Sentry reads it: `1`, `0.25`.
impl fmt::Display for SampleRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (f64::from(self.0) / f64::from(MILLION)).fmt(f)
    }
}

/// Parses `1 of 10`. Returns `None` for anything else, and for `0 of 0`.
fn parse_ratio(text: &str) -> Option<f64> {
    let (sampled, all) = text.split_once(" of ")?;
    let integer = |text: &str| text.trim().parse::<u32>().ok();
    let (sampled, all) = (integer(sampled)?, integer(all)?);
    (all > 0).then(|| f64::from(sampled) / f64::from(all))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(value: Value, expected: Result<&str, &str>) {
        let field = Field { pointer: String::new(), label: "`sample`".to_owned(), value };
        let rate = SampleRate::read(&field).map(|rate| rate.to_string());
        assert_eq!(rate.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn a_rate_is_a_number_or_a_ratio() {
        check(json!(0), Ok("0"));
        check(json!(0.1), Ok("0.1"));
        check(json!(0.25), Ok("0.25"));
        check(json!(1), Ok("1"));
        check(json!(1.0), Ok("1"));
        check(json!("1 of 10"), Ok("0.1"));
        check(json!(" 3  of  4 "), Ok("0.75"));
        check(json!("10 of 10"), Ok("1"));
        check(json!("0 of 10"), Ok("0"));
    }

    #[test]
    fn rates_are_rounded_to_millionths() {
        check(json!("1 of 3"), Ok("0.333333"));
        check(json!(0.000_001), Ok("0.000001"));
        check(json!("1 of 1000000"), Ok("0.000001"));
        check(json!(0.999_999_9), Ok("1"));
    }

    #[test]
    fn other_values_are_errors() {
        let shape = "`sample` must be a rate such as 0.1, or text like `1 of 10`, not";
        let bounds = "`sample` must be 0, or from 0.000001 to 1, not";
        check(json!("often"), Err(&format!("{shape} `often`")));
        check(json!("1 of 0"), Err(&format!("{shape} `1 of 0`")));
        check(json!("1 of -5"), Err(&format!("{shape} `1 of -5`")));
        check(json!("1 of 99999999999"), Err(&format!("{shape} `1 of 99999999999`")));
        check(json!("of 5"), Err(&format!("{shape} `of 5`")));
        check(json!("0.1"), Err(&format!("{shape} text: leave out the quotes")));
        check(json!(true), Err(&format!("{shape} `true`")));
        check(json!([1]), Err(&format!("{shape} a list")));
        check(json!(-0.1), Err(&format!("{bounds} `-0.1`")));
        check(json!(1.1), Err(&format!("{bounds} `1.1`")));
        check(json!(10), Err(&format!("{bounds} `10`")));
        check(json!(1e-7), Err(&format!("{bounds} `0.0000001`")));
        check(json!("11 of 10"), Err(&format!("{bounds} `11 of 10`")));
    }
}
