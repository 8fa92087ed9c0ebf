//! Decodes `sentry.spool`, the settings of the spool. `sink::sentry::spool` stores the runs.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::section::Section;
use super::table::{DecodeContext, Field, Table, check_line};

/// The settings of the spool, in which runs wait until Sentry has accepted them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    /// The place where the spool keeps the runs.
    pub location: SpoolLocation,
    /// The maximal bytes of the spool on disk. The default holds some 150,000 ordinary runs.
    pub max_bytes: u64,
}

/// The kind of place where runs wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoolLocation {
    /// The platform's directory for state.
    StateDirectory,
    /// A directory that the configuration names.
    Directory(PathBuf),
    /// Memory alone: runs are lost with the process.
    Memory,
}

impl Default for Spool {
    fn default() -> Self {
        Self { location: SpoolLocation::StateDirectory, max_bytes: Section::SPOOL.default_bytes("size") }
    }
}

/// Decodes `spool`: a directory, a map with `directory` and `size`, or `false` for memory. A relative path starts from
/// `base`. Returns `None` if there are errors.
pub fn decode_spool(field: Field, base: &Path, context: &mut DecodeContext) -> Option<Spool> {
    const SHAPE: &str =
        "must be a directory, a map with `directory` and `size`, or `false` to keep runs in memory alone";
    let mut spool = Spool::default();
    match &field.value {
        Value::Bool(false) => spool.location = SpoolLocation::Memory,
        Value::String(_) => {
            let max_length = Section::SPOOL.max_length("directory");
            let text = field.text(context);
            let text = text.and_then(|text| check_line(&field.label, &text, max_length).map(|()| text));
            spool.location = SpoolLocation::Directory(base.join(context.accept(&field, text)?));
        }
        Value::Object(_) => {
            let mut table = Table::new(field, Section::SPOOL, context)?;
            let check = |text: &str, max_length| check_line("`directory`", text, max_length);
            let (has_directory, has_size) = (table.has_value("directory"), table.has_value("size"));
            let directory = table.take_text("directory", check, context);
            let max_bytes = table.take_bytes("size", context);
            table.finish(context);
            if has_directory {
                spool.location = SpoolLocation::Directory(base.join(directory?));
            }
            if has_size {
                spool.max_bytes = max_bytes?;
            }
        }
        _ => return context.accept(&field, Err(field.mismatch(SHAPE))),
    }
    Some(spool)
}
