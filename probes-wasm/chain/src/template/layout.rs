//! Fill, alignment, signs and grouping.

use super::spec::{Align, Kind, Spec};

/// A number in parts: sign, prefix, the digits in front of the point, and what follows them.
#[derive(Debug, Default)]
pub struct Figure {
    pub negative: bool,
    /// `0x`
    pub prefix: &'static str,
    /// Empty where there are no digits: `inf`, or a character.
    pub whole: String,
    /// The point, decimals, exponent and `%`; or `inf`, or a character.
    pub rest: String,
}

impl Figure {
    pub fn lay_out(self, spec: &Spec) -> String {
        let sign = match (self.negative, spec.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            (false, _) => "",
        };
        let head = format!("{sign}{}", self.prefix);
        let inner = spec.align(Kind::Integer) == Align::Inner;
        let rest_width = self.rest.chars().count();
        // Zeros are digits, and grouped as such; any other fill is not.
        let least = if inner && spec.fill() == '0' { spec.width.saturating_sub(head.len() + rest_width) } else { 0 };
        let whole = match (self.whole.is_empty(), spec.grouping) {
            (true, _) => String::new(),
            (false, None) => format!("{}{}", zeros(least, self.whole.len()), self.whole),
            (false, Some(separator)) => {
                let size = if matches!(spec.letter, Some('b' | 'o' | 'x' | 'X')) { 4 } else { 3 };
                group(&self.whole, size, separator, least)
            }
        };
        if inner {
            let missing = spec.width.saturating_sub(head.len() + whole.len() + rest_width);
            return format!("{head}{}{whole}{}", filled(spec, missing), self.rest);
        }
        pad(&format!("{head}{whole}{}", self.rest), spec, Kind::Integer)
    }
}

/// Fills up to the width.
pub fn pad(text: &str, spec: &Spec, kind: Kind) -> String {
    let missing = spec.width.saturating_sub(text.chars().count());
    let left = match spec.align(kind) {
        Align::Left | Align::Inner => 0,
        Align::Center => missing / 2,
        Align::Right => missing,
    };
    format!("{}{text}{}", filled(spec, left), filled(spec, missing - left))
}

/// The separator never comes first, so that the result can be one wider than the least.
fn group(digits: &str, size: usize, separator: char, least: usize) -> String {
    let needed = least - least.saturating_sub(1) / (size + 1);
    let digits = format!("{}{digits}", zeros(needed, digits.len()));
    let mut out = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(size) {
            out.push(separator);
        }
        out.push(digit);
    }
    out
}

/// As many as are missing. `{:0>width$}` counts to 65,535 only.
pub fn zeros(wanted: usize, present: usize) -> String {
    "0".repeat(wanted.saturating_sub(present))
}

fn filled(spec: &Spec, count: usize) -> String {
    std::iter::repeat_n(spec.fill(), count).collect()
}
