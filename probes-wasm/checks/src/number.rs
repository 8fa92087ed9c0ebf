//! Comparison of JSON numbers and values, exact for integers of any size.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// Compares two numbers. Integers are compared exactly, since neighbours beyond 2^53 would be equal as `f64`; all other
/// numbers are compared as `f64`.
pub fn compare(a: &Number, b: &Number) -> Option<Ordering> {
    let (a, b) = (a.to_string(), b.to_string());
    match (integer_digits(&a), integer_digits(&b)) {
        (Some(a), Some(b)) => Some(compare_integers(a, b)),
        _ => a.parse::<f64>().ok()?.partial_cmp(&b.parse().ok()?),
    }
}

/// Returns true if two JSON values are equal, where 1 equals 1.0.
pub fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare(a, b) == Some(Ordering::Equal),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

/// Returns true if a number has no fraction, such as 1.0 and 1e3.
pub fn is_whole(number: &Number) -> bool {
    let text = number.to_string();
    integer_digits(&text).is_some() || text.parse::<f64>().is_ok_and(|number| number.fract() == 0.0)
}

/// Returns the digits and sign of an integer, and `None` for a number with a point or an exponent.
fn integer_digits(text: &str) -> Option<&str> {
    match text {
        "-0" => Some("0"),
        _ => text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-').then_some(text),
    }
}

/// Compares two integers by their digits. JSON has no leading zeros, so that the number with more digits is further
/// from zero.
fn compare_integers(a: &str, b: &str) -> Ordering {
    let size = |digits: &str| (digits.len(), digits.to_owned());
    match (a.strip_prefix('-'), b.strip_prefix('-')) {
        (None, None) => size(a).cmp(&size(b)),
        (Some(a), Some(b)) => size(b).cmp(&size(a)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn number(text: &str) -> Number {
        serde_json::from_str(text).expect("a number")
    }

    #[test]
    fn numbers_are_compared() {
        let check = |a: &str, order: Ordering, b: &str| {
            assert_eq!(compare(&number(a), &number(b)), Some(order), "{a} {b}");
            assert_eq!(compare(&number(b), &number(a)), Some(order.reverse()), "{b} {a}");
        };
        check("9", Ordering::Less, "10");
        check("-9", Ordering::Greater, "-10");
        check("-1", Ordering::Less, "1");
        check("-0", Ordering::Equal, "0");
        check("-0.0", Ordering::Equal, "0");
        check("1", Ordering::Equal, "1.0");
        check("1e3", Ordering::Equal, "1000");
        check("0.1", Ordering::Less, "0.2");
        check("9007199254740992", Ordering::Less, "9007199254740993");
        check("18446744073709551616", Ordering::Less, "18446744073709551617");
        check("-123456789012345678901234567890", Ordering::Less, "-123456789012345678901234567889");
        check("1e400", Ordering::Greater, "12.5");
    }

    #[test]
    fn nested_values_are_compared() {
        assert!(equal(&json!([1, { "a": 2.0, "b": null }]), &json!([1.0, { "b": null, "a": 2 }])));
        assert!(!equal(&json!([1]), &json!([1, 1])));
        assert!(!equal(&json!({ "a": 1 }), &json!({ "b": 1 })));
        assert!(!equal(&json!("1"), &json!(1)));
        assert!(!equal(&json!(false), &json!(null)));
    }

    #[test]
    fn whole_numbers_have_no_fraction() {
        assert!(["0", "-7", "1.0", "1e3", "123456789012345678901234567890"].iter().all(|text| is_whole(&number(text))));
        assert!(!["0.5", "1e-3"].iter().any(|text| is_whole(&number(text))));
    }
}
