//! Parses a configuration, and joins the files of a folder to one document: their `groups` and their `modules` become
//! one list and one map. Any other key can stand in one file.

use super::diagnostic::{Diagnostic, Diagnostics, Location};
use super::source::{Source, SourceFile};
use super::yaml_tree::{Document, Kind, NodeId};

/// The keys and values at the top of all files. A key that two files have is in it twice, which is an error later.
#[derive(Default)]
struct Joined {
    entries: Vec<(NodeId, NodeId)>,
    /// The key `groups` of the first file that has it, and the groups of all files.
    groups: Option<(NodeId, Vec<NodeId>)>,
    /// The same for `modules`.
    modules: Option<(NodeId, Vec<(NodeId, NodeId)>)>,
}

/// Parses a file, or the files of a folder. Places in the document are those in the text of all files together.
///
/// Adds an error for each file that is no YAML, or in a folder no map. The document of a folder has all other files, so
/// that their errors are found too. Returns `None` if a single file is no YAML, or if the files have too many values.
pub fn parse(source: &Source, errors: &mut Diagnostics) -> Option<Document> {
    let document = if source.files.is_empty() { Document::parse(source) } else { parse_files(source, errors) };
    document.map_err(|error| errors.push(error)).ok()
}

/// Parses the files of a folder. Adds an error for each that has to be left out.
///
/// # Errors
/// Returns an error if the files have too many values together.
fn parse_files(source: &Source, errors: &mut Diagnostics) -> Result<Document, Diagnostic> {
    let places = source.files.iter().map(|file| (file.name.clone(), file.lines_before)).collect();
    let mut document = Document::empty(places);
    let mut joined = Joined::default();
    for file in &source.files {
        let text = &source.text[file.range.clone()];
        if Document::is_blank(text) {
            continue;
        }
        let added = match Document::parse_text(text) {
            Ok(parsed) => {
                let root = document.absorb(parsed, file.lines_before)?;
                joined.add(&document, root)
            }
            Err(error) => Err(in_file(error, file)),
        };
        if let Err(error) = added {
            errors.push(error);
            document.set_incomplete();
        }
    }
    let Joined { mut entries, groups, modules } = joined;
    entries.extend(groups.map(|(key, groups)| (key, document.add(Kind::List(groups)))));
    entries.extend(modules.map(|(key, modules)| (key, document.add(Kind::Map(modules)))));
    let root = document.add(Kind::Map(entries));
    document.set_root(root);
    Ok(document)
}

impl Joined {
    /// Adds the keys at the top of a file.
    ///
    /// # Errors
    /// Returns an error if the file is no map, or has one of the joined keys twice. Some of its keys may be added.
    fn add(&mut self, document: &Document, root: NodeId) -> Result<(), Diagnostic> {
        let node = document.node(root);
        let Kind::Map(entries) = &node.kind else {
            let message = "each file of a configuration is a map of keys and values, such as `groups`";
            return Err(Diagnostic { location: Location::Text(node.range), message: message.into() });
        };
        for (index, (key, value)) in entries.iter().enumerate() {
            let text = document.node(*key).text();
            let is_repeated = || entries[..index].iter().any(|(other, _)| document.node(*other).text() == text);
            match (text, &document.node(*value).kind) {
                (Some(name @ ("groups" | "modules")), _) if is_repeated() => {
                    let message = format!("the key `{name}` is given twice in this file: leave one out");
                    return Err(Diagnostic { location: Location::Text(document.node(*key).range), message });
                }
                (Some("groups"), Kind::List(groups)) => {
                    self.groups.get_or_insert((*key, Vec::new())).1.extend(groups);
                }
                (Some("modules"), Kind::Map(modules)) => {
                    self.modules.get_or_insert((*key, Vec::new())).1.extend(modules);
                }
                // A key without a value counts as missing.
                (Some("groups" | "modules"), Kind::Scalar { text, plain: true })
                    if matches!(text.as_str(), "" | "~" | "null") => {}
                _ => self.entries.push((*key, *value)),
            }
        }
        Ok(())
    }
}

/// Returns an error in the text of a file as one in the text of all files.
fn in_file(error: Diagnostic, file: &SourceFile) -> Diagnostic {
    let location = match error.location {
        Location::Text(range) => Location::Text(range.after(file.lines_before)),
        other => other,
    };
    Diagnostic { location, ..error }
}
