//! The size of a YAML document in which each alias is replaced by a copy of its anchor. It is computed before anything
//! is copied, so that a small file cannot take much time and memory.

use super::diagnostic::Diagnostic;
use super::yaml_tree::{Document, Kind, MAX_TEXT_BYTES, MAX_VALUES, NodeId, too_large};

/// The number of bytes of text that every file may have, with aliases replaced.
const BASE_TEXT_BYTES: usize = 8 << 20;
/// The number of bytes of text that a file may have for each byte that is written, and for each alias.
const TEXT_PER_WRITTEN: usize = 4;
const TEXT_PER_ALIAS: usize = 4 << 10;
/// The number of values that every file may have, however few of them are written.
const BASE_VALUES: usize = 100_000;
/// The number of values that a file may have for each value that is written. Probes can be listed in several groups.
const VALUES_PER_WRITTEN: usize = 4;
/// The number of values that a file may have for each alias. An alias can stand for settings that many probes share.
const VALUES_PER_ALIAS: usize = 100;

/// The size of a node, including the nodes within it, with aliases replaced. Sums stop at the greatest number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Size {
    values: usize,
    text_bytes: usize,
}

impl Size {
    fn add(self, other: Self) -> Self {
        Self {
            values: self.values.saturating_add(other.values),
            text_bytes: self.text_bytes.saturating_add(other.text_bytes),
        }
    }

    fn exceeds(self, limit: Self) -> bool {
        self.values > limit.values || self.text_bytes > limit.text_bytes
    }
}

/// Checks that a document is not too large with its aliases replaced. Takes time in proportion to the length of the
/// file.
///
/// # Errors
/// Returns an error at the innermost value that is too large.
pub fn check_size(document: &Document) -> Result<(), Diagnostic> {
    let limit = limit(document);
    let mut sizes: Vec<Size> = Vec::with_capacity(document.node_count());
    for id in document.ids() {
        let size = size(document, id, &sizes);
        sizes.push(size);
    }
    // The value of a key `x-…` at the root counts only where an alias stands for it.
    let used = used_children(document);
    let total = used.iter().fold(Size { values: 1, text_bytes: 0 }, |total, id| total.add(sizes[id.index()]));
    if !total.exceeds(limit) {
        return Ok(());
    }
    let innermost = innermost_excess(document, used, &sizes, limit).unwrap_or(document.root());
    Err(too_large(document.node(innermost).range, limit.values, limit.text_bytes))
}

fn limit(document: &Document) -> Size {
    let values = document.node_count() * VALUES_PER_WRITTEN + document.alias_count() * VALUES_PER_ALIAS;
    let written: usize = document.ids().filter_map(|id| document.node(id).text()).map(str::len).sum();
    let text_bytes = written * TEXT_PER_WRITTEN + document.alias_count() * TEXT_PER_ALIAS;
    Size {
        values: values.clamp(BASE_VALUES, MAX_VALUES),
        text_bytes: text_bytes.clamp(BASE_TEXT_BYTES, MAX_TEXT_BYTES),
    }
}

/// Returns the size of a node, given the sizes of the nodes that were parsed before it. These include the nodes within
/// it; a node that is missing counts as empty.
fn size(document: &Document, id: NodeId, sizes: &[Size]) -> Size {
    let own = Size { values: 1, text_bytes: document.node(id).text().map_or(0, str::len) };
    let inner = children(document, id).into_iter().map(|child| sizes.get(child.index()).copied().unwrap_or_default());
    inner.fold(own, Size::add)
}

fn children(document: &Document, id: NodeId) -> Vec<NodeId> {
    match &document.node(id).kind {
        Kind::Scalar { .. } => Vec::new(),
        Kind::List(items) => items.clone(),
        Kind::Map(entries) => entries.iter().flat_map(|(key, value)| [*key, *value]).collect(),
    }
}

/// Returns the nodes in the root, except the keys `x-…` and their values.
fn used_children(document: &Document) -> Vec<NodeId> {
    let Kind::Map(entries) = &document.node(document.root()).kind else { return children(document, document.root()) };
    let is_used = |key: NodeId| !document.node(key).text().is_some_and(|text| text.starts_with("x-"));
    entries.iter().filter(|(key, _)| is_used(*key)).flat_map(|(key, value)| [*key, *value]).collect()
}

/// Returns the innermost node that alone exceeds the limit, among `nodes` and the nodes within them.
fn innermost_excess(document: &Document, nodes: Vec<NodeId>, sizes: &[Size], limit: Size) -> Option<NodeId> {
    let (mut innermost, mut nodes) = (None, nodes);
    while let Some(id) = nodes.into_iter().find(|id| sizes[id.index()].exceeds(limit)) {
        innermost = Some(id);
        nodes = children(document, id);
    }
    innermost
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use crate::config::diagnostic::{Location, TextRange};

    fn document(text: &str) -> Result<Document, Diagnostic> {
        let source = Source::from_text("test", text);
        let document = Document::parse(&source)?;
        check_size(&document).map(|()| document)
    }

    /// Returns lists that each repeat the one before ten times, the last one below this key.
    fn bomb(levels: usize, key: &str) -> String {
        let list = |level: usize| {
            let item = if level == 0 { "a".to_owned() } else { format!("*l{}", level - 1) };
            format!("x-{level}: &l{level} [{}]\n", vec![item; 10].join(", "))
        };
        format!("{}{key}: *l{}\n", (0..levels).map(list).collect::<String>(), levels - 1)
    }

    #[test]
    fn values_are_counted_with_aliases_followed() {
        let total = |text: &str| {
            let document = document(text).expect("the test's YAML is small");
            let mut sizes: Vec<Size> = Vec::new();
            document.ids().for_each(|id| sizes.push(size(&document, id, &sizes)));
            sizes[document.root().index()]
        };
        assert_eq!(total("abc"), Size { values: 1, text_bytes: 3 });
        assert_eq!(total("{a: [bc, bc]}"), Size { values: 5, text_bytes: 5 });
        assert_eq!(total("{a: &l [bc, bc], d: *l}"), Size { values: 9, text_bytes: 10 });
        assert_eq!(total(&bomb(3, "y")).values, 1 + 4 + (1 + 10) + (1 + 110) + 2 * (1 + 1110));
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_copied() {
        document(&bomb(4, "groups")).expect("11,111 values are few enough");
        document(&bomb(9, "x-unused")).expect("nothing uses the lists");
        for levels in [5, 9, 60] {
            let error = document(&bomb(levels, "groups")).expect_err("the lists have 111,111 values and more");
            assert!(error.message.contains("more than 100000 values"), "{}", error.message);
            // The first list that is too large, not one of those that repeat it.
            assert!(matches!(error.location, Location::Text(TextRange { line: 5, .. })), "{:?}", error.location);
        }
        let text = |copies| format!("x-a: &a {}\ngroups: [{}]", "a".repeat(1 << 20), vec!["*a"; copies].join(", "));
        document(&text(7)).expect("the text comes to 7 MiB");
        let error = document(&text(9)).expect_err("the text comes to 9 MiB");
        assert!(error.message.ends_with("or 8 MiB of text"), "{}", error.message);
    }

    #[test]
    fn settings_that_ten_thousand_probes_share_are_no_bomb() {
        let settings = (0..20).map(|key| format!("k{key}: 1")).collect::<Vec<_>>().join(", ");
        let probes = "  - {probe: http, headers: *h}\n".repeat(10_000);
        document(&format!("x-h: &h {{{settings}}}\ngroups:\n- probes:\n{probes}")).expect("each probe uses one alias");
        // All probes stand in three groups.
        let probes = "  - {probe: http, url: u, title: t}\n".repeat(10_000);
        let text = format!("groups:\n- probes: &p\n{probes}- probes: *p\n- probes: *p\n");
        document(&text).expect("three times as many values as are written");
    }
}
