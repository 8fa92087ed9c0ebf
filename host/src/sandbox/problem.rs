//! A problem with a probe's configuration or component.

/// A problem with a probe, or a warning about one.
#[derive(Debug)]
pub struct Problem {
    /// JSON pointer from the probe's position in the configuration: `/url`, or empty for the probe as a whole.
    pub pointer: String,
    /// One sentence: lower case, no full stop.
    pub message: String,
}
