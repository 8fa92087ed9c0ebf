//! The results of replacing references.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use secrecy::SecretString;

use crate::file_version::FileVersion;

/// The secrets of a configuration, and the values with references. All pointers are JSON pointers into the file.
#[derive(Default)]
pub struct Resolved {
    /// The values to redact from everything that leaves the program.
    pub secrets: Vec<SecretString>,
    /// Pointers to values that were one reference and nothing else. Their text may stand for a number.
    pub whole_values: BTreeSet<String>,
    /// Texts by pointer, as they must be written in a template: with the braces of replacements doubled. Has only texts
    /// whose replacements have braces.
    pub template_escaped: BTreeMap<String, String>,
    /// Pointers to values with a reference that could not be resolved. Each has an error; further errors about the
    /// value would be misleading.
    pub unresolved: HashSet<String>,
    /// The files that references name, each with its version before it was read.
    pub files: BTreeMap<PathBuf, FileVersion>,
}

/// References that were replaced in a probe's settings, and the source of its other scalars. All keys are JSON pointers
/// into the settings.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Interpolations {
    /// Numbers, booleans and nulls as they are written in the file: `1.10`. Has only those whose JSON is another text,
    /// and nulls that are written.
    pub source_texts: BTreeMap<String, String>,
    /// Settings that were one reference and nothing else. Their text may stand for a number.
    pub whole_values: HashSet<String>,
    /// Settings whose replacement has braces, as they must be written in a template: with these braces doubled.
    pub template_escaped: BTreeMap<String, String>,
}
