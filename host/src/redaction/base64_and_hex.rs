//! Decodes base64 and hexadecimal digits wherever a text may contain them.

use super::decoded_view::{DecodedView, SEPARATOR};

/// Returns everything to which the base64 and hexadecimal digits in `view` can be decoded.
///
/// A run of digits is decoded if it stands for at least `min_bytes` bytes, or for at least [`MIN_TRUNCATED_BYTES`] if
/// `is_truncated` returns true for its end in the source.
///
/// The start of the encoded text in a run is unknown: a path may precede it, or a user name may precede the secret in
/// the encoded text. So each run is decoded from each of its first characters, four for base64 and two for
/// hexadecimal digits. One view has the results of all runs for one of these offsets.
pub fn views(view: &DecodedView, min_bytes: usize, is_truncated: impl Fn(usize) -> bool) -> Vec<DecodedView> {
    let mut views = decoded_views(view, &BASE64, min_bytes, &is_truncated);
    views.extend(decoded_views(view, &HEXADECIMAL, min_bytes, &is_truncated));
    views
}

struct Encoding {
    bits_per_char: usize,
    /// The number of characters that stand for whole bytes.
    group_chars: usize,
    /// Returns the bits that a character stands for, or `None` for a character that is no digit.
    digit_value: fn(u8) -> Option<u8>,
    /// True if a run continues after a line break, and ends with padding.
    is_wrapped: bool,
}

/// Base64 of both alphabets: the standard one and that for URLs and file names (RFC 4648).
const BASE64: Encoding = Encoding { bits_per_char: 6, group_chars: 4, digit_value: base64_value, is_wrapped: true };
const HEXADECIMAL: Encoding =
    Encoding { bits_per_char: 4, group_chars: 2, digit_value: hexadecimal_value, is_wrapped: false };
/// The minimum number of bytes that a run must stand for to be decoded where the text is cut off.
const MIN_TRUNCATED_BYTES: usize = 4;

fn base64_value(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

fn hexadecimal_value(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).map(|digit| digit as u8)
}

fn decoded_views(
    view: &DecodedView,
    encoding: &Encoding,
    min_bytes: usize,
    is_truncated: &impl Fn(usize) -> bool,
) -> Vec<DecodedView> {
    let chars_for = |bytes: usize| (bytes * 8).div_ceil(encoding.bits_per_char);
    let mut views: Vec<DecodedView> = (0..encoding.group_chars).map(|_| DecodedView::default()).collect();
    let mut run = Vec::new();
    let mut start = 0;
    while start < view.bytes().len() {
        let end = read_run(view.bytes(), start, encoding, &mut run);
        let is_long = run.len() >= chars_for(min_bytes);
        if is_long || run.len() >= chars_for(MIN_TRUNCATED_BYTES) && is_truncated(view.source(end - 1..end).end) {
            for (offset, decoded) in views.iter_mut().enumerate() {
                decode_run(view, encoding, run.get(offset..).unwrap_or_default(), end, decoded);
            }
        }
        start = end.max(start + 1);
    }
    views.retain(|view| !view.bytes().is_empty());
    views
}

/// Replaces `run` by the positions and values of the digits from `start` on. Returns the end of the run, with its
/// padding.
fn read_run(text: &[u8], start: usize, encoding: &Encoding, run: &mut Vec<(usize, u8)>) -> usize {
    run.clear();
    let mut at = start;
    loop {
        let value_at = |at: usize| text.get(at).and_then(|character| (encoding.digit_value)(*character));
        if let Some(value) = value_at(at) {
            run.push((at, value));
            at += 1;
            continue;
        }
        let line_break = match text.get(at..) {
            Some([b'\r', b'\n', ..]) => 2,
            Some([b'\n', ..]) => 1,
            _ => 0,
        };
        if !encoding.is_wrapped || line_break == 0 || run.is_empty() || value_at(at + line_break).is_none() {
            break;
        }
        at += line_break;
    }
    if encoding.is_wrapped && !run.is_empty() {
        at += text[at..].iter().take(2).take_while(|character| **character == b'=').count();
    }
    at
}

/// Appends the bytes of a run of digits to `decoded`, and a separator. `end` is the end of the run with its padding.
fn decode_run(view: &DecodedView, encoding: &Encoding, run: &[(usize, u8)], end: usize, decoded: &mut DecodedView) {
    let bytes = run.len() * encoding.bits_per_char / 8;
    for byte in 0..bytes {
        let (first, last) = (byte * 8 / encoding.bits_per_char, (byte * 8 + 7) / encoding.bits_per_char);
        let bits = run[first..=last]
            .iter()
            .fold(0, |bits: u32, (_, value)| bits << encoding.bits_per_char | u32::from(*value));
        let bits_of_next_byte = (last + 1) * encoding.bits_per_char - (byte + 1) * 8;
        // The characters that remain at the end are padding, or the digits of a byte that is cut off.
        let source_end = if byte + 1 == bytes { end } else { run[last].0 + 1 };
        decoded.push((bits >> bits_of_next_byte) as u8, view, run[first].0..source_end);
    }
    if bytes > 0 {
        decoded.push(SEPARATOR, view, end - 1..end);
    }
}
