//! Reads files with secrets, and checks who else can read them.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::super::diagnostic::quote;

/// The maximal size of a file with a secret. A private key takes 4 KiB at most.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// Reads the text of a file, without the line end of its last line. Returns `Ok(None)` if there is no such file.
///
/// # Errors
/// Returns a message if the file cannot be read, is no regular file, is larger than 64 KiB, or is not UTF-8.
pub fn read(directory: &Path, name: &str) -> Result<Option<String>, String> {
    let path = directory.join(name);
    let name = quote(name);
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(None),
        _ => Err(format!("cannot read {name}: {error}")),
    };
    // The file is checked before it is opened, because opening a pipe would block.
    match fs::metadata(&path) {
        Ok(metadata) if !metadata.is_file() => return Err(format!("{name} is not a file: name one that holds a text")),
        Ok(_) => {}
        Err(error) => return failed(error),
    }
    let mut bytes = Vec::new();
    if let Err(error) = File::open(&path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)) {
        return failed(error);
    }
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("{name} is larger than 64 KiB: name a file with one secret, such as a key"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8 text: save it as UTF-8"))?;
    let end = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text).len());
    text.truncate(end.unwrap_or(text.len()));
    Ok(Some(text))
}

/// Returns a warning about a file with a secret if everyone can read it.
pub fn world_readable_warning(path: &Path) -> Option<String> {
    let mode = mode_for_everyone(path)?;
    let name = quote(&path.display().to_string());
    Some(format!("{name} is readable by everyone (mode {mode:o}): `chmod o-r` it"))
}

/// Returns the mode of a file if everyone can read it.
pub fn mode_for_everyone(path: &Path) -> Option<u32> {
    const READ_BY_OTHERS: u32 = 0o004;
    let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let mode = metadata.permissions().mode() & 0o777;
    (mode & READ_BY_OTHERS != 0).then_some(mode)
}
