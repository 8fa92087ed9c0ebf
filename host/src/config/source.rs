//! The text of a configuration file. Independent of YAML.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The maximal size of a configuration file. 10,000 probes take about 2 MiB.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The text of a configuration file, and where it is from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The path as given, or `<stdin>`.
    pub name: String,
    /// The YAML.
    pub text: String,
    /// The path of the file; `None` for standard input.
    pub path: Option<PathBuf>,
    /// The directory that relative paths in the file start from.
    pub directory: PathBuf,
    /// If the file has only the settings of one probe: the value of its key `probe`. `None` for a whole configuration.
    pub probe: Option<String>,
}

/// The reason why a configuration file could not be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "`name` is the path, `error` the cause, in every variant")]
pub enum SourceError {
    /// There is no such file.
    #[error("no file `{name}`: name a YAML file, or `-` for standard input")]
    Missing { name: String },
    /// The path leads to a directory.
    #[error("`{name}` is a directory: name the YAML file in it")]
    Directory { name: String },
    /// The operating system reported an error.
    #[error("cannot read `{name}`: {error}")]
    Failed { name: String, error: io::Error },
    /// The file is larger than 16 MiB.
    #[error("`{name}` is larger than 16 MiB: a configuration is a text of some kilobytes")]
    TooLarge { name: String },
    /// The file is not UTF-8. `line` counts from 1, `byte` from 0.
    #[error("`{name}` is not UTF-8 text, line {line}, byte {byte} of the file: save it as UTF-8")]
    NotText { name: String, line: usize, byte: usize },
}

impl Source {
    /// Reads a file, or standard input for `-`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, is larger than 16 MiB, or is not UTF-8.
    pub fn read(path: &Path) -> Result<Self, SourceError> {
        if path.as_os_str() == "-" {
            let name = "<stdin>".to_string();
            let bytes = read(io::stdin().lock(), &name)?;
            return Self::decode(name, bytes, None, PathBuf::from("."));
        }
        let name = path.display().to_string();
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => SourceError::Missing { name: name.clone() },
            io::ErrorKind::IsADirectory => SourceError::Directory { name: name.clone() },
            _ => SourceError::Failed { name: name.clone(), error },
        };
        if std::fs::metadata(path).map_err(failed)?.is_dir() {
            return Err(SourceError::Directory { name });
        }
        let bytes = read(std::fs::File::open(path).map_err(failed)?, &name)?;
        let directory = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => Path::new("."),
        };
        let directory = directory.to_path_buf();
        Self::decode(name, bytes, Some(path.to_path_buf()), directory)
    }

    /// Returns the source of a probe without any settings.
    pub fn without_settings(probe: String) -> Self {
        let directory = PathBuf::from(".");
        Self { name: "the settings".to_owned(), text: "{}".to_owned(), path: None, directory, probe: Some(probe) }
    }

    fn decode(name: String, bytes: Vec<u8>, path: Option<PathBuf>, directory: PathBuf) -> Result<Self, SourceError> {
        let mut text = String::from_utf8(bytes).map_err(|error| {
            let byte = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..byte].iter().filter(|byte| **byte == b'\n').count();
            SourceError::NotText { name: name.clone(), line, byte }
        })?;
        if text.starts_with('\u{feff}') {
            text.remove(0);
        }
        Ok(Self { name, text, path, directory, probe: None })
    }
}

fn read(from: impl Read, name: &str) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    // One byte more than allowed distinguishes a file that is too large from one that just fits; `/dev/zero` is endless.
    match from.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 > MAX_FILE_BYTES => Err(SourceError::TooLarge { name: name.to_string() }),
        Ok(_) => Ok(bytes),
        Err(error) => Err(SourceError::Failed { name: name.to_string(), error }),
    }
}

/// Splits a text into lines as YAML does: at `\n`, `\r\n` and `\r`.
pub fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(['\n', '\r']) {
        lines.push(&rest[..end]);
        rest = &rest[end..];
        rest = rest.strip_prefix("\r\n").unwrap_or_else(|| &rest[1..]);
    }
    lines.push(rest);
    lines
}
