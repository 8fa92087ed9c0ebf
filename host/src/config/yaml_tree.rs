//! Parses YAML to a tree in which every node has its line and column. Independent of the meaning of keys.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::diagnostic::{Diagnostic, Location, TextRange, quote_title};
use super::source::{Source, lines};
use super::yaml_errors::{self, MAX_DEPTH};

/// The maximal number of values in a file: more than 10,000 probes need.
pub const MAX_VALUES: usize = 1_000_000;
/// The maximal number of bytes of text in a file, with aliases replaced.
pub const MAX_TEXT_BYTES: usize = 64 << 20;

/// A parsed file. An alias is an edge to the node of its anchor, so that a file of aliases takes no more memory than
/// its text.
#[derive(Debug)]
pub struct Document {
    nodes: Vec<Node>,
    root: NodeId,
    alias_count: usize,
    /// The names of the files that the document was joined from, and the number of lines before each.
    files: Vec<(String, usize)>,
    /// True if a file of a folder is missing in it, because of an error.
    is_incomplete: bool,
}

/// The index of a node in its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId(usize);

/// A scalar, a list or a map.
#[derive(Debug)]
pub struct Node {
    pub kind: Kind,
    /// Boxed, because there are many nodes and few tags.
    pub tag: Option<Box<Tag>>,
    /// The range in the text. That of a list or a map is the place where the list or map begins.
    pub range: TextRange,
}

/// The content of a node.
#[derive(Debug)]
pub enum Kind {
    Scalar {
        text: String,
        /// The text has no quotes: it may be a number, a boolean or null.
        plain: bool,
    },
    List(Vec<NodeId>),
    Map(Vec<(NodeId, NodeId)>),
}

/// A YAML tag, written `!tag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tag {
    /// One of YAML's own tags: `str` for `!!str`.
    Core(String),
    Other(String),
}

/// A list or a map whose end was not parsed yet.
struct Open {
    is_map: bool,
    anchor: usize,
    tag: Option<Box<Tag>>,
    range: TextRange,
    children: Vec<NodeId>,
}

impl Document {
    /// Parses a single file; `folder` parses several. If it has only the settings of a probe, the document is a
    /// configuration with this one probe.
    pub fn parse(source: &Source) -> Result<Self, Diagnostic> {
        let Some(probe) = &source.probe else { return Self::parse_text(&source.text) };
        let text = if Self::is_blank(&source.text) { "{}" } else { &source.text };
        Self::parse_text(text)?.into_configuration(probe)
    }

    /// Returns true if a text has only comments.
    pub fn is_blank(text: &str) -> bool {
        let is_blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
        lines(text).into_iter().all(is_blank)
    }

    pub fn parse_text(text: &str) -> Result<Self, Diagnostic> {
        yaml_errors::check_characters(text)?;
        // These limits also bound how far the parser reads ahead.
        let limits = granit_parser::options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH, emit_comments: false };
        let mut parser = Parser::new_from_str_with_options(text, limits);
        let mut nodes = Vec::new();
        let mut anchors = HashMap::new();
        let mut open: Vec<Open> = Vec::new();
        let mut root = None;
        let mut alias_count = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| {
                let bracket =
                    open.last().filter(|open| open.range.length > 0).map(|open| (open.is_map, open.range.line));
                yaml_errors::explain(text, &error, bracket)
            })?;
            let range = range(span);
            let (kind, anchor, tag, range) = match event {
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(diagnostic(range, "a second document starts here: a configuration is one document"));
                }
                Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= MAX_DEPTH => {
                    return Err(diagnostic(range, format!("nested too deeply: {MAX_DEPTH} levels at most")));
                }
                Event::SequenceStart(_, anchor, tag) => {
                    open.push(Open { is_map: false, anchor, tag: owned(tag), range, children: Vec::new() });
                    continue;
                }
                Event::MappingStart(_, anchor, tag) => {
                    open.push(Open { is_map: true, anchor, tag: owned(tag), range, children: Vec::new() });
                    continue;
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let kind = Kind::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                    (kind, anchor, owned(tag), range)
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some(done) = open.pop() else { continue };
                    let kind = if done.is_map {
                        Kind::Map(done.children.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
                    } else {
                        Kind::List(done.children)
                    };
                    (kind, done.anchor, done.tag, done.range)
                }
                Event::Alias(anchor) => {
                    // The node of an anchor is added to `anchors` at its end: it is missing within the anchor itself.
                    let Some(node) = anchors.get(&anchor) else {
                        return Err(diagnostic(
                            range,
                            "this alias stands inside of what it repeats, which would never end",
                        ));
                    };
                    attach(*node, &mut open, &mut root);
                    alias_count += 1;
                    continue;
                }
                _ => continue,
            };
            if nodes.len() >= MAX_VALUES {
                return Err(too_large(range, MAX_VALUES, MAX_TEXT_BYTES));
            }
            let id = NodeId(nodes.len());
            nodes.push(Node { kind, tag, range });
            if anchor > 0 {
                anchors.insert(anchor, id);
            }
            attach(id, &mut open, &mut root);
        }
        match root {
            Some(root) => Ok(Self { nodes, root, alias_count, files: Vec::new(), is_incomplete: false }),
            None => Err(diagnostic(
                TextRange { line: 1, column: 1, length: 0 },
                "the file is empty: it needs at least `groups`",
            )),
        }
    }

    /// Wraps settings in a configuration with one probe. The nodes around the settings are not in the file.
    fn into_configuration(mut self, probe: &str) -> Result<Self, Diagnostic> {
        let root = self.node(self.root);
        let Kind::Map(entries) = &root.kind else {
            return Err(diagnostic(root.range, "settings are a map of keys and values"));
        };
        let keys = entries.iter().map(|(key, _)| self.node(*key));
        if let Some(key) = keys.into_iter().find(|key| key.text() == Some("probe")) {
            return Err(diagnostic(key.range, "`probe` is the component that is tested already: leave it out here"));
        }
        let scalar = |text: &str| Kind::Scalar { text: text.to_owned(), plain: false };
        let entry = (self.add(scalar("probe")), self.add(scalar(probe)));
        if let Kind::Map(entries) = &mut self.nodes[self.root.0].kind {
            entries.push(entry);
        }
        let (groups, probes) = (self.add(scalar("groups")), self.add(scalar("probes")));
        let list = self.add(Kind::List(vec![self.root]));
        let group = self.add(Kind::Map(vec![(probes, list)]));
        let list = self.add(Kind::List(vec![group]));
        self.root = self.add(Kind::Map(vec![(groups, list)]));
        Ok(self)
    }

    /// Returns a document without nodes. `files` are the names of the files that it is joined from, and the number of
    /// lines before each.
    pub fn empty(files: Vec<(String, usize)>) -> Self {
        Self { nodes: Vec::new(), root: NodeId(0), alias_count: 0, files, is_incomplete: false }
    }

    /// Adds the nodes of another document, whose text has these many lines before it. Returns its root.
    ///
    /// # Errors
    /// Returns an error if the document then has too many nodes.
    pub fn absorb(&mut self, other: Self, lines_before: usize) -> Result<NodeId, Diagnostic> {
        let offset = self.nodes.len();
        let moved = |id: NodeId| NodeId(id.0 + offset);
        for node in other.nodes {
            let range = node.range.after(lines_before);
            if self.nodes.len() >= MAX_VALUES {
                return Err(too_large(range, MAX_VALUES, MAX_TEXT_BYTES));
            }
            let kind = match node.kind {
                Kind::List(items) => Kind::List(items.into_iter().map(moved).collect()),
                Kind::Map(entries) => {
                    Kind::Map(entries.into_iter().map(|(key, value)| (moved(key), moved(value))).collect())
                }
                scalar @ Kind::Scalar { .. } => scalar,
            };
            self.nodes.push(Node { kind, range, ..node });
        }
        self.alias_count += other.alias_count;
        Ok(moved(other.root))
    }

    pub fn set_root(&mut self, root: NodeId) {
        self.root = root;
    }

    /// Records that a file is missing in the document, because of an error.
    pub fn set_incomplete(&mut self) {
        self.is_incomplete = true;
    }

    /// Returns true if a file is missing in the document: what it lacks may be there.
    pub fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }

    /// Returns the place of a node for a message: `line 3`, in a folder with the name of the file.
    pub fn place(&self, node: &Node) -> String {
        let line = node.range.line;
        let after = self.files.partition_point(|(_, lines_before)| *lines_before < line);
        match after.checked_sub(1).and_then(|index| self.files.get(index)) {
            Some((name, lines_before)) => format!("line {} of {}", line - lines_before, quote_title(name)),
            None => format!("line {line}"),
        }
    }

    /// Adds a node that is not in the file.
    pub fn add(&mut self, kind: Kind) -> NodeId {
        self.nodes.push(Node { kind, tag: None, range: TextRange::NONE });
        NodeId(self.nodes.len() - 1)
    }

    pub fn root(&self) -> NodeId {
        self.root
    }

    /// Returns the number of nodes that are written in the file.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Returns the number of aliases in the file.
    pub fn alias_count(&self) -> usize {
        self.alias_count
    }

    /// Returns the nodes in the order of their ends, so that a node comes after all that it has in it.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId)
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }
}

impl NodeId {
    /// Returns the position of the node in [`Document::ids`].
    pub fn index(self) -> usize {
        self.0
    }
}

impl Node {
    /// Returns the text of a scalar as it is written; `None` for a list or a map.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Returns true for the merge key `<<`, which takes in the keys of another map.
    pub fn is_merge(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if text == "<<") && self.tag.is_none()
    }
}

/// Returns the error for a file with more values or more bytes of text, aliases followed.
pub fn too_large(range: TextRange, max_values: usize, max_text_bytes: usize) -> Diagnostic {
    let mib = max_text_bytes >> 20;
    let message = format!(
        "too large: with its aliases followed, the file comes to more than {max_values} values, or {mib} MiB of text"
    );
    diagnostic(range, message)
}

fn attach(id: NodeId, open: &mut [Open], root: &mut Option<NodeId>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(id),
        None => *root = Some(id),
    }
}

fn owned(tag: Option<std::borrow::Cow<'_, granit_parser::Tag>>) -> Option<Box<Tag>> {
    let owned = |tag: std::borrow::Cow<'_, granit_parser::Tag>| {
        if tag.is_yaml_core_schema() {
            Tag::Core(tag.suffix().to_string())
        } else {
            Tag::Other(format!("{}{}", tag.handle(), tag.suffix()))
        }
    };
    tag.map(|tag| Box::new(owned(tag)))
}

fn diagnostic(range: TextRange, message: impl Into<String>) -> Diagnostic {
    Diagnostic { location: Location::Text(range), message: message.into() }
}

fn range(span: Span) -> TextRange {
    let length = if span.start.line() == span.end.line() {
        span.end.col().saturating_sub(span.start.col())
    } else {
        // Only the first line of a longer text is marked.
        usize::MAX
    };
    TextRange { line: span.start.line(), column: span.start.col() + 1, length }
}
