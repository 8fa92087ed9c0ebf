//! A decoded text that stores, for each byte, the part of the source from which the byte was decoded. This module also
//! decodes the escapes of URLs, JSON, source code and HTML.

use std::ops::Range;

/// The bytes of a text, or of parts of it, after some decoding.
#[derive(Default)]
pub struct DecodedView {
    bytes: Vec<u8>,
    /// For each byte, the start and the end of the part of the source from which it was decoded.
    sources: Vec<(u32, u32)>,
}

/// The byte that separates parts of a view that do not belong together. It never occurs in UTF-8.
pub const SEPARATOR: u8 = 0xff;

impl DecodedView {
    /// Returns the view of a text without any decoding. `None` if the text has 4 GiB or more.
    pub fn new(text: &str) -> Option<Self> {
        let length = u32::try_from(text.len()).ok()?;
        Some(Self { bytes: text.into(), sources: (0..length).map(|start| (start, start + 1)).collect() })
    }

    /// Returns the decoded bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the part of the source from which a range of the view was decoded. The range must not be empty.
    pub fn source(&self, range: Range<usize>) -> Range<usize> {
        self.sources[range.start].0 as usize..self.sources[range.end - 1].1 as usize
    }

    /// Appends a byte that was decoded from `range` of another view.
    pub fn push(&mut self, byte: u8, view: &Self, range: Range<usize>) {
        self.bytes.push(byte);
        self.sources.push((view.sources[range.start].0, view.sources[range.end - 1].1));
    }

    /// Returns the separated parts that have no control characters other than white space. `None` if there are none.
    pub fn readable_parts(&self) -> Option<Self> {
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

    /// Decodes escapes. At each position, `decode` gets the remaining bytes. If they begin with an escape, it appends
    /// the decoded bytes to its second argument and returns the length of the escape in bytes; otherwise it returns
    /// `None`. An escape that begins with the byte `escape` and is cut off is removed. Returns `None` if the view has
    /// no escapes.
    fn rewrite(&self, escape: u8, decode: impl Fn(&[u8], &mut Vec<u8>) -> Option<usize>) -> Option<Self> {
        let mut rewritten = Self::default();
        let mut decoded = Vec::new();
        let (mut at, mut changed) = (0, false);
        while at < self.bytes.len() {
            match decode(&self.bytes[at..], &mut decoded) {
                Some(length) => {
                    decoded.drain(..).for_each(|byte| rewritten.push(byte, self, at..at + length));
                    (at, changed) = (at + length, true);
                }
                None if self.bytes[at] == escape
                    && let Some(length) = truncated_escape_length(&self.bytes[at..])
                    && let Some(last) = rewritten.sources.last_mut() =>
                {
                    last.1 = self.sources[at + length - 1].1;
                    (at, changed) = (at + length, true);
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

/// Decodes a view in four ways: percent escapes, percent escapes and the `+` of forms, backslash escapes, and HTML
/// entities. Returns only the results that differ from the view.
pub fn unescaped_views(view: &DecodedView) -> impl Iterator<Item = DecodedView> {
    let containing = |byte| view.bytes.contains(&byte).then_some(view);
    let url = containing(b'%').and_then(|view| view.rewrite(b'%', decode_percent));
    let form = containing(b'+').and_then(|view| view.rewrite(b'%', decode_form));
    let escaped = containing(b'\\').and_then(|view| view.rewrite(b'\\', decode_backslash));
    let html = containing(b'&').and_then(|view| view.rewrite(b'&', decode_entity));
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

/// Decodes the escapes of JSON, Rust, Python and shells. A backslash before any other character is removed, as in
/// shells.
fn decode_backslash(text: &[u8], decoded: &mut Vec<u8>) -> Option<usize> {
    let [b'\\', escape, rest @ ..] = text else { return None };
    let unescaped = match escape {
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
        character => *character,
    };
    decoded.push(unescaped);
    Some(2)
}

/// Decodes what follows `\u`: four digits, a surrogate pair, or digits in braces.
fn decode_unicode(text: &[u8], decoded: &mut Vec<u8>) -> Option<usize> {
    let (code, length) = match text {
        [b'{', rest @ ..] => {
            let digits = rest.iter().take(7).position(|byte| *byte == b'}')?;
            (hex_number(&rest[..digits])?, digits + 2)
        }
        _ => match (hex_number(text.get(..4)?)?, text.get(4..10)) {
            // JSON writes characters beyond 16 bits as two escapes, a surrogate pair.
            (high @ 0xd800..0xdc00, Some([b'\\', b'u', low @ ..])) => {
                let low = hex_number(low)?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                (0x10000 + ((high - 0xd800) << 10) + low, 10)
            }
            (code, _) => (code, 4),
        },
    };
    push(char::from_u32(code)?, decoded);
    Some(length)
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

/// Returns the length of an incomplete escape, if the text ends with it or is cut off after it.
fn truncated_escape_length(text: &[u8]) -> Option<usize> {
    const ENDS: [&[u8]; 4] = [&[SEPARATOR], b"...", "…".as_bytes(), "\u{fffd}".as_bytes()];
    let (max_further_bytes, is_part): (usize, fn(&u8) -> bool) = match text.first()? {
        b'%' => (1, u8::is_ascii_hexdigit),
        // A surrogate pair has two escapes: the second may be incomplete.
        b'\\' => (10, |byte| byte.is_ascii_hexdigit() || matches!(byte, b'u' | b'x' | b'{' | b'\\')),
        _ => (8, |byte| byte.is_ascii_alphanumeric() || *byte == b'#'),
    };
    let length = 1 + text[1..].iter().take(max_further_bytes).take_while(|byte| is_part(byte)).count();
    let quotes = text[length..].iter().take_while(|byte| matches!(byte, b'\\' | b'"' | b'\'' | b'`')).count();
    let rest = &text[length + quotes..];
    (rest.is_empty() || ENDS.iter().any(|end| rest.starts_with(end))).then_some(length)
}

/// Returns the number that one to six hexadecimal digits stand for.
fn hex_number(digits: &[u8]) -> Option<u32> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    (1..=6).contains(&digits.len()).then_some(())?;
    digits.iter().try_fold(0, |number, byte| Some(number << 4 | digit(byte)?))
}
