//! A whole response, as the guest reads it.

use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};

use crate::capability::bindings::sentrynet::probe::http::{Connection, Timing};
use crate::capability::http::charset;
use crate::capability::net_errors::bytes;
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
    /// The reason why the body still has its content coding, as a sentence for a person; `None` if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undecoded: Option<String>,
    /// The durations of the phases of all hops together and of the whole exchange, in milliseconds.
    pub timing: Timing,
    /// The connection of the last hop.
    pub connection: Connection,
    /// The ends of the validity of the certificates by which the servers of all hops were verified, in seconds since
    /// the Unix epoch: first the earliest of the servers' own certificates. Recordings of earlier versions lack it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validity_ends: Vec<i64>,
    /// The memory that is counted for body and headers. `None` in a replay.
    #[serde(skip)]
    pub held: Option<HeldBytes>,
}

impl Response {
    /// Returns the ends of the validity of certificates, of which the first is that of a server's own. In the replay of
    /// a recording of an earlier version, they are those of all certificates that the last server sent.
    pub fn validity_ends(&self) -> Vec<i64> {
        if !self.validity_ends.is_empty() {
            return self.validity_ends.clone();
        }
        let sent = self.connection.tls.iter().flat_map(|tls| &tls.chain);
        sent.map(|certificate| certificate.not_after).collect()
    }

    /// Returns the whole body as text, decoded by its charset.
    ///
    /// # Errors
    /// A sentence for a person if the body still has its content coding, or if it is not here as a whole.
    pub fn text(&self) -> Result<String, String> {
        if let Some(reason) = &self.undecoded {
            return Err(reason.clone());
        }
        if self.body_size > self.body.len() as u64 {
            let (size, kept) = (bytes(self.body_size), self.body.len());
            return Err(format!("the body has {size}, of which {kept} were kept"));
        }
        let content_type = self.headers.iter().find(|(name, _)| name == CONTENT_TYPE.as_str());
        Ok(charset::decode(&self.body, content_type.map(|(_, value)| value.as_str())))
    }
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
