//! The values of an HTTP response that can be checked.

use std::cell::OnceCell;

use sentrynet_checks::{Observation, Phase, Subject};
use sentrynet_guest::http::{Response, Timing};
use sentrynet_guest::{Failure, Trouble, span};
use serde_json::{Value, json};

/// The largest body that is checked, in bytes.
pub const MAX_BODY_BYTES: u64 = 4 << 20;

/// A response whose body is fetched and parsed at most once, when it is first needed.
pub struct HttpObservation {
    response: Response,
    body: OnceCell<Vec<u8>>,
    json: OnceCell<Result<Value, String>>,
}

impl HttpObservation {
    pub fn new(response: Response) -> Self {
        Self { response, body: OnceCell::new(), json: OnceCell::new() }
    }

    pub fn status(&self) -> u16 {
        self.response.status()
    }

    /// Returns the whole body.
    ///
    /// # Errors
    /// Returns a sentence that says that the body is larger than [`MAX_BODY_BYTES`].
    pub fn body(&self) -> Result<&[u8], String> {
        match self.response.body_size() {
            size if size > MAX_BODY_BYTES => {
                Err(format!("the body has {size} bytes, more than the {MAX_BODY_BYTES} that are checked"))
            }
            _ => Ok(self.body.get_or_init(|| self.response.body())),
        }
    }

    /// Parses the body as JSON, in a span of its own.
    fn parse(&self) -> Result<Value, String> {
        let parsed = span::scope("json.parse", "Parse body", |_| {
            let parsed = self.body().and_then(|body| {
                serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))
            });
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
            Subject::Body => self.body().ok().map(|body| String::from_utf8_lossy(body).into()),
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
