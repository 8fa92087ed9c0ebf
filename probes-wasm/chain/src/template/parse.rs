//! From text to a template, by the rules of Python's parser, odd ones included.

use std::borrow::Cow;

use super::field::{Attribute, Conversion, Field, Format, Step};
use super::spec::{Kind, Spec};
use super::unicode::decimal;
use super::{Part, Template};

pub fn template(text: &str) -> Result<Template, String> {
    parts(text, true).map(Template)
}

/// A format spec may have fields of its own, `nesting`; theirs may not.
fn parts(text: &str, nesting: bool) -> Result<Vec<Part>, String> {
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
        let source = Source::split(after)?;
        rest = source.after;
        parts.push(Part::Field(field(&source, nesting)?));
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(parts)
}

/// `{name!conversion:spec}after`, taken apart.
struct Source<'a> {
    name: &'a str,
    conversion: Option<Conversion>,
    spec: &'a str,
    after: &'a str,
}

impl<'a> Source<'a> {
    /// What follows a `{`. Within brackets, all but `]` is part of the name; the conversion is any one character.
    fn split(text: &'a str) -> Result<Self, String> {
        // Not what is there: it may be a password with a brace.
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
            source.conversion = conversion(letter).map_err(|error| format!("`{name}`: {error}"))?;
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

fn field(source: &Source, nesting: bool) -> Result<Field, String> {
    let name = source.name;
    let at_name = |error: String| format!("`{name}`: {error}");
    let key = &name[..name.find(['[', '.']).unwrap_or(name.len())];
    if key.is_empty() {
        return Err(format!("`{{{name}}}` names no key: expected such as `{{token}}`"));
    }
    if number(key).map_err(at_name)?.is_some() {
        return Err(format!("`{{{name}}}` is a position: keys have names, expected such as `{{token}}`"));
    }
    let path = path(&name[key.len()..]).map_err(at_name)?;
    let kinds = match (source.conversion, path.last()) {
        (Some(_), _) => &[Kind::Text][..],
        (None, Some(Step::Attribute(_))) => &[Kind::Integer, Kind::Float],
        (None, _) => &[Kind::Text, Kind::Integer, Kind::Float],
    };
    let format = format(source.spec, kinds, nesting).map_err(at_name)?;
    Ok(Field { name: name.to_owned(), key: key.to_owned(), path, conversion: source.conversion, format })
}

fn path(mut rest: &str) -> Result<Vec<Step>, String> {
    let mut path = Vec::new();
    while let Some(opening) = rest.chars().next() {
        let after = &rest[opening.len_utf8()..];
        let step = match opening {
            '[' => {
                let (item, after) = after.split_once(']').ok_or("`[` is not closed: expected `]`")?;
                rest = after;
                if let Some(Step::Attribute(attribute)) = path.last() {
                    return Err(format!("`.{}` is a number, which has no `[{item}]`", attribute.name()));
                }
                self::item(item)?
            }
            '.' => {
                let (name, after) = after.split_at(after.find(['[', '.']).unwrap_or(after.len()));
                rest = after;
                attribute(name)?
            }
            _ => return Err("only `[` or `.` can follow `]`".to_owned()),
        };
        path.push(step);
    }
    Ok(path)
}

fn item(text: &str) -> Result<Step, String> {
    if text.is_empty() {
        return Err("nothing stands in the brackets".to_owned());
    }
    Ok(number(text)?.map_or_else(|| Step::Key(text.to_owned()), Step::Index))
}

/// None unless all are digits. More of them than Python counts to are an error, whatever follows.
fn number(text: &str) -> Result<Option<i64>, String> {
    let mut number: i64 = 0;
    for character in text.chars() {
        let Some(digit) = decimal(character) else { return Ok(None) };
        let larger = number.checked_mul(10).and_then(|tens| tens.checked_add(i64::from(digit)));
        number = larger.ok_or("a name begins with too large a number")?;
    }
    Ok(Some(number))
}

fn attribute(name: &str) -> Result<Step, String> {
    if name.is_empty() {
        return Err("no name follows the dot".to_owned());
    }
    Attribute::named(name).map(Step::Attribute).ok_or_else(|| {
        format!("`.{name}` is not supported, only a number's `real`, `imag`, `numerator` and `denominator`")
    })
}

fn conversion(letter: char) -> Result<Option<Conversion>, String> {
    match letter {
        'r' => Ok(Some(Conversion::Repr)),
        's' => Ok(Some(Conversion::Str)),
        'a' => Ok(Some(Conversion::Ascii)),
        // Python's mark for none.
        '\0' => Ok(None),
        _ => Err(format!("unknown conversion `!{letter}`: expected `!r`, `!s` or `!a`")),
    }
}

/// The spec of a value that is one of `kinds`.
fn format(source: &str, kinds: &[Kind], nesting: bool) -> Result<Format, String> {
    let mut text = Cow::Borrowed(source);
    if source.contains('{') {
        if !nesting {
            return Err("a format spec nests no deeper: `{` cannot stand here".to_owned());
        }
        text = match parts(source, false)?.as_slice() {
            // Braces that stand for themselves.
            [Part::Literal(literal)] => Cow::Owned(literal.clone()),
            parts => return Ok(Format::Nested { source: source.to_owned(), spec: Template(parts.to_vec()) }),
        };
    }
    if text.is_empty() {
        return Ok(Format::Plain);
    }
    let spec = Spec::parse(&text).and_then(|spec| spec.fits_any(kinds).map(|()| spec));
    spec.map(Format::Fixed).map_err(|error| format!("the format spec `{source}` is none: {error}"))
}
