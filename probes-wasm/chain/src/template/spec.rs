//! Format specs, which follow the `:` of a field: `[[fill]align][sign][z][#][0][width][grouping][.precision][type]`.

use std::iter::Peekable;
use std::str::Chars;

use super::unicode::decimal_digit;

/// A parsed format spec. Error messages do not contain the spec, since it may contain values of keys, which may be
/// secret.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spec {
    fill: Option<char>,
    align: Option<Align>,
    pub sign: Option<char>,
    /// `z`: a number that is rounded to zero has no minus sign.
    pub unsigned_zero: bool,
    /// `#`: the alternate form.
    pub alternate: bool,
    /// `0` before the width.
    zero_padded: bool,
    /// The minimum width, in characters.
    pub width: usize,
    /// The separator of groups, `,` or `_`.
    pub grouping: Option<char>,
    /// The decimals or digits of a number, or the maximum length of a text in characters.
    pub precision: Option<usize>,
    /// The presentation type, such as `d`.
    pub presentation: Option<char>,
}

/// An alignment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Align {
    Left,
    Right,
    Center,
    /// The fill goes between the sign and the digits.
    Inner,
}

/// The kinds of values that can be formatted by a spec.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueKind {
    Text,
    Integer,
    Float,
}

/// The largest width and precision. Python allows more, which could take all memory.
const MAX_WIDTH: usize = 1_000_000;

impl Spec {
    /// Parses a format spec.
    ///
    /// # Errors
    /// Returns a sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut chars = text.chars().peekable();
        let (first, second) = (text.chars().next(), text.chars().nth(1));
        let (fill, align) = match second.and_then(Align::from_char) {
            Some(align) => (chars.next(), Some(align)),
            None => (None, first.and_then(Align::from_char)),
        };
        if align.is_some() {
            chars.next();
        }
        let spec = Self {
            fill,
            align,
            sign: chars.next_if(|character| matches!(character, ' ' | '+' | '-')),
            unsigned_zero: chars.next_if_eq(&'z').is_some(),
            alternate: chars.next_if_eq(&'#').is_some(),
            zero_padded: chars.next_if_eq(&'0').is_some(),
            width: parse_number(&mut chars)?.unwrap_or(0),
            grouping: chars.next_if(|character| matches!(character, ',' | '_')),
            precision: match chars.next_if_eq(&'.') {
                Some(_) => Some(parse_number(&mut chars)?.ok_or("expected a precision such as `.2` after the dot")?),
                None => None,
            },
            presentation: chars.next(),
        };
        match (spec.grouping, spec.presentation) {
            (Some(_), Some(',' | '_')) => Err("expected one of `,` and `_`, not both"),
            _ if chars.next().is_some() => Err("expected a spec such as `>10`, `05d` or `.2f`"),
            _ => Ok(spec),
        }
    }

    /// Fails unless the spec can format values of at least one of these kinds.
    pub fn check_any_kind(&self, kinds: &[ValueKind]) -> Result<(), &'static str> {
        let errors: Vec<_> = kinds.iter().filter_map(|kind| Some((kind, self.check_kind(*kind).err()?))).collect();
        if errors.len() < kinds.len() {
            return Ok(());
        }
        // If a kind has this presentation type, the error of that kind says what else is wrong.
        let has_type = |(kind, _): &&(&ValueKind, _)| {
            self.presentation.is_some_and(|presentation| kind.presentations().contains(presentation))
        };
        match (errors.iter().find(has_type), errors.as_slice()) {
            (Some((_, error)), _) | (None, [(_, error)]) => Err(error),
            _ => Err("the type is neither `s` for text nor one of `b c d e E f F g G n o x X %` for numbers"),
        }
    }

    /// Fails unless the spec can format values of this kind.
    pub fn check_kind(&self, kind: ValueKind) -> Result<(), &'static str> {
        let presentation = self.presentation.unwrap_or(kind.default_presentation());
        if !kind.presentations().contains(presentation) {
            return Err(match kind {
                ValueKind::Text => "text takes no type but `s`",
                ValueKind::Integer => "an integer takes one of the types `b c d e E f F g G n o x X %`",
                ValueKind::Float => "a float takes one of the types `e E f F g G n %`",
            });
        }
        let groupable = match self.grouping {
            None => true,
            Some('_') => "deEfFgG%\0boxX".contains(presentation),
            Some(_) => "deEfFgG%\0".contains(presentation),
        };
        if !groupable {
            return Err("that type takes no `,` or `_`");
        }
        let refused = match kind {
            ValueKind::Text => &[
                (self.sign.is_some(), "text takes no sign"),
                (self.unsigned_zero, "text takes no `z`"),
                (self.alternate, "text takes no `#`"),
                (self.align == Some(Align::Inner), "text takes no `=`"),
            ][..],
            ValueKind::Integer if "bcdoxXn".contains(presentation) => &[
                (
                    self.precision.is_some(),
                    "an integer takes no precision, except with one of the types `e E f F g G %`",
                ),
                (self.unsigned_zero, "an integer takes no `z`, except with one of the types `e E f F g G %`"),
                (presentation == 'c' && self.sign.is_some(), "the type `c` takes no sign"),
                (presentation == 'c' && self.alternate, "the type `c` takes no `#`"),
            ],
            ValueKind::Integer | ValueKind::Float => &[],
        };
        refused.iter().find(|(found, _)| *found).map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Returns the fill character: by default a space, and `0` if the width begins with 0.
    pub fn fill(&self) -> char {
        self.fill.unwrap_or(if self.zero_padded { '0' } else { ' ' })
    }

    /// Returns the alignment. By default text is aligned left, and numbers right; zeros go between the sign and the
    /// digits.
    pub fn align(&self, kind: ValueKind) -> Align {
        self.align.unwrap_or(match kind {
            ValueKind::Text => Align::Left,
            _ if self.zero_padded => Align::Inner,
            _ => Align::Right,
        })
    }
}

impl Align {
    fn from_char(character: char) -> Option<Self> {
        match character {
            '<' => Some(Self::Left),
            '>' => Some(Self::Right),
            '^' => Some(Self::Center),
            '=' => Some(Self::Inner),
            _ => None,
        }
    }
}

impl ValueKind {
    /// Returns the presentation types of the kind. NUL stands for the missing type of a float, as in Python.
    fn presentations(self) -> &'static str {
        match self {
            Self::Text => "s",
            Self::Integer => "bcdoxXneEfFgG%",
            Self::Float => "eEfFgGn%\0",
        }
    }

    /// Returns the presentation type of a spec without one.
    fn default_presentation(self) -> char {
        match self {
            Self::Text => 's',
            Self::Integer => 'd',
            Self::Float => '\0',
        }
    }
}

/// Parses a number, if there is one. Digits of any script count, as in Python.
fn parse_number(chars: &mut Peekable<Chars>) -> Result<Option<usize>, &'static str> {
    let mut number = None;
    while let Some(digit) = chars.peek().copied().and_then(decimal_digit) {
        chars.next();
        let larger = number.unwrap_or(0) * 10 + usize::from(digit);
        if larger > MAX_WIDTH {
            return Err("width and precision are at most 1000000");
        }
        number = Some(larger);
    }
    Ok(number)
}
