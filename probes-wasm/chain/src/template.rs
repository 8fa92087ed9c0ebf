//! Templates with the syntax and results of `str.format_map` in Python 3.11, for JSON values. Where the result cannot
//! be the same, rendering fails instead.

mod field;
mod float;
mod format;
mod integer;
mod padding;
mod parse;
#[cfg(test)]
mod python;
mod repr;
mod spec;
mod templated_value;
mod unicode;

use serde_json::{Map, Value};

use self::field::Field;
pub use self::repr::text;
pub use self::templated_value::TemplatedValue;

/// A text with fields: `Bearer {token}`, `{user[name]!r:>10}`. Parsing finds the mistakes that do not depend on values.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Literal(String),
    Field(Field),
}

/// The longest text that may be rendered, since a format spec can ask for a large width.
const MAX_TEXT_BYTES: usize = 16 << 20;

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// Returns a sentence for any mistake that does not depend on the values of the keys.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse::parse_template(text)
    }

    /// Returns the keys that the template uses, in order; a key that is used twice is returned twice.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let mut keys = Vec::new();
        self.collect_keys(&mut keys);
        keys.into_iter()
    }

    /// Renders the template with the values of the keys.
    ///
    /// # Errors
    /// Returns a sentence where Python would raise an exception, or if the text is longer than 16 MiB. The sentence
    /// names the field, and does not contain values of keys, which may be secret.
    pub fn render(&self, keys: &Map<String, Value>) -> Result<String, String> {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Field(field) => out.push_str(&field.render(keys)?),
            }
            if out.len() > MAX_TEXT_BYTES {
                return Err(format!("the text grows longer than {} MiB", MAX_TEXT_BYTES >> 20));
            }
        }
        Ok(out)
    }

    fn collect_keys<'a>(&'a self, keys: &mut Vec<&'a str>) {
        for part in &self.0 {
            if let Part::Field(field) = part {
                field.collect_keys(keys);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Map<String, Value> {
        let keys = r#"{
            "name": "Ada", "n": 42, "f": 3.14159, "t": true, "none": null, "big": 123456789012345678901234567890,
            "list": [1, "two", [3]], "map": {"a b": 1, "0": "zero", "}": "brace", "[": "bracket", "!r": 5, "-1": 6,
                "20260101123456x": "long"},
            " a ": "blank", "w": 8, "p": 2, "align": "^", "token": "s3cret", "a]": "odd", "neg": -7, "umlaut": "über"
        }"#;
        serde_json::from_str(keys).expect("JSON")
    }

    #[track_caller]
    fn check(template: &str, expected: &str) {
        assert_eq!(Template::parse(template).and_then(|template| template.render(&keys())).as_deref(), Ok(expected));
    }

    /// Asserts that parsing fails.
    #[track_caller]
    fn check_parse(template: &str, expected: &str) {
        assert_eq!(Template::parse(template), Err(expected.to_owned()));
    }

    /// Asserts that parsing succeeds, and rendering fails.
    #[track_caller]
    fn check_render(template: &str, expected: &str) {
        let template = Template::parse(template).expect("the template is valid");
        let error = template.render(&keys()).expect_err("the template cannot be rendered");
        assert_eq!(error, expected);
        assert!(!error.contains("s3cret"));
    }

    #[test]
    fn text_and_braces_are_rendered() {
        check("", "");
        check("plain", "plain");
        check("{{}}", "{}");
        check("{{{name}}}", "{Ada}");
        check("}}{{", "}{");
        check("{name} and {name}", "Ada and Ada");
    }

    #[test]
    fn fields_are_rendered() {
        check("{list[0]}{list[1]}{list[2][0]}", "1two3");
        check("{map[a b]}", "1");
        check("{map[}]}", "brace");
        check("{map[[]}", "bracket");
        check("{map[!r]}", "5");
        check("{map[-1]}", "6");
        check("{map[20260101123456x]}", "long");
        check("{ a }", "blank");
        check("{a]}", "odd");
        check("{umlaut[0]}{name[02]}", "üa");
        check("{list[١]}", "two");
    }

    #[test]
    fn attributes_are_rendered() {
        check("{n.real} {n.imag} {n.numerator} {n.denominator}", "42 0 42 1");
        check("{f.real} {f.imag}", "3.14159 0.0");
        check("{t.real} {t.imag} {t.denominator.real}", "1 0 1");
        check_parse(
            "{name.upper}",
            "`name.upper`: `.upper` is not supported, only a number's `real`, `imag`, `numerator` and `denominator`",
        );
        check_parse("{n.real[0]}", "`n.real[0]`: `.real` is a number, which has no `[0]`");
        check_render("{name.real}", "`name.real`: text has no `.real`");
        check_render("{f.numerator}", "`f.numerator`: a float has no `.numerator`");
    }

    #[test]
    fn conversions_are_rendered() {
        check("{name!r} {name!s} {umlaut!a}", "'Ada' Ada '\\xfcber'");
        check("{name!r:>10}", "     'Ada'");
        check("{list!s:.5}", "[1, '");
        check("{none!r:>6}", "  None");
    }

    #[test]
    fn nested_specs_are_rendered() {
        check("{n:{w}}", "      42");
        check("{f:>{w}.{p}}", "     3.1");
        check("{name:{align}{w}}", "  Ada   ");
        check("{n!\0:>4}", "  42");
        check_parse(
            "{n:{{}}}",
            "`n`: the format spec after its `:` is not valid: expected a spec such as `>10`, `05d` or `.2f`",
        );
        check_parse(
            "{n:{w:{p}}}",
            "`n`: `w`: a field within a format spec has no fields in its own spec: `{` is not allowed",
        );
        check_render(
            "{n:{token}}",
            "`n`: the format spec that `{token}` makes is not valid: expected a spec such as `>10`, `05d` or `.2f`",
        );
    }

    #[test]
    fn invalid_templates_are_rejected() {
        check_parse("}", "a single `}`: write `}}` for a brace");
        check_parse("{n}}", "a single `}`: write `}}` for a brace");
        check_parse("a {", "a single `{`: write `{{` for a brace");
        for open in ["{n", "{n[0", "{n[}", "{n!", "{n!r", "{n:{w}"] {
            check_parse(open, "a `{` is not closed: expected `}` after the field, or `{{` for a brace");
        }
        check_parse("{a{b}}", "`{` in the name of a field: write `{{` for a brace");
        check_parse("{}", "`{}` names no key: expected a field such as `{token}`");
        check_parse("{[a]}", "`{[a]}` names no key: expected a field such as `{token}`");
        check_parse("{0}", "`{0}` is a position: keys have names, expected a field such as `{token}`");
        check_parse("{n[]}", "`n[]`: the brackets are empty");
        check_parse("{n.}", "`n.`: no name follows the dot");
        check_parse("{n[0]x}", "`n[0]x`: only `[` or `.` can follow `]`");
        check_parse("{n!}", "`n`: unknown conversion `!}`: expected `!r`, `!s` or `!a`");
        check_parse("{n!x}", "`n`: unknown conversion `!x`: expected `!r`, `!s` or `!a`");
        check_parse("{n!r>5}", "`n`: expected `:` or `}` after `!r`");
        let spec =
            "`password`: the format spec after its `:` is not valid: expected a spec such as `>10`, `05d` or `.2f`";
        check_parse("{password: hunter2}", spec);
    }

    #[test]
    fn templates_that_cannot_be_rendered_are_reported() {
        check_render("{nope}", "key `nope` is not set");
        check_render("{n:{nope}}", "key `nope` is not set");
        check_render("{map[nope]}", "`map[nope]`: the map has no key `nope`");
        check_render("{map[0]}", "`map[0]`: the keys of a map are text, and `[0]` is a number");
        check_render("{list[3]}", "`list[3]`: the list has no item 3");
        check_render("{list[-1]}", "`list[-1]`: a list takes a number such as `[0]`, not `[-1]`");
        check_render("{token[9]}", "`token[9]`: the text has no character 9");
        check_render("{token[a]}", "`token[a]`: text takes a number such as `[0]`, not `[a]`");
        check_render("{none[0]}", "`none[0]`: null has no `[0]`");
        check_render("{n[0]}", "`n[0]`: an integer has no `[0]`");
    }

    #[test]
    fn keys_are_collected() {
        let template = Template::parse("{a[x]}{b:{c}.{d}}{{e}}{a}").expect("a template");
        assert_eq!(template.keys().collect::<Vec<_>>(), ["a", "b", "c", "d", "a"]);
    }

    #[test]
    fn lengths_are_bounded() {
        check_render(&"{n:1000000}".repeat(17), "the text grows longer than 16 MiB");
        let digits = format!("1{}", "0".repeat(4300));
        let keys = Map::from_iter([("long".to_owned(), serde_json::from_str(&digits).expect("a number"))]);
        let error = Template::parse("{long:x}").expect("a template").render(&keys);
        assert_eq!(error, Err("`long`: the integer has more than 4300 digits".to_owned()));
    }
}
