//! Sizes with units.

/// Parses `64 MiB`, `1.5G`, `10 kB` or `512`, and returns the number of bytes. `KiB` or `K` is 1024 bytes, `kB` 1000
/// bytes, and so on up to `TiB`; case does not matter. Returns `None` for any other text.
pub fn parse_size(text: &str) -> Option<f64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kib" | "k" => 1024.0,
        "mib" | "m" => 1024.0 * 1024.0,
        "gib" | "g" => 1024.0 * 1024.0 * 1024.0,
        "tib" | "t" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        _ => return None,
    };
    text[..digits].parse::<f64>().ok().map(|number| number * unit)
}
