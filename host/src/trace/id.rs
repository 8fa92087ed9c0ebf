//! Ids of traces and spans as hexadecimal digits, in recordings and for Sentry and W3C headers.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize, Serializer};

/// The id of a trace: 16 random bytes, displayed as 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TraceId(pub [u8; 16]);

/// The id of a span: 8 random bytes, displayed as 16 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct SpanId(pub [u8; 8]);

/// The digits of an id. They are stored inline, without an allocation, since the report of a run has two or three ids
/// for each span.
pub struct Digits<const LENGTH: usize>([u8; LENGTH]);

impl TraceId {
    /// Returns the 32 digits.
    pub fn digits(self) -> Digits<32> {
        Digits::from_bytes(self.0)
    }
}

impl SpanId {
    /// Returns the 16 digits.
    pub fn digits(self) -> Digits<16> {
        Digits::from_bytes(self.0)
    }
}

impl<const LENGTH: usize> Digits<LENGTH> {
    fn from_bytes<const BYTES: usize>(id: [u8; BYTES]) -> Self {
        const { assert!(LENGTH == 2 * BYTES) };
        let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
        let mut digits = [0; LENGTH];
        for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(id) {
            *pair = [digit(byte >> 4), digit(byte & 15)];
        }
        Self(digits)
    }
}

impl<const LENGTH: usize> Deref for Digits<LENGTH> {
    type Target = str;

    fn deref(&self) -> &str {
        str::from_utf8(&self.0).expect("hexadecimal digits are ASCII, and so valid UTF-8")
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digits())
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digits())
    }
}

impl Serialize for TraceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.digits())
    }
}

impl Serialize for SpanId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.digits())
    }
}

impl TryFrom<String> for TraceId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let id = (text.len() == 32).then(|| u128::from_str_radix(&text, 16).ok()).flatten();
        id.map(|id| Self(id.to_be_bytes())).ok_or("the id of a trace is 32 hexadecimal digits")
    }
}

impl TryFrom<String> for SpanId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let id = (text.len() == 16).then(|| u64::from_str_radix(&text, 16).ok()).flatten();
        id.map(|id| Self(id.to_be_bytes())).ok_or("the id of a span is 16 hexadecimal digits")
    }
}
