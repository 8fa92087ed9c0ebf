//! Trace propagation: the headers `sentry-trace`, `baggage` and `traceparent` for targets, and the same sampling
//! context for the headers of envelopes.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::config::{SampleRate, Sentry, TraceHeaders, TraceMode};
use crate::trace::{Digits, SpanId, TraceId};

/// The settings of `sentry` that all propagation headers and all events share. The default is empty, for sandboxes that
/// send nothing.
#[derive(Debug, Clone, Default)]
pub struct EventDefaults {
    public_key: Option<String>,
    org_id: Option<String>,
    environment: String,
    release: String,
    server_name: String,
    rate: SampleRate,
}

/// Sentry's dynamic sampling context. With it, all services of a trace make the same sampling decision.
pub struct SamplingContext<'a> {
    trace_id: Digits<32>,
    public_key: Option<&'a str>,
    org_id: Option<&'a str>,
    environment: &'a str,
    release: &'a str,
    transaction: &'a str,
    sample_rate: String,
    sample_rand: String,
    sampled: &'static str,
}

/// Returns true if a trace is sampled at a rate. The decision depends only on the trace's id, which is random, so that
/// all services of the trace make the same decision.
pub fn is_sampled(trace: TraceId, rate: SampleRate) -> bool {
    sample_rand(trace) < rate.millionths()
}

impl EventDefaults {
    /// Returns the shared settings of the `sentry` section.
    pub fn new(sentry: &Sentry) -> Self {
        let dsn = sentry.dsn.as_ref();
        Self {
            public_key: dsn.map(|dsn| dsn.public_key().to_owned()),
            org_id: dsn.and_then(sentry::types::Dsn::org_id).map(|id| id.to_string()),
            environment: sentry.environment.clone(),
            release: sentry.release.clone(),
            server_name: sentry.server_name.clone(),
            rate: sentry.sample.rate,
        }
    }

    /// Returns the environment.
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// Returns the release.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Returns the name of this machine.
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// Returns the headers for a request that is made in `span`, or none for [`TraceMode::Off`].
    ///
    /// The sampling flag states whether the target should record a transaction of its own. By default
    /// ([`TraceMode::Linked`]) the target is asked not to, since its transactions count against the quota of its
    /// owner, and a probe runs every few seconds. The target's errors are linked to the run all the same. With
    /// [`TraceMode::Sampled`], the target is asked to record a transaction at the sample rate that applies to the
    /// host's own transactions of passed runs.
    ///
    /// The flag cannot depend on whether the host sends its own transaction: that is known only at the end of the run.
    pub fn headers(
        &self,
        trace: TraceId,
        span: SpanId,
        title: &str,
        headers: &TraceHeaders,
    ) -> Vec<(&'static str, String)> {
        let rate = match headers.mode {
            TraceMode::Off => return Vec::new(),
            TraceMode::Linked => SampleRate::NONE,
            TraceMode::Sampled => self.rate,
        };
        let flag = u8::from(is_sampled(trace, rate));
        let baggage = self.sampling_context(trace, title, rate).to_baggage();
        let mut fields = vec![("sentry-trace", format!("{trace}-{span}-{flag}")), ("baggage", baggage)];
        if headers.traceparent {
            fields.push(("traceparent", format!("00-{trace}-{span}-{flag:02}")));
        }
        fields
    }

    /// Returns the sampling context of a trace at a rate. The title is the name of the transaction and is cut off
    /// after 200 characters.
    pub fn sampling_context<'a>(&'a self, trace: TraceId, title: &'a str, rate: SampleRate) -> SamplingContext<'a> {
        SamplingContext {
            trace_id: trace.digits(),
            public_key: self.public_key.as_deref(),
            org_id: self.org_id.as_deref(),
            environment: &self.environment,
            release: &self.release,
            transaction: title.char_indices().nth(MAX_TITLE_CHARS).map_or(title, |(end, _)| &title[..end]),
            sample_rate: rate.to_string(),
            sample_rand: format!("0.{:06}", sample_rand(trace)),
            sampled: if is_sampled(trace, rate) { "true" } else { "false" },
        }
    }
}

/// The maximum number of characters of a title in the baggage. A baggage header may have 8192 bytes, and an encoded
/// character has up to 12.
const MAX_TITLE_CHARS: usize = 200;

impl SamplingContext<'_> {
    /// Returns the fields that are not empty, under Sentry's names.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let fields = [
            ("trace_id", Some(&*self.trace_id)),
            ("public_key", self.public_key),
            ("org_id", self.org_id),
            ("environment", Some(self.environment)),
            ("release", Some(self.release)),
            ("transaction", Some(self.transaction)),
            ("sample_rate", Some(&self.sample_rate)),
            ("sample_rand", Some(&self.sample_rand)),
            ("sampled", Some(self.sampled)),
        ];
        fields.into_iter().filter_map(|(key, value)| Some((key, value.filter(|value| !value.is_empty())?)))
    }

    fn to_baggage(&self) -> String {
        let mut header = String::new();
        for (key, value) in self.fields() {
            let comma = if header.is_empty() { "" } else { "," };
            _ = write!(header, "{comma}sentry-{key}={}", utf8_percent_encode(value, ESCAPED));
        }
        header
    }
}

/// Returns Sentry's `sample_rand`, a number in the range 0..1, in millionths, since Sentry's SDKs write six digits. It
/// depends only on the trace's id.
fn sample_rand(trace: TraceId) -> u32 {
    (u128::from_be_bytes(trace.0) % 1_000_000) as u32
}

/// All characters except the unreserved ones of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::Sample;

    const TRACE: TraceId = TraceId([0xab; 16]);
    const SPAN: SpanId = SpanId([0x0c; 8]);
    const IDS: &str = "abababababababababababababababab-0c0c0c0c0c0c0c0c";

    fn event_defaults(dsn: Option<&str>, rate: SampleRate) -> EventDefaults {
        EventDefaults::new(&Sentry {
            dsn: dsn.map(|dsn| dsn.parse().unwrap()),
            ca: None,
            environment: "pröd, eu".to_owned(),
            release: "sentrynet@0.1.0".to_owned(),
            server_name: "here".to_owned(),
            sample: Sample { rate, slower_than: None },
            spool: crate::config::Spool::default(),
            spotlight: None,
            monitors: Vec::new(),
        })
    }

    fn headers(
        event_defaults: &EventDefaults,
        trace: TraceId,
        title: &str,
        mode: TraceMode,
    ) -> HashMap<&'static str, String> {
        let settings = TraceHeaders { mode, traceparent: true, ..TraceHeaders::default() };
        event_defaults.headers(trace, SPAN, title, &settings).into_iter().collect()
    }

    fn baggage(title: &str, mode: TraceMode) -> String {
        headers(&event_defaults(None, SampleRate::ALL), TRACE, title, mode).remove("baggage").unwrap()
    }

    fn fields(header: &str) -> HashMap<&str, &str> {
        header.split(',').map(|member| member.split_once('=').unwrap()).collect()
    }

    #[test]
    fn a_target_is_asked_to_sample_only_in_mode_sampled() {
        let headers = |mode| headers(&event_defaults(None, SampleRate::ALL), TRACE, "t", mode);
        assert_eq!(headers(TraceMode::default())["sentry-trace"], format!("{IDS}-0"));
        assert_eq!(headers(TraceMode::default())["traceparent"], format!("00-{IDS}-00"));
        assert_eq!(headers(TraceMode::Sampled)["sentry-trace"], format!("{IDS}-1"));
        assert_eq!(headers(TraceMode::Sampled)["traceparent"], format!("00-{IDS}-01"));
        assert_eq!(headers(TraceMode::Off), HashMap::new());
        let default = event_defaults(None, SampleRate::ALL).headers(TRACE, SPAN, "t", &TraceHeaders::default());
        assert_eq!(default.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["sentry-trace", "baggage"]);
    }

    #[test]
    fn headers_agree_on_the_sampling_decision() {
        let event_defaults = event_defaults(Some("https://key@sentry.example/7"), rate(0.25));
        let mut sampled = 0;
        for number in 0..1000_u128 {
            let trace = TraceId((number * 618_033).to_be_bytes());
            let headers = headers(&event_defaults, trace, "t", TraceMode::Sampled);
            let is_sampled = is_sampled(trace, rate(0.25));
            let fields = fields(&headers["baggage"]);
            assert_eq!(fields["sentry-sample_rate"], "0.25");
            assert_eq!(fields["sentry-sampled"], is_sampled.to_string());
            assert_eq!(fields["sentry-sample_rand"].parse::<f64>().unwrap() < 0.25, is_sampled);
            assert_eq!(headers["sentry-trace"].ends_with("-1"), is_sampled);
            assert_eq!(headers["traceparent"].ends_with("-01"), is_sampled);
            sampled += u32::from(is_sampled);
        }
        assert!((245..=255).contains(&sampled), "a quarter of the evenly spread ids: {sampled}");
    }

    #[test]
    fn a_rate_is_exact_to_the_millionth() {
        let trace = |number: u128| TraceId(number.to_be_bytes());
        assert!(is_sampled(trace(249_999), rate(0.25)));
        assert!(!is_sampled(trace(250_000), rate(0.25)));
        assert!(is_sampled(trace(5_000_000), rate(0.000_001)), "sample_rand 0 is below each rate except 0");
        assert!(!is_sampled(trace(0), SampleRate::NONE));
        assert!(is_sampled(trace(999_999), SampleRate::ALL));
    }

    fn rate(share: f64) -> SampleRate {
        SampleRate::from_share(share).unwrap()
    }

    #[test]
    fn baggage_is_percent_encoded() {
        let event_defaults = event_defaults(Some("https://key@o42.ingest.sentry.io/prefix/7"), SampleRate::ALL);
        let header = &headers(&event_defaults, TRACE, "a=b;c,d\r\nx: \"é\"", TraceMode::Linked)["baggage"];
        assert!(header.bytes().all(|byte| byte.is_ascii_graphic()), "{header}");
        let fields = fields(header);
        assert_eq!(fields["sentry-trace_id"], "abababababababababababababababab");
        assert_eq!(fields["sentry-public_key"], "key");
        assert_eq!(fields["sentry-org_id"], "42");
        assert_eq!(fields["sentry-environment"], "pr%C3%B6d%2C%20eu");
        assert_eq!(fields["sentry-release"], "sentrynet%400.1.0");
        assert_eq!(fields["sentry-transaction"], "a%3Db%3Bc%2Cd%0D%0Ax%3A%20%22%C3%A9%22");
        assert_eq!(fields["sentry-sampled"], "false");
        assert_eq!(fields["sentry-sample_rate"], "0");
        let rand: f64 = fields["sentry-sample_rand"].parse().unwrap();
        assert!((0.0..1.0).contains(&rand));
    }

    #[test]
    fn without_a_dsn_baggage_has_no_key() {
        let header = baggage("t", TraceMode::Sampled);
        assert!(!header.contains("public_key") && !header.contains("org_id"), "{header}");
        assert!(header.ends_with("sentry-sampled=true"), "{header}");
    }

    #[test]
    fn baggage_with_a_long_title_stays_below_its_limit() {
        let header = baggage(&"🦀".repeat(9000), TraceMode::Linked);
        assert!(header.len() < 8192, "{}", header.len());
    }
}
