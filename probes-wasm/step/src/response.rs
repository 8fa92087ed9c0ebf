//! The values of an HTTP response that can be checked.

use std::cell::OnceCell;

use sentrynet_checks::{Observation, Phase, Subject, parse_json};
use sentrynet_guest::http::{Response, Timing};
use sentrynet_guest::{Failure, Trouble, format_bytes, span};
use serde_json::{Value, json};

/// A response whose body is fetched and parsed at most once, when it is first needed.
pub struct HttpObservation {
    response: Response,
    /// The bytes of the body that can be checked.
    max_body: u64,
    text: OnceCell<Result<String, String>>,
    json: OnceCell<Result<Value, String>>,
}

impl HttpObservation {
    /// Returns the observation of a response of which `max_body` bytes of the body were kept.
    pub fn new(response: Response, max_body: u64) -> Self {
        Self { response, max_body, text: OnceCell::new(), json: OnceCell::new() }
    }

    pub fn status(&self) -> u16 {
        self.response.status()
    }

    /// Returns the whole body as text. A check of a part of it could pass where the whole does not.
    ///
    /// # Errors
    /// Returns a sentence that says that the body is larger than `max_body`, or why it cannot be read as text.
    pub fn text(&self) -> Result<&str, String> {
        let (size, most) = (self.response.body_size(), self.max_body);
        if size > most {
            return Err(format!(
                "the body has {size} bytes, more than the {} that are checked; raise `max_body`, or check only `size`",
                format_bytes(most)
            ));
        }
        self.text.get_or_init(|| self.response.text()).as_deref().map_err(Clone::clone)
    }

    /// Returns the failure of a check that could not look into the body. Its reason is `too-large` if the body is
    /// larger than `max_body`, and otherwise `reason`.
    pub fn failure(&self, reason: &'static str, why: String) -> Failure {
        Failure::new(if self.response.body_size() > self.max_body { "too-large" } else { reason }, why)
    }

    /// Parses the body as JSON, in a span of its own.
    fn parse(&self) -> Result<Value, String> {
        let parsed = span::scope("json.parse", "Parse body", |_| {
            let parsed = self.text().and_then(|text| parse_json("the body", text));
            parsed.map_err(|why| Failure::new("json", why).into())
        });
        parsed.map_err(|trouble: Trouble| trouble.message().to_owned())
    }
}

impl Observation for HttpObservation {
    fn value(&self, subject: &Subject) -> Option<Value> {
        let response = &self.response;
        let tls = || response.connection().tls;
        match subject {
            Subject::Status => Some(response.status().into()),
            Subject::Header(name) => {
                let headers = response.headers();
                let lines: Vec<_> =
                    headers.iter().filter(|(known, _)| known == name).map(|(_, line)| &**line).collect();
                (!lines.is_empty()).then(|| lines.join(", ").into())
            }
            Subject::Body => self.text().ok().map(Value::from),
            Subject::Size => Some(response.body_size().into()),
            Subject::Time => Some(json!(response.timing().total / 1000.0)),
            Subject::TimeOf(phase) => Some(json!(duration(response.timing(), *phase) / 1000.0)),
            Subject::CertificateDays => response.days_left().first().map(|days| (*days).into()),
            Subject::ChainDays => response.days_left().into_iter().min().map(Value::from),
            Subject::Redirect => response.location().map(Value::from),
            Subject::Url => Some(response.url().into()),
            Subject::HttpVersion => Some(response.connection().http_version.into()),
            Subject::TlsVersion => tls().map(|tls| tls.version.into()),
            Subject::RemoteAddress => response.connection().remote_address.map(Value::from),
            // JSONPaths are searched in `json`. The other subjects are those of SSH.
            _ => None,
        }
    }

    fn json(&self) -> Result<&Value, String> {
        self.json.get_or_init(|| self.parse()).as_ref().map_err(Clone::clone)
    }
}

/// Returns how long a phase took, in milliseconds; 0 if it did not take place.
fn duration(timing: Timing, phase: Phase) -> f64 {
    match phase {
        Phase::Dns => timing.dns.unwrap_or(0.0),
        Phase::Connect => timing.connect.unwrap_or(0.0),
        Phase::Tls => timing.tls.unwrap_or(0.0),
        Phase::Send => timing.send,
        Phase::Wait => timing.wait,
        Phase::Receive => timing.receive,
    }
}
