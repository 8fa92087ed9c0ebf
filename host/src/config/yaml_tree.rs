//! YAML to a tree in which every node knows its line and column. Knows no key's meaning.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::diagnostic::{Diagnostic, Location, Spot};
use super::source::{Source, lines};
use super::yaml_errors::{self, DEPTH};

/// More than 10,000 probes need, less than hurts.
pub const VALUES: usize = 1_000_000;

/// A parsed file. An alias is an edge to its anchor's node, so that a file of aliases stays as small as it is.
#[derive(Debug)]
pub struct Document {
    nodes: Vec<Node>,
    root: NodeId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId(usize);

#[derive(Debug)]
pub struct Node {
    pub kind: Kind,
    /// Boxed, since it is seldom there and there are many nodes.
    pub tag: Option<Box<Tag>>,
    /// A list's or a map's is where it begins.
    pub spot: Spot,
}

#[derive(Debug)]
pub enum Kind {
    /// Plain is without quotes: it may be a number, a boolean or null.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<NodeId>),
    Map(Vec<(NodeId, NodeId)>),
}

/// What stands in the file as `!tag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tag {
    /// YAML's own: `!!str` is `str`.
    Core(String),
    Other(String),
}

/// A list or map whose end is not yet read.
struct Open {
    map: bool,
    anchor: usize,
    tag: Option<Box<Tag>>,
    spot: Spot,
    children: Vec<NodeId>,
}

impl Document {
    /// The document of a file: of settings alone, the configuration that has one probe with them.
    pub fn of(source: &Source) -> Result<Self, Diagnostic> {
        let Some(probe) = &source.probe else { return Self::read(&source.text) };
        let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
        let text = if lines(&source.text).into_iter().all(blank) { "{}" } else { &source.text };
        Self::read(text)?.around(probe)
    }

    fn read(text: &str) -> Result<Self, Diagnostic> {
        yaml_errors::precheck(text)?;
        // The parser's own bounds keep it from looking further ahead than is of use.
        let limits =
            granit_parser::options! { flow_nesting_limit: DEPTH, block_nesting_limit: DEPTH, emit_comments: false };
        let mut parser = Parser::new_from_str_with_options(text, limits);
        let mut nodes = Vec::new();
        let mut anchors = HashMap::new();
        let mut open: Vec<Open> = Vec::new();
        let mut root = None;
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| {
                let bracket = open.last().filter(|open| open.spot.length > 0).map(|open| (open.map, open.spot.line));
                yaml_errors::explain(text, &error, bracket)
            })?;
            let spot = spot(span);
            let (kind, anchor, tag, spot) = match event {
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(problem(spot, "a second document starts here: a configuration is one document"));
                }
                Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= DEPTH => {
                    return Err(problem(spot, format!("nested too deeply: {DEPTH} levels at most")));
                }
                Event::SequenceStart(_, anchor, tag) => {
                    open.push(Open { map: false, anchor, tag: owned(tag), spot, children: Vec::new() });
                    continue;
                }
                Event::MappingStart(_, anchor, tag) => {
                    open.push(Open { map: true, anchor, tag: owned(tag), spot, children: Vec::new() });
                    continue;
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let kind = Kind::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                    (kind, anchor, owned(tag), spot)
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some(done) = open.pop() else { continue };
                    let kind = match done.map {
                        true => Kind::Map(done.children.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()),
                        false => Kind::List(done.children),
                    };
                    (kind, done.anchor, done.tag, done.spot)
                }
                Event::Alias(anchor) => {
                    // An anchor has its node once it is complete.
                    let Some(node) = anchors.get(&anchor) else {
                        return Err(problem(
                            spot,
                            "this alias stands inside of what it repeats, which would never end",
                        ));
                    };
                    place(*node, &mut open, &mut root);
                    continue;
                }
                _ => continue,
            };
            if nodes.len() >= VALUES {
                return Err(too_large(spot));
            }
            let id = NodeId(nodes.len());
            nodes.push(Node { kind, tag, spot });
            if anchor > 0 {
                anchors.insert(anchor, id);
            }
            place(id, &mut open, &mut root);
        }
        match root {
            Some(root) => Ok(Self { nodes, root }),
            None => {
                Err(problem(Spot { line: 1, column: 1, length: 0 }, "the file is empty: it needs at least `groups`"))
            }
        }
    }

    /// What is put around it stands nowhere in the file.
    fn around(mut self, probe: &str) -> Result<Self, Diagnostic> {
        let root = self.node(self.root);
        let Kind::Map(entries) = &root.kind else {
            return Err(problem(root.spot, "settings are a map of keys and values"));
        };
        let keys = entries.iter().map(|(key, _)| self.node(*key));
        if let Some(key) = keys.into_iter().find(|key| key.text() == Some("probe")) {
            return Err(problem(key.spot, "`probe` is the component that is tested already: leave it out here"));
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

    fn add(&mut self, kind: Kind) -> NodeId {
        self.nodes.push(Node { kind, tag: None, spot: Spot::NOWHERE });
        NodeId(self.nodes.len() - 1)
    }

    pub fn root(&self) -> NodeId {
        self.root
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }
}

impl Node {
    /// The text of a key, as it is written.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// `<<`, which takes in the keys of another map.
    pub fn is_merge(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true } if text == "<<") && self.tag.is_none()
    }
}

/// Said of a file, and of what its aliases make of it.
pub fn too_large(spot: Spot) -> Diagnostic {
    problem(spot, format!("too large: with its aliases followed, the file comes to more than {VALUES} values"))
}

fn place(id: NodeId, open: &mut [Open], root: &mut Option<NodeId>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(id),
        None => *root = Some(id),
    }
}

fn owned(tag: Option<std::borrow::Cow<'_, granit_parser::Tag>>) -> Option<Box<Tag>> {
    let owned = |tag: std::borrow::Cow<'_, granit_parser::Tag>| match tag.is_yaml_core_schema() {
        true => Tag::Core(tag.suffix().to_string()),
        false => Tag::Other(format!("{}{}", tag.handle(), tag.suffix())),
    };
    tag.map(|tag| Box::new(owned(tag)))
}

fn problem(spot: Spot, message: impl Into<String>) -> Diagnostic {
    Diagnostic { place: Location::Text(spot), message: message.into() }
}

fn spot(span: Span) -> Spot {
    let length = match span.start.line() == span.end.line() {
        true => span.end.col().saturating_sub(span.start.col()),
        // Of what goes on for lines, the first is enough to find it.
        false => usize::MAX,
    };
    Spot { line: span.start.line(), column: span.start.col() + 1, length }
}
