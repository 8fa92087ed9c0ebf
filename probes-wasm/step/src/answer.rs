//! A step's answer, as it is looked at.

use std::cell::OnceCell;

use sentrynet_checks::{Answer, Phase, Subject};
use sentrynet_guest::http::{Response, Timing};
use sentrynet_guest::{Failure, Trouble, span};
use serde_json::{Value, json};

/// An answer whose body is read once, and parsed once it is asked for.
pub struct Answered {
    response: Response,
    body: OnceCell<Vec<u8>>,
    json: OnceCell<Result<Value, String>>,
}

/// Bytes of a body that are looked at; what is longer is not a thing to look into.
pub const MOST_BODY: u64 = 4 << 20;

impl Answered {
    pub fn new(response: Response) -> Self {
        Self { response, body: OnceCell::new(), json: OnceCell::new() }
    }

    pub fn status(&self) -> u16 {
        self.response.status()
    }

    /// The whole body.
    ///
    /// # Errors
    /// It is too long to look into.
    pub fn body(&self) -> Result<&[u8], String> {
        match self.response.body_size() {
            size if size > MOST_BODY => Err(format!("the body has {size} bytes, too many to look into")),
            _ => Ok(self.body.get_or_init(|| self.response.body())),
        }
    }

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

impl Answer for Answered {
    fn observe(&self, subject: &Subject) -> Option<Value> {
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
            Subject::TimeOf(phase) => Some(json!(lasted(response.timing(), *phase) / 1000.0)),
            Subject::CertificateDays => response.days_left().first().map(|days| (*days).into()),
            Subject::ChainDays => response.days_left().into_iter().min().map(Value::from),
            Subject::Redirect => response.location().map(Value::from),
            Subject::Url => Some(response.url().into()),
            Subject::HttpVersion => Some(response.connection().http_version.into()),
            Subject::TlsVersion => tls().map(|tls| tls.version.into()),
            Subject::RemoteAddress => response.connection().remote_address.map(Value::from),
            // Found elsewhere, or of another kind of probe.
            _ => None,
        }
    }

    fn json(&self) -> Result<&Value, String> {
        self.json.get_or_init(|| self.parse()).as_ref().map_err(Clone::clone)
    }
}

/// Milliseconds.
fn lasted(timing: Timing, phase: Phase) -> f64 {
    match phase {
        Phase::Dns => timing.dns.unwrap_or(0.0),
        Phase::Connect => timing.connect.unwrap_or(0.0),
        Phase::Tls => timing.tls.unwrap_or(0.0),
        Phase::Send => timing.send,
        Phase::Wait => timing.wait,
        Phase::Receive => timing.receive,
    }
}
