//! JSONPath queries.

use jsonpath_rust::parser::model::{JpQuery, Segment, Selector};
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::{QueryRef, js_path_process};
use serde_json::Value;

use crate::messages::truncate;

/// A JSONPath (RFC 9535): `$.items[0].id`.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath(JpQuery);

impl JsonPath {
    /// Parses a JSONPath.
    ///
    /// # Errors
    /// Returns a sentence that says why the text is not a JSONPath, or that its brackets nest deeper than 16.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(query) = parse_simple(text) {
            return Ok(Self(query));
        }
        let wrong =
            |why: &str| Err(format!("`{}` is not a JSONPath such as `$.status`: {why}", truncate(text.to_owned())));
        if nesting_depth(text) > MAX_NESTING {
            return wrong(&format!("it nests deeper than {MAX_NESTING}"));
        }
        match parse_json_path(text) {
            Ok(query) => Ok(Self(query)),
            Err(error) => wrong(&explain_error(&error.to_string(), text)),
        }
    }

    /// Returns the matches: one match as its value, several as a list, and `None` if there is none.
    pub fn find(&self, json: &Value) -> Option<Value> {
        // It fails only for the result of a function such as `length`. A path as a whole cannot be a function.
        let mut found: Vec<_> = js_path_process(&self.0, json).ok()?.into_iter().map(QueryRef::val).collect();
        match found.len() {
            0 | 1 => found.pop().cloned(),
            _ => Some(found.into_iter().cloned().collect()),
        }
    }
}

/// Parses a path that consists of names and indices, such as `$.items[0].id`. Returns `None` for any other text, which
/// the general parser then parses. Nearly all paths are simple, and parsing them by the general parser took a quarter
/// of the CPU time of a chain's run.
fn parse_simple(text: &str) -> Option<JpQuery> {
    let mut rest = text.strip_prefix('$')?;
    let mut segments = Vec::new();
    while !rest.is_empty() {
        if let Some(member) = rest.strip_prefix('.') {
            let end = member.find(|char: char| !char.is_ascii_alphanumeric() && char != '_').unwrap_or(member.len());
            let (name, further) = member.split_at(end);
            if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) {
                return None;
            }
            segments.push(Segment::name(name));
            rest = further;
        } else {
            let (index, further) = rest.strip_prefix('[')?.split_once(']')?;
            let digits = index.bytes().all(|byte| byte.is_ascii_digit());
            if !digits || index.len() > 15 || (index.len() > 1 && index.starts_with('0')) {
                return None;
            }
            segments.push(Segment::Selector(Selector::Index(index.parse().ok()?)));
            rest = further;
        }
    }
    Some(JpQuery::new(segments))
}

/// The deepest nesting of brackets. The parser backtracks within brackets, so that each level can double its time.
const MAX_NESTING: usize = 16;

/// Returns how deep brackets and parentheses nest.
fn nesting_depth(text: &str) -> usize {
    let mut open = 0_usize;
    let mut deepest = 0;
    for char in text.chars() {
        match char {
            '(' | '[' => open += 1,
            ')' | ']' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

/// Puts an error of the parser into a sentence. The parser names the column where it stopped, `--> 1:6`, and its own
/// grammar rules; the text from that column on says more to a person.
fn explain_error(error: &str, text: &str) -> String {
    let column = error.split_once("--> 1:").and_then(|(_, rest)| rest.lines().next()?.trim().parse::<usize>().ok());
    match column.map(|column| text.chars().skip(column.saturating_sub(1)).collect::<String>()) {
        Some(rest) if rest.is_empty() => "it ends too early".to_owned(),
        Some(rest) => format!("syntax error at `{}`", truncate(rest)),
        None => error.lines().last().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_finds_its_matches() {
        let json = json!({ "a": { "b c": [1, 2, null] }, "one": [{ "x": 5 }] });
        let check = |path: &str, found: Option<Value>| {
            assert_eq!(JsonPath::parse(path).expect("a path").find(&json), found, "{path}");
        };
        check("$", Some(json.clone()));
        check("$.a['b c'][0]", Some(json!(1)));
        check("$.a['b c'][-1]", Some(json!(null)));
        check("$.a['b c'][*]", Some(json!([1, 2, null])));
        check("$.one[*].x", Some(json!(5)));
        check("$.one[?@.x > 4.5].x", Some(json!(5)));
        check("$.none", None);
        check("$.a['b c'][9]", None);
        check("$..x", Some(json!(5)));
    }

    #[test]
    fn a_simple_path_is_parsed_as_by_the_general_parser() {
        for path in ["$", "$.a", "$._a1[0].B_c[12][3].d", "$.true.null", "$[0]", "$[999999999999999]"] {
            assert_eq!(parse_simple(path), Some(parse_json_path(path).expect(path)), "{path}");
        }
        for other in [
            "",
            "a",
            " $",
            "$ ",
            "$.a ",
            "$ .a",
            "$. a",
            "$.",
            "$.1a",
            "$.a-b",
            "$.ä",
            "$..a",
            "$.*",
            "$[",
            "$[]",
            "$[-1]",
            "$[+1]",
            "$[01]",
            "$[ 1]",
            "$[1,2]",
            "$[1:2]",
            "$['a']",
            "$[*]",
            "$[?@.a]",
            "$[1]a",
            "$a",
            "$[9999999999999999]",
        ] {
            assert_eq!(parse_simple(other), None, "{other}");
        }
    }

    #[test]
    fn invalid_paths_are_rejected() {
        let check = |path: &str, message: &str| {
            assert_eq!(JsonPath::parse(path).expect_err(path), format!("`{path}` is not a JSONPath such as {message}"));
        };
        check("$[", "`$.status`: it ends too early");
        check("$.a.", "`$.status`: it ends too early");
        check("$.ä/b", "`$.status`: syntax error at `/b`");
        check("$.a[?@.x = 1]", "`$.status`: syntax error at `= 1]`");
        check("$a", "`$.status`: syntax error at `a`");
        check(&format!("${}{}", "[?@".repeat(17), "]".repeat(17)), "`$.status`: it nests deeper than 16");
        JsonPath::parse(&"$[?(".repeat(100_000)).expect_err("too deep");
    }
}
