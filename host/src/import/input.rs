//! Reads the files of other programs, within a bound.

use std::io::{self, Read};
use std::path::Path;

/// The maximal size of a file.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// The text of a file that is to be imported.
#[derive(Debug, Clone)]
pub struct Input {
    /// The path as given, or `<stdin>`, for messages.
    pub name: String,
    /// The text, without a byte order mark.
    pub text: String,
}

/// The reason why a file cannot be imported.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "`name` is the path, `error` the cause, in every variant")]
pub enum InputError {
    /// The operating system reported an error.
    #[error("cannot read `{name}`: {error}")]
    Failed { name: String, error: io::Error },
    /// The file is larger than 64 MiB.
    #[error("`{name}` is larger than 64 MiB: split it")]
    TooLarge { name: String },
    /// The file is not UTF-8. `line` counts from 1.
    #[error("{name}:{line}: not UTF-8 text: save the file as UTF-8")]
    NotText { name: String, line: usize },
    /// The file is not of the format. `line` counts from 1.
    #[error("{name}:{line}: {message}")]
    Invalid { name: String, line: usize, message: String },
    /// The configuration would be too large to be read.
    #[error("the configuration would be larger than 16 MiB: import fewer files at once")]
    ResultTooLarge,
}

impl Input {
    /// Reads a file, or standard input for `-`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, is larger than 64 MiB, or is not UTF-8.
    pub fn read(path: &Path) -> Result<Self, InputError> {
        if path.as_os_str() == "-" {
            return Self::read_from(io::stdin().lock(), "<stdin>".to_owned());
        }
        let name = path.display().to_string();
        match std::fs::File::open(path) {
            Ok(file) => Self::read_from(file, name),
            Err(error) => Err(InputError::Failed { name, error }),
        }
    }

    fn read_from(from: impl Read, name: String) -> Result<Self, InputError> {
        let mut bytes = Vec::new();
        // One byte more than allowed shows that a file is too large.
        if let Err(error) = from.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes) {
            return Err(InputError::Failed { name, error });
        }
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(InputError::TooLarge { name });
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { name, text: text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text) }),
            Err(error) => {
                let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                Err(InputError::NotText { name, line })
            }
        }
    }

    /// Returns an error about a line of this file.
    pub fn invalid(&self, line: usize, message: impl Into<String>) -> InputError {
        InputError::Invalid { name: self.name.clone(), line, message: message.into() }
    }
}
