//! The text of a configuration: a file, or a folder of files. Independent of YAML.

use std::ffi::OsString;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::file_version::FileVersion;

/// The maximal size of a configuration file, and of all files of a folder together. 10,000 probes take about 2 MiB.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// The maximal number of configuration files in a folder.
const MAX_FILES: usize = 1000;
/// The maximal number of all files in such a folder.
const MAX_ENTRIES: usize = 100_000;

/// The text of a configuration file, and where it is from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The path as given, or `<stdin>`.
    pub name: String,
    /// The YAML. That of a folder is the text of its files, one after the other.
    pub text: String,
    /// The path of the file or the folder; `None` for standard input.
    pub path: Option<PathBuf>,
    /// The directory that relative paths in the file start from.
    pub directory: PathBuf,
    /// The value of the key `probe` for a file that has the settings of one probe and nothing else. `None` for a whole
    /// configuration.
    pub probe: Option<String>,
    /// The files of a folder, in the order of their names. Empty for a single file.
    pub files: Vec<SourceFile>,
}

/// One file of a folder.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// The path, for messages.
    pub name: String,
    /// The path.
    pub path: PathBuf,
    /// The bytes of the file in [`Source::text`].
    pub range: Range<usize>,
    /// The lines of the files before it.
    pub lines_before: usize,
}

/// A version of a configuration on disk, by which a change is noticed: that of the file, or of each file of a folder.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceVersion(Vec<(OsString, FileVersion)>);

impl SourceVersion {
    /// Returns the version of the file or the folder at a path. All that cannot be read have the same.
    pub fn of(path: &Path) -> Self {
        let names = match std::fs::metadata(path) {
            Ok(file) if file.is_dir() => configuration_files(path, "").unwrap_or_default(),
            _ => Vec::new(),
        };
        let own = if names.is_empty() { vec![(OsString::new(), FileVersion::of(path))] } else { Vec::new() };
        let files = names.into_iter().map(|name| {
            let version = FileVersion::of(&path.join(&name));
            (name, version)
        });
        Self(own.into_iter().chain(files).collect())
    }
}

/// The reason why a configuration file could not be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "`name` is the path, `error` the cause, in every variant")]
pub enum SourceError {
    /// There is no such file.
    #[error("no file `{name}`: name a YAML file, or `-` for standard input")]
    Missing { name: String },
    /// The path leads to a directory without configuration files.
    #[error("no file `*.yaml` or `*.yml` in the directory `{name}`: name a YAML file, or a directory that has some")]
    Empty { name: String },
    /// The path leads to a directory with more than 1,000 configuration files, or with more than 100,000 files.
    #[error("too many files in the directory `{name}`: 1,000 YAML files at most, and 100,000 of all kinds")]
    TooManyFiles { name: String },
    /// The files of a directory are larger than 16 MiB together.
    #[error("the files `*.yaml` and `*.yml` in `{name}` are larger than 16 MiB together")]
    FilesTooLarge { name: String },
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
    /// Reads a file, the files `*.yaml` and `*.yml` of a folder, or standard input for `-`. Files whose names begin
    /// with a dot are left out.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read, is larger than 16 MiB, alone or with the others, or is not UTF-8. In
    /// a folder, each must be a regular file.
    pub fn read(path: &Path) -> Result<Self, SourceError> {
        if path.as_os_str() == "-" {
            let name = "<stdin>".to_string();
            let bytes = read(io::stdin().lock(), &name)?;
            return Self::decode(name, bytes, None, PathBuf::from("."));
        }
        let name = path.display().to_string();
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => SourceError::Missing { name: name.clone() },
            _ => SourceError::Failed { name: name.clone(), error },
        };
        if std::fs::metadata(path).map_err(failed)?.is_dir() {
            return Self::read_folder(path, name);
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

    /// Returns a source with this text that is no file. Relative paths in it are relative to the current directory.
    /// `name` is for messages.
    pub fn from_text(name: &str, text: impl Into<String>) -> Self {
        let (name, text, directory) = (name.to_owned(), text.into(), PathBuf::from("."));
        Self { name, text, path: None, directory, probe: None, files: Vec::new() }
    }

    /// Returns the source of a probe without any settings.
    pub fn without_settings(probe: String) -> Self {
        let (name, text, directory) = ("the settings".to_owned(), "{}".to_owned(), PathBuf::from("."));
        Self { name, text, path: None, directory, probe: Some(probe), files: Vec::new() }
    }

    fn read_folder(path: &Path, name: String) -> Result<Self, SourceError> {
        let (mut text, mut files, mut lines_before) = (String::new(), Vec::new(), 0);
        for file_name in configuration_files(path, &name)? {
            let path = path.join(&file_name);
            let file = path.display().to_string();
            let bytes = read_regular(&path, MAX_FILE_BYTES - text.len() as u64);
            let bytes = bytes.map_err(|error| match error.kind() {
                io::ErrorKind::FileTooLarge => SourceError::FilesTooLarge { name: name.clone() },
                _ => SourceError::Failed { name: file.clone(), error },
            })?;
            let start = text.len();
            text.push_str(&decode(&file, bytes)?);
            let range = start..text.len();
            if text.len() as u64 >= MAX_FILE_BYTES {
                return Err(SourceError::FilesTooLarge { name });
            }
            text.push('\n');
            let added = lines(&text[start..]).len() - 1;
            files.push(SourceFile { name: file, path, range, lines_before });
            lines_before += added;
        }
        if files.is_empty() {
            return Err(SourceError::Empty { name });
        }
        Ok(Self { name, text, path: Some(path.to_path_buf()), directory: path.to_path_buf(), probe: None, files })
    }

    /// Returns the name of the file that a line of the text is in, and the line in that file. Lines count from 1.
    pub(super) fn locate(&self, line: usize) -> (&str, usize) {
        match self.file_of(line) {
            Some(file) => (&file.name, line - file.lines_before),
            None => (&self.name, line),
        }
    }

    /// Returns the file of a folder that a line of the text is in.
    pub(super) fn file_of(&self, line: usize) -> Option<&SourceFile> {
        let after = self.files.partition_point(|file| file.lines_before < line);
        self.files.get(after.checked_sub(1)?)
    }

    fn decode(name: String, bytes: Vec<u8>, path: Option<PathBuf>, directory: PathBuf) -> Result<Self, SourceError> {
        let text = decode(&name, bytes)?;
        Ok(Self { name, text, path, directory, probe: None, files: Vec::new() })
    }
}

/// Returns the names of the configuration files in a folder, sorted. Hidden files, such as those that editors write,
/// are left out.
fn configuration_files(folder: &Path, name: &str) -> Result<Vec<OsString>, SourceError> {
    let failed = |error| SourceError::Failed { name: name.to_owned(), error };
    let mut names = Vec::new();
    for (count, entry) in std::fs::read_dir(folder).map_err(failed)?.enumerate() {
        let file = entry.map_err(failed)?.file_name();
        let is_yaml = Path::new(&file).extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if is_yaml && !file.as_encoded_bytes().starts_with(b".") {
            names.push(file);
        }
        if names.len() > MAX_FILES || count >= MAX_ENTRIES {
            return Err(SourceError::TooManyFiles { name: name.to_owned() });
        }
    }
    names.sort();
    Ok(names)
}

/// Reads a regular file of at most `max_bytes`.
///
/// # Errors
/// The errors of the system, [`io::ErrorKind::InvalidInput`] for a pipe, a device or a directory, and
/// [`io::ErrorKind::FileTooLarge`].
fn read_regular(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    // The file is checked before it is opened, because opening a pipe would block.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Returns the text of a file, without its byte order mark.
fn decode(name: &str, bytes: Vec<u8>) -> Result<String, SourceError> {
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let byte = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..byte].iter().filter(|byte| **byte == b'\n').count();
        SourceError::NotText { name: name.to_owned(), line, byte }
    })?;
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

fn read(from: impl Read, name: &str) -> Result<Vec<u8>, SourceError> {
    let mut bytes = Vec::new();
    // One byte more than allowed distinguishes a file that is too large from one that just fits; `/dev/zero` is
    // endless.
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
