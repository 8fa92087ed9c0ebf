//! Ids as text, as they are written everywhere.

use super::{SpanId, TraceId};

impl From<TraceId> for String {
    fn from(id: TraceId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for TraceId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let id = (text.len() == 32).then(|| u128::from_str_radix(&text, 16).ok()).flatten();
        id.map(|id| Self(id.to_be_bytes())).ok_or("the id of a trace is 32 hexadecimal digits")
    }
}

impl From<SpanId> for String {
    fn from(id: SpanId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for SpanId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let id = (text.len() == 16).then(|| u64::from_str_radix(&text, 16).ok()).flatten();
        id.map(|id| Self(id.to_be_bytes())).ok_or("the id of a span is 16 hexadecimal digits")
    }
}
