//! An endpoint of Gatus.

use super::super::checks::operator;
use super::super::entry::{Entry, shown};
use super::super::model::{Body, Kind, Probe, Request};
use super::super::report::Report;
use super::super::request::Builder;
use super::super::text::{Text, is_mark};
use super::condition::{self, Target};
use super::shared::{Thresholds, every, expand, label, tag, text};
use super::{client, ssh};
use crate::redaction::{is_credential_name, redact_credentials};

/// The seconds from one run to the next unless an endpoint says otherwise.
const DEFAULT_INTERVAL: f64 = 60.0;
/// The protocols of endpoints that no built-in probe speaks.
const OTHER_PROTOCOLS: [(&str, &str); 10] = [
    ("tcp", "a TCP connection"),
    ("udp", "UDP"),
    ("sctp", "SCTP"),
    ("icmp", "ICMP"),
    ("starttls", "STARTTLS"),
    ("tls", "TLS without HTTP"),
    ("grpc", "gRPC"),
    ("grpcs", "gRPC"),
    ("ws", "WebSocket"),
    ("wss", "WebSocket"),
];

/// Returns the probe of an endpoint; `None`, with a note, if there is no equivalent.
pub fn probe(item: &Entry, thresholds: &Thresholds, report: &mut Report) -> Option<Probe> {
    report.take_comments();
    if item.get("enabled").is_some_and(|enabled| enabled.value.as_bool() == Some(false)) {
        report.left_out(&item.place(), format!("{}, since it is disabled", label(item)));
        return None;
    }
    let url = item.get("url").and_then(|url| text(&url, report)).unwrap_or_default();
    let skeleton = url.encode().text;
    let scheme = skeleton.split_once("://").map_or("", |(scheme, _)| scheme);
    if item.get("dns").is_some() {
        let message =
            format!("{}: DNS has no built-in probe; `examples/probes` of SentryNet has a component", label(item));
        report.left_out(&item.place(), message);
        return None;
    }
    if let Some((_, what)) = OTHER_PROTOCOLS.iter().find(|(name, _)| *name == scheme) {
        report.left_out(&item.place(), format!("{}: {what} has no equivalent", label(item)));
        return None;
    }
    let kind = if scheme == "ssh" {
        Kind::Ssh(ssh::settings(item, &url, report)?)
    } else {
        Kind::Http(Box::new(request(item, &url, &mut |text, _| text, report)?))
    };
    let mut probe = Probe::new(kind);
    probe.title = item.get("name").and_then(|name| text(&name, report));
    probe.every = Some(every(item, DEFAULT_INTERVAL, report));
    probe.failures_before_error = item.get("alerts").and_then(|alerts| thresholds.lowest(&alerts));
    let labels = item.get("extra-labels").map(|labels| labels.members()).unwrap_or_default();
    probe.tags = labels.iter().filter_map(|(name, value)| tag(name, &value.text()?)).collect();
    other_keys(item, report);
    probe.comments = report.take_comments();
    Some(probe)
}

/// Notes the keys that neither a request nor a probe has.
pub fn other_keys(item: &Entry, report: &mut Report) {
    const KNOWN: [&str; 18] = [
        "alerts",
        "always-run",
        "body",
        "client",
        "conditions",
        "dns",
        "enabled",
        "extra-labels",
        "graphql",
        "group",
        "headers",
        "interval",
        "method",
        "name",
        "ssh",
        "store",
        "ui",
        "url",
    ];
    for (key, value) in item.members().into_iter().filter(|(key, _)| !KNOWN.contains(key)) {
        value.no_equivalent(key, report);
    }
}

/// Changes the texts of a request before it is built.
pub type Fill<'f> = dyn FnMut(Text, &mut Report) -> Text + 'f;

/// Returns the request of an endpoint or of a step of a suite, whose texts `fill` changes.
pub fn request(item: &Entry, url: &Text, fill: &mut Fill, report: &mut Report) -> Option<Request> {
    let place = item.get("url").map_or_else(|| item.place(), |url| url.place());
    // Gatus takes nothing but a URL with a scheme, so that one without it comes from a variable.
    let mut builder = match Builder::new(url, report, place.clone()) {
        Ok(builder) => builder,
        Err(why) => {
            report.left_out(&place, format!("{}: {why}", label(item)));
            return None;
        }
    };
    builder.request.timeout = Some(client::DEFAULT_TIMEOUT);
    if let Some(settings) = item.get("client") {
        client::set(&settings, &mut builder);
    }
    if let Some(method) = item.get("method") {
        builder.place = method.place();
        builder.method(&method.text().unwrap_or_default());
    }
    for (name, value) in item.get("headers").map(|headers| headers.members()).unwrap_or_default() {
        builder.place = value.place();
        if let Some(text) = text(&value, builder.report) {
            let text = fill(text, builder.report);
            builder.header(name, &text);
        }
    }
    body(item, fill, &mut builder);
    if builder.request.method.is_none() && builder.request.body.is_some() {
        builder.method("GET");
    }
    conditions(item, &mut builder);
    Some(builder.finish())
}

/// Sets the body, which Gatus puts into a query of GraphQL if it is told to.
fn body(item: &Entry, fill: &mut Fill, builder: &mut Builder) {
    let Some(body) = item.get("body") else { return };
    builder.place = body.place();
    let Some(given) = text(&body, builder.report).filter(|body| !body.is_empty()) else { return };
    let given = fill(given, builder.report);
    if item.get("graphql").is_some_and(|graphql| graphql.is_true()) {
        let query = builder.hide(&given);
        builder.request.body = Some(Body::Json(vec![("query".to_owned(), query)]));
    } else {
        builder.body(&given);
    }
}

fn conditions(item: &Entry, builder: &mut Builder) {
    for entry in item.get("conditions").map(|conditions| conditions.items()).unwrap_or_default() {
        let Some(text) = entry.text() else { continue };
        builder.place = entry.place();
        let condition = expand(&text, &entry, builder.report);
        let condition = hide_expected(condition, builder);
        if let Err(why) = condition::add(&condition, Target::Http, &mut builder.request.checks) {
            let shown_condition = shown(&redact_credentials(&without_marks(&condition)));
            builder.report.left_out(&entry.place(), format!("the condition `{shown_condition}`: {why}"));
        }
    }
    if !builder.request.checks.has("status") {
        // Gatus takes every status unless a condition is about it.
        builder.request.checks.add("status", operator("at_least", 100u64));
    }
}

/// Returns a condition in which the value that a credential in the body is to have is a variable.
fn hide_expected(condition: Text, builder: &mut Builder) -> Text {
    let encoded = condition.encode();
    let parts = [" == ", " != "].iter().find_map(|sign| Some((*sign, encoded.text.split_once(sign)?)));
    let Some((sign, (path, value))) = parts else { return condition };
    let name = path.rsplit('.').next().unwrap_or_default();
    let is_call = ["any(", "pat(", "["].iter().any(|start| value.trim().starts_with(start));
    if !path.starts_with("[BODY].") || is_call || !is_credential_name(name) {
        return condition;
    }
    let mut hidden = encoded.decode(&format!("{path}{sign}"));
    let value = encoded.decode(value.trim());
    hidden.append(builder.secret(name, &format!("the expected `{}`", shown(name)), &value));
    hidden
}

fn without_marks(condition: &Text) -> String {
    condition.encode().text.chars().map(|c| if is_mark(c) { '…' } else { c }).collect()
}
