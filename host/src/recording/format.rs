//! The text of a recording: one JSON value a line. A file may be damaged, cut off or edited by hand, so reading reports
//! the line of each error.

use std::fmt::Write;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Entry, Header, Recording};

/// The version of the format. A host reads only the version that it writes.
const FORMAT_VERSION: u32 = 1;

/// The first line: the version of the format and the header.
#[derive(Serialize, Deserialize)]
struct FirstLine<H> {
    recording: u32,
    #[serde(flatten)]
    header: H,
}

/// The reason why a file cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("cannot read the recording {name}: {error}")]
    Io {
        /// The name of the file.
        name: String,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The first line does not state the version of the format.
    #[error("{name} is no recording: its first line is not the one that `--record` writes")]
    NotARecording {
        /// The name of the file.
        name: String,
    },
    /// The file has another version of the format.
    #[error(
        "the recording {name} is of version {version} of its format, this host reads {FORMAT_VERSION}: \
         replay it with the version of the host that wrote it, or record it anew"
    )]
    UnsupportedVersion {
        /// The name of the file.
        name: String,
        /// The version that the file has.
        version: u32,
    },
    /// A line cannot be parsed.
    #[error("the recording {name} is damaged in line {line} ({cause}): record it anew")]
    InvalidLine {
        /// The name of the file.
        name: String,
        /// The number of the line, counted from one.
        line: usize,
        /// The error of the JSON parser.
        cause: String,
    },
    /// The file ends before the end of the run.
    #[error(
        "the recording {name} is cut off after line {lines}: its last line is not the end of the run; record it anew"
    )]
    Truncated {
        /// The name of the file.
        name: String,
        /// The number of valid lines.
        lines: usize,
    },
    /// There are lines after the end of the run.
    #[error("the recording {name} continues in line {line} after the end of the run: a file holds one run")]
    TrailingLine {
        /// The name of the file.
        name: String,
        /// The number of the line, counted from one.
        line: usize,
    },
}

impl Recording {
    /// Reads a recording from a file.
    ///
    /// # Errors
    /// [`ReadError::Io`] if the file cannot be read; otherwise the errors of [`Recording::parse`].
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        /// The maximum number of bytes that are read. A larger file is reported as cut off. A run records at most about
        /// 256 MiB of values.
        const MAX_FILE_BYTES: u64 = 1 << 30;
        let name = path.display().to_string();
        let io_error = |error| ReadError::Io { name: name.clone(), error };
        let mut bytes = Vec::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes))
            .map_err(io_error)?;
        Self::parse(&name, &String::from_utf8_lossy(&bytes))
    }

    /// Parses the text of a recording. `name` is the file's name for error messages.
    ///
    /// # Errors
    /// - [`ReadError::NotARecording`] if the first line does not state the version of the format.
    /// - [`ReadError::UnsupportedVersion`] if the version is not the one that this host writes.
    /// - [`ReadError::InvalidLine`] if a line cannot be parsed, except for a last line that is cut off.
    /// - [`ReadError::Truncated`] if the entry for the end of the run is missing.
    /// - [`ReadError::TrailingLine`] if another line follows the end of the run.
    pub fn parse(name: &str, text: &str) -> Result<Self, ReadError> {
        let name = name.to_owned();
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        let first = lines.next().map(|(_, line)| line).unwrap_or_default();
        let Ok(any_version) = serde_json::from_str::<FirstLine<serde_json::Map<String, serde_json::Value>>>(first)
        else {
            return Err(ReadError::NotARecording { name });
        };
        if any_version.recording != FORMAT_VERSION {
            return Err(ReadError::UnsupportedVersion { name, version: any_version.recording });
        }
        let invalid_line = |line, error: &serde_json::Error| ReadError::InvalidLine {
            name: name.clone(),
            line,
            // Each line is parsed separately, so serde_json always counts it as line 1.
            cause: error.to_string().replace(" at line 1 column ", " at character "),
        };
        let FirstLine { header, .. } =
            serde_json::from_str::<FirstLine<Header>>(first).map_err(|error| invalid_line(1, &error))?;
        let mut entries = Vec::new();
        for (line, text) in lines.by_ref() {
            match serde_json::from_str(text) {
                Ok(finish @ Entry::Finish(_)) => {
                    entries.push(finish);
                    break;
                }
                Ok(entry) => entries.push(entry),
                // A file that was cut off ends with an incomplete line.
                Err(error) if error.is_eof() && !has_text(lines.clone()) => break,
                Err(error) => return Err(invalid_line(line, &error)),
            }
        }
        if !matches!(entries.last(), Some(Entry::Finish(_))) {
            return Err(ReadError::Truncated { name, lines: entries.len() + 1 });
        }
        match lines.find(|(_, line)| !line.trim().is_empty()) {
            Some((line, _)) => Err(ReadError::TrailingLine { name, line }),
            None => Ok(Self { header, entries }),
        }
    }

    /// Returns the text of a file that holds this recording.
    pub fn to_text(&self) -> String {
        let first = FirstLine { recording: FORMAT_VERSION, header: &self.header };
        let mut text = serde_json::to_string(&first).unwrap_or_default();
        for entry in &self.entries {
            // Serialising cannot fail, because all keys are text, and writing to a `String` cannot fail either.
            let _ = write!(text, "\n{}", serde_json::to_string(entry).unwrap_or_default());
        }
        text.push('\n');
        text
    }
}

/// Returns true if any of the lines is not blank.
fn has_text<'a>(mut lines: impl Iterator<Item = (usize, &'a str)>) -> bool {
    lines.any(|(_, line)| !line.trim().is_empty())
}
