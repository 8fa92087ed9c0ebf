//! The built-in probe `http`: one request, its status, and what its JSON says.

mod assertion;
mod expected;
mod keys;
mod request;

use sentrynet_guest::http::Response;
use sentrynet_guest::{Check, Failure, Mismatch, Probe, Trouble};
use serde::Deserialize;
use serde_json::Map;

use crate::assertion::Assertion;
use crate::expected::Expected;

struct Http;

/// One HTTP request, and what its answer must be.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The URL to request: `http` or `https`.
    url: String,
    /// The HTTP method; GET unless there is a body, in which case POST.
    method: Option<String>,
    /// The status to answer with: a number, a class such as `2xx`, or a list of them; 200 unless the method is POST,
    /// in which case 201.
    expected: Option<Expected>,
    /// The body to send: text as it is, a map or list as JSON.
    body: Option<request::Body>,
    /// Appended to the URL's query; a list repeats its key.
    #[serde(default)]
    query: Map<String, serde_json::Value>,
    /// Headers to send.
    #[serde(default)]
    headers: Map<String, serde_json::Value>,
    /// Keys to set from the answer's JSON: a name and a JSONPath (RFC 9535). One match is the value, several are a
    /// list, none leaves the key unset.
    #[serde(default)]
    set_keys: Map<String, serde_json::Value>,
    /// What the keys must be: a value, or `exists` (true unless given) and `value`.
    #[serde(default)]
    assertions: std::collections::BTreeMap<String, Assertion>,
    /// Seconds for the whole exchange, redirects and body included; 30 unless given.
    #[schemars(extend("exclusiveMinimum" = 0))]
    timeout: Option<f64>,
    /// How many redirects to follow; 10 unless given, 0 takes a redirect as the answer.
    redirects: Option<u32>,
    /// Whether the server's certificate must hold; true unless given.
    verify_tls: Option<bool>,
    /// A PEM file of certificate authorities to trust, instead of the system's.
    ca: Option<String>,
}

impl Probe for Http {
    const NAME: &str = "http";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &str = "One HTTP request, its status, and what its JSON says";
    type Settings = Settings;

    fn check(settings: &Settings, check: &mut Check) -> Option<String> {
        request::build(settings, check);
        keys::check(&settings.set_keys, check);
        assertion::check(&settings.assertions, &settings.set_keys, check);
        Some(request::title(settings))
    }

    fn run(settings: Settings) -> Result<(), Trouble> {
        let mut problems = Check::default();
        let Some(request) = request::build(&settings, &mut problems) else {
            return Err(Trouble::Broken("the settings do not pass the probe's own check".to_owned()));
        };
        let response = request.send()?;
        status(&settings, &response)?;
        if settings.set_keys.is_empty() {
            return Ok(());
        }
        let keys = keys::extract(&settings.set_keys, &response)?;
        assertion::hold(&settings.assertions, &settings.set_keys, &keys)
    }
}

/// The status is one of the expected.
fn status(settings: &Settings, response: &Response) -> Result<(), Trouble> {
    let by_method = Expected::by_method(request::method(settings));
    let expected = settings.expected.as_ref().unwrap_or(&by_method);
    let status = response.status();
    if expected.allows(status) {
        return Ok(());
    }
    let mismatch =
        Mismatch { subject: "status".to_owned(), expected: expected.to_string(), actual: status.to_string() };
    Err(Failure::new("status", format!("expected status {expected}, got {status}")).mismatches(vec![mismatch]).into())
}

sentrynet_guest::export!(Http);
