//! Conditions of Gatus, such as `[STATUS] == 200` or `len([BODY].items) > 0`, as checks.

use super::super::checks::{Checks, any, operator};
use super::super::duration::parse_duration;
use super::super::text::{Encoded, Form, Text, is_mark};
use super::super::yaml::{Map, Node};
use super::pattern;

/// What the conditions are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Http,
    Ssh { has_command: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    AtMost,
    AtLeast,
    Greater,
    Less,
}

/// The comparisons, in the order in which Gatus looks for them.
const COMPARISONS: [(&str, Comparison); 6] = [
    (" == ", Comparison::Equal),
    (" != ", Comparison::NotEqual),
    (" <= ", Comparison::AtMost),
    (" >= ", Comparison::AtLeast),
    (" > ", Comparison::Greater),
    (" < ", Comparison::Less),
];

impl Comparison {
    /// Returns the comparison with its sides exchanged.
    fn flipped(self) -> Self {
        match self {
            Self::AtMost => Self::AtLeast,
            Self::AtLeast => Self::AtMost,
            Self::Greater => Self::Less,
            Self::Less => Self::Greater,
            same => same,
        }
    }

    /// Returns the operator for numbers; `None` for equality.
    fn bound(self) -> Option<&'static str> {
        match self {
            Self::AtMost => Some("at_most"),
            Self::AtLeast => Some("at_least"),
            Self::Greater => Some("greater"),
            Self::Less => Some("less"),
            Self::Equal | Self::NotEqual => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    None,
    Length,
    Has,
}

/// A placeholder, with the path of `[BODY].path`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Placeholder {
    Status,
    Ip,
    Time,
    Connected,
    Certificate,
    Body(Option<String>),
    Other(&'static str),
}

/// Adds the checks of a condition.
///
/// # Errors
/// Returns why the condition has no equivalent.
pub fn add(condition: &Text, target: Target, checks: &mut Checks) -> Result<(), String> {
    let encoded = condition.encode();
    let found = COMPARISONS.iter().find_map(|(sign, comparison)| {
        let (left, right) = encoded.text.split_once(sign)?;
        Some((left.trim(), *comparison, right.split(sign).next().unwrap_or_default().trim()))
    });
    let (left, comparison, right) = found.ok_or("it has no comparison such as ` == `")?;
    let (subject, comparison, operand) = match (subject(left)?, subject(right)?) {
        (Some(subject), None) => (subject, comparison, right),
        (None, Some(subject)) => (subject, comparison.flipped(), left),
        (Some(_), Some(_)) => return Err("it compares two values of the response".to_owned()),
        (None, None) => return Err("it has no placeholder such as `[STATUS]`".to_owned()),
    };
    if operand.to_ascii_uppercase().starts_with("[CONTEXT]") || encoded.decode(operand).has_key() {
        return Err("it compares with a value of the context".to_owned());
    }
    let (function, placeholder) = subject;
    let condition = Condition { encoded: &encoded, function, comparison, operand, target, checks };
    condition.add(placeholder)
}

/// Parses a side of a condition. Returns `None` for a literal.
fn subject(text: &str) -> Result<Option<(Function, Placeholder)>, String> {
    let call = |name: &str| text.strip_prefix(name).and_then(|rest| rest.strip_suffix(')'));
    let (function, inner) = match (call("len("), call("has(")) {
        (Some(inner), _) => (Function::Length, inner),
        (_, Some(inner)) => (Function::Has, inner),
        _ => (Function::None, text),
    };
    let upper = inner.to_ascii_uppercase();
    let placeholder = match upper.as_str() {
        "[STATUS]" => Placeholder::Status,
        "[IP]" => Placeholder::Ip,
        "[RESPONSE_TIME]" => Placeholder::Time,
        "[CONNECTED]" => Placeholder::Connected,
        "[CERTIFICATE_EXPIRATION]" => Placeholder::Certificate,
        "[DOMAIN_EXPIRATION]" => Placeholder::Other("the expiration of a domain"),
        "[DNS_RCODE]" => Placeholder::Other("the code of a DNS response"),
        "[BODY]" => Placeholder::Body(None),
        _ if upper.starts_with("[BODY].") || upper.starts_with("[BODY][") => {
            let path = inner["[BODY]".len()..].trim_start_matches('.');
            Placeholder::Body(Some(json_path(path).ok_or("its path is not one of names and numbers")?))
        }
        _ if function != Function::None => return Err("its function is not about the response".to_owned()),
        _ => return Ok(None),
    };
    Ok(Some((function, placeholder)))
}

/// Returns the JSONPath of a path such as `data[0].id`.
pub fn json_path(path: &str) -> Option<String> {
    let mut json_path = "$".to_owned();
    for segment in path.split('.') {
        let (name, mut indices) = segment.split_at(segment.find('[').unwrap_or(segment.len()));
        let is_simple = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
        if is_simple {
            json_path.extend([".", name]);
        } else if !name.is_empty() {
            (!name.chars().any(is_mark)).then_some(())?;
            json_path.push_str(&format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'")));
        } else if indices.is_empty() {
            return None;
        }
        while !indices.is_empty() {
            let (index, rest) = indices.strip_prefix('[')?.split_once(']')?;
            json_path.push_str(&format!("[{}]", index.parse::<u32>().ok()?));
            indices = rest;
        }
    }
    Some(json_path)
}

struct Condition<'c> {
    encoded: &'c Encoded,
    function: Function,
    comparison: Comparison,
    operand: &'c str,
    target: Target,
    checks: &'c mut Checks,
}

impl Condition<'_> {
    fn add(self, placeholder: Placeholder) -> Result<(), String> {
        let body = if self.target == Target::Http { "body" } else { "stdout" };
        match (self.function, placeholder) {
            (_, Placeholder::Other(what)) => Err(format!("it is about {what}")),
            (Function::None, Placeholder::Status) => self.status(),
            (Function::None, Placeholder::Time) => self.time(),
            (Function::None, Placeholder::Ip) => self.address(),
            (Function::None, Placeholder::Connected) => self.connected(),
            (Function::None, Placeholder::Certificate) => self.certificate(),
            (Function::None, Placeholder::Body(None)) => self.body(body),
            (Function::None, Placeholder::Body(Some(path))) => self.json(&path),
            (Function::Has, Placeholder::Body(None)) => {
                let is_empty = !self.boolean()?;
                self.push(body, operator("is_empty", is_empty))
            }
            (Function::Has, Placeholder::Body(Some(path))) => self.has(&path),
            (Function::Length, Placeholder::Body(path)) => self.length(&path.unwrap_or_else(|| "$".to_owned())),
            _ => Err("its function is about the body alone".to_owned()),
        }
    }

    fn push(self, subject: &str, predicate: impl Into<Node>) -> Result<(), String> {
        let is_added = self.checks.add(subject, predicate);
        if is_added { Ok(()) } else { Err("it is too long".to_owned()) }
    }

    /// Adds a predicate for equality, or its negation.
    fn push_equality(self, subject: &str, predicate: Node) -> Result<(), String> {
        let predicate = if self.comparison == Comparison::NotEqual { operator("not", predicate) } else { predicate };
        self.push(subject, predicate)
    }

    /// Returns the argument of `any(…)` or `pat(…)`.
    fn call(&self, name: &str) -> Option<&str> {
        self.operand.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')')
    }

    /// Returns the values that the operand allows: those of `any(…)`, or itself.
    fn values(&self) -> Vec<&str> {
        self.call("any").map_or_else(|| vec![self.operand], |values| values.split(',').map(str::trim).collect())
    }

    fn text(&self, part: &str) -> Node {
        self.encoded.decode(part).render(Form::Plain).into()
    }

    fn number(&self) -> Result<f64, String> {
        let number = self.operand.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| "it compares with something that is not a number".to_owned())
    }

    fn boolean(&self) -> Result<bool, String> {
        match (self.comparison, self.operand) {
            (Comparison::Equal, "true") | (Comparison::NotEqual, "false") => Ok(true),
            (Comparison::Equal, "false") | (Comparison::NotEqual, "true") => Ok(false),
            _ => Err("it compares with neither true nor false".to_owned()),
        }
    }

    fn connected(self) -> Result<(), String> {
        // A run without a connection fails.
        if self.boolean()? { Ok(()) } else { Err("a run passes only with a connection".to_owned()) }
    }

    fn status(self) -> Result<(), String> {
        let subject = match self.target {
            Target::Http => "status",
            Target::Ssh { has_command: true } => "exit status",
            Target::Ssh { .. } if self.comparison == Comparison::Equal && self.operand == "0" => return Ok(()),
            Target::Ssh { .. } => return Err("without a command there is no exit status".to_owned()),
        };
        let is_http = self.target == Target::Http;
        if let Some(bound) = self.comparison.bound() {
            let number = self.number()?;
            return self.push(subject, operator(bound, Node::Plain(number.to_string())));
        }
        if let Some(pattern) = self.call("pat") {
            let (first, rest) = pattern.split_at_checked(1).unwrap_or_default();
            let is_class = is_http && matches!(first, "1" | "2" | "3" | "4" | "5") && matches!(rest, "*" | "??");
            let class: Node =
                if is_class { format!("{first}xx").into() } else { return Err("a pattern for the status".to_owned()) };
            return self.push_equality(subject, class);
        }
        let mut values = Vec::new();
        for value in self.values() {
            let is_status = |number: &u16| !is_http || (100..=599).contains(number);
            match value.parse().ok().filter(is_status) {
                Some(status) => values.push(u64::from(status).into()),
                None if value.chars().any(is_mark) => values.push(self.text(value)),
                None => return Err("it compares with something that is not a status".to_owned()),
            }
        }
        let predicate = match (values.len(), is_http) {
            (1, _) => values.remove(0),
            (_, true) => values.into(),
            (_, false) => operator("in", values),
        };
        self.push_equality(subject, predicate)
    }

    fn time(self) -> Result<(), String> {
        let bound = self.comparison.bound().ok_or("a time never equals a number exactly")?;
        let duration = parse_duration(self.operand).filter(|_| self.operand != "0");
        let seconds = duration.map_or_else(|| self.number().map(|milliseconds| milliseconds / 1000.0), Ok)?;
        self.push("time", operator(bound, Node::Plain(seconds.to_string())))
    }

    fn certificate(self) -> Result<(), String> {
        let bound = self.comparison.bound().ok_or("it compares with one moment")?;
        let seconds = parse_duration(self.operand).map_or_else(|| self.number().map(|it| it / 1000.0), Ok)?;
        if self.target != Target::Http {
            return Err("there is no certificate".to_owned());
        }
        // The check counts whole days, rounded down.
        let days = (seconds / 86_400.0).ceil().max(0.0) as u64;
        let bound = if matches!(bound, "greater" | "at_least") { "at_least" } else { "less" };
        self.push("certificate days", operator(bound, days))
    }

    /// Adds a check of the address. The check sees the port too.
    fn address(self) -> Result<(), String> {
        if self.comparison.bound().is_some() {
            return Err("it compares an address with a number".to_owned());
        }
        let with_port = |address: &str| {
            if address.contains(':') { format!("[{address}]:") } else { format!("{address}:") }
        };
        let predicate = match self.call("pat") {
            Some(pattern) => {
                let bracketed = if pattern.contains(':') { r"\[?" } else { "" };
                operator("matches", format!(r"^{bracketed}{}\]?:\d+$", pattern::regex(pattern)))
            }
            None => {
                let values = self.values().into_iter();
                any(values.map(|address| operator("starts_with", self.text(&with_port(address)))).collect())
            }
        };
        self.push_equality("remote address", predicate)
    }

    /// Adds a check of the whole body, which Gatus sees without white space at its ends.
    fn body(self, subject: &str) -> Result<(), String> {
        if let Some(bound) = self.comparison.bound() {
            let number = self.number()?;
            return self.push("$", operator(bound, Node::Plain(number.to_string())));
        }
        if let Some(pattern) = self.call("pat") {
            let predicate = pattern::predicate(pattern);
            return self.push_equality(subject, predicate);
        }
        let equals = |value: &str| {
            if value.chars().any(is_mark) {
                self.text(value)
            } else {
                operator("matches", Text::literal(format!(r"^\s*{}\s*$", regex::escape(value))).render(Form::Plain))
            }
        };
        let predicate = any(self.values().into_iter().map(equals).collect());
        self.push_equality(subject, predicate)
    }

    fn json(self, path: &str) -> Result<(), String> {
        if let Some(bound) = self.comparison.bound() {
            let number = self.number()?;
            return self.push(path, operator(bound, Node::Plain(number.to_string())));
        }
        if let Some(pattern) = self.call("pat") {
            let predicate = pattern::predicate(pattern);
            return self.push_equality(path, predicate);
        }
        // Gatus compares texts: the text "1" equals the number 1.
        let forms = |value: &str| {
            let text = self.text(value);
            let number = serde_json::from_str::<serde_json::Number>(value).ok();
            let is_value = matches!(value, "true" | "false") || number.is_some_and(|it| it.to_string() == value);
            if is_value { vec![Node::Plain(value.to_owned()), text] } else { vec![text] }
        };
        let mut values: Vec<_> = self.values().into_iter().flat_map(forms).collect();
        let predicate = if values.len() == 1 { values.remove(0) } else { operator("in", values) };
        self.push_equality(path, predicate)
    }

    /// Adds a check that a path has a value. Null is none to Gatus.
    fn has(self, path: &str) -> Result<(), String> {
        let null = || Node::Plain("null".to_owned());
        let predicate = if self.boolean()? {
            Map::short([("exists", true.into()), ("not", null())]).into()
        } else {
            any(vec![operator("exists", false), null()])
        };
        self.push(path, predicate)
    }

    /// Adds a check of the length of a list or a text.
    fn length(self, path: &str) -> Result<(), String> {
        let number = self.number()?;
        let length = (0.0..1e15)
            .contains(&number)
            .then_some(number as u64)
            .ok_or("it compares with something that is not a length")?;
        match (self.comparison, length) {
            (Comparison::Greater | Comparison::NotEqual, 0) | (Comparison::AtLeast, 1) => {
                return self.push(path, operator("is_empty", false));
            }
            (Comparison::Equal | Comparison::AtMost, 0) | (Comparison::Less, 1) => {
                return self.push(path, operator("is_empty", true));
            }
            _ => {}
        }
        let sign = match self.comparison {
            Comparison::Equal => "==",
            Comparison::NotEqual => "!=",
            Comparison::AtMost => "<=",
            Comparison::AtLeast => ">=",
            Comparison::Greater => ">",
            Comparison::Less => "<",
        };
        // The filter has a match, any child of the root, if its condition about the root holds.
        self.push(&format!("$[?length({path}) {sign} {length}]"), operator("exists", true))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::yaml::write;
    use super::*;

    #[track_caller]
    fn check_as(target: Target, condition: &str, expected: Result<&str, &str>) {
        let mut checks = Checks::default();
        let added = add(&Text::literal(condition), target, &mut checks);
        let mut map = Map::default();
        if let Some(Node::Map(found)) = checks.to_node() {
            map = found;
        }
        let text = if map.is_empty() { String::new() } else { write(&map).trim_end().to_owned() };
        let found = added.as_ref().map(|()| text.as_str()).map_err(String::as_str);
        assert_eq!(found, expected, "{condition}");
    }

    #[track_caller]
    fn check(condition: &str, expected: &str) {
        check_as(Target::Http, condition, Ok(expected));
    }

    #[test]
    fn conditions_become_checks() {
        check("[STATUS] == 200", "status: 200");
        check("200 == [status]", "status: 200");
        check("[STATUS] == any(200, 429)", "status: [200, 429]");
        check("[STATUS] != any(500,502)", "status: {not: [500, 502]}");
        check("[STATUS] < 300", "status: {less: 300}");
        check("300 > [STATUS]", "status: {less: 300}");
        check("[STATUS] == pat(2*)", "status: 2xx");
        check("[CONNECTED] == true", "");
        check("[RESPONSE_TIME] < 500", "time: {less: 0.5}");
        check("[RESPONSE_TIME] <= 1s", "time: {at_most: 1}");
        check("[CERTIFICATE_EXPIRATION] > 48h", "certificate days: {at_least: 2}");
        check("[CERTIFICATE_EXPIRATION] > 36h", "certificate days: {at_least: 2}");
        check("[IP] == 127.0.0.1", "remote address: {starts_with: '127.0.0.1:'}");
        check("[IP] != ::1", "remote address: {not: {starts_with: '[::1]:'}}");
        check(
            "[IP] == pat(192.168.*)",
            r"remote address: {matches: ^192\.168\..*\]?:\d+$}"
                .replace("{matches: ^", "{matches: '^")
                .replace("$}", "$'}")
                .as_str(),
        );
    }

    #[test]
    fn conditions_about_the_body_become_checks() {
        check("[BODY].status == UP", "$.status: UP");
        check("[BODY].data[0].id == 1", "$.data[0].id: {in: [1, '1']}");
        check("[BODY][1].a-b != true", "$[1]['a-b']: {not: {in: [true, 'true']}}");
        check("[BODY].id == any(1, x)", "$.id: {in: [1, '1', x]}");
        check("[BODY].name == pat(john*)", "$.name: {starts_with: john}");
        check("[BODY] == pat(*<h1>x</h1>*)", "body: {contains: '<h1>x</h1>'}");
        check("[BODY] == OK.", r"body: {matches: ^\s*OK\.\s*$}");
        check("[BODY].used > 500", "$.used: {greater: 500}");
        check("has([BODY].errors) == false", "$.errors: {any: [{exists: false}, null]}");
        check("has([BODY].users) == true", "$.users: {exists: true, not: null}");
        check("len([BODY].data) > 0", "$.data: {is_empty: false}");
        check("len([BODY].data) < 5", "$[?length($.data) < 5]: {exists: true}");
        check("len([BODY]) == 3", "$[?length($) == 3]: {exists: true}");
    }

    #[test]
    fn conditions_of_ssh_are_about_the_command() {
        let ssh = |has_command| Target::Ssh { has_command };
        check_as(ssh(true), "[STATUS] == 0", Ok("exit status: 0"));
        check_as(ssh(false), "[STATUS] == 0", Ok(""));
        check_as(ssh(true), "[BODY].memory.used > 500", Ok("$.memory.used: {greater: 500}"));
        check_as(ssh(true), "[BODY] == pat(*up*)", Ok("stdout: {contains: up}"));
        check_as(ssh(false), "[STATUS] == 1", Err("without a command there is no exit status"));
    }

    #[test]
    fn conditions_without_an_equivalent_say_why() {
        for (condition, why) in [
            ("[STATUS]", "it has no comparison such as ` == `"),
            ("1 == 1", "it has no placeholder such as `[STATUS]`"),
            ("[BODY].a == [BODY].b", "it compares two values of the response"),
            ("[DOMAIN_EXPIRATION] > 720h", "it is about the expiration of a domain"),
            ("[STATUS] == 0", "it compares with something that is not a status"),
            ("[RESPONSE_TIME] == 5", "a time never equals a number exactly"),
            ("[CONNECTED] == false", "a run passes only with a connection"),
            ("[BODY].a..b == 1", "its path is not one of names and numbers"),
            ("len([STATUS]) == 3", "its function is about the body alone"),
            ("[BODY].a > x", "it compares with something that is not a number"),
        ] {
            check_as(Target::Http, condition, Err(why));
        }
    }
}
