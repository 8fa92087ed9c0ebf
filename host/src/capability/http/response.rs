//! A whole response, as the guest reads it.

use serde::{Deserialize, Serialize};

use crate::capability::bindings::sentrynet::probe::http::{Connection, Timing};

/// A whole response, with its body as far as it is kept. Its form is that of recordings.
#[derive(Serialize, Deserialize)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The URL of the last request, without credentials.
    pub url: String,
    /// The location that a redirect leads to: an absolute URL, unless the header is not a URL.
    pub location: Option<String>,
    /// Names, in lower case, and values, in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// The first bytes of the body, as many as the request keeps.
    #[serde(with = "body")]
    pub body: Vec<u8>,
    /// Bytes of the whole body.
    pub body_size: u64,
    /// Durations in milliseconds: of the last hop's phases, and of the whole exchange.
    pub timing: Timing,
    /// The connection of the last hop.
    pub connection: Connection,
}

impl Response {
    /// Returns the bytes that the host holds for it: body and headers.
    pub fn size(&self) -> usize {
        self.body.len() + self.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    }
}

/// The form of bodies in a recording.
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
