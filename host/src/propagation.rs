//! What is told of a trace across a connection: the `sentry-trace` and `baggage` headers that a target gets, and the
//! same facts at the head of an envelope. Pure; knows Sentry's words, and nothing of requests or of sending.

use std::fmt::Write as _;

use serde::Serialize;

use crate::config::{Sentry, TraceHeaders};
use crate::trace::{SpanId, TraceId};

/// What all that we send has in common. Made once.
#[derive(Debug, Clone)]
pub struct Origin {
    public_key: Option<String>,
    org_id: Option<String>,
    environment: String,
    release: String,
    server_name: String,
}

/// Sentry's dynamic sampling context: what others must know of a trace to decide alike whether to keep their part.
#[derive(Debug, Clone, Serialize)]
pub struct Dsc<'a> {
    trace_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org_id: Option<&'a str>,
    environment: &'a str,
    release: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    transaction: String,
    sample_rate: &'static str,
    sample_rand: String,
    sampled: &'static str,
}

/// The `sentry-trace` header of a request made in `span`; none where the target is to be told nothing.
///
/// Our own transaction is sent in any case: it is the measurement. Whether the target records one of its own is
/// another question, which its owner pays for: a probe every few seconds would eat the target's quota. So a target is
/// asked not to sample unless the configuration says otherwise, and the run still links to the errors that it reports.
pub fn sentry_trace(trace: TraceId, span: SpanId, headers: TraceHeaders) -> Option<String> {
    sampled(headers).map(|sampled| format!("{trace}-{span}-{}", u8::from(sampled)))
}

impl Origin {
    pub fn new(sentry: &Sentry) -> Self {
        let dsn = sentry.dsn.as_ref();
        Self {
            public_key: dsn.map(|dsn| dsn.public_key().to_owned()),
            org_id: dsn.and_then(sentry::types::Dsn::org_id).map(|id| id.to_string()),
            environment: sentry.environment.clone(),
            release: sentry.release.clone(),
            server_name: sentry.server_name.clone(),
        }
    }

    pub fn environment(&self) -> &str {
        &self.environment
    }

    pub fn release(&self) -> &str {
        &self.release
    }

    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// The `baggage` header that goes with [`sentry_trace`].
    pub fn baggage(&self, trace: TraceId, title: &str, headers: TraceHeaders) -> Option<String> {
        sampled(headers).map(|sampled| self.dsc(trace, title, sampled).to_baggage())
    }

    /// The context of a trace that is, or is not, to be sampled.
    pub fn dsc(&self, trace: TraceId, title: &str, sampled: bool) -> Dsc<'_> {
        Dsc {
            trace_id: trace.to_string(),
            public_key: self.public_key.as_deref(),
            org_id: self.org_id.as_deref(),
            environment: &self.environment,
            release: &self.release,
            transaction: title.chars().take(MAX_TITLE).collect(),
            // Sampled exactly when rand < rate: all or nothing, whatever the rand.
            sample_rate: if sampled { "1" } else { "0" },
            sample_rand: sample_rand(trace),
            sampled: if sampled { "true" } else { "false" },
        }
    }
}

/// A whole baggage header may have 8192 bytes, and a character takes up to 12 when encoded.
const MAX_TITLE: usize = 200;

impl Dsc<'_> {
    fn to_baggage(&self) -> String {
        let fields = [
            ("trace_id", Some(self.trace_id.as_str())),
            ("public_key", self.public_key),
            ("org_id", self.org_id),
            ("environment", Some(self.environment)),
            ("release", Some(self.release)),
            ("transaction", Some(&self.transaction)),
            ("sample_rate", Some(self.sample_rate)),
            ("sample_rand", Some(&self.sample_rand)),
            ("sampled", Some(self.sampled)),
        ];
        let mut header = String::new();
        for (key, value) in fields {
            let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
            let comma = if header.is_empty() { "" } else { "," };
            _ = write!(header, "{comma}sentry-{key}=");
            percent_encode(value, &mut header);
        }
        header
    }
}

/// What the target is asked to do, if it is told of the trace at all.
fn sampled(headers: TraceHeaders) -> Option<bool> {
    match headers {
        TraceHeaders::Off => None,
        TraceHeaders::Linked => Some(false),
        TraceHeaders::Sampled => Some(true),
    }
}

/// A number in [0, 1), of six digits as Sentry's SDKs write it. Taken from the trace's id, which is as random, so that
/// every header of a trace says the same.
fn sample_rand(trace: TraceId) -> String {
    format!("0.{:06}", u128::from_be_bytes(trace.0) % 1_000_000)
}

fn percent_encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => into.push(char::from(byte)),
            _ => _ = write!(into, "%{byte:02X}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: TraceId = TraceId([0xab; 16]);
    const SPAN: SpanId = SpanId([0x0c; 8]);

    fn origin(dsn: Option<&str>) -> Origin {
        Origin::new(&Sentry {
            dsn: dsn.map(|dsn| dsn.parse().unwrap()),
            environment: "pröd, eu".to_owned(),
            release: "sentrynet@0.1.0".to_owned(),
            server_name: "here".to_owned(),
            spool: crate::config::Spool::default(),
        })
    }

    fn fields(header: &str) -> Vec<(&str, &str)> {
        header.split(',').map(|member| member.split_once('=').unwrap()).collect()
    }

    #[test]
    fn a_target_is_asked_not_to_sample_unless_told_otherwise() {
        let ids = "abababababababababababababababab-0c0c0c0c0c0c0c0c";
        assert_eq!(sentry_trace(TRACE, SPAN, TraceHeaders::default()), Some(format!("{ids}-0")));
        assert_eq!(sentry_trace(TRACE, SPAN, TraceHeaders::Sampled), Some(format!("{ids}-1")));
        assert_eq!(sentry_trace(TRACE, SPAN, TraceHeaders::Off), None);
        assert_eq!(origin(None).baggage(TRACE, "t", TraceHeaders::Off), None);
    }

    #[test]
    fn baggage_is_encoded_and_coherent() {
        let origin = origin(Some("https://key@o42.ingest.sentry.io/prefix/7"));
        let header = origin.baggage(TRACE, "a=b;c,d\r\nx: \"é\"", TraceHeaders::Linked).unwrap();
        assert!(header.bytes().all(|byte| byte.is_ascii_graphic()), "{header}");
        let fields = fields(&header);
        let value = |key| fields.iter().find(|(known, _)| *known == key).map(|(_, value)| *value);
        assert_eq!(value("sentry-trace_id"), Some("abababababababababababababababab"));
        assert_eq!(value("sentry-public_key"), Some("key"));
        assert_eq!(value("sentry-org_id"), Some("42"));
        assert_eq!(value("sentry-environment"), Some("pr%C3%B6d%2C%20eu"));
        assert_eq!(value("sentry-release"), Some("sentrynet%400.1.0"));
        assert_eq!(value("sentry-transaction"), Some("a%3Db%3Bc%2Cd%0D%0Ax%3A%20%22%C3%A9%22"));
        assert_eq!(value("sentry-sampled"), Some("false"));
        assert_eq!(value("sentry-sample_rate"), Some("0"));
        let rand: f64 = value("sentry-sample_rand").unwrap().parse().unwrap();
        assert!((0.0..1.0).contains(&rand));
    }

    #[test]
    fn without_a_dsn_there_is_no_key_to_tell() {
        let header = origin(None).baggage(TRACE, "t", TraceHeaders::Sampled).unwrap();
        assert!(!header.contains("public_key") && !header.contains("org_id"), "{header}");
        assert!(header.ends_with("sentry-sampled=true"), "{header}");
    }

    #[test]
    fn a_long_title_does_not_burst_the_header() {
        let header = origin(None).baggage(TRACE, &"🦀".repeat(9000), TraceHeaders::Linked).unwrap();
        assert!(header.len() < 8192, "{}", header.len());
    }
}
