//! The lines of a configuration at which its probes are.

use super::diagnostic::Diagnostics;
use super::folder;
use super::source::Source;
use super::source_map::{Member, SourceMap};

/// A line of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The path of the file, as given; that of a file in a folder begins with the path of the folder.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// Returns the line at which each JSON pointer leads into a configuration. `None` for a pointer that leads nowhere, and
/// for all pointers if the configuration is no file or no YAML.
pub fn places<'a>(source: &Source, pointers: impl IntoIterator<Item = &'a str>) -> Vec<Option<Place>> {
    let document = source.path.as_ref().and_then(|_| folder::parse(source, &mut Diagnostics::default()));
    let source_map = document.as_ref().map(SourceMap::new);
    let place = |pointer| place(source, source_map.as_ref()?.find(pointer));
    pointers.into_iter().map(place).collect()
}

fn place(source: &Source, Member { value, first_key, is_exact, .. }: Member<'_>) -> Option<Place> {
    let line = first_key.unwrap_or(value).range.line;
    let (file, line) = source.locate(line);
    is_exact.then(|| Place { file: file.to_owned(), line })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_each_probe_is_found() {
        let text = "groups:\n  - probes:\n      - probe: http\n        url: http://a/\n      -\n        \
                    # a comment\n        url: http://b/\n      - {probe: http}\n  - probes: [{probe: ssh}]\n";
        let source = Source { path: Some("probes.yaml".into()), ..Source::from_text("probes.yaml", text) };
        let pointers = ["/groups/0/probes/0", "/groups/0/probes/1", "/groups/0/probes/2", "/groups/1/probes/0", "/x/0"];
        let lines = |source: &Source| {
            places(source, pointers).into_iter().map(|place| place.map(|place| place.line)).collect::<Vec<_>>()
        };
        assert_eq!(lines(&source), [Some(3), Some(7), Some(8), Some(9), None]);
        assert_eq!(places(&source, pointers)[0].as_ref().map(|place| place.file.as_str()), Some("probes.yaml"));
        assert_eq!(lines(&Source::from_text("<stdin>", text)), [None; 5]);
        assert_eq!(lines(&Source { text: "groups: [".to_owned(), ..source }), [None; 5]);
    }
}
