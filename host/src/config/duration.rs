//! Durations with units.

/// Parses `30s`, `1.5 h` or `500ms`, and returns the seconds. The units are `ms`, `s`, `m`, `h` and `d`. Returns `None`
/// for any other text, and for a number without a unit.
pub fn parse_duration(text: &str) -> Option<f64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (number, unit) = text.split_at(digits);
    let seconds = match unit.trim_start() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    // The schema accepts no number such as `1.` or `.5`.
    let is_decimal = !number.starts_with('.') && !number.ends_with('.');
    number.parse::<f64>().ok().filter(|_| is_decimal).map(|number| number * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for (text, seconds) in [
            ("500ms", 0.5),
            ("30s", 30.0),
            ("1.5s", 1.5),
            ("5 m", 300.0),
            ("0h", 0.0),
            ("1h", 3600.0),
            ("365d", 31_536_000.0),
        ] {
            assert_eq!(parse_duration(text), Some(seconds), "{text}");
        }
        for wrong in
            ["", "s", "5", "5x", "-5s", "1.s", ".5s", "1.2.3s", "5S", "1h30m", "5 s ", "1e3s", "\u{665}s", "inf s"]
        {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}
