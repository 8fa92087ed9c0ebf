//! A differential test against Python 3.11: random templates and keys are rendered by both.
//!
//! The environment variable `TEMPLATE_SEED` (1 unless set) selects the random cases, `TEMPLATE_CASES` (6000) their
//! number, and `PYTHON` (`python3`) the interpreter.

use std::process::Command;

use serde_json::Value;

use super::{Template, unicode};

/// The beginnings of Python's errors that do not depend on the values of the keys. Parsing must find these.
const PARSE_ERRORS: [&str; 13] = [
    "Single '{'",
    "Single '}'",
    "expected '}'",
    "unmatched '{'",
    "unexpected '{'",
    "end of string while",
    "expected ':'",
    "Unknown conversion",
    "Empty attribute",
    "Missing ']'",
    "Only '.' or '['",
    "Format string contains positional",
    "Max string recursion",
];

#[test]
fn templates_render_as_in_python() {
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let (seed, count) = (setting("TEMPLATE_SEED", "1"), setting("TEMPLATE_CASES", "6000"));
    let output = Command::new(setting("PYTHON", "python3"))
        .args(["-c", include_str!("python.py"), &seed, &count])
        .env("PYTHONUTF8", "1")
        .output()
        .unwrap_or_else(|error| panic!("this test needs Python 3.11 as `python3`, or named by PYTHON: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = String::from_utf8(output.stdout).expect("UTF-8");
    let mut lines = output.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    check_characters(&lines.next().expect("a line of characters"));
    let different: Vec<String> = lines.filter_map(|case| difference(&case)).collect();
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different[..different.len().min(20)].join("\n"));
}

/// Asserts that all characters have the same properties as in Python.
fn check_characters(python: &Value) {
    let printable = python["printable"].as_str().expect("text").as_bytes();
    for character in '\0'..=char::MAX {
        let code = u32::from(character) as usize;
        assert_eq!(unicode::is_printable(character), printable[code] == b'1', "{code:#x}");
        let decimal = unicode::decimal_digit(character).map(Value::from);
        assert_eq!(decimal.as_ref(), python["decimal"].get(character.to_string()), "{code:#x}");
    }
}

/// Returns a description of the case if the results differ, or if a message contains a secret value.
fn difference(case: &Value) -> Option<String> {
    let template = case["template"].as_str().expect("text");
    let keys = serde_json::from_str(case["keys"].as_str().expect("text")).expect("JSON");
    let parsed = Template::parse(template);
    let before = parsed.is_err();
    let ours = parsed.and_then(|template| template.render(&keys));
    let same = match (&ours, case["ok"].as_str()) {
        (Ok(ours), theirs) => Some(ours.as_str()) == theirs,
        (Err(_), Some(_)) => false,
        // Python raises an exception too, or the case is an intended deviation: see `case` in the script.
        (Err(error), None) => {
            let early = PARSE_ERRORS.iter().any(|known| case["error"].as_str().is_some_and(|it| it.starts_with(known)));
            (before || !early) && (!error.contains("s3cret") || template.contains("s3cret"))
        }
    };
    (!same).then(|| format!("{case}\n  here: {ours:?}"))
}
