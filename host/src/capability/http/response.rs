//! A whole response, as the guest reads it.

use serde::{Deserialize, Serialize};

use crate::capability::bindings::sentrynet::probe::http::{Connection, Timing};
use crate::capability::quota::HeldBytes;

/// A whole response, with the first bytes of its body. Recordings contain it in its serialized form.
#[derive(Serialize, Deserialize)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The URL of the last request, without credentials.
    pub url: String,
    /// The location that a redirect leads to: an absolute URL, unless the header is not a URL.
    pub location: Option<String>,
    /// The names, in lower case, and the values of the headers, in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// The first bytes of the body, up to the request's `max_body_bytes`.
    #[serde(with = "body")]
    pub body: Vec<u8>,
    /// The number of bytes of the whole body, after decompression.
    pub body_size: u64,
    /// The durations of the last hop's phases and of the whole exchange, in milliseconds.
    pub timing: Timing,
    /// The connection of the last hop.
    pub connection: Connection,
    /// The memory that is counted for body and headers. `None` in a replay.
    #[serde(skip)]
    pub held: Option<HeldBytes>,
}

/// Serializes bodies for a recording, as text or in base64.
mod body {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::Value;

    use crate::recording::{bytes_from_json, bytes_to_json};

    pub fn serialize<S: Serializer>(body: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        bytes_to_json(body).serialize(serializer)
    }

    pub fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let recorded = Value::deserialize(deserializer)?;
        bytes_from_json(&recorded).ok_or_else(|| D::Error::custom("a body is `text` or `base64`"))
    }
}
