//! YAML files of other programs, for the importers: their values with the lines that they stand on. They are read like
//! a configuration, within its bounds on nesting, values and aliases. Independent of the meaning of keys.

use serde_json::Value;

use super::diagnostic::{Diagnostic, Diagnostics, Location};
use super::source_map::SourceMap;
use super::yaml_tree::Document;
use super::{yaml_size, yaml_to_json};

/// A YAML file of another program.
#[derive(Debug)]
pub struct ForeignYaml {
    document: Document,
    /// The file as JSON, with its aliases and merge keys replaced. Keys `x-…` at the top are left out.
    pub value: Value,
    /// What JSON cannot express, such as tags of the other program: the lines, and messages. The value is then text or
    /// null.
    pub problems: Vec<(usize, String)>,
}

/// Looks up where the values of a [`ForeignYaml`] stand.
pub struct YamlPlaces<'a>(SourceMap<'a>);

impl ForeignYaml {
    /// Parses a file.
    ///
    /// # Errors
    /// Returns a line and a message if the text is no YAML, has several documents, nests too deeply, or is too large
    /// with its aliases replaced.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        if Document::is_blank(text) {
            return Err((1, "the file is empty".to_owned()));
        }
        let document = Document::parse_text(text).and_then(|document| {
            yaml_size::check_size(&document)?;
            Ok(document)
        });
        let document = document.map_err(|error| (line(&error, None), error.message))?;
        let mut errors = Diagnostics::default();
        let value = yaml_to_json::value(&document, &mut errors);
        let source_map = SourceMap::new(&document);
        let problems = errors.into_vec().into_iter();
        let problems = problems.map(|error| (line(&error, Some(&source_map)), error.message)).collect();
        Ok(Self { document, value, problems })
    }

    /// Returns the places of the file's values.
    pub fn places(&self) -> YamlPlaces<'_> {
        YamlPlaces(SourceMap::new(&self.document))
    }
}

impl<'a> YamlPlaces<'a> {
    /// Returns the line, from 1, of the key or of the item that a JSON pointer leads to, or of the nearest one.
    pub fn line(&self, pointer: &str) -> usize {
        let member = self.0.find(pointer);
        member.key.unwrap_or(member.value).range.line.max(1)
    }

    /// Returns a scalar as it is written in the file: `1.10`, not 1.1.
    pub fn text(&self, pointer: &str) -> Option<&'a str> {
        self.0.text(pointer)
    }
}

/// Returns the line that a diagnostic is about.
fn line(diagnostic: &Diagnostic, source_map: Option<&SourceMap>) -> usize {
    match &diagnostic.location {
        Location::Text(range) | Location::UnaddressableKey(_, range) => range.line,
        Location::Key(pointer) | Location::Value(pointer) => {
            source_map.map_or(1, |map| map.find(pointer).value.range.line)
        }
        Location::OutsideFile => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_lines_and_their_text() {
        let text = "base: &base {v: 1.10}\nlist:\n  - <<: *base\n    key: !!binary AAAA\n  - \"x\"\n";
        let file = ForeignYaml::parse(text).expect("the text is YAML");
        assert_eq!(file.value["list"][0]["v"], 1.1);
        let places = file.places();
        assert_eq!((places.line("/list/0/key"), places.text("/list/0/v")), (4, Some("1.10")));
        assert_eq!((places.line("/list/1"), places.text("/list/1")), (5, Some("x")));
        assert_eq!((places.line("/list/0/none"), places.text("/list/0/none")), (3, None));
        let [(4, message)] = &file.problems[..] else { panic!("{:?}", file.problems) };
        assert!(message.contains("binary"), "{message}");
    }

    #[test]
    fn files_that_cannot_be_read_are_errors() {
        let check = |text: &str, line: usize, message: &str| {
            let (at, found) = ForeignYaml::parse(text).expect_err(text);
            assert!(at == line && found.contains(message), "{at}: {found}");
        };
        check("# nothing\n", 1, "empty");
        check("a: 1\n---\nb: 2\n", 2, "second document");
        check("a: [\n", 1, "never closed");
        check(&"[".repeat(1000), 1, "nested too deeply");
        let bomb: String =
            (1..30).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", "))).collect();
        check(&format!("a0: &a0 [x, x, x]\n{bomb}"), 6, "too large");
    }
}
