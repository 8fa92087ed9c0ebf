//! The lines of a recording: written, and read with care, since anybody may have edited them.

use std::fmt::Write;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Entry, Header, Recording};

/// Of the format: what is written today is read by this host alone, or by one that knows better.
const VERSION: u32 = 1;

/// The first line.
#[derive(Serialize, Deserialize)]
struct FirstLine<H> {
    recording: u32,
    #[serde(flatten)]
    header: H,
}

/// Why a file is no recording that can be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read the recording {name}: {error}")]
    Failed { name: String, error: io::Error },
    #[error("{name} is no recording: its first line is not the one that `--record` writes")]
    Other { name: String },
    #[error(
        "the recording {name} is of version {version} of its format, this host reads {VERSION}: \
         replay it with the version of the host that wrote it, or record it anew"
    )]
    Version { name: String, version: u32 },
    #[error("the recording {name} is damaged in line {line} ({why}): record it anew")]
    Damaged { name: String, line: usize, why: String },
    #[error("the recording {name} is cut off after line {lines}: its last line is not the run's end; record it anew")]
    CutOff { name: String, lines: usize },
    #[error("the recording {name} goes on after the run's end, in line {line}: a file holds one run")]
    GoesOn { name: String, line: usize },
}

impl Recording {
    /// Reads a file.
    ///
    /// # Errors
    /// When there is none, or it is no whole recording.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        /// Far more than a run may bring in.
        const MAX_FILE_BYTES: u64 = 1 << 30;
        let name = path.display().to_string();
        let failed = |error| ReadError::Failed { name: name.clone(), error };
        let mut bytes = Vec::new();
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)).map_err(failed)?;
        Self::parse(&name, &String::from_utf8_lossy(&bytes))
    }

    /// Reads the text of a file that is called `name`.
    ///
    /// # Errors
    /// When it is no whole recording.
    pub fn parse(name: &str, text: &str) -> Result<Self, ReadError> {
        let name = name.to_owned();
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        let first = lines.next().map(|(_, line)| line).unwrap_or_default();
        let Ok(version) = serde_json::from_str::<FirstLine<serde_json::Map<String, serde_json::Value>>>(first) else {
            return Err(ReadError::Other { name });
        };
        if version.recording != VERSION {
            return Err(ReadError::Version { name, version: version.recording });
        }
        let damaged = |line, error: &serde_json::Error| ReadError::Damaged {
            name: name.clone(),
            line,
            // Its own line is always the first.
            why: error.to_string().replace(" at line 1 column ", " at character "),
        };
        let FirstLine { header, .. } =
            serde_json::from_str::<FirstLine<Header>>(first).map_err(|error| damaged(1, &error))?;
        let mut entries = Vec::new();
        for (line, text) in lines.by_ref() {
            match serde_json::from_str(text) {
                Ok(finish @ Entry::Finish(_)) => {
                    entries.push(finish);
                    break;
                }
                Ok(entry) => entries.push(entry),
                // The last line is where a file is cut off.
                Err(error) if error.is_eof() && !is_followed_by_text(lines.clone()) => break,
                Err(error) => return Err(damaged(line, &error)),
            }
        }
        if !matches!(entries.last(), Some(Entry::Finish(_))) {
            return Err(ReadError::CutOff { name, lines: entries.len() + 1 });
        }
        match lines.find(|(_, line)| !line.trim().is_empty()) {
            Some((line, _)) => Err(ReadError::GoesOn { name, line }),
            None => Ok(Self { header, entries }),
        }
    }

    /// The text of a file.
    pub fn to_text(&self) -> String {
        let first = FirstLine { recording: VERSION, header: &self.header };
        let mut text = serde_json::to_string(&first).unwrap_or_default();
        for entry in &self.entries {
            // Neither can fail: keys are text, and there is room.
            let _ = write!(text, "\n{}", serde_json::to_string(entry).unwrap_or_default());
        }
        text.push('\n');
        text
    }
}

fn is_followed_by_text<'a>(mut lines: impl Iterator<Item = (usize, &'a str)>) -> bool {
    lines.any(|(_, line)| !line.trim().is_empty())
}
