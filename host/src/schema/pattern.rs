//! The regular expressions of `pattern` and `patternProperties`, matched in time linear in the text.
//!
//! JSON Schema has the syntax of ECMAScript. It is translated to that of the crate `regex`, whose classes are those of
//! Unicode and whose brackets nest.

use std::collections::HashMap;

use regex::{Regex, RegexBuilder};

/// A compiled regular expression.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// The expression as it stands in the schema.
    pub text: String,
    regex: Regex,
    /// The number of steps that each 64 bytes of text count as.
    steps: u64,
}

/// The regular expressions of one schema, each compiled once.
pub struct PatternCache {
    patterns: HashMap<String, Pattern>,
    /// The bytes of memory that are left for further expressions.
    free_bytes: usize,
}

/// The features of ECMAScript that are refused, by words in the errors of `regex` about them. Look-around and
/// backreferences can take exponential time; the tables of Unicode's properties take much memory.
const UNSUPPORTED: [(&str, &str); 3] = [
    ("look-around", "look-around (`(?=`, `(?!`, `(?<=`, `(?<!`)"),
    ("backreferences", "backreferences (`\\1`)"),
    ("Unicode property", "Unicode properties (`\\p`)"),
];
/// The limits of memory for one expression, in bytes. An expression counts as the smallest limit that suffices for it;
/// most need little.
const SIZE_LIMITS: [usize; 4] = [1 << 14, 1 << 17, 1 << 20, 4 << 20];
/// The limit of memory for all expressions of a schema together, in bytes.
const MAX_TOTAL_BYTES: usize = 16 << 20;
/// The maximal depth of groups and brackets in an expression.
const MAX_NESTING: u32 = 50;

/// `\s` in ECMAScript: white space and line terminators. Unlike that of Unicode it has U+FEFF, and not U+0085.
const WHITE_SPACE: &str = r"\t-\r \u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}";
/// `.` in ECMAScript: everything but line terminators.
const ANY: &str = r"[^\n\r\u{2028}\u{2029}]";

impl Default for PatternCache {
    fn default() -> Self {
        Self { patterns: HashMap::new(), free_bytes: MAX_TOTAL_BYTES }
    }
}

impl PatternCache {
    /// Compiles a regular expression.
    ///
    /// # Errors
    /// Returns a message if the expression is invalid or too large, or uses a feature that is not supported.
    pub fn compile(&mut self, text: &str) -> Result<Pattern, String> {
        if let Some(known) = self.patterns.get(text) {
            return Ok(known.clone());
        }
        let translated = translate(text);
        for limit in SIZE_LIMITS.into_iter().take_while(|limit| *limit <= self.free_bytes) {
            let mut builder = RegexBuilder::new(&translated);
            match builder.size_limit(limit).dfa_size_limit(1 << 20).nest_limit(MAX_NESTING).build() {
                Ok(regex) => {
                    self.free_bytes -= limit;
                    let pattern = Pattern { text: text.to_owned(), regex, steps: (limit / SIZE_LIMITS[0]) as u64 };
                    self.patterns.insert(text.to_owned(), pattern.clone());
                    return Ok(pattern);
                }
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(error) => return Err(explain(&error)),
            }
        }
        Err("the regular expression is too large, or the schema has too many of them".to_owned())
    }
}

impl Pattern {
    /// Returns true if a text contains a match.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Returns the number of steps that [`Self::matches`] counts as.
    pub fn steps(&self, text: &str) -> u64 {
        1 + self.steps * (text.len() as u64 / 64)
    }
}

fn explain(error: &regex::Error) -> String {
    // The error shows the place over several lines; the last one has the message.
    let error = error.to_string();
    let message = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
    match UNSUPPORTED.iter().find(|(word, _)| message.contains(word)) {
        Some((_, feature)) => {
            format!("regular expressions with {feature} are not supported: let the probe's `check` test this instead")
        }
        None => format!("invalid regular expression: {message}"),
    }
}

/// Translates a regular expression from ECMAScript's syntax to that of `regex`.
fn translate(text: &str) -> String {
    let mut translated = String::with_capacity(text.len());
    let mut in_class = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('d') => translated.push_str("[0-9]"),
                Some('D') => translated.push_str("[^0-9]"),
                Some('w') => translated.push_str("[0-9A-Za-z_]"),
                Some('W') => translated.push_str("[^0-9A-Za-z_]"),
                Some('s') => translated.push_str(&format!("[{WHITE_SPACE}]")),
                Some('S') => translated.push_str(&format!("[^{WHITE_SPACE}]")),
                Some('b') if in_class => translated.push_str("\\x08"),
                Some('b') => translated.push_str("(?-u:\\b)"),
                Some('B') if !in_class => translated.push_str("(?-u:\\B)"),
                Some('0') => translated.push_str("\\x00"),
                Some('c') => match characters.next() {
                    Some(letter) if letter.is_ascii_alphabetic() => {
                        translated.push_str(&format!("\\x{:02x}", letter as u32 % 32));
                    }
                    other => {
                        translated.push_str("\\c");
                        translated.extend(other);
                    }
                },
                other => {
                    translated.push('\\');
                    translated.extend(other);
                }
            },
            '[' if in_class => translated.push_str("\\["),
            '[' => {
                let is_negated = characters.next_if_eq(&'^').is_some();
                // `[]` matches nothing and `[^]` everything. For `regex`, this `]` would be a member of the class.
                if characters.next_if_eq(&']').is_some() {
                    translated.push_str(if is_negated { "(?s:.)" } else { "[a&&b]" });
                } else {
                    in_class = true;
                    translated.push_str(if is_negated { "[^" } else { "[" });
                    if characters.next_if_eq(&'-').is_some() {
                        translated.push_str("\\-");
                    }
                }
            }
            ']' => {
                in_class = false;
                translated.push(']');
            }
            // `&&`, `~~` and `--` are set operations in the classes of `regex`.
            '&' | '~' if in_class => translated.extend(['\\', character]),
            '-' if in_class => {
                translated.push('-');
                if characters.next_if_eq(&'-').is_some() {
                    translated.push_str("\\-");
                }
            }
            '.' if !in_class => translated.push_str(ANY),
            other => translated.push(other),
        }
    }
    translated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let pattern = PatternCache::default().compile(pattern).unwrap();
        assert!(matching.iter().all(|text| pattern.matches(text)), "{pattern:?}");
        assert!(!others.iter().any(|text| pattern.matches(text)), "{pattern:?}");
    }

    #[test]
    fn the_syntax_is_that_of_ecmascript() {
        check("^\\d+$", &["17"], &["١٧", ""]);
        check("^[\\w.-]+$", &["a-b.c_1"], &["é", "a b"]);
        check("^[^\\d]$", &["a"], &["1"]);
        check("^\\W\\D\\S$", &["é!a"], &["a!a"]);
        check("^[[]$", &["["], &["]"]);
        check("^[&&~~]$", &["&", "~"], &["a"]);
        check("^[+--]$", &["+", ",", "-"], &[".", "*"]);
        check("^[--/]$", &["-", ".", "/"], &[",", "0"]);
        check("^[-a]$", &["-", "a"], &["b"]);
        check("^[a-]$", &["-", "a"], &["b"]);
        check("^[^]$", &["x"], &[""]);
        check("[]", &[], &["", "x"]);
        check("^\\u00e9\\/\\-$", &["é/-"], &[]);
        check("^\\cA$", &["\u{1}"], &[]);
        check("^(?<year>[0-9]{4})$", &["2026"], &["26"]);
        check("b", &["abc"], &["ac"]);
        check("^.$", &["x", "\u{85}"], &["\n", "\r", "\u{2028}"]);
        check("^\\s$", &[" ", "\t", "\u{b}", "\u{feff}", "\u{2029}"], &["\u{85}", "x"]);
        check("^[\\S]$", &["x", "\u{85}"], &["\u{feff}", "\u{3000}"]);
        check("a\\b", &["a", "aé"], &["ab"]);
        check("a\\B", &["ab"], &["a", "aé"]);
    }

    #[track_caller]
    fn check_refused(pattern: &str, reason: &str) {
        let error = PatternCache::default().compile(pattern).unwrap_err();
        assert!(error.starts_with(reason), "{error}");
    }

    #[test]
    fn patterns_of_unbounded_time_or_memory_are_refused() {
        check_refused("^(?=.*[0-9]).{8,}$", "regular expressions with look-around");
        check_refused("(?<!a)b", "regular expressions with look-around");
        check_refused("(a)\\1", "regular expressions with backreferences");
        check_refused("\\p{Lu}", "regular expressions with Unicode properties");
        check_refused(
            "((a{999}){999}){999}",
            "the regular expression is too large, or the schema has too many of them",
        );
        check_refused(&"(".repeat(100_000), "invalid regular expression");
    }

    #[test]
    fn invalid_patterns_are_refused() {
        check_refused("(", "invalid regular expression: unclosed group");
        check_refused("\\ud83d", "invalid regular expression: hexadecimal literal is not a Unicode scalar value");
    }

    #[test]
    fn the_memory_of_all_patterns_is_bounded() {
        let mut cache = PatternCache::default();
        let compiled = (0..2000).filter(|number| cache.compile(&format!("[a-z]{{5000}}{number}")).is_ok()).count();
        assert!((1..200).contains(&compiled), "{compiled}");
        assert!(cache.compile("[a-z]{5000}0").is_ok(), "a known pattern takes no more memory");
    }
}
