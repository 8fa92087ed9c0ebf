//! Durations as other programs write them, and as a configuration does.

/// Parses a duration of Go or Prometheus, such as `1h30m`, `500ms`, `1.5s` or `2d`. Returns the seconds.
pub fn parse_duration(text: &str) -> Option<f64> {
    let mut seconds = 0.0;
    let mut rest = text.trim();
    if rest == "0" {
        return Some(0.0);
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        seconds += number * unit_seconds(&rest[..unit])?;
        rest = &rest[unit..];
    }
    (!text.trim().is_empty() && seconds.is_finite()).then_some(seconds)
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        "y" => 31_536_000.0,
        _ => return None,
    })
}

/// Returns seconds as a configuration has them: `90s`, `1.5s`, `5m`, `250ms`.
pub fn format_duration(seconds: f64) -> String {
    let milliseconds = (seconds * 1000.0).round();
    let units = [(86_400_000.0, "d"), (3_600_000.0, "h"), (60_000.0, "m"), (1000.0, "s")];
    let whole = units.into_iter().find(|(length, _)| milliseconds >= *length && milliseconds % length == 0.0);
    match whole {
        Some((length, unit)) => format!("{}{unit}", milliseconds / length),
        None if milliseconds > 1000.0 => format!("{}s", milliseconds / 1000.0),
        None => format!("{milliseconds}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, seconds, written) in [
            ("1h30m", 5400.0, "90m"),
            ("500ms", 0.5, "500ms"),
            ("1.5s", 1.5, "1.5s"),
            ("60s", 60.0, "1m"),
            ("2d", 172_800.0, "2d"),
            ("1w", 604_800.0, "7d"),
            ("0", 0.0, "0ms"),
            (" 9.5s ", 9.5, "9.5s"),
        ] {
            assert_eq!(parse_duration(text), Some(seconds), "{text}");
            assert_eq!(format_duration(seconds), written);
        }
        for wrong in ["", "5", "s", "1x", "1h-2m", "..s", "1e400s", &"9".repeat(400)] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}
