//! The lines of the requests in the text of an HTTP archive, which the JSON parser does not tell.

/// A list or a map that is not closed yet.
enum Open<'t> {
    List,
    /// A map, with its last key. The next text is a key if `is_key_next`.
    Map {
        key: &'t str,
        is_key_next: bool,
    },
}

/// Returns the line, from 1, on which each item of `log.entries` begins. The text is valid JSON.
pub fn entry_lines(text: &str) -> Vec<usize> {
    let (mut lines, mut open, mut line, mut at) = (Vec::new(), Vec::new(), 1, 0);
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'\n' => line += 1,
            b'{' | b'[' => {
                if is_entries(&open) {
                    lines.push(line);
                }
                open.push(if *byte == b'[' { Open::List } else { Open::Map { key: "", is_key_next: true } });
            }
            b'}' | b']' => drop(open.pop()),
            b',' => {
                if let Some(Open::Map { is_key_next, .. }) = open.last_mut() {
                    *is_key_next = true;
                }
            }
            b'"' => {
                let end = string_end(text, at + 1);
                if let Some(Open::Map { key, is_key_next: is_key_next @ true }) = open.last_mut() {
                    (*key, *is_key_next) = (text.get(at + 1..end).unwrap_or_default(), false);
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    lines
}

/// Returns the position of the quotation mark that closes a string.
fn string_end(text: &str, start: usize) -> usize {
    let bytes = text.as_bytes();
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => break,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

fn is_entries(open: &[Open]) -> bool {
    matches!(open, [Open::Map { key: "log", .. }, Open::Map { key: "entries", .. }, Open::List])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_have_lines() {
        let text = "{\"log\": {\"pages\": [{\"entries\": [{}]}],\n\"creator\": \"a\\\"{[\",\n\
                    \"entries\": [ {\"a\": [{}]},\n\n{}\n]}}";
        assert!(serde_json::from_str::<serde_json::Value>(text).is_ok());
        assert_eq!(entry_lines(text), [3, 5]);
        assert_eq!(entry_lines("\"\\"), [0; 0]);
        assert_eq!(entry_lines("]}{\"é"), [0; 0]);
    }
}
