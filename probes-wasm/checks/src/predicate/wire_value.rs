//! A value together with the number or boolean that its text stands for.

use serde_json::{Number, Value};

use crate::subject::SubjectKind;

/// The actual value of a subject. If it is text from the wire that reads as a number or a boolean, such as a header
/// `content-length: 17`, it has that value too.
pub struct WireValue<'v> {
    pub value: &'v Value,
    parsed: Option<Value>,
}

impl<'v> WireValue<'v> {
    /// Parses the text of a subject of the kind [`SubjectKind::Wire`]; other values are taken as they are.
    pub fn new(value: &'v Value, kind: SubjectKind) -> Self {
        let text = if kind == SubjectKind::Wire { value.as_str() } else { None };
        let parsed = text.and_then(|text| serde_json::from_str(text.trim()).ok());
        Self { value, parsed: parsed.filter(|parsed: &Value| parsed.is_number() || parsed.is_boolean()) }
    }

    /// Returns the value itself, and the value that its text stands for.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        std::iter::once(self.value).chain(&self.parsed)
    }

    /// Returns the value as a number.
    pub fn number(&self) -> Option<&Number> {
        self.values().find_map(|value| value.as_number())
    }
}
