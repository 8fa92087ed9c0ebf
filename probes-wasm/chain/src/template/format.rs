//! Values as a format spec wants them.

use serde_json::Value;

use super::field::type_of;
use super::integer::Integer;
use super::layout::{Figure, pad};
use super::spec::{Kind, Spec};
use super::{float, integer, repr};

/// Without a spec, as `str` prints the value.
pub fn format(value: &Value, spec: Option<&Spec>) -> Result<String, String> {
    let Some(spec) = spec else { return Ok(repr::text(value)) };
    match value {
        Value::String(text) => string(text, spec),
        // To Python a boolean is an integer.
        Value::Bool(truth) => int(&Integer::from(*truth), spec),
        Value::Number(number) if integer::is_float(number) => {
            spec.fits(Kind::Float)?;
            Ok(float::figure(float::read(number), spec).lay_out(spec))
        }
        Value::Number(number) => int(&Integer::read(number), spec),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(format!("{} takes no format spec, unless `!s` makes it text", type_of(value)))
        }
    }
}

fn string(text: &str, spec: &Spec) -> Result<String, String> {
    spec.fits(Kind::Text)?;
    let cut = spec.precision.and_then(|precision| text.char_indices().nth(precision));
    Ok(pad(&text[..cut.map_or(text.len(), |(end, _)| end)], spec, Kind::Text))
}

fn int(integer: &Integer, spec: &Spec) -> Result<String, String> {
    spec.fits(Kind::Integer)?;
    let figure = match spec.letter {
        Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%') => float::figure(integer.to_float()?, spec),
        Some('c') => Figure { rest: integer.to_character()?.into(), ..Figure::default() },
        Some(letter @ ('b' | 'o' | 'x' | 'X')) => {
            let (prefix, digits) = match letter {
                'b' => ("0b", integer.in_base(1)?),
                'o' => ("0o", integer.in_base(3)?),
                'x' => ("0x", integer.in_base(4)?),
                _ => ("0X", integer.in_base(4)?.to_uppercase()),
            };
            let prefix = if spec.alternate { prefix } else { "" };
            Figure { negative: integer.negative, prefix, whole: digits, ..Figure::default() }
        }
        _ => Figure { negative: integer.negative, whole: integer.digits.clone(), ..Figure::default() },
    };
    Ok(figure.lay_out(spec))
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
    fn text() {
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
    fn integers() {
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
        check_error(".3d", "1", "an integer takes no precision, but with one of the types `e E f F g G %`");
        check_error("s", "true", "an integer takes one of the types `b c d e E f F g G n o x X %`");
        check_error("c", "-1", "no character has that number");
        check_error("c", "55296", "no character has that number");
        check_error("+c", "65", "the type `c` takes no sign");
        check_error("e", &format!("1{}", "0".repeat(400)), "the integer is too large for a float");
    }

    #[test]
    fn others() {
        check_error("5", "null", "null takes no format spec, unless `!s` makes it text");
        check_error("s", "[]", "a list takes no format spec, unless `!s` makes it text");
        check_error(",_", "1", "expected one of `,` and `_`, not both");
        check_error(".f", "1.5", "expected a precision such as `.2` after the dot");
        check_error("5ab", "1", "expected such as `>10`, `05d` or `.2f`");
        check_error("1000001", "1", "width and precision are at most 1000000");
    }
}
