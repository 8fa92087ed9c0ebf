//! A step: one HTTP request, and what its response must be. The probe `http` is one step, the probe `chain` several.

mod evaluate;
mod request;
mod response;

use sentrynet_checks::Statuses;
use sentrynet_guest::{Credentials, Seconds, Size};
use serde::Deserialize;
use serde_json::{Map, Value};

pub use request::{Body, origin_and_path};

/// The bounds of the setting `timeout`, in seconds.
const MIN_TIMEOUT_SECONDS: f64 = 0.001;
const MAX_TIMEOUT_SECONDS: u32 = 3600;

/// The setting `max_body`: its default and its greatest value, in bytes.
const DEFAULT_MAX_BODY_BYTES: u64 = 4 << 20;
const MAX_MAX_BODY_BYTES: u64 = 16 << 20;

/// The largest value of the setting `redirects`.
const MAX_REDIRECTS: u32 = 100;

/// One HTTP request, and what its response must be.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The URL to request: `http` or `https`.
    pub url: String,
    /// The HTTP method; GET unless there is a body, in which case POST.
    method: Option<String>,
    /// Parameters to append to the URL's query; a list sends its key once for each item. A number is sent as it is
    /// written: `1.10`.
    #[serde(default)]
    #[schemars(schema_with = "query_schema")]
    pub query: Map<String, Value>,
    /// Headers to send. A number is sent as it is written: `1.10`.
    #[serde(default)]
    #[schemars(schema_with = "headers_schema")]
    pub headers: Map<String, Value>,
    /// The body to send: text as it is, a map or a list as JSON, with `content-type: application/json` unless given.
    pub body: Option<Body>,
    /// Credentials: `basic` (`username`, `password`), `bearer` (a token) or `oauth2` (client credentials: `token_url`,
    /// `client_id`, `client_secret`, and optionally `scope`, `audience`, `send_in: body`).
    #[serde(default)]
    #[schemars(with = "Credentials")]
    auth: Option<Credentials>,
    /// The header `user-agent`; `sentrynet` and its version unless given.
    #[schemars(extend("format" = "text"))]
    user_agent: Option<String>,
    /// Asks for a compressed body (gzip, br, zstd, deflate), which is then decompressed; false unless given.
    #[serde(default)]
    compression: bool,
    /// Keeps the cookies that responses set, those of redirects included, and sends them with the later requests of the
    /// same run, as a browser does; true unless given.
    cookies: Option<bool>,

    /// The expected status: a number, a class such as `2xx`, or a list of them; 201 for POST and 200 otherwise, unless
    /// given here or under `checks`.
    expected: Option<Statuses>,
    /// Conditions on the response: `header content-type: {starts_with: text/}`, `$.items: {is_empty: false}`.
    #[serde(default)]
    #[schemars(schema_with = "sentrynet_checks::schema::http")]
    checks: Map<String, Value>,
    /// Keys to set from the JSON of the response, each with a JSONPath (RFC 9535). One match is the value, several are
    /// a list, none leaves the key unset.
    #[serde(default)]
    #[schemars(schema_with = "set_keys_schema")]
    pub set_keys: Map<String, Value>,
    /// Conditions on keys: for each a value, or operators as in `checks`, such as `{exists: false}`.
    #[serde(default)]
    #[schemars(schema_with = "sentrynet_checks::schema::assertions")]
    assertions: Map<String, Value>,

    /// The bytes of the body that can be checked, such as `8 MiB`. A check that looks into a larger body fails with the
    /// reason `too-large`; `size` counts all bytes. 16 MiB at most; 4 MiB unless given.
    max_body: Option<Size>,
    /// Seconds for the whole exchange, redirects and body included, or text such as `500ms`. From 0.001 to 3,600; 30
    /// unless given.
    #[schemars(extend("minimum" = MIN_TIMEOUT_SECONDS, "maximum" = MAX_TIMEOUT_SECONDS))]
    timeout: Option<Seconds>,
    /// The number of redirects to follow, 100 at most; 10 unless given. With 0, a redirect is the response that is
    /// checked.
    #[schemars(range(max = MAX_REDIRECTS))]
    redirects: Option<u32>,
    /// Verifies the server's certificate; true unless given. With false, every certificate is accepted, which protects
    /// from nothing.
    verify_tls: Option<bool>,
    /// A PEM file of certificate authorities to trust, instead of the system's.
    ca: Option<String>,
    /// A client certificate: a file of certificate and key (PEM, or PKCS#12), or `{certificate: FILE, key: FILE}`, with
    /// the `passphrase` of the key or of the file if it is encrypted.
    client_certificate: Option<request::ClientCertificate>,
    /// The only version of HTTP to use, 1.1 or 2; what the server prefers unless given.
    http_version: Option<request::HttpVersion>,
    /// The only version of IP to use, 4 or 6; both unless given.
    #[schemars(extend("enum" = [4, 6, null]))]
    ip_version: Option<u32>,
    /// The `host`, `host:port` or `:port` to connect to instead of the URL's; the request and the name that TLS
    /// verifies stay the same.
    connect_to: Option<String>,
    /// The DNS server to ask instead of the system's resolver: an IP address, with a port unless that is 53.
    dns_server: Option<String>,
    /// A proxy to connect through: `http://`, `https://`, `socks5://`, or `socks5h://`, by which the proxy resolves
    /// names.
    proxy: Option<String>,
    /// The IP address of this machine to connect from.
    source_address: Option<String>,
}

impl Step {
    /// Returns the method: by default GET, and POST if there is a body.
    pub fn method(&self) -> &str {
        match (&self.method, &self.body) {
            (Some(method), _) => method,
            (None, Some(_)) => "POST",
            (None, None) => "GET",
        }
    }

    /// Returns the bytes of the body that can be checked.
    fn max_body_bytes(&self) -> u64 {
        self.max_body.map_or(DEFAULT_MAX_BODY_BYTES, Size::bytes)
    }

    /// Returns the statuses that are expected: by default 200, and 201 for POST.
    fn expected_statuses(&self) -> Statuses {
        let by_method = || Statuses::from(if self.method() == "POST" { 201 } else { 200 });
        self.expected.clone().unwrap_or_else(by_method)
    }
}

fn query_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let several = serde_json::json!({ "type": "array", "items": sent_text_schema() });
    let value = serde_json::json!({ "anyOf": [sent_text_schema(), several] });
    schemars::json_schema!({ "type": "object", "additionalProperties": value })
}

fn headers_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object", "additionalProperties": sent_text_schema() })
}

/// Returns the schema of a value that is sent as text. The host passes a number as it is written: `1.10`.
fn sent_text_schema() -> Value {
    serde_json::json!({ "type": ["string", "number", "boolean"], "format": "text" })
}

fn set_keys_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let path = serde_json::json!({ "type": "string", "pattern": "^\\s*\\$" });
    schemars::json_schema!({ "type": "object", "additionalProperties": path })
}
