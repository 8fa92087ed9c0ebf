//! A whole answer, as the guest reads it.

use serde::{Deserialize, Serialize};

use crate::capability::bindings::sentrynet::probe::http::{Connection, Timing};

/// A whole answer.
#[derive(Serialize, Deserialize)]
pub struct Response {
    pub status: u16,
    pub url: String,
    /// Where it leads, if it redirects.
    pub location: Option<String>,
    pub headers: Vec<(String, String)>,
    #[serde(with = "body")]
    pub body: Vec<u8>,
    pub body_size: u64,
    pub timing: Timing,
    pub connection: Connection,
}

impl Response {
    /// Bytes that it takes up.
    pub fn size(&self) -> usize {
        self.body.len() + self.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
    }
}

/// A body as it stands in a recording.
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
