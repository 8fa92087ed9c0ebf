//! The graph of the modules below `host/src`: an edge leads from a file to each file whose items it uses.
//!
//! A module is a file. A path counts for the file that defines the item: re-exports are followed, and neither `mod x;`
//! nor a re-export is a use by itself. Paths are read from `use` items and from the code, relative ones included; uses
//! through methods, and those made by macros, are not found. Code under `#[cfg(test)]` is not checked.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// The segments of a module's or an item's path, without `crate`.
type Segments = Vec<String>;

/// The modules of one source folder, by their paths.
#[derive(Default)]
pub struct Modules(BTreeMap<Segments, Module>);

#[derive(Default)]
struct Module {
    /// Relative to the source folder.
    file: String,
    /// The paths of the items that the module imports, re-exports or declares as children, by their names.
    names: HashMap<String, Segments>,
    /// The absolute paths that the module's code mentions.
    mentions: BTreeSet<Segments>,
}

/// For each file, the files whose items it mentions, each with one of the mentioned paths.
pub type Edges = BTreeMap<String, BTreeMap<String, String>>;

impl Modules {
    /// Reads modules from the paths of files, without their extension, and their texts.
    pub fn parse<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let files: Vec<_> = files.map(|(file, text)| (module_path(file), file, text)).collect();
        let mut modules = Self::default();
        for (path, file, _) in &files {
            modules.0.insert(path.clone(), Module { file: (*file).to_owned(), ..Module::default() });
        }
        for (path, _, _) in &files {
            if let Some((name, parent)) = path.split_last()
                && let Some(parent) = modules.0.get_mut(parent)
            {
                parent.names.insert(name.clone(), path.clone());
            }
        }
        let mut tests = Vec::new();
        for (path, _, text) in &files {
            let module = modules.0.get_mut(path).expect("every module was inserted");
            let (tokens, names) = without_tests(&tokens(text));
            Parser { tokens: &tokens, at: 0, module: path.clone(), scopes: Vec::new() }.parse(module);
            tests.extend(names.into_iter().map(|name| [path.clone(), vec![name]].concat()));
        }
        modules.0.retain(|path, _| !tests.iter().any(|test| path.starts_with(test)));
        modules
    }

    /// Returns the edges between the files of a top-level module.
    pub fn edges(&self, top_level: &str) -> Edges {
        let inside = |path: &Segments| path.first().is_some_and(|first| first == top_level);
        let mut edges = Edges::new();
        for (path, module) in self.0.iter().filter(|(path, _)| inside(path)) {
            let targets = edges.entry(module.file.clone()).or_default();
            for mention in &module.mentions {
                let Some(target) = self.definition(mention, 0) else { continue };
                if inside(target) && target != path {
                    targets.entry(self.0[target].file.clone()).or_insert_with(|| mention.join("::"));
                }
            }
        }
        edges
    }

    /// Returns the names of the top-level modules, which are directly below the root.
    pub fn top_level(&self) -> BTreeSet<&str> {
        self.0.keys().filter_map(|path| path.first()).map(String::as_str).collect()
    }

    /// Returns the module that defines the item at a path, or `None` if the path ends at a module.
    fn definition(&self, path: &[String], depth: usize) -> Option<&Segments> {
        /// The maximal number of re-exports that are followed.
        const MAX_DEPTH: usize = 10;
        let (mut current, _) = self.0.get_key_value(&path[..0])?;
        for (index, name) in path.iter().enumerate() {
            let module = &self.0[current];
            let Some(target) = module.names.get(name) else { return Some(current) };
            if let Some((child, _)) = self.0.get_key_value(target) {
                current = child;
            } else if depth < MAX_DEPTH {
                return self.definition(&[target, &path[index + 1..]].concat(), depth + 1);
            } else {
                return Some(current);
            }
        }
        None
    }
}

/// Returns one cycle, as a sentence, for each group of files that all depend on one another.
pub fn cycles(edges: &Edges) -> Vec<String> {
    let mut reported = BTreeSet::new();
    let mut cycles = Vec::new();
    for start in edges.keys() {
        if let Some(cycle) = shortest_cycle(edges, start)
            && !cycle.iter().any(|file| reported.contains(file))
        {
            let steps = cycle.iter().zip(cycle.iter().cycle().skip(1));
            let steps: Vec<_> = steps.map(|(from, to)| format!("{from} names {} of {to}", edges[*from][*to])).collect();
            cycles.push(steps.join(", "));
            reported.extend(cycle);
        }
    }
    cycles
}

/// Returns the files of the shortest way from a file back to itself.
fn shortest_cycle<'a>(edges: &'a Edges, start: &'a String) -> Option<Vec<&'a String>> {
    let mut previous: HashMap<&String, &String> = HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for next in edges.get(file)?.keys() {
            if next == start {
                let mut cycle = vec![file];
                while let Some(before) = previous.get(cycle[cycle.len() - 1]) {
                    cycle.push(before);
                }
                cycle.reverse();
                return Some(cycle);
            }
            if !previous.contains_key(next) {
                previous.insert(next, file);
                queue.push_back(next);
            }
        }
    }
    None
}

/// Returns the path of a file's module. It is empty for `lib.rs` and `main.rs`, which are the root.
fn module_path(file: &str) -> Segments {
    if file == "lib" || file == "main" { Vec::new() } else { file.split('/').map(str::to_owned).collect() }
}

/// Reads one file's `use` items and paths.
struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    module: Segments,
    /// The inline modules around the current token, each with the number of braces that are open inside it.
    scopes: Vec<(String, usize)>,
}

impl Parser<'_> {
    fn parse(&mut self, module: &mut Module) {
        let mut depth = 0;
        let mut code = Vec::new();
        let mut reexported = BTreeSet::new();
        while let Some(token) = self.tokens.get(self.at) {
            match (token, self.tokens.get(self.at + 1), self.tokens.get(self.at + 2)) {
                (Token::Name(word), Some(Token::Name(name)), Some(Token::Mark('{'))) if word == "mod" => {
                    depth += 1;
                    self.scopes.push((name.clone(), depth));
                    self.at += 3;
                    continue;
                }
                (Token::Name(word), ..) if word == "use" => {
                    let public = self.is_public();
                    self.at += 1;
                    let mut imports = Vec::new();
                    self.use_tree(Vec::new(), &mut imports);
                    for (name, path) in imports {
                        let path = self.absolute(&path, module);
                        let Some(path) = path else { continue };
                        if public {
                            reexported.insert(name.clone());
                        } else {
                            module.mentions.insert(path.clone());
                        }
                        if name != "*" {
                            module.names.entry(name).or_insert(path);
                        }
                    }
                    continue;
                }
                (Token::Name(_), ..) => {
                    let path = self.path();
                    // `bindgen!` is skipped: the traits that it generates and the types that implement them refer to
                    // each other.
                    let generates = path.last().is_some_and(|name| name == "bindgen");
                    if generates && self.tokens.get(self.at) == Some(&Token::Mark('!')) {
                        self.at = group_end(self.tokens, self.at + 1);
                    }
                    code.push((path, self.scopes.clone()));
                    continue;
                }
                (Token::Mark('{'), ..) => depth += 1,
                (Token::Mark('}'), ..) => {
                    if self.scopes.last().is_some_and(|(_, inside)| *inside == depth) {
                        self.scopes.pop();
                    }
                    depth -= 1;
                }
                _ => {}
            }
            self.at += 1;
        }
        for (path, scopes) in code {
            self.scopes = scopes;
            if path.len() > 1 || reexported.contains(&path[0]) {
                module.mentions.extend(self.absolute(&path, module));
            }
        }
    }

    /// Returns true if the `use` at the current token has a visibility.
    fn is_public(&self) -> bool {
        match self.at.checked_sub(1).map(|before| &self.tokens[before]) {
            Some(Token::Name(word)) => word == "pub",
            Some(Token::Mark(mark)) => *mark == ')',
            _ => false,
        }
    }

    /// Reads a tree of imports, as names with their paths; ends after its `;`, `,` or before its `}`.
    fn use_tree(&mut self, mut path: Segments, imports: &mut Vec<(String, Segments)>) {
        loop {
            match self.tokens.get(self.at) {
                Some(Token::Name(word)) if word == "as" => {
                    if let Some(Token::Name(name)) = self.tokens.get(self.at + 1) {
                        imports.push((name.clone(), std::mem::take(&mut path)));
                    }
                    self.at += 2;
                }
                Some(Token::Name(word)) if word == "self" && !path.is_empty() => self.at += 1,
                Some(Token::Name(word)) => {
                    path.push(word.clone());
                    self.at += 1;
                }
                Some(Token::Mark('*')) => {
                    // `*` stands for any item of the module.
                    path.push("*".to_owned());
                    self.at += 1;
                }
                Some(Token::PathSeparator) => self.at += 1,
                Some(Token::Mark('{')) => {
                    self.at += 1;
                    while self.tokens.get(self.at).is_some_and(|token| *token != Token::Mark('}')) {
                        self.use_tree(path.clone(), imports);
                    }
                    self.at += 1;
                    path.clear();
                }
                Some(Token::Mark(',' | ';')) | None => {
                    self.at += 1;
                    break;
                }
                Some(Token::Mark(_)) => break,
            }
        }
        if let Some(name) = path.last() {
            imports.push((name.clone(), path));
        }
    }

    /// Reads a path of the code. A method, a field or a definition yields an empty name.
    fn path(&mut self) -> Segments {
        let before = self.at.checked_sub(1).map(|before| &self.tokens[before]);
        let is_other = match before {
            Some(Token::Mark('.') | Token::PathSeparator) => true,
            Some(Token::Name(word)) => {
                ["fn", "struct", "enum", "trait", "type", "const", "mod", "let"].contains(&word.as_str())
            }
            _ => false,
        };
        let mut path = Vec::new();
        while let Some(Token::Name(name)) = self.tokens.get(self.at) {
            path.push(name.clone());
            self.at += 1;
            if self.tokens.get(self.at) != Some(&Token::PathSeparator) {
                break;
            }
            self.at += 1;
        }
        let is_function = self.tokens.get(self.at) == Some(&Token::Mark('('));
        let is_type = path.last().is_some_and(|name| name.starts_with(char::is_uppercase));
        if is_other || (path.len() == 1 && !is_function && !is_type) { vec![String::new()] } else { path }
    }

    /// Returns the path from the root, or `None` for a path of another crate.
    fn absolute(&self, path: &[String], module: &Module) -> Option<Segments> {
        let scopes = self.scopes.iter().map(|(name, _)| name);
        let mut base: Segments = self.module.iter().chain(scopes).cloned().collect();
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => return Some(rest.to_vec()),
            "self" => {}
            "super" => {
                base.pop();
            }
            name => return Some([module.names.get(name)?, rest].concat()),
        }
        let mut rest = rest;
        while let Some(("super", more)) = rest.split_first().map(|(first, more)| (first.as_str(), more)) {
            base.pop();
            rest = more;
        }
        Some([base, rest.to_vec()].concat())
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    PathSeparator,
    Mark(char),
}

/// Returns the names and marks of a source text, without comments, literals and lifetimes.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(rest.len());
            let hashes = rest[end..].bytes().take_while(|byte| *byte == b'#').count();
            if ["r", "br", "cr"].contains(&&rest[..end]) && rest[end + hashes..].starts_with('"') {
                let begin = end + hashes + 1;
                let quote = format!("\"{}", "#".repeat(hashes));
                rest[begin..].find(&quote).map_or(rest.len(), |length| begin + length + quote.len())
            } else {
                tokens.push(Token::Name(rest[..end].to_owned()));
                end
            }
        } else if first == '"' {
            quoted(rest, '"')
        } else if first == '\'' {
            let mut after = rest[1..].chars();
            match (after.next(), after.next()) {
                (Some('\\'), _) | (Some(_), Some('\'')) => quoted(rest, '\''),
                _ => 1,
            }
        } else if rest.starts_with("::") {
            tokens.push(Token::PathSeparator);
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(Token::Mark(first));
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

/// Returns the length of a literal in quotes at the beginning of a text.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, char)| {
        let ends = *char == quote && !escaped;
        escaped = *char == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(end, _)| end + 1)
}

/// Returns the tokens without the items under `#[cfg(test)]`, and the names of the modules among these items.
fn without_tests(tokens: &[Token]) -> (Vec<Token>, Vec<String>) {
    let attribute = self::tokens("#[cfg(test)]");
    let (mut remaining, mut modules) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].starts_with(&attribute) {
            at += attribute.len();
            if let [Token::Name(word), Token::Name(name), ..] = &tokens[at..]
                && word == "mod"
            {
                modules.push(name.clone());
            }
            while !matches!(tokens.get(at), None | Some(Token::Mark('{' | ';'))) {
                at += 1;
            }
            at = if tokens.get(at) == Some(&Token::Mark('{')) { group_end(tokens, at) } else { at + 1 };
        } else {
            remaining.push(tokens[at].clone());
            at += 1;
        }
    }
    (remaining, modules)
}

/// Returns the index after the group that begins with the bracket at an index.
fn group_end(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0;
    for (index, token) in tokens.iter().enumerate().skip(start) {
        match token {
            Token::Mark('{' | '(' | '[') => depth += 1,
            Token::Mark('}' | ')' | ']') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    tokens.len()
}
