//! Files with secrets: read, and looked at for who else can. Knows nothing of what is in them.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::super::diagnostic::quote;

/// A key is 4 KiB, a bundle of certificates some more.
const LARGEST: u64 = 64 << 10;

/// The text of a file without its last line's end, or none if there is no such file.
pub fn read(directory: &Path, name: &str) -> Result<Option<String>, String> {
    let path = directory.join(name);
    let name = quote(name);
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(None),
        _ => Err(format!("cannot read {name}: {error}")),
    };
    // Before it is opened: a pipe would have us wait.
    match fs::metadata(&path) {
        Ok(found) if !found.is_file() => return Err(format!("{name} is not a file: name one that holds a text")),
        Ok(_) => {}
        Err(error) => return failed(error),
    }
    let mut bytes = Vec::new();
    if let Err(error) = File::open(&path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes)) {
        return failed(error);
    }
    if bytes.len() as u64 > LARGEST {
        return Err(format!("{name} is larger than 64 KiB: what it is to stand for is a text of some lines"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| format!("{name} is not UTF-8 text: save it as UTF-8"))?;
    let end = text.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text).len());
    text.truncate(end.unwrap_or(text.len()));
    Ok(Some(text))
}

/// What to say of a file with a secret in it when everyone can read it.
pub fn exposed(path: &Path) -> Option<String> {
    let mode = mode_for_everyone(path)?;
    let name = quote(&path.display().to_string());
    Some(format!("{name} is readable by everyone (mode {mode:o}): `chmod o-r` it"))
}

/// The mode of a file that everyone can read.
pub fn mode_for_everyone(path: &Path) -> Option<u32> {
    const READ_BY_OTHERS: u32 = 0o004;
    let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let mode = found.permissions().mode() & 0o777;
    (mode & READ_BY_OTHERS != 0).then_some(mode)
}
