//! The result of a command.

/// The result of a command. It is incomplete if the command was stopped or the connection ended.
#[derive(Debug, Default)]
pub struct Output {
    /// `None` if a signal ended the command, or if the server did not send the status.
    pub exit_status: Option<u32>,
    /// The signal that ended the command, without `SIG`.
    pub signal: Option<String>,
    /// The beginning of the standard output, up to the bound of [`Output::append_stdout`].
    pub stdout: Vec<u8>,
    /// The beginning of the standard error, up to the bound of [`Output::append_stderr`].
    pub stderr: Vec<u8>,
    /// The size of the whole standard output in bytes.
    pub stdout_size: u64,
    /// The size of the whole standard error in bytes.
    pub stderr_size: u64,
}

impl Output {
    /// Appends to the standard output. Bytes beyond the first `max_bytes` are counted but not stored.
    pub fn append_stdout(&mut self, data: &[u8], max_bytes: usize) {
        append(&mut self.stdout, &mut self.stdout_size, data, max_bytes);
    }

    /// Appends to the standard error. Bytes beyond the first `max_bytes` are counted but not stored.
    pub fn append_stderr(&mut self, data: &[u8], max_bytes: usize) {
        append(&mut self.stderr, &mut self.stderr_size, data, max_bytes);
    }

    /// Returns true if the server has said how the command ended.
    pub fn has_ended(&self) -> bool {
        self.exit_status.is_some() || self.signal.is_some()
    }

    /// Returns the bytes of standard output and standard error that are kept.
    pub fn bytes_in_memory(&self) -> usize {
        self.stdout.len() + self.stderr.len()
    }

    /// Returns the size of standard output and standard error together, in bytes.
    pub fn total_size(&self) -> u64 {
        self.stdout_size.saturating_add(self.stderr_size)
    }
}

fn append(bytes: &mut Vec<u8>, size: &mut u64, data: &[u8], max_bytes: usize) {
    *size = size.saturating_add(data.len() as u64);
    bytes.extend_from_slice(&data[..data.len().min(max_bytes.saturating_sub(bytes.len()))]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_beyond_the_bound_is_counted_but_not_stored() {
        let mut output = Output::default();
        for piece in ["abc", "def", "ghi"] {
            output.append_stdout(piece.as_bytes(), 5);
        }
        assert_eq!((output.stdout.as_slice(), output.stdout_size), (b"abcde".as_slice(), 9));
        output.append_stderr(b"x", 0);
        assert_eq!((output.stderr.len(), output.stderr_size), (0, 1));
        assert_eq!(output.total_size(), 10);
    }
}
