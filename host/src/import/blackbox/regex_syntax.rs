//! Regular expressions of Go in the syntax of Rust, which is nearly the same.

use regex::RegexBuilder;

/// Returns the regular expression; `None` if it has no equivalent.
///
/// Braces that are no repetition, and brackets and operators in classes, are literal in Go alone. `\Q…\E` is spelled
/// out.
pub fn convert(go: &str) -> Option<String> {
    let mut converted = String::new();
    let mut rest = go;
    let mut in_class = false;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '\\' if rest.starts_with("\\Q") => {
                let quoted = &rest[2..];
                let (literal, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                converted.push_str(&regex::escape(literal));
                rest.len() - after.len()
            }
            '\\' => {
                let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                converted.push_str(&rest[..length]);
                length
            }
            '[' if !in_class => {
                in_class = true;
                // A bracket that closes nothing is the first character.
                let start = ["[^]", "[]", "[^", "["].into_iter().find(|start| rest.starts_with(start)).unwrap_or("[");
                converted.push_str(&start.replace(']', "\\]"));
                start.len()
            }
            '[' if rest.starts_with("[:") && rest.contains(":]") => {
                let length = rest.find(":]").map_or(1, |at| at + 2);
                converted.push_str(&rest[..length]);
                length
            }
            '[' | '&' | '~' if in_class => {
                converted.extend(['\\', c]);
                1
            }
            ']' => {
                in_class = false;
                converted.push(c);
                1
            }
            '{' if !in_class && !is_repetition(rest) => {
                converted.push_str("\\{");
                1
            }
            c => {
                converted.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    // The bounds of the probe's own regular expressions.
    let built = RegexBuilder::new(&converted).size_limit(4 << 20).dfa_size_limit(1 << 20).nest_limit(50).build();
    built.is_ok().then_some(converted)
}

/// Returns true if a text begins with a repetition such as `{2}`, `{2,}` or `{2,3}`.
fn is_repetition(text: &str) -> bool {
    let Some((inside, _)) = text[1..].split_once('}') else { return false };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let is_number = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    !least.is_empty() && is_number(least) && is_number(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_takes_literally_is_escaped() {
        for (go, rust) in [
            ("a.*b$", "a.*b$"),
            (r#"{"status":"ok"}"#, r#"\{"status":"ok"}"#),
            ("a{2,3}b{,3}c{2}", r"a{2,3}b\{,3}c{2}"),
            ("[[a]", r"[\[a]"),
            ("[^]]x", r"[^\]]x"),
            ("[[:alpha:]&&b]", r"[[:alpha:]\&\&b]"),
            (r"\Qa.b\Ec\/", r"a\.bc\/"),
            (r"(?i)\bfoo\{", r"(?i)\bfoo\{"),
        ] {
            assert_eq!(convert(go).as_deref(), Some(rust), "{go}");
        }
        for wrong in ["(", "a{1000}{1000}{1000}", r"\C", &"(".repeat(1000)] {
            assert_eq!(convert(wrong), None, "{wrong}");
        }
    }
}
