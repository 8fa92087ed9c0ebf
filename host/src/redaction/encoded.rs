//! Base64 and hexadecimal digits, decoded wherever a text may hold them. Knows no text from any other bytes.

use super::decoded_view::{DecodedView, SEPARATOR};

/// All that `view` holds where its letters and digits are an encoding: of at least `shortest` bytes, or of fewer where
/// `cut` says of a place in the source that the text may have gone on.
///
/// Where in a run of letters an encoding begins nobody says: it may have a path before it, or what it encodes may have
/// a user's name before the secret. So each run is read from each of its first characters.
pub fn views(view: &DecodedView, shortest: usize, cut: impl Fn(usize) -> bool) -> Vec<DecodedView> {
    let mut views = decoded_views(view, &BASE64, shortest, &cut);
    views.extend(decoded_views(view, &HEXADECIMAL, shortest, &cut));
    views
}

struct Encoding {
    /// Of each character.
    bits_per_char: usize,
    /// Characters after which it begins anew.
    group_chars: usize,
    value: fn(u8) -> Option<u8>,
    /// Whether it goes on after the end of a line.
    wraps: bool,
}

const BASE64: Encoding = Encoding { bits_per_char: 6, group_chars: 4, value: base64, wraps: true };
const HEXADECIMAL: Encoding = Encoding { bits_per_char: 4, group_chars: 2, value: hexadecimal, wraps: false };
/// Bytes of a secret's beginning that are worth finding where a text was cut.
const MIN_TRUNCATED_BYTES: usize = 4;

fn base64(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'a'..=b'z' => Some(character - b'a' + 26),
        b'0'..=b'9' => Some(character - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

fn hexadecimal(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).map(|digit| digit as u8)
}

fn decoded_views(
    view: &DecodedView,
    code: &Encoding,
    shortest: usize,
    cut: &impl Fn(usize) -> bool,
) -> Vec<DecodedView> {
    let characters = |bytes: usize| (bytes * 8).div_ceil(code.bits_per_char);
    let mut views: Vec<DecodedView> = (0..code.group_chars).map(|_| DecodedView::default()).collect();
    let mut run = Vec::new();
    let mut at = 0;
    while at < view.bytes().len() {
        let end = read_run(view.bytes(), at, code, &mut run);
        let long = run.len() >= characters(shortest);
        if long || run.len() >= characters(MIN_TRUNCATED_BYTES) && cut(view.source(end - 1..end).end) {
            for (phase, decoded) in views.iter_mut().enumerate() {
                decode_run(view, code, run.get(phase..).unwrap_or_default(), end, decoded);
            }
        }
        at = end.max(at + 1);
    }
    views.retain(|view| !view.bytes().is_empty());
    views
}

/// Where the characters of a run stand and what they are worth, and where the run ends, padding included.
fn read_run(text: &[u8], start: usize, code: &Encoding, run: &mut Vec<(usize, u8)>) -> usize {
    run.clear();
    let mut at = start;
    loop {
        let worth = |at: usize| text.get(at).and_then(|character| (code.value)(*character));
        if let Some(value) = worth(at) {
            run.push((at, value));
            at += 1;
            continue;
        }
        let line_end = match text.get(at..) {
            Some([b'\r', b'\n', ..]) => 2,
            Some([b'\n', ..]) => 1,
            _ => 0,
        };
        if !code.wraps || line_end == 0 || run.is_empty() || worth(at + line_end).is_none() {
            break;
        }
        at += line_end;
    }
    if code.wraps && !run.is_empty() {
        at += text[at..].iter().take(2).take_while(|character| **character == b'=').count();
    }
    at
}

fn decode_run(view: &DecodedView, code: &Encoding, run: &[(usize, u8)], end: usize, decoded: &mut DecodedView) {
    let bytes = run.len() * code.bits_per_char / 8;
    for byte in 0..bytes {
        let (first, last) = (byte * 8 / code.bits_per_char, (byte * 8 + 7) / code.bits_per_char);
        let all =
            run[first..=last].iter().fold(0, |all: u32, (_, value)| all << code.bits_per_char | u32::from(*value));
        let after = (last + 1) * code.bits_per_char - (byte + 1) * 8;
        // What is left at the end is of the last byte's, or of one that was cut.
        let until = if byte + 1 == bytes { end } else { run[last].0 + 1 };
        decoded.push((all >> after) as u8, view, run[first].0..until);
    }
    if bytes > 0 {
        decoded.push(SEPARATOR, view, end - 1..end);
    }
}
