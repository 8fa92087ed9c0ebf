//! Padding: fill, alignment, signs and grouping.

use super::spec::{Align, Spec, ValueKind};

/// The parts of a formatted number, before padding.
#[derive(Debug, Default)]
pub struct NumberParts {
    pub negative: bool,
    /// The prefix of a base, such as `0x`.
    pub prefix: &'static str,
    /// The digits before the point; empty for `inf`, `nan` and a character.
    pub whole: String,
    /// The point, the decimals, the exponent and `%`; or `inf`, `nan`, or a character.
    pub rest: String,
}

impl NumberParts {
    /// Returns the number with sign, prefix and grouping, padded to the width of the spec.
    pub fn pad(self, spec: &Spec) -> String {
        let sign = match (self.negative, spec.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            (false, _) => "",
        };
        let head = format!("{sign}{}", self.prefix);
        let inner = spec.align(ValueKind::Integer) == Align::Inner;
        let rest_width = self.rest.chars().count();
        // Zeros as the fill count as digits, and are grouped like them. Any other fill is not grouped.
        let min_width =
            if inner && spec.fill() == '0' { spec.width.saturating_sub(head.len() + rest_width) } else { 0 };
        let whole = match (self.whole.is_empty(), spec.grouping) {
            (true, _) => String::new(),
            (false, None) => format!("{}{}", zeros(min_width, self.whole.len()), self.whole),
            (false, Some(separator)) => {
                let size = if matches!(spec.presentation, Some('b' | 'o' | 'x' | 'X')) { 4 } else { 3 };
                group(&self.whole, size, separator, min_width)
            }
        };
        if inner {
            let missing = spec.width.saturating_sub(head.len() + whole.len() + rest_width);
            return format!("{head}{}{whole}{}", filled(spec, missing), self.rest);
        }
        pad(&format!("{head}{whole}{}", self.rest), spec, ValueKind::Integer)
    }
}

/// Pads a text to the width of the spec.
pub fn pad(text: &str, spec: &Spec, kind: ValueKind) -> String {
    let missing = spec.width.saturating_sub(text.chars().count());
    let left = match spec.align(kind) {
        Align::Left | Align::Inner => 0,
        Align::Center => missing / 2,
        Align::Right => missing,
    };
    format!("{}{text}{}", filled(spec, left), filled(spec, missing - left))
}

/// Groups digits, with zeros up to `min_width` characters. A separator never comes first, so that the result can be one
/// character wider.
fn group(digits: &str, size: usize, separator: char, min_width: usize) -> String {
    let needed = min_width - min_width.saturating_sub(1) / (size + 1);
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

/// Returns as many zeros as are missing. Rust's `{:0>width$}` allows a width of 65,535 at most.
pub fn zeros(wanted: usize, present: usize) -> String {
    "0".repeat(wanted.saturating_sub(present))
}

/// Returns the fill character this many times.
fn filled(spec: &Spec, count: usize) -> String {
    std::iter::repeat_n(spec.fill(), count).collect()
}
