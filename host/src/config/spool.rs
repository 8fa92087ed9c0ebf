//! `sentry.spool`: where runs wait until Sentry has them. Knows nothing of what is kept there, or how.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::table::{Field, Report, Table, bounded};

/// Where runs wait until Sentry has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spool {
    pub place: Place,
    /// Bytes that it may take up on disk.
    pub room: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The platform's folder for state.
    State,
    Folder(PathBuf),
    Memory,
}

const KEYS: &[&str] = &["directory", "size"];
const MIB: u64 = 1 << 20;

impl Default for Spool {
    /// Room for some 150,000 ordinary runs.
    fn default() -> Self {
        Self { place: Place::State, room: 512 * MIB }
    }
}

/// A folder, a map with `directory` and `size`, or `false` for memory.
pub fn spool(field: Field, around: &Path, report: &mut Report) -> Option<Spool> {
    const SHAPE: &str =
        "must be a directory, a map with `directory` and `size`, or `false` to keep runs in memory alone";
    let (directory, size) = match &field.value {
        Value::Bool(false) => return Some(Spool { place: Place::Memory, ..Spool::default() }),
        Value::String(_) => (Some(field), None),
        Value::Object(_) => {
            let mut table = Table::new(field, report)?;
            let taken = (table.take("directory"), table.take("size"));
            table.finish(KEYS, report);
            taken
        }
        _ => {
            let wrong = field.wrong(SHAPE);
            return report.at(&field, Err(wrong));
        }
    };
    let mut right = Some(Spool::default());
    if let Some(field) = directory {
        let text = field.text(report).and_then(|text| bounded(&field.key, &text, 4096).map(|()| text));
        let place = report.at(&field, text).map(|text| Place::Folder(around.join(text)));
        right = right.zip(place).map(|(spool, place)| Spool { place, ..spool });
    }
    if let Some(field) = size {
        let room = report.at(&field, field.size(MIB..=MIB * MIB));
        right = right.zip(room).map(|(spool, room)| Spool { room, ..spool });
    }
    right
}
