//! Formatting of values by a format spec.

use serde_json::Value;

use super::field::type_name;
use super::integer::Integer;
use super::padding::{NumberParts, pad};
use super::spec::{Spec, ValueKind};
use super::{float, integer, repr};

/// Formats a value; without a spec, as Python's `str`.
///
/// # Errors
/// Returns a sentence if the spec is not for values of this type.
pub fn format(value: &Value, spec: Option<&Spec>) -> Result<String, String> {
    let Some(spec) = spec else { return Ok(repr::text(value)) };
    match value {
        Value::String(text) => format_text(text, spec),
        // In Python a boolean is an integer.
        Value::Bool(truth) => format_integer(&Integer::from(*truth), spec),
        Value::Number(number) if integer::is_float(number) => {
            spec.check_kind(ValueKind::Float)?;
            Ok(float::parts(float::from_number(number), spec).pad(spec))
        }
        Value::Number(number) => format_integer(&Integer::from_number(number), spec),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(format!("{} takes no format spec, unless `!s` makes it text", type_name(value)))
        }
    }
}

fn format_text(text: &str, spec: &Spec) -> Result<String, String> {
    spec.check_kind(ValueKind::Text)?;
    let end = spec.precision.and_then(|precision| text.char_indices().nth(precision));
    Ok(pad(&text[..end.map_or(text.len(), |(end, _)| end)], spec, ValueKind::Text))
}

fn format_integer(integer: &Integer, spec: &Spec) -> Result<String, String> {
    spec.check_kind(ValueKind::Integer)?;
    let parts = match spec.presentation {
        Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%') => float::parts(integer.to_float()?, spec),
        Some('c') => NumberParts { rest: integer.to_character()?.into(), ..NumberParts::default() },
        Some(base @ ('b' | 'o' | 'x' | 'X')) => {
            let (prefix, digits) = match base {
                'b' => ("0b", integer.in_base(1)?),
                'o' => ("0o", integer.in_base(3)?),
                'x' => ("0x", integer.in_base(4)?),
                _ => ("0X", integer.in_base(4)?.to_uppercase()),
            };
            let prefix = if spec.alternate { prefix } else { "" };
            NumberParts { negative: integer.negative, prefix, whole: digits, ..NumberParts::default() }
        }
        _ => NumberParts { negative: integer.negative, whole: integer.digits.clone(), ..NumberParts::default() },
    };
    Ok(parts.pad(spec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(spec: &str, value: &str, expected: &str) {
        let value = serde_json::from_str(value).expect("JSON");
        let spec = Spec::parse(spec).expect("a spec");
        assert_eq!(format(&value, Some(&spec)).as_deref(), Ok(expected));
    }

    #[track_caller]
    fn check_error(spec: &str, value: &str, expected: &str) {
        let value = serde_json::from_str(value).expect("JSON");
        let error = Spec::parse(spec).map_err(str::to_owned).and_then(|spec| format(&value, Some(&spec)));
        assert_eq!(error, Err(expected.to_owned()));
    }

    #[test]
    fn text_is_formatted() {
        check("5", "\"ab\"", "ab   ");
        check(">5", "\"ab\"", "   ab");
        check("ü^6", "\"ab\"", "üüabüü");
        check("^5", "\"ab\"", " ab  ");
        check("05", "\"ab\"", "ab000");
        check(".1s", "\"üb\"", "ü");
        check_error("+", "\"a\"", "text takes no sign");
        check_error("=5", "\"a\"", "text takes no `=`");
        check_error("d", "\"a\"", "text takes no type but `s`");
        check_error(",", "\"a\"", "that type takes no `,` or `_`");
    }

    #[test]
    fn integers_are_formatted() {
        check("5", "42", "   42");
        check("<5", "42", "42   ");
        check("05", "-42", "-0042");
        check("*=+6", "42", "+***42");
        check(" d", "42", " 42");
        check(",", "1234567", "1,234,567");
        check("_", "-1234567", "-1_234_567");
        check("010,d", "1234", "00,001,234");
        check("04,", "1", "0,001");
        check("#x", "255", "0xff");
        check("#X", "-255", "-0XFF");
        check("_b", "255", "1111_1111");
        check("#010o", "8", "0o00000010");
        check("c", "8364", "€");
        check("n", "1234567", "1234567");
        check("x", "123456789012345678901234567890", "18ee90ff6c373e0ee4e3f0ad2");
        check("d", "-0", "0");
        check("b", "0", "0");
        check("d", "true", "1");
        check("5", "false", "    0");
        check(".2f", "5", "5.00");
        check("%", "true", "100.000000%");
        check_error(".3d", "1", "an integer takes no precision, except with one of the types `e E f F g G %`");
        check_error("s", "true", "an integer takes one of the types `b c d e E f F g G n o x X %`");
        check_error("c", "-1", "no character has that number");
        check_error("c", "55296", "no character has that number");
        check_error("+c", "65", "the type `c` takes no sign");
        check_error("e", &format!("1{}", "0".repeat(400)), "the integer is too large for a float");
    }

    #[test]
    fn invalid_specs_and_types_are_reported() {
        check_error("5", "null", "null takes no format spec, unless `!s` makes it text");
        check_error("s", "[]", "a list takes no format spec, unless `!s` makes it text");
        check_error(",_", "1", "expected one of `,` and `_`, not both");
        check_error(".f", "1.5", "expected a precision such as `.2` after the dot");
        check_error("5ab", "1", "expected a spec such as `>10`, `05d` or `.2f`");
        check_error("1000001", "1", "width and precision are at most 1000000");
    }
}
