//! The text of a configuration, and where it came from. Knows no YAML.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// 10,000 probes are about 2 MiB.
const LARGEST: u64 = 16 << 20;

/// A file, read and not yet understood.
#[derive(Debug, Clone)]
pub struct Source {
    /// The path as given, or `<stdin>`.
    pub name: String,
    pub text: String,
    /// The file that it is in; none for standard input.
    pub path: Option<PathBuf>,
    /// Where relative paths in it start from.
    pub directory: PathBuf,
    /// The component that it has the settings of: it is an item of `probes`, and no whole configuration.
    pub probe: Option<String>,
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("no file `{name}`: name a YAML file, or `-` for standard input")]
    Missing { name: String },
    #[error("`{name}` is a directory: name the YAML file in it")]
    Directory { name: String },
    #[error("cannot read `{name}`: {error}")]
    Failed { name: String, error: io::Error },
    #[error("`{name}` is larger than 16 MiB: a configuration is a text of some kilobytes")]
    TooLarge { name: String },
    #[error("`{name}` is not UTF-8 text, line {line}, byte {byte} of the file: save it as UTF-8")]
    NotText { name: String, line: usize, byte: usize },
}

impl Source {
    /// Reads a file, or standard input for `-`.
    ///
    /// # Errors
    /// When there is no such file, or no text of a reasonable size in it.
    pub fn read(path: &Path) -> Result<Self, Unreadable> {
        if path.as_os_str() == "-" {
            let name = "<stdin>".to_string();
            let bytes = read(io::stdin().lock(), &name)?;
            return Self::decode(name, bytes, None, PathBuf::from("."));
        }
        let name = path.display().to_string();
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Unreadable::Missing { name: name.clone() },
            io::ErrorKind::IsADirectory => Unreadable::Directory { name: name.clone() },
            _ => Unreadable::Failed { name: name.clone(), error },
        };
        if std::fs::metadata(path).map_err(failed)?.is_dir() {
            return Err(Unreadable::Directory { name });
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

    /// Settings of a component that has the default of each.
    pub fn without_settings(probe: String) -> Self {
        let directory = PathBuf::from(".");
        Self { name: "the settings".to_owned(), text: "{}".to_owned(), path: None, directory, probe: Some(probe) }
    }

    fn decode(name: String, bytes: Vec<u8>, path: Option<PathBuf>, directory: PathBuf) -> Result<Self, Unreadable> {
        let mut text = String::from_utf8(bytes).map_err(|error| {
            let byte = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes()[..byte].iter().filter(|byte| **byte == b'\n').count();
            Unreadable::NotText { name: name.clone(), line, byte }
        })?;
        if text.starts_with('\u{feff}') {
            text.remove(0);
        }
        Ok(Self { name, text, path, directory, probe: None })
    }
}

fn read(from: impl Read, name: &str) -> Result<Vec<u8>, Unreadable> {
    let mut bytes = Vec::new();
    // One more than is allowed tells a file that is too large from one that just fits, and `/dev/zero` from both.
    match from.take(LARGEST + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 > LARGEST => Err(Unreadable::TooLarge { name: name.to_string() }),
        Ok(_) => Ok(bytes),
        Err(error) => Err(Unreadable::Failed { name: name.to_string(), error }),
    }
}

/// The lines of a text, as YAML counts them: old Macintosh line ends included.
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
