//! Output of a command.

/// What a command left.
#[derive(Debug, Default)]
pub struct Output {
    /// None when it was ended by a signal, or the server did not say.
    pub exit_status: Option<u32>,
    /// The signal's name without `SIG`.
    pub signal: Option<String>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// How many bytes there were in all.
    pub stdout_size: u64,
    pub stderr_size: u64,
}
