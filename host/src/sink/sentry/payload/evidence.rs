//! The evidence of a run that did not pass, as parts of its event: the request as Sentry's `request` interface,
//! everything else as contexts. Truncated to the sizes that Sentry accepts.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::limits::{DetailLevel, MAX_CONTEXT_BYTES, MAX_TAG_CHARS, truncate};
use crate::run::evidence::{Exchange, Http, Lines, Response};
use crate::run::{Outcome, Run};
use crate::sink::milliseconds;

/// The request that failed, as the `request` interface, which Sentry's SDKs use for the request that a server handled.
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

/// Contexts by their names.
pub type Contexts = BTreeMap<&'static str, Value>;

impl Request {
    /// Returns the HTTP request of a run, or `None` if its evidence is no HTTP request.
    pub fn new(run: &Run) -> Option<Self> {
        const MAX_URL_CHARS: usize = 2000;
        const MAX_QUERY_BYTES: usize = 900;
        let Some(Exchange::Http(http)) = &run.evidence else { return None };
        let method = http.method.to_ascii_uppercase();
        // Sentry accepts no other methods.
        let is_accepted =
            (3..=32).contains(&method.len()) && method.chars().all(|c| c.is_ascii_uppercase() || "-_".contains(c));
        Some(Self {
            url: truncate(&http.url, MAX_URL_CHARS).to_owned(),
            method: is_accepted.then_some(method),
            query_string: take_fitting(http.query.iter().cloned(), MAX_QUERY_BYTES),
            headers: headers(&http.headers, "cookie", |name| CLIENT_HEADERS.contains(&name)),
            cookies: cookies(&http.headers, "cookie"),
        })
    }
}

/// Headers by which Sentry recognises the client of a server. They are not in the `request` interface, since Sentry may
/// discard events whose client is a crawler.
const CLIENT_HEADERS: [&str; 5] = ["user-agent", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded"];

/// Returns the contexts of a run's evidence, attempts and log.
pub fn contexts(run: &Run, detail: DetailLevel) -> Contexts {
    let mut contexts = Contexts::new();
    match &run.evidence {
        Some(Exchange::Http(http)) => {
            contexts.insert("connection", connection(http));
            contexts.extend(http.tls.as_ref().map(|tls| ("tls", json!(tls))));
            contexts.extend(http.response.as_ref().map(|http_response| ("response", response(http_response))));
        }
        Some(Exchange::Ssh(ssh)) => insert_separating_connection(&mut contexts, "ssh", json!(ssh)),
        Some(Exchange::Tcp(tcp)) => insert_separating_connection(&mut contexts, "tcp", json!(tcp)),
        Some(Exchange::Dns(connection)) => {
            contexts.insert("connection", json!(connection));
        }
        None => {}
    }
    contexts.extend(attempts(run).map(|attempts| ("attempts", attempts)));
    contexts.extend(log(run).map(|log| ("log", log)));
    contexts.into_iter().map(|(name, context)| (name, fit_context(&context, detail))).collect()
}

/// Inserts a context, and its field `connection` as a context of its own.
fn insert_separating_connection(contexts: &mut Contexts, name: &'static str, mut context: Value) {
    let connection = context.as_object_mut().and_then(|fields| fields.remove("connection"));
    contexts.extend(connection.map(|connection| ("connection", connection)));
    contexts.insert(name, context);
}

fn connection(http: &Http) -> Value {
    let mut connection = json!(http.connection);
    if !http.redirects.is_empty() {
        connection["redirects"] = json!(http.redirects);
    }
    for (name, value) in &http.headers {
        if CLIENT_HEADERS.contains(&name.as_str()) {
            connection[name.replace('-', "_")] = value.as_str().into();
        }
    }
    connection
}

fn response(response: &Response) -> Value {
    let Response { status, headers: lines, body } = response;
    let mut context = json!({ "status_code": status, "body_size": body.size });
    let (headers, cookies) = (headers(lines, "set-cookie", |_| false), cookies(lines, "set-cookie"));
    context["headers"] = json!(headers);
    if !cookies.is_empty() {
        context["cookies"] = json!(cookies);
    }
    let data = match &body.text {
        Some(text) => body_as_json(text),
        None => format!("{} bytes that are no text", body.size).into(),
    };
    if !data.is_null() {
        context["data"] = data;
    }
    context
}

/// Returns a body as Sentry displays it: JSON as a structure, whatever its media type, and anything else as a string.
/// `null` stands for an empty body.
fn body_as_json(text: &str) -> Value {
    match serde_json::from_str(text) {
        // Sentry parses the content of a JSON string once more.
        Ok(Value::String(inner)) => body_as_json(&inner),
        Ok(value) => value,
        Err(_) if text.is_empty() => Value::Null,
        Err(_) => text.into(),
    }
}

/// Returns the results of all attempts by their numbers, or `None` if there was only one. An attempt that passed is
/// left out.
fn attempts(run: &Run) -> Option<Value> {
    let spans = run.trace.spans.iter().filter(|span| span.op == "probe.attempt");
    let earlier = run.earlier.iter().map(|failure| ("failed", failure.reason.as_str(), failure.message.as_str()));
    let last = match &run.outcome {
        Outcome::Failed(_) | Outcome::Broken(_) => run.outcome.why(),
        Outcome::Passed | Outcome::PassedAfterRetry(_) => None,
    };
    let last = last.map(|(reason, message)| (run.outcome.as_str(), reason, message));
    let attempts = earlier.chain(last).zip(spans).zip(1..).map(|(((outcome, reason, message), span), number)| {
        let duration = milliseconds(span.duration);
        let attempt = json!({ "outcome": outcome, "reason": reason, "message": message, "duration_ms": duration });
        (format!("{number}"), attempt)
    });
    (!run.earlier.is_empty()).then(|| Value::Object(attempts.collect()))
}

/// Returns the last 20 lines of the guest's log, which are hard to find among the breadcrumbs, or `None` if it is
/// empty.
fn log(run: &Run) -> Option<Value> {
    const MAX_LINES: usize = 20;
    let lines = run.log.iter().rev().take(MAX_LINES).rev();
    let lines: Vec<_> = lines.map(|line| format!("{}: {}", line.level.as_str(), line.message)).collect();
    (!lines.is_empty()).then(|| json!({ "lines": lines }))
}

/// Returns the headers except those of cookies, which have a field of their own, and except excluded ones.
fn headers(lines: &Lines, cookie_header: &str, is_excluded: impl Fn(&str) -> bool) -> Lines {
    /// The maximum size of the headers as JSON, which leaves space for a body in the same context.
    const MAX_BYTES: usize = 3000;
    const MAX_VALUE_CHARS: usize = 1000;
    let included = lines.iter().filter(|(name, _)| name != cookie_header && !is_excluded(name));
    let headers = included.map(|(name, value)| (capitalized(name), truncate(value, MAX_VALUE_CHARS).to_owned()));
    take_fitting(headers, MAX_BYTES)
}

/// Returns the names and values of the cookies in a header. The value of a cookie in `set-cookie` includes its
/// attributes.
fn cookies(lines: &Lines, header: &str) -> Lines {
    const MAX_BYTES: usize = 1500;
    let values = lines.iter().filter(|(name, _)| name == header).map(|(_, value)| value.as_str());
    let parts = values.flat_map(|value| if header == "cookie" { value.split(';').collect() } else { vec![value] });
    let cookies = parts.map(|part| {
        let (name, value) = part.split_once('=').unwrap_or(("", part));
        (truncate(name.trim(), MAX_TAG_CHARS).to_owned(), truncate(value.trim(), MAX_TAG_CHARS).to_owned())
    });
    take_fitting(cookies, MAX_BYTES)
}

/// Returns the name of a header as Sentry writes it, such as `Content-Type`.
fn capitalized(name: &str) -> String {
    let upper = |part: &str| part[..1].to_ascii_uppercase() + &part[1..];
    let parts = name.split('-').map(|part| if part.is_char_boundary(1) { upper(part) } else { part.to_owned() });
    parts.collect::<Vec<_>>().join("-")
}

/// Returns the first lines that fit into this many bytes of JSON.
fn take_fitting(lines: impl Iterator<Item = (String, String)>, max_bytes: usize) -> Lines {
    let mut free_bytes = max_bytes;
    let fits = |line: &(String, String)| {
        free_bytes.checked_sub(json_size(&json!(line))).map(|rest| free_bytes = rest).is_some()
    };
    lines.take_while(fits).collect()
}

/// Shortens a context step by step until it fits. Returns an empty one if it still does not fit after eight steps.
fn fit_context(context: &Value, detail: DetailLevel) -> Value {
    const MAX_ENTRIES: usize = 60;
    let first = Some((detail.text_chars * 2, MAX_ENTRIES));
    let next = |(chars, entries): &(usize, usize)| Some((chars / 2, entries * 2 / 3));
    let mut steps =
        std::iter::successors(first, next).take(8).map(|(chars, entries)| shorten(context, chars, entries, 0));
    steps.find(|context| json_size(context) <= MAX_CONTEXT_BYTES).unwrap_or_else(|| json!({}))
}

/// The depth at which arrays and objects in a context are written as text, since Sentry drops structures that are
/// nested deeper.
const MAX_DEPTH: usize = 6;

/// Shortens strings to `max_chars`, and arrays and objects to `max_entries`.
fn shorten(value: &Value, max_chars: usize, max_entries: usize, depth: usize) -> Value {
    let shorten_inner = |value| shorten(value, max_chars, max_entries, depth + 1);
    match value {
        Value::String(string) => with_ellipsis(string, max_chars).into(),
        Value::Array(_) | Value::Object(_) if depth == MAX_DEPTH => with_ellipsis(&value.to_string(), max_chars).into(),
        Value::Array(values) => values.iter().take(max_entries).map(shorten_inner).collect(),
        Value::Object(values) => {
            let entries = values.iter().take(max_entries);
            let entries = entries.map(|(key, value)| (truncate(key, MAX_TAG_CHARS).to_owned(), shorten_inner(value)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

/// Truncates a text, and adds an ellipsis if it was longer.
fn with_ellipsis(text: &str, max_chars: usize) -> String {
    let beginning = truncate(text, max_chars);
    if beginning.len() < text.len() { format!("{beginning}…") } else { text.to_owned() }
}

fn json_size(value: &Value) -> usize {
    value.to_string().len()
}

#[cfg(test)]
mod tests;
