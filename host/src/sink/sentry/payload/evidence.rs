//! What the host saw of a run that did not pass, where Sentry has a place for it: the request and its answer in
//! Sentry's own words, the rest as contexts beside them. Cut to what Sentry keeps of each.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{MAX_TAG, Measure, cut};
use crate::run::evidence::{Exchange, Http, Lines, Response};
use crate::run::{Outcome, Run};
use crate::sink::milliseconds;

/// The request that failed, as Sentry shows those that a server was asked.
#[derive(Serialize)]
pub struct Request {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    query_string: Lines,
    headers: Lines,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Lines,
}

pub type Contexts = BTreeMap<&'static str, Value>;

impl Request {
    /// None of a run that failed over no request.
    pub fn new(run: &Run) -> Option<Self> {
        const MAX_URL: usize = 2000;
        const MAX_QUERY: usize = 900;
        let Some(Exchange::Http(http)) = &run.evidence else { return None };
        let method = http.method.to_ascii_uppercase();
        // Sentry knows no shorter ones, and none with digits.
        let known =
            (3..=32).contains(&method.len()) && method.chars().all(|c| c.is_ascii_uppercase() || "-_".contains(c));
        Some(Self {
            url: cut(&http.url, MAX_URL).to_owned(),
            method: known.then_some(method),
            query_string: within(http.query.iter().cloned(), MAX_QUERY),
            headers: headers(&http.headers, "cookie", |name| VISITORS.contains(&name)),
            cookies: cookies(&http.headers, "cookie"),
        })
    }
}

/// Headers by which Sentry tells who visits a server: a crawler's visit is thrown away, and so might be our errors.
const VISITORS: [&str; 5] = ["user-agent", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded"];

/// All that there is to tell, by the names of its contexts.
pub fn contexts(run: &Run, measure: Measure) -> Contexts {
    let mut contexts = Contexts::new();
    match &run.evidence {
        Some(Exchange::Http(http)) => {
            contexts.insert("connection", connection(http));
            contexts.extend(http.tls.as_ref().map(|tls| ("tls", json!(tls))));
            contexts.extend(http.response.as_ref().map(|answer| ("response", response(answer))));
        }
        Some(Exchange::Ssh(ssh)) => apart(&mut contexts, "ssh", json!(ssh)),
        Some(Exchange::Tcp(tcp)) => apart(&mut contexts, "tcp", json!(tcp)),
        Some(Exchange::Dns(connection)) => {
            contexts.insert("connection", json!(connection));
        }
        None => {}
    }
    contexts.extend(attempts(run).map(|attempts| ("attempts", attempts)));
    contexts.extend(log(run).map(|log| ("log", log)));
    contexts.into_iter().map(|(name, context)| (name, fit(&context, measure))).collect()
}

/// The connection has a context of its own.
fn apart(contexts: &mut Contexts, name: &'static str, mut told: Value) {
    contexts.extend(told.as_object_mut().and_then(|told| told.remove("connection")).map(|it| ("connection", it)));
    contexts.insert(name, told);
}

fn connection(http: &Http) -> Value {
    let mut connection = json!(http.connection);
    if !http.redirects.is_empty() {
        connection["redirects"] = json!(http.redirects);
    }
    for (name, value) in &http.headers {
        if VISITORS.contains(&name.as_str()) {
            connection[name.replace('-', "_")] = value.as_str().into();
        }
    }
    connection
}

fn response(answer: &Response) -> Value {
    let Response { status, headers: lines, body } = answer;
    let mut response = json!({ "status_code": status, "body_size": body.size });
    let (headers, cookies) = (headers(lines, "set-cookie", |_| false), cookies(lines, "set-cookie"));
    response["headers"] = json!(headers);
    if !cookies.is_empty() {
        response["cookies"] = json!(cookies);
    }
    let data = match &body.text {
        Some(text) => data(text),
        None => format!("{} bytes that are no text", body.size).into(),
    };
    if !data.is_null() {
        response["data"] = data;
    }
    response
}

/// A body as Sentry reads it: what is JSON as it is, whatever the server calls it, and no `null`.
fn data(text: &str) -> Value {
    match serde_json::from_str(text) {
        // It would be read again.
        Ok(Value::String(within)) => data(&within),
        Ok(value) => value,
        Err(_) if text.is_empty() => Value::Null,
        Err(_) => text.into(),
    }
}

/// What each of several attempts came to.
fn attempts(run: &Run) -> Option<Value> {
    let spans = run.trace.spans.iter().filter(|span| span.op == "probe.attempt");
    let ended = run.earlier.iter().map(|failure| ("failed", failure.reason.as_str(), failure.message.as_str()));
    let last = match &run.outcome {
        Outcome::Failed(_) | Outcome::Broken(_) => run.outcome.why(),
        Outcome::Passed | Outcome::PassedAfterRetry(_) => None,
    };
    let last = last.map(|(reason, message)| (run.outcome.as_str(), reason, message));
    let attempts = ended.chain(last).zip(spans).zip(1..).map(|(((outcome, reason, message), span), number)| {
        let duration = milliseconds(span.duration);
        let said = json!({ "outcome": outcome, "reason": reason, "message": message, "duration_ms": duration });
        (format!("{number}"), said)
    });
    (!run.earlier.is_empty()).then(|| Value::Object(attempts.collect()))
}

/// The last lines of the guest's, without looking for them among the breadcrumbs.
fn log(run: &Run) -> Option<Value> {
    const MAX_LINES: usize = 20;
    let lines = run.log.iter().rev().take(MAX_LINES).rev();
    let lines: Vec<_> = lines.map(|line| format!("{}: {}", line.level.as_str(), line.message)).collect();
    (!lines.is_empty()).then(|| json!({ "lines": lines }))
}

/// Headers but for those of cookies, which have a place of their own, and others that have none.
fn headers(lines: &Lines, cookie: &str, left_out: impl Fn(&str) -> bool) -> Lines {
    /// Beside the body that stands in the same context.
    const MAX: usize = 3000;
    const MAX_VALUE: usize = 1000;
    let told = lines.iter().filter(|(name, _)| name != cookie && !left_out(name));
    within(told.map(|(name, value)| (capitalized(name), cut(value, MAX_VALUE).to_owned())), MAX)
}

/// Names of cookies, and what is said of them.
fn cookies(lines: &Lines, header: &str) -> Lines {
    const MAX: usize = 1500;
    let values = lines.iter().filter(|(name, _)| name == header).map(|(_, value)| value.as_str());
    // Of one that is set, what stands behind it is about it.
    let parts = values.flat_map(|value| if header == "cookie" { value.split(';').collect() } else { vec![value] });
    within(
        parts.map(|part| {
            let (name, value) = part.split_once('=').unwrap_or(("", part));
            (cut(name.trim(), MAX_TAG).to_owned(), cut(value.trim(), MAX_TAG).to_owned())
        }),
        MAX,
    )
}

/// As Sentry writes the names of headers.
fn capitalized(name: &str) -> String {
    let upper = |part: &str| part[..1].to_ascii_uppercase() + &part[1..];
    let parts = name.split('-').map(|part| if part.is_char_boundary(1) { upper(part) } else { part.to_owned() });
    parts.collect::<Vec<_>>().join("-")
}

/// The first lines, of so many bytes together.
fn within(lines: impl Iterator<Item = (String, String)>, most: usize) -> Lines {
    let mut room = most;
    let fits = |line: &(String, String)| room.checked_sub(size(&json!(line))).map(|left| room = left).is_some();
    lines.take_while(fits).collect()
}

/// As much of a context as Sentry keeps.
fn fit(context: &Value, measure: Measure) -> Value {
    const MAX_ENTRIES: usize = 60;
    let fullest = Some((measure.text * 2, MAX_ENTRIES));
    let less = |(text, entries): &(usize, usize)| Some((text / 2, entries * 2 / 3));
    let tried = std::iter::successors(fullest, less).take(8).map(|(text, entries)| shorten(context, text, entries, 0));
    tried.into_iter().find(|context| size(context) <= MAX_CONTEXT).unwrap_or_else(|| json!({}))
}

/// Sentry trims a context at 8192 bytes.
const MAX_CONTEXT: usize = 7_800;
/// What stands deeper in a context is written as text.
const MAX_DEPTH: usize = 6;

fn shorten(value: &Value, text: usize, entries: usize, depth: usize) -> Value {
    let within = |value| shorten(value, text, entries, depth + 1);
    match value {
        Value::String(string) => shown(string, text).into(),
        Value::Array(_) | Value::Object(_) if depth == MAX_DEPTH => shown(&value.to_string(), text).into(),
        Value::Array(values) => values.iter().take(entries).map(within).collect(),
        Value::Object(values) => {
            let values = values.iter().take(entries).map(|(key, value)| (cut(key, MAX_TAG).to_owned(), within(value)));
            Value::Object(values.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

fn shown(text: &str, most: usize) -> String {
    let beginning = cut(text, most);
    if beginning.len() < text.len() { format!("{beginning}…") } else { text.to_owned() }
}

fn size(value: &Value) -> usize {
    value.to_string().len()
}

#[cfg(test)]
mod tests;
