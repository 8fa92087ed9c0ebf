//! Regular expressions as JSON Schema has them, in time that grows with the text alone.
//!
//! They are ECMAScript's, whose classes are those of ASCII and whose brackets do not nest.

use std::collections::HashMap;

use regex::{Regex, RegexBuilder};

/// A regular expression, as it is written and as it is run.
#[derive(Debug, Clone)]
pub struct Pattern {
    pub text: String,
    /// None where it is of the kinds that are [`LEFT`].
    regex: Option<Regex>,
    /// What a text costs that is held against it.
    cost: u64,
}

/// Regular expressions, each once, and the room that they may take together.
pub struct Patterns {
    known: HashMap<String, Pattern>,
    room: usize,
}

/// What is left to the probe's own check, by what `regex` says of it: what looks around or back takes any time, and
/// tables of all scripts any room.
const LEFT: [&str; 3] = ["look-around", "backreferences", "Unicode"];
/// Bytes that one may take up, tried in turn: most take little.
const SIZES: [usize; 4] = [1 << 14, 1 << 17, 1 << 20, 4 << 20];
/// Bytes for all those of one schema.
const ROOM: usize = 16 << 20;

impl Default for Patterns {
    fn default() -> Self {
        Self { known: HashMap::new(), room: ROOM }
    }
}

impl Patterns {
    pub fn read(&mut self, text: &str) -> Result<Pattern, String> {
        if let Some(known) = self.known.get(text) {
            return Ok(known.clone());
        }
        let translated = translate(text);
        let mut why = "too big a regular expression, or too many of them".to_owned();
        for size in SIZES.into_iter().take_while(|size| *size <= self.room) {
            let regex = RegexBuilder::new(&translated).size_limit(size).dfa_size_limit(1 << 20).nest_limit(50).build();
            let regex = match regex {
                Ok(regex) => Some(regex),
                Err(regex::Error::CompiledTooBig(_)) => continue,
                // The error draws the place over several lines; the sentence stands in its last.
                Err(error) => {
                    let error = error.to_string();
                    let said = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                    if !LEFT.iter().any(|left| said.contains(left)) {
                        why = format!("no regular expression: {said}");
                        break;
                    }
                    None
                }
            };
            self.room -= size;
            let pattern = Pattern { text: text.to_owned(), regex, cost: (size / SIZES[0]) as u64 };
            self.known.insert(text.to_owned(), pattern.clone());
            return Ok(pattern);
        }
        Err(why)
    }
}

impl Pattern {
    pub fn fits(&self, text: &str) -> bool {
        self.regex.as_ref().is_none_or(|regex| regex.is_match(text))
    }

    /// Steps that it takes to hold a text against it, at most.
    pub fn cost(&self, text: &str) -> u64 {
        1 + self.cost * (text.len() as u64 / 64)
    }
}

/// From ECMAScript's syntax to that of `regex`.
fn translate(text: &str) -> String {
    let mut translated = String::with_capacity(text.len());
    let mut within = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('d') => translated.push_str("[0-9]"),
                Some('D') => translated.push_str("[^0-9]"),
                Some('w') => translated.push_str("[0-9A-Za-z_]"),
                Some('W') => translated.push_str("[^0-9A-Za-z_]"),
                Some('b') if within => translated.push_str("\\x08"),
                Some('b') => translated.push_str("(?-u:\\b)"),
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
            '[' if within => translated.push_str("\\["),
            '[' => {
                let negated = characters.next_if_eq(&'^').is_some();
                // `[]` is nothing, `[^]` anything: to `regex` that `]` would be one of the characters.
                if characters.next_if_eq(&']').is_some() {
                    translated.push_str(if negated { "(?s:.)" } else { "[a&&b]" });
                } else {
                    within = true;
                    translated.push_str(if negated { "[^" } else { "[" });
                }
            }
            ']' => {
                within = false;
                translated.push(']');
            }
            // Twice, they are set operations there.
            '&' | '~' if within => translated.extend(['\\', character]),
            other => translated.push(other),
        }
    }
    translated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, fits: &[&str], others: &[&str]) {
        let pattern = Patterns::default().read(pattern).unwrap();
        assert!(fits.iter().all(|text| pattern.fits(text)), "{pattern:?}");
        assert!(!others.iter().any(|text| pattern.fits(text)), "{pattern:?}");
    }

    #[test]
    fn as_ecmascript_has_them() {
        check("^\\d+$", &["17"], &["١٧", ""]);
        check("^[\\w.-]+$", &["a-b.c_1"], &["é", "a b"]);
        check("^[^\\d]$", &["a"], &["1"]);
        check("^\\W\\D\\S$", &["é!a"], &["a!a"]);
        check("^[[]$", &["["], &["]"]);
        check("^[&&~~]$", &["&", "~"], &["a"]);
        check("^[^]$", &["x"], &[""]);
        check("[]", &[], &["", "x"]);
        check("^\\u00e9\\/\\-$", &["é/-"], &[]);
        check("^\\cA$", &["\u{1}"], &[]);
        check("^(?<year>[0-9]{4})$", &["2026"], &["26"]);
        check("b", &["abc"], &["ac"]);
    }

    #[test]
    fn what_takes_any_time_or_room_is_left_to_the_probe() {
        check("^(?=.*[0-9]).{8,}$", &["whatever"], &[]);
        check("(a)\\1", &["b"], &[]);
        check("\\p{Lu}", &["É"], &[]);
    }

    #[test]
    fn what_is_none() {
        let why = |text: &str| Patterns::default().read(text).unwrap_err();
        assert_eq!(why("("), "no regular expression: unclosed group");
        assert_eq!(why("((a{999}){999}){999}"), "too big a regular expression, or too many of them");
        assert!(why(&"(".repeat(100_000)).starts_with("no regular expression"));
    }

    #[test]
    fn all_together_have_an_end() {
        let mut patterns = Patterns::default();
        let read = (0..2000).filter(|number| patterns.read(&format!("[a-z]{{5000}}{number}")).is_ok()).count();
        assert!((1..200).contains(&read), "{read}");
        assert!(patterns.read("[a-z]{5000}0").is_ok(), "one that is known takes no more");
    }
}
