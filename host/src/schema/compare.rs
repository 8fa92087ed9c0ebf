//! Exact comparison of JSON's numbers and values, and multiples.

use std::cmp::Ordering;

use serde_json::{Number, Value};

const TWO_TO_64: f64 = 18_446_744_073_709_551_616.0;
const TWO_TO_127: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;

/// Returns true if a number has no fraction. 1.0 has none.
pub fn is_whole(number: &Number) -> bool {
    !number.is_f64() || number.as_f64().is_some_and(|float| float.fract() == 0.0)
}

/// Compares two numbers, also an integer with a float, without rounding them.
pub fn compare(a: &Number, b: &Number) -> Ordering {
    if let (Some(a), Some(b)) = (as_whole(a), as_whole(b)) {
        return a.cmp(&b);
    }
    // A float that has a fraction or is this large can be compared with an integer that is rounded.
    a.as_f64().unwrap_or(f64::NAN).total_cmp(&b.as_f64().unwrap_or(f64::NAN))
}

/// Returns a number as an integer, if it has no fraction and is not too large.
fn as_whole(number: &Number) -> Option<i128> {
    let float = || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < TWO_TO_127);
    number.as_i128().or_else(|| float().map(|float| float as i128))
}

/// Returns true if a number is a multiple of another. No number is a multiple of 0.
///
/// A float that is not whole counts as the shortest decimal that is read as this float, which is how people write it:
/// 0.0075 is then a multiple of 0.0001, although it is not one in binary.
pub fn is_multiple(number: &Number, of: &Number) -> bool {
    let (number, of) = (Decimal::new(number), Decimal::new(of));
    if of.digits == 0 || number.digits == 0 {
        return of.digits != 0;
    }
    // If the divisor ends in more zeros, the digits of the number would have to end in 0, which they do not.
    let Ok(zeros) = u32::try_from(number.exponent - of.exponent) else { return false };
    let divisor = u128::from(of.digits);
    (u128::from(number.digits) * power_of_ten(zeros, divisor)).is_multiple_of(divisor)
}

/// Returns 10^`exponent` modulo a number below 2^64.
fn power_of_ten(mut exponent: u32, modulus: u128) -> u128 {
    let (mut power, mut square) = (1, 10 % modulus);
    while exponent > 0 {
        if exponent % 2 == 1 {
            power = power * square % modulus;
        }
        square = square * square % modulus;
        exponent /= 2;
    }
    power
}

/// The absolute value of a number: `digits` × 10^`exponent`. The digits do not end in 0.
struct Decimal {
    digits: u64,
    exponent: i32,
}

impl Decimal {
    fn new(number: &Number) -> Self {
        let float = number.as_f64().unwrap_or_default().abs();
        let (mut digits, mut exponent) = match number.as_i128() {
            Some(whole) => (whole.unsigned_abs() as u64, 0),
            None if float.fract() == 0.0 && float < TWO_TO_64 => (float as u64, 0),
            None => {
                // Rust formats a float as `1.2345e-7`, with at most 17 digits.
                let text = format!("{float:e}");
                let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let digits: u64 = mantissa.replace('.', "").parse().unwrap_or_default();
                let decimals = digits.checked_ilog10().unwrap_or(0).cast_signed();
                (digits, exponent.parse::<i32>().unwrap_or(0) - decimals)
            }
        };
        while digits != 0 && digits.is_multiple_of(10) {
            digits /= 10;
            exponent += 1;
        }
        Self { digits, exponent }
    }
}

/// Returns true if two values are equal by JSON Schema, for which 1 equals 1.0.
pub fn is_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare(a, b).is_eq(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| is_equal(a, b)))
        }
        _ => a == b,
    }
}

/// Returns a text that is the same for two values if and only if they are equal by [`is_equal`].
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Number(number) => as_whole(number).map_or(number.to_string(), |whole| whole.to_string()),
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().map(|(key, value)| format!("{key:?}:{}", canonical(value))).collect();
            members.sort();
            format!("{{{}}}", members.join(","))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap()
    }

    #[test]
    fn numbers_compare_exactly() {
        let ascending = [
            "-1e300",
            "-9007199254740993",
            "-9007199254740992.0",
            "-0.11",
            "-0.1",
            "0",
            "1e-300",
            "0.3",
            "0.30000000000000004",
            "2",
            "10",
            "9007199254740992.0",
            "9007199254740993",
            "18446744073709551615",
            "1e20",
            "1e300",
        ];
        for pair in ascending.windows(2) {
            assert!(compare(&number(pair[0]), &number(pair[1])).is_lt(), "{pair:?}");
        }
        for (a, b) in [("1", "1.0"), ("0", "-0.0"), ("100", "1e2"), ("9223372036854775808", "9223372036854775808.0")] {
            assert!(compare(&number(a), &number(b)).is_eq(), "{a} {b}");
            assert_eq!(canonical(&Value::Number(number(a))), canonical(&Value::Number(number(b))));
        }
    }

    #[test]
    fn multiples_are_exact() {
        let multiples = [
            ("0.0075", "0.0001"),
            ("4.5", "1.5"),
            ("35", "2.5"),
            ("1e308", "0.5"),
            ("0", "3"),
            ("-1.1", "0.1"),
            ("1e22", "5"),
            ("1", "1e-300"),
        ];
        for (a, b) in multiples {
            assert!(is_multiple(&number(a), &number(b)), "{a} is a multiple of {b}");
        }
        let others = [
            ("0.00751", "0.0001"),
            ("10000000000.5", "1"),
            ("1e308", "0.123456789"),
            ("3", "20"),
            ("1", "0"),
            ("0", "0"),
        ];
        for (a, b) in others {
            assert!(!is_multiple(&number(a), &number(b)), "{a} is no multiple of {b}");
        }
    }
}
