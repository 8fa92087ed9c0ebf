//! One HTTP request and what its answer must be: what the probes `http` and `chain` are made of.

mod answer;
mod request;
mod verdict;

use sentrynet_checks::Statuses;
use sentrynet_guest::Kept;
use serde::Deserialize;
use serde_json::{Map, Value};

pub use request::{Body, escape, origin};

/// One HTTP request, and what its answer must be.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The URL to request: `http` or `https`.
    pub url: String,
    /// The HTTP method; GET unless there is a body, in which case POST.
    method: Option<String>,
    /// Appended to the URL's query; a list repeats its key.
    #[serde(default)]
    #[schemars(schema_with = "query")]
    pub query: Map<String, Value>,
    /// Headers to send.
    #[serde(default)]
    #[schemars(schema_with = "headers")]
    pub headers: Map<String, Value>,
    /// The body to send: text as it is, a map or list as JSON.
    pub body: Option<Body>,
    /// Credentials: `basic` (`username`, `password`), `bearer` (a token) or `oauth2` (client credentials: `token_url`,
    /// `client_id`, `client_secret`, and if need be `scope`, `audience`, `send_in: body`).
    #[serde(default)]
    #[schemars(schema_with = "authorization")]
    auth: Option<Kept>,
    /// The header `user-agent`; `sentrynet` and its version unless given.
    user_agent: Option<String>,
    /// Whether to ask for a compressed body (gzip, br, zstd, deflate), which is then unpacked.
    #[serde(default)]
    compression: bool,

    /// The status to answer with: a number, a class such as `2xx`, or a list of them; 200 unless the method is POST,
    /// in which case 201.
    expected: Option<Statuses>,
    /// What the answer must be: `header content-type: {starts_with: text/}`, `$.items: {is_empty: false}`.
    #[serde(default)]
    #[schemars(schema_with = "sentrynet_checks::schema::http")]
    checks: Map<String, Value>,
    /// Keys to set from the answer's JSON: a name and a JSONPath (RFC 9535). One match is the value, several are a
    /// list, none leaves the key unset.
    #[serde(default)]
    #[schemars(schema_with = "set_keys")]
    pub set_keys: Map<String, Value>,
    /// What the keys must be: a value, or operators as in `checks`; `{exists: false}`.
    #[serde(default)]
    #[schemars(schema_with = "sentrynet_checks::schema::assertions")]
    assertions: Map<String, Value>,

    /// Seconds for the whole exchange, redirects and body included; 30 unless given.
    #[schemars(extend("minimum" = 0.001, "maximum" = 3600))]
    timeout: Option<f64>,
    /// How many redirects to follow; 10 unless given, 0 takes a redirect as the answer.
    #[schemars(range(max = 100))]
    redirects: Option<u32>,
    /// Whether the server's certificate must hold; true unless given.
    verify_tls: Option<bool>,
    /// A PEM file of certificate authorities to trust, instead of the system's.
    ca: Option<String>,
    /// A certificate to show to the server: a PEM file of certificate and key, or `{certificate: FILE, key: FILE}`.
    client_certificate: Option<request::ClientCertificate>,
    /// The one version of HTTP to speak: 1.1 or 2.
    http_version: Option<request::HttpVersion>,
    /// The one version of IP to connect over: 4 or 6.
    #[schemars(extend("enum" = [4, 6, null]))]
    ip_version: Option<u32>,
    /// Connect to this `host`, `host:port` or `:port` instead of the URL's; the request and its TLS name stay the same.
    connect_to: Option<String>,
    /// The DNS server to ask: an address, with a port unless that is 53.
    dns_server: Option<String>,
    /// A proxy to go through: `http://`, `https://`, `socks5://` or `socks5h://`.
    proxy: Option<String>,
    /// The address of this machine's to connect from.
    source_address: Option<String>,
}

impl Step {
    /// The method as given, or by whether there is a body.
    pub fn method(&self) -> &str {
        match (&self.method, &self.body) {
            (Some(method), _) => method,
            (None, Some(_)) => "POST",
            (None, None) => "GET",
        }
    }

    /// Which statuses are right.
    fn expected(&self) -> Statuses {
        let by_method = || Statuses::from(if self.method() == "POST" { 201 } else { 200 });
        self.expected.clone().unwrap_or_else(by_method)
    }
}

fn query(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let several = serde_json::json!({ "type": "array", "items": { "type": SCALAR } });
    let value = serde_json::json!({ "anyOf": [{ "type": SCALAR }, several] });
    schemars::json_schema!({ "type": "object", "additionalProperties": value })
}

fn headers(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object", "additionalProperties": { "type": SCALAR } })
}

fn set_keys(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let path = serde_json::json!({ "type": "string", "pattern": "^\\s*\\$" });
    schemars::json_schema!({ "type": "object", "additionalProperties": path })
}

/// What is written as text as it is.
const SCALAR: [&str; 3] = ["string", "number", "boolean"];

fn authorization(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let text = || serde_json::json!({ "type": "string" });
    schemars::json_schema!({
        "type": ["object", "null"],
        "writeOnly": true,
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": false,
        "properties": {
            "basic": {
                "type": "object",
                "properties": { "username": text(), "password": text() },
                "required": ["username", "password"],
                "additionalProperties": false,
            },
            "bearer": text(),
            "oauth2": {
                "type": "object",
                "properties": {
                    "token_url": text(),
                    "client_id": text(),
                    "client_secret": text(),
                    "scope": text(),
                    "audience": text(),
                    "send_in": { "enum": ["header", "body"], "default": "header" },
                },
                "required": ["token_url", "client_id", "client_secret"],
                "additionalProperties": false,
            },
        },
    })
}
