//! The format spec, what stands after a field's `:`: `[[fill]align][sign][z][#][0][width][grouping][.precision][type]`.

use std::iter::Peekable;
use std::str::Chars;

use super::unicode::decimal;

/// The errors never repeat the spec: it may be made of values, which may be secrets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spec {
    fill: Option<char>,
    align: Option<Align>,
    pub sign: Option<char>,
    /// `z`: zero is never negative.
    pub unsigned_zero: bool,
    /// `#`
    pub alternate: bool,
    /// `0` in front of the width.
    zeros: bool,
    pub width: usize,
    /// `,` or `_`
    pub grouping: Option<char>,
    pub precision: Option<usize>,
    /// The type, such as `d`.
    pub letter: Option<char>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Align {
    Left,
    Right,
    Center,
    /// Between the sign and the digits.
    Inner,
}

/// What a spec can format.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Text,
    Integer,
    Float,
}

/// Python goes further; nobody needs it, and it could take all memory.
const LARGEST: usize = 1_000_000;

impl Spec {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut chars = text.chars().peekable();
        let (first, second) = (text.chars().next(), text.chars().nth(1));
        let (fill, align) = match second.and_then(Align::named) {
            Some(align) => (chars.next(), Some(align)),
            None => (None, first.and_then(Align::named)),
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
            zeros: chars.next_if_eq(&'0').is_some(),
            width: number(&mut chars)?.unwrap_or(0),
            grouping: chars.next_if(|character| matches!(character, ',' | '_')),
            precision: match chars.next_if_eq(&'.') {
                Some(_) => Some(number(&mut chars)?.ok_or("expected a precision such as `.2` after the dot")?),
                None => None,
            },
            letter: chars.next(),
        };
        match (spec.grouping, spec.letter) {
            (Some(_), Some(',' | '_')) => Err("expected one of `,` and `_`, not both"),
            _ if chars.next().is_some() => Err("expected such as `>10`, `05d` or `.2f`"),
            _ => Ok(spec),
        }
    }

    pub fn fits_any(&self, kinds: &[Kind]) -> Result<(), &'static str> {
        let errors: Vec<_> = kinds.iter().filter_map(|kind| Some((kind, self.fits(*kind).err()?))).collect();
        if errors.len() < kinds.len() {
            return Ok(());
        }
        // The one that the type is for can say what else is wrong.
        let telling = |(kind, _): &&(&Kind, _)| self.letter.is_some_and(|letter| kind.letters().contains(letter));
        match (errors.iter().find(telling), errors.as_slice()) {
            (Some((_, error)), _) | (None, [(_, error)]) => Err(error),
            _ => Err("the type is neither `s` for text nor one of `b c d e E f F g G n o x X %` for numbers"),
        }
    }

    pub fn fits(&self, kind: Kind) -> Result<(), &'static str> {
        let letter = self.letter.unwrap_or(kind.default_letter());
        if !kind.letters().contains(letter) {
            return Err(match kind {
                Kind::Text => "text takes no type but `s`",
                Kind::Integer => "an integer takes one of the types `b c d e E f F g G n o x X %`",
                Kind::Float => "a float takes one of the types `e E f F g G n %`",
            });
        }
        let groupable = match self.grouping {
            None => true,
            Some('_') => "deEfFgG%\0boxX".contains(letter),
            Some(_) => "deEfFgG%\0".contains(letter),
        };
        if !groupable {
            return Err("that type takes no `,` or `_`");
        }
        let refused = match kind {
            Kind::Text => &[
                (self.sign.is_some(), "text takes no sign"),
                (self.unsigned_zero, "text takes no `z`"),
                (self.alternate, "text takes no `#`"),
                (self.align == Some(Align::Inner), "text takes no `=`"),
            ][..],
            Kind::Integer if "bcdoxXn".contains(letter) => &[
                (self.precision.is_some(), "an integer takes no precision, but with one of the types `e E f F g G %`"),
                (self.unsigned_zero, "an integer takes no `z`, but with one of the types `e E f F g G %`"),
                (letter == 'c' && self.sign.is_some(), "the type `c` takes no sign"),
                (letter == 'c' && self.alternate, "the type `c` takes no `#`"),
            ],
            Kind::Integer | Kind::Float => &[],
        };
        refused.iter().find(|(found, _)| *found).map_or(Ok(()), |(_, error)| Err(error))
    }

    pub fn fill(&self) -> char {
        self.fill.unwrap_or(if self.zeros { '0' } else { ' ' })
    }

    /// Text stands left, numbers right; zeros go between the sign and the digits.
    pub fn align(&self, kind: Kind) -> Align {
        self.align.unwrap_or(match kind {
            Kind::Text => Align::Left,
            _ if self.zeros => Align::Inner,
            _ => Align::Right,
        })
    }
}

impl Align {
    fn named(character: char) -> Option<Self> {
        match character {
            '<' => Some(Self::Left),
            '>' => Some(Self::Right),
            '^' => Some(Self::Center),
            '=' => Some(Self::Inner),
            _ => None,
        }
    }
}

impl Kind {
    /// NUL is Python's mark for a float's missing type.
    fn letters(self) -> &'static str {
        match self {
            Self::Text => "s",
            Self::Integer => "bcdoxXneEfFgG%",
            Self::Float => "eEfFgGn%\0",
        }
    }

    fn default_letter(self) -> char {
        match self {
            Self::Text => 's',
            Self::Integer => 'd',
            Self::Float => '\0',
        }
    }
}

fn number(chars: &mut Peekable<Chars>) -> Result<Option<usize>, &'static str> {
    let mut number = None;
    while let Some(digit) = chars.peek().copied().and_then(decimal) {
        chars.next();
        let larger = number.unwrap_or(0) * 10 + usize::from(digit);
        if larger > LARGEST {
            return Err("width and precision are at most 1000000");
        }
        number = Some(larger);
    }
    Ok(number)
}
