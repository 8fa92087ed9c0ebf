//! A text as it reads once decoded, with the place in the source of each byte. Knows the encodings that keep a text
//! readable: of URLs, JSON, source code and HTML.

use std::ops::Range;

/// Bytes that stand for a text, or for parts of it.
#[derive(Default)]
pub struct DecodedView {
    bytes: Vec<u8>,
    /// Where in the source each byte comes from.
    sources: Vec<(u32, u32)>,
}

/// Between parts that do not belong together: no byte of UTF-8.
pub const SEPARATOR: u8 = 0xff;

impl DecodedView {
    /// The text itself. None for one of a size that nobody sends.
    pub fn of(text: &str) -> Option<Self> {
        let length = u32::try_from(text.len()).ok()?;
        Some(Self { bytes: text.into(), sources: (0..length).map(|place| (place, place + 1)).collect() })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where some of its bytes, at least one, come from.
    pub fn source(&self, range: Range<usize>) -> Range<usize> {
        self.sources[range.start].0 as usize..self.sources[range.end - 1].1 as usize
    }

    /// Adds a byte that `from` stands for in `within`.
    pub fn push(&mut self, byte: u8, within: &Self, from: Range<usize>) {
        self.bytes.push(byte);
        self.sources.push((within.sources[from.start].0, within.sources[from.end - 1].1));
    }

    /// Those of its parts that could be text.
    pub fn readable(&self) -> Option<Self> {
        let mut readable = Self::default();
        let mut start = 0;
        for part in self.bytes.split_inclusive(|byte| *byte == SEPARATOR) {
            let text = part.strip_suffix(&[SEPARATOR]).unwrap_or(part);
            if text.iter().all(|byte| *byte >= b' ' && *byte != 0x7f || byte.is_ascii_whitespace()) {
                readable.bytes.extend(part);
                readable.sources.extend(&self.sources[start..start + part.len()]);
            }
            start += part.len();
        }
        (!readable.bytes.is_empty()).then_some(readable)
    }

    /// What becomes of it when `decode` takes some bytes from the front of what is left, and says how many; none if it
    /// never does. Of an `escape` that was cut nothing is left.
    fn rewrite(&self, escape: u8, decode: impl Fn(&[u8], &mut Vec<u8>) -> Option<usize>) -> Option<Self> {
        let mut rewritten = Self::default();
        let mut decoded = Vec::new();
        let (mut at, mut changed) = (0, false);
        while at < self.bytes.len() {
            match decode(&self.bytes[at..], &mut decoded) {
                Some(taken) => {
                    decoded.drain(..).for_each(|byte| rewritten.push(byte, self, at..at + taken));
                    (at, changed) = (at + taken, true);
                }
                None if self.bytes[at] == escape
                    && let Some(cut) = truncated_escape_length(&self.bytes[at..])
                    && let Some(last) = rewritten.sources.last_mut() =>
                {
                    last.1 = self.sources[at + cut - 1].1;
                    (at, changed) = (at + cut, true);
                }
                None => {
                    rewritten.push(self.bytes[at], self, at..at + 1);
                    at += 1;
                }
            }
        }
        changed.then_some(rewritten)
    }
}

/// All that a text can be read as, where that is not the text itself.
pub fn decoded_texts(view: &DecodedView) -> impl Iterator<Item = DecodedView> {
    let with = |byte| view.bytes.contains(&byte).then_some(view);
    let url = with(b'%').and_then(|view| view.rewrite(b'%', decode_percent));
    let form = with(b'+').and_then(|view| view.rewrite(b'%', decode_form));
    let escaped = with(b'\\').and_then(|view| view.rewrite(b'\\', decode_backslash));
    let html = with(b'&').and_then(|view| view.rewrite(b'&', decode_entity));
    [url, form, escaped, html].into_iter().flatten()
}

fn decode_percent(text: &[u8], decoded: &mut Vec<u8>) -> Option<usize> {
    let [b'%', digits @ ..] = text else { return None };
    decoded.push(hex_number(digits.get(..2)?)? as u8);
    Some(3)
}

fn decode_form(text: &[u8], decoded: &mut Vec<u8>) -> Option<usize> {
    if text[0] != b'+' {
        return decode_percent(text, decoded);
    }
    decoded.push(b' ');
    Some(1)
}

/// JSON's escapes, Rust's, and those of shells, where a character stands for itself.
fn decode_backslash(text: &[u8], decoded: &mut Vec<u8>) -> Option<usize> {
    let [b'\\', escape, rest @ ..] = text else { return None };
    let plain = match escape {
        b'u' => return Some(2 + decode_unicode(rest, decoded)?),
        b'x' => {
            decoded.push(hex_number(rest.get(..2)?)? as u8);
            return Some(4);
        }
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'f' => 0x0c,
        b'0' => 0,
        &SEPARATOR => return None,
        itself => *itself,
    };
    decoded.push(plain);
    Some(2)
}

/// What comes after `\u`.
fn decode_unicode(text: &[u8], decoded: &mut Vec<u8>) -> Option<usize> {
    let (code, taken) = match text {
        [b'{', rest @ ..] => {
            let digits = rest.iter().take(7).position(|byte| *byte == b'}')?;
            (hex_number(&rest[..digits])?, digits + 2)
        }
        _ => match (hex_number(text.get(..4)?)?, text.get(4..10)) {
            // Beyond 16 bits JSON takes two.
            (high @ 0xd800..0xdc00, Some([b'\\', b'u', low @ ..])) => {
                let low = hex_number(low)?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                (0x10000 + ((high - 0xd800) << 10) + low, 10)
            }
            (code, _) => (code, 4),
        },
    };
    push(char::from_u32(code)?, decoded);
    Some(taken)
}

fn decode_entity(text: &[u8], decoded: &mut Vec<u8>) -> Option<usize> {
    const MAX_ENTITY_BYTES: usize = 10;
    let [b'&', rest @ ..] = text else { return None };
    let end = rest.iter().take(MAX_ENTITY_BYTES).position(|byte| *byte == b';')?;
    let character = match &rest[..end] {
        b"amp" => '&',
        b"lt" => '<',
        b"gt" => '>',
        b"quot" => '"',
        b"apos" => '\'',
        b"nbsp" => '\u{a0}',
        [b'#', b'x' | b'X', digits @ ..] => char::from_u32(hex_number(digits)?)?,
        [b'#', digits @ ..] => char::from_u32(std::str::from_utf8(digits).ok()?.parse().ok()?)?,
        _ => return None,
    };
    push(character, decoded);
    Some(end + 2)
}

fn push(character: char, decoded: &mut Vec<u8>) {
    decoded.extend(character.encode_utf8(&mut [0; 4]).bytes());
}

/// The bytes of an escape that goes no further because the text does not.
fn truncated_escape_length(text: &[u8]) -> Option<usize> {
    const TRUNCATION_MARKS: [&[u8]; 4] = [&[SEPARATOR], b"...", "…".as_bytes(), "\u{fffd}".as_bytes()];
    let (most, letter): (usize, fn(&u8) -> bool) = match text.first()? {
        b'%' => (1, u8::is_ascii_hexdigit),
        // The second of a pair too.
        b'\\' => (10, |byte| byte.is_ascii_hexdigit() || matches!(byte, b'u' | b'x' | b'{' | b'\\')),
        _ => (8, |byte| byte.is_ascii_alphanumeric() || *byte == b'#'),
    };
    let length = 1 + text[1..].iter().take(most).take_while(|byte| letter(byte)).count();
    let quotes = text[length..].iter().take_while(|byte| matches!(byte, b'\\' | b'"' | b'\'' | b'`')).count();
    let rest = &text[length + quotes..];
    (rest.is_empty() || TRUNCATION_MARKS.iter().any(|end| rest.starts_with(end))).then_some(length)
}

/// The number that hexadecimal digits stand for.
fn hex_number(digits: &[u8]) -> Option<u32> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    (1..=6).contains(&digits.len()).then_some(())?;
    digits.iter().try_fold(0, |number, byte| Some(number << 4 | digit(byte)?))
}
