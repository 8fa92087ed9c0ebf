//! Sizes in settings.

use std::ops::RangeInclusive;

use serde::Deserialize;
use serde_json::Value;

/// A setting that is a number of bytes: a whole number, or text with a unit such as `64 MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Size(u64);

/// The text with a unit that messages have as an example.
const EXAMPLE: &str = "a size such as `2 MiB`";

impl Size {
    /// Returns the number of bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// Returns the number of bytes, which must be within these bounds.
    ///
    /// # Errors
    /// Returns a sentence with the bounds if the size is not within them.
    pub fn within(self, bounds: RangeInclusive<u64>) -> Result<u64, String> {
        let bytes = Some(self.0).filter(|bytes| bounds.contains(bytes));
        bytes.ok_or_else(|| {
            let [least, most, got] = [*bounds.start(), *bounds.end(), self.0].map(format_bytes);
            format!("expected {EXAMPLE}, from {least} to {most}, got {got}")
        })
    }

    /// Parses `64 MiB`, `1.5G`, `10 kB` or `512`. `KiB` or `K` is 1024 bytes, `kB` 1000 bytes, and so on up to `GiB`;
    /// case does not matter. Returns `None` for any other text.
    fn parse(text: &str) -> Option<Self> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1.0,
            "kib" | "k" => 1024.0,
            "mib" | "m" => 1024.0 * 1024.0,
            "gib" | "g" => 1024.0 * 1024.0 * 1024.0,
            "kb" => 1e3,
            "mb" => 1e6,
            "gb" => 1e9,
            _ => return None,
        };
        let bytes = text[..digits].parse::<f64>().ok()? * unit;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "too large a size is cut")]
        Some(Self(bytes as u64))
    }
}

impl TryFrom<Value> for Size {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let size = match &value {
            Value::Number(number) => number.as_u64().map(Self),
            Value::String(text) => Self::parse(text.trim()),
            _ => None,
        };
        size.ok_or_else(|| format!("expected {EXAMPLE}, or a number of bytes"))
    }
}

/// The schema of a whole number or a text. Bounds have to be checked by the probe, with [`Size::within`]. By its
/// `format` the host knows what a number means.
impl schemars::JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["integer", "string"], "format": "bytes", "minimum": 0 })
    }
}

/// Writes a number of bytes in the largest unit of MiB and KiB that needs no fraction, for messages.
pub fn format_bytes(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".to_owned(),
        bytes if bytes >= 1 << 20 && bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        bytes if bytes >= 1 << 10 && bytes % (1 << 10) == 0 => format!("{} KiB", bytes >> 10),
        bytes => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_numbers_or_have_a_unit() {
        let size = |value: Value| Size::try_from(value).map(Size::bytes);
        assert_eq!(size(json!(512)), Ok(512));
        assert_eq!(size(json!("512")), Ok(512));
        assert_eq!(size(json!("2 MiB")), Ok(2 << 20));
        assert_eq!(size(json!("1.5k")), Ok(1536));
        assert_eq!(size(json!("10 kB")), Ok(10_000));
        for wrong in [json!(-1), json!(1.5), json!("MiB"), json!("2 miles"), json!(true), json!([])] {
            assert!(size(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_bounds() {
        let within = |bytes| Size(bytes).within(1..=16 << 20);
        assert_eq!(within(1), Ok(1));
        let message = "expected a size such as `2 MiB`, from 1 byte to 16 MiB, got ";
        assert_eq!(within(0), Err(format!("{message}0 bytes")));
        assert_eq!(within(17 << 20), Err(format!("{message}17 MiB")));
    }

    #[test]
    fn bytes_are_written_in_whole_units() {
        let written: Vec<_> = [0, 1, 1000, 1 << 10, 1536, 3 << 20].map(format_bytes).into();
        assert_eq!(written, ["0 bytes", "1 byte", "1000 bytes", "1 KiB", "1536 bytes", "3 MiB"]);
    }
}
