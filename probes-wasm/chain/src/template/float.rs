//! Formatting of floats: with the fewest digits that are parsed as the same float, or rounded to a number of digits.

use serde_json::Number;

use super::padding::{NumberParts, zeros};
use super::spec::Spec;

/// Converts a JSON number to a float. A number beyond the largest float is infinite, as in Python.
pub fn from_number(number: &Number) -> f64 {
    number.to_string().parse().unwrap_or(f64::NAN)
}

/// Formats a float as Python's `repr`.
pub fn repr(value: f64) -> String {
    let spec = Spec::default();
    parts(value, &spec).pad(&spec)
}

/// Formats a float by a spec, before padding.
pub fn parts(value: f64, spec: &Spec) -> NumberParts {
    let presentation = spec.presentation.unwrap_or('\0');
    let value = if presentation == '%' { value * 100.0 } else { value };
    let absolute = value.abs();
    let (whole, mut rest) = match (presentation.to_ascii_lowercase(), spec.precision) {
        _ if value.is_nan() => (String::new(), "nan".to_owned()),
        _ if value.is_infinite() => (String::new(), "inf".to_owned()),
        ('f' | '%', precision) => fixed(absolute, precision.unwrap_or(6), spec.alternate),
        ('e', precision) => {
            let digits = precision.unwrap_or(6) + 1;
            Decimal::rounded(absolute, digits).scientific(digits, spec.alternate)
        }
        ('g' | 'n', precision) => {
            let digits = precision.unwrap_or(6).max(1);
            Decimal::rounded(absolute, digits).general(digits, digits, 0, spec.alternate)
        }
        // Without a type, there is at least one decimal, by which a float differs from an integer.
        (_, Some(precision)) => {
            let digits = precision.max(1);
            Decimal::rounded(absolute, digits).general(digits, digits - 1, 1, spec.alternate)
        }
        (_, None) => {
            let decimal = Decimal::shortest(absolute);
            decimal.general(decimal.digits.len(), 16, 1, spec.alternate)
        }
    };
    if presentation == '%' {
        rest.push('%');
    }
    if presentation.is_ascii_uppercase() {
        rest.make_ascii_uppercase();
    }
    let zero = value.is_finite() && !whole.chars().chain(rest.chars()).any(|digit| matches!(digit, '1'..='9'));
    let negative = value.is_sign_negative() && !value.is_nan() && !(spec.unsigned_zero && zero);
    NumberParts { negative, whole, rest, ..NumberParts::default() }
}

/// More digits than any float has on either side of the point. The standard library allows a precision of 65,535 at
/// most.
const MAX_DIGITS: usize = 1100;

/// Formats with a fixed number of decimals. Returns the digits before the point, and the rest.
fn fixed(value: f64, decimals: usize, alternate: bool) -> (String, String) {
    let text = format!("{value:.*}", decimals.min(MAX_DIGITS));
    let (whole, digits) = text.split_once('.').unwrap_or((&text, ""));
    (whole.to_owned(), decimals_after_point(digits, decimals, alternate))
}

/// Returns the point and the decimals, with zeros up to `wanted` digits. With `alternate`, a point without digits is
/// kept.
fn decimals_after_point(digits: &str, wanted: usize, alternate: bool) -> String {
    let point = if wanted > 0 || !digits.is_empty() || alternate { "." } else { "" };
    format!("{point}{digits}{}", zeros(wanted, digits.len()))
}

/// A positive decimal number. 0.0123 has the digits 123 and the point at -1.
struct Decimal {
    /// The digits without trailing zeros; `0` for zero.
    digits: String,
    /// The position of the point, counted from before the first digit.
    point: isize,
}

impl Decimal {
    /// Returns the fewest digits that are parsed as the same float. If two decimals are equally short and close,
    /// returns the even one, as Python does. The standard library returns the larger one.
    fn shortest(value: f64) -> Self {
        let shortest = format!("{value:e}");
        let decimal = Self::parse(&shortest);
        let rounded = format!("{value:.*e}", decimal.digits.len() - 1);
        if rounded != shortest && rounded.parse() == Ok(value) { Self::parse(&rounded) } else { decimal }
    }

    /// Returns the float rounded to a number of digits.
    fn rounded(value: f64, digits: usize) -> Self {
        Self::parse(&format!("{value:.*e}", digits.min(MAX_DIGITS) - 1))
    }

    /// Parses Rust's scientific notation, such as `1.23e-2`.
    fn parse(scientific: &str) -> Self {
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
        let digits = mantissa.replace('.', "");
        let significant = digits.trim_end_matches('0').len().max(1);
        Self { digits: digits[..significant].to_owned(), point: exponent.parse::<isize>().unwrap_or(0) + 1 }
    }

    /// Formats as Python's `g`: in scientific notation if the point is more than 3 places before the first digit, or
    /// more than `far` places after it.
    fn general(&self, digits: usize, far: usize, min_decimals: usize, alternate: bool) -> (String, String) {
        let digits = if alternate { digits } else { self.digits.len() };
        if !(-3..=far.cast_signed()).contains(&self.point) {
            return self.scientific(digits, alternate);
        }
        // There is at least one digit before the point.
        let leading = (1 - self.point).max(0).unsigned_abs();
        let whole = self.point.max(1).unsigned_abs();
        let wanted = (leading + digits).max(whole + min_decimals);
        let text = format!("{}{}{}", zeros(leading, 0), self.digits, zeros(wanted, leading + self.digits.len()));
        let (whole, decimals) = text.split_at(whole);
        (whole.to_owned(), decimals_after_point(decimals, 0, alternate))
    }

    /// Formats in scientific notation with this many digits.
    fn scientific(&self, digits: usize, alternate: bool) -> (String, String) {
        let (whole, decimals) = self.digits.split_at(1);
        let exponent = self.point - 1;
        let sign = if exponent < 0 { '-' } else { '+' };
        let decimals = decimals_after_point(decimals, digits - 1, alternate);
        (whole.to_owned(), format!("{decimals}e{sign}{:02}", exponent.abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(spec: &str, value: f64, expected: &str) {
        let spec = Spec::parse(spec).expect("a spec");
        assert_eq!(parts(value, &spec).pad(&spec), expected);
    }

    #[test]
    fn floats_are_formatted_as_by_repr() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (100.0, "100.0"),
            (1e15, "1000000000000000.0"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (5e-324, "5e-324"),
            (1.797_693_134_862_315_7e308, "1.7976931348623157e+308"),
            (2f64.powi(-44), "5.684341886080802e-14"),
            (2.204_780_578_613_281_2, "2.2047805786132812"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(repr(value), expected);
        }
    }

    #[test]
    fn types_are_applied() {
        check(".2f", 2.675, "2.67");
        check(".0f", 0.5, "0");
        check(".0f", 1.5, "2");
        check("#.0f", 1.0, "1.");
        check("f", 1e22, "10000000000000000000000.000000");
        check("e", 12345.678, "1.234568e+04");
        check(".0E", 25.0, "2E+01");
        check("g", 1e6, "1e+06");
        check("g", 123_456.0, "123456");
        check("#g", 1.0, "1.00000");
        check("n", 0.0001, "0.0001");
        check(".1%", 0.1234, "12.3%");
        check("G", f64::INFINITY, "INF");
        check("%", 1e308, "inf%");
    }

    #[test]
    fn a_spec_without_a_type_is_applied() {
        check(".3", 1234.5, "1.23e+03");
        check(".4", 1234.0, "1.234e+03");
        check(".5", 1234.0, "1234.0");
        check(".0", 1.5, "2e+00");
        check("#", 1e20, "1.e+20");
        check("\0", 1.5, "1.5");
    }

    #[test]
    fn signs_fill_and_grouping_are_applied() {
        check("+", 1.0, "+1.0");
        check("z.1f", -0.01, "0.0");
        check("z", f64::NEG_INFINITY, "-inf");
        check("010", f64::NEG_INFINITY, "-000000inf");
        check("012,.2f", 1234.5, "0,001,234.50");
        check("x=10", -1.5, "-xxxxxx1.5");
        check("_", 1_234_567.0, "1_234_567.0");
        check(",.3%", 1234.0, "123,400.000%");
    }

    #[test]
    fn a_precision_beyond_the_digits_adds_zeros() {
        let spec = Spec::parse(".100000f").expect("a spec");
        assert_eq!(parts(0.1, &spec).pad(&spec).len(), 100_002);
        check(".60f", 0.1, "0.100000000000000005551115123125782702118158340454101562500000");
    }
}
