//! Parsing of templates, by the rules of Python's parser, including its unusual ones.

use std::borrow::Cow;

use super::field::{Attribute, Conversion, Field, FieldFormat, PathStep};
use super::spec::{Spec, ValueKind};
use super::unicode::decimal_digit;
use super::{Part, Template};

/// Parses a template.
///
/// # Errors
/// Returns a sentence that says what is wrong.
pub fn parse_template(text: &str) -> Result<Template, String> {
    parse_parts(text, true).map(Template)
}

/// Parses literal texts and fields. The format spec of a field may contain fields if `nesting` is true; the format
/// specs of those may not.
fn parse_parts(text: &str, nesting: bool) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        let (brace, after) = from.split_at(1);
        literal.push_str(before);
        if let Some(after) = after.strip_prefix(brace) {
            literal.push_str(brace);
            rest = after;
            continue;
        }
        if brace == "}" || after.is_empty() {
            return Err(format!("a single `{brace}`: write `{brace}{brace}` for a brace"));
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        let source = FieldSource::split(after)?;
        rest = source.after;
        parts.push(Part::Field(parse_field(&source, nesting)?));
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

/// The source of a field, `{name!conversion:spec}`, and the text after it.
struct FieldSource<'a> {
    name: &'a str,
    conversion: Option<Conversion>,
    spec: &'a str,
    after: &'a str,
}

impl<'a> FieldSource<'a> {
    /// Splits the text that follows a `{`. Within brackets, all characters except `]` belong to the name. The
    /// conversion is one character of any kind.
    fn split(text: &'a str) -> Result<Self, String> {
        // The message does not contain the text, which may be a password with a brace.
        let not_closed = || "a `{` is not closed: expected `}` after the field, or `{{` for a brace".to_owned();
        let mut chars = text.char_indices();
        let (end, stop) = loop {
            match chars.next().ok_or_else(not_closed)? {
                (_, '{') => return Err("`{` in the name of a field: write `{{` for a brace".to_owned()),
                (_, '[') => drop(chars.find(|(_, character)| *character == ']')),
                (end, stop @ ('}' | '!' | ':')) => break (end, stop),
                _ => {}
            }
        };
        let name = &text[..end];
        let mut source = Self { name, conversion: None, spec: "", after: chars.as_str() };
        if stop == '}' {
            return Ok(source);
        }
        if stop == '!' {
            let (_, letter) = chars.next().ok_or_else(not_closed)?;
            source.conversion = parse_conversion(letter).map_err(|error| format!("`{name}`: {error}"))?;
            let (_, stop) = chars.next().ok_or_else(not_closed)?;
            source.after = chars.as_str();
            match stop {
                '}' => return Ok(source),
                ':' => {}
                _ => return Err(format!("`{name}`: expected `:` or `}}` after `!{letter}`")),
            }
        }
        let spec = chars.as_str();
        let mut open = 1;
        let (end, _) = spec
            .match_indices(['{', '}'])
            .find(|(_, brace)| {
                open = if *brace == "{" { open + 1 } else { open - 1 };
                open == 0
            })
            .ok_or_else(not_closed)?;
        source.spec = &spec[..end];
        source.after = &spec[end + 1..];
        Ok(source)
    }
}

fn parse_field(source: &FieldSource, nesting: bool) -> Result<Field, String> {
    let name = source.name;
    let at_name = |error: String| format!("`{name}`: {error}");
    let key = &name[..name.find(['[', '.']).unwrap_or(name.len())];
    // The message does not contain the text, which may be JSON with a password.
    if key.contains(['"', '\'', '\n']) {
        return Err(
            "a `{` before a quote or a new line: write a JSON body as a map of YAML, without quotes around the \
                    whole, or `{{` and `}}` for each brace"
                .to_owned(),
        );
    }
    if key.is_empty() {
        return Err(format!("`{{{name}}}` names no key: expected a field such as `{{token}}`"));
    }
    if parse_digits(key).map_err(at_name)?.is_some() {
        return Err(format!("`{{{name}}}` is a position: keys have names, expected a field such as `{{token}}`"));
    }
    let path = parse_path(&name[key.len()..]).map_err(at_name)?;
    let kinds = match (source.conversion, path.last()) {
        (Some(_), _) => &[ValueKind::Text][..],
        (None, Some(PathStep::Attribute(_))) => &[ValueKind::Integer, ValueKind::Float],
        (None, _) => &[ValueKind::Text, ValueKind::Integer, ValueKind::Float],
    };
    let format = parse_format(source.spec, kinds, nesting).map_err(at_name)?;
    Ok(Field { name: name.to_owned(), key: key.to_owned(), path, conversion: source.conversion, format })
}

fn parse_path(mut rest: &str) -> Result<Vec<PathStep>, String> {
    let mut path = Vec::new();
    while let Some(opening) = rest.chars().next() {
        let after = &rest[opening.len_utf8()..];
        let step = match opening {
            '[' => {
                let (item, after) = after.split_once(']').ok_or("`[` is not closed: expected `]`")?;
                rest = after;
                if let Some(PathStep::Attribute(attribute)) = path.last() {
                    return Err(format!("`.{}` is a number, which has no `[{item}]`", attribute.name()));
                }
                parse_item(item)?
            }
            '.' => {
                let (name, after) = after.split_at(after.find(['[', '.']).unwrap_or(after.len()));
                rest = after;
                parse_attribute(name)?
            }
            _ => return Err("only `[` or `.` can follow `]`".to_owned()),
        };
        path.push(step);
    }
    Ok(path)
}

fn parse_item(text: &str) -> Result<PathStep, String> {
    if text.is_empty() {
        return Err("the brackets are empty".to_owned());
    }
    Ok(parse_digits(text)?.map_or_else(|| PathStep::Key(text.to_owned()), PathStep::Index))
}

/// Parses an index. Returns `None` unless all characters are digits.
///
/// # Errors
/// Returns a sentence if the leading digits are a number beyond 2^63 - 1, which Python refuses even if other characters
/// follow.
fn parse_digits(text: &str) -> Result<Option<i64>, String> {
    let mut number: i64 = 0;
    for character in text.chars() {
        let Some(digit) = decimal_digit(character) else { return Ok(None) };
        let larger = number.checked_mul(10).and_then(|tens| tens.checked_add(i64::from(digit)));
        number = larger.ok_or("a name begins with too large a number")?;
    }
    Ok(Some(number))
}

fn parse_attribute(name: &str) -> Result<PathStep, String> {
    if name.is_empty() {
        return Err("no name follows the dot".to_owned());
    }
    Attribute::from_name(name).map(PathStep::Attribute).ok_or_else(|| {
        format!("`.{name}` is not supported, only a number's `real`, `imag`, `numerator` and `denominator`")
    })
}

fn parse_conversion(letter: char) -> Result<Option<Conversion>, String> {
    match letter {
        'r' => Ok(Some(Conversion::Repr)),
        's' => Ok(Some(Conversion::Str)),
        'a' => Ok(Some(Conversion::Ascii)),
        // For Python, NUL means that there is no conversion.
        '\0' => Ok(None),
        _ => Err(format!("unknown conversion `!{letter}`: expected `!r`, `!s` or `!a`")),
    }
}

/// Parses the format spec for a value of one of these kinds.
fn parse_format(source: &str, kinds: &[ValueKind], nesting: bool) -> Result<FieldFormat, String> {
    let mut text = Cow::Borrowed(source);
    if source.contains('{') {
        if !nesting {
            return Err("a field within a format spec has no fields in its own spec: `{` is not allowed".to_owned());
        }
        text = match parse_parts(source, false)?.as_slice() {
            // The spec has doubled braces, and no fields.
            [Part::Literal(literal)] => Cow::Owned(literal.clone()),
            parts => return Ok(FieldFormat::Nested { source: source.to_owned(), spec: Template(parts.to_vec()) }),
        };
    }
    if text.is_empty() {
        return Ok(FieldFormat::Plain);
    }
    let spec = Spec::parse(&text).and_then(|spec| spec.check_any_kind(kinds).map(|()| spec));
    // The spec is not shown: it may be a secret in a body that looks like JSON, `{password: …}`.
    spec.map(FieldFormat::Fixed).map_err(|error| format!("the format spec after its `:` is not valid: {error}"))
}
