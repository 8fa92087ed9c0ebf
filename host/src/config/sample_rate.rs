//! The share of runs that is sent, as a configuration writes it. Pure; knows no key.

use std::fmt;

use serde_json::Value;

use super::table::Field;

/// A share in millionths. Sentry's `sample_rand` has six digits: of a finer rate more or fewer would be kept than it
/// says, and whatever Sentry multiplies by it would be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleRate(u32);

const WHOLE: u32 = 1_000_000;

impl SampleRate {
    pub const ALL: Self = Self(WHOLE);
    pub const NONE: Self = Self(0);

    pub fn millionths(self) -> u32 {
        self.0
    }

    /// The rate that comes nearest to a share; none where that is not within bounds, or so small that it would be nothing.
    pub fn of(share: f64) -> Option<Self> {
        let millionths = (share * f64::from(WHOLE)).round();
        let within = share == 0.0 || ((0.0..=1.0).contains(&share) && millionths >= 1.0);
        within.then_some(Self(millionths as u32))
    }

    /// Reads `0.1` or `1 of 10`.
    pub(super) fn read(field: &Field) -> Result<Self, String> {
        let share = match &field.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => one_of_so_many(text),
            _ => None,
        };
        let share = share.ok_or_else(|| field.wrong("must be a rate such as 0.1, or text like `1 of 10`"))?;
        Self::of(share).ok_or_else(|| field.wrong("must be 0, or from 0.000001 to 1"))
    }
}

impl Default for SampleRate {
    fn default() -> Self {
        Self::ALL
    }
}

/// As Sentry reads it: `1`, `0.25`.
impl fmt::Display for SampleRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (f64::from(self.0) / f64::from(WHOLE)).fmt(f)
    }
}

fn one_of_so_many(text: &str) -> Option<f64> {
    let (kept, all) = text.split_once(" of ")?;
    let whole = |text: &str| text.trim().parse::<u32>().ok();
    let (kept, all) = (whole(kept)?, whole(all)?);
    // None of none is nothing that can be kept.
    (all > 0).then(|| f64::from(kept) / f64::from(all))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(value: Value, expected: Result<&str, &str>) {
        let field = Field { pointer: String::new(), key: "`sample`".to_owned(), value };
        let rate = SampleRate::read(&field).map(|rate| rate.to_string());
        assert_eq!(rate.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn rates() {
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
    fn a_rate_is_as_fine_as_what_it_is_compared_with() {
        check(json!("1 of 3"), Ok("0.333333"));
        check(json!(0.000_001), Ok("0.000001"));
        check(json!("1 of 1000000"), Ok("0.000001"));
        check(json!(0.999_999_9), Ok("1"));
    }

    #[test]
    fn what_is_no_rate() {
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
