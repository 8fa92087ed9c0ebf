//! The tools with which a component was made, and its language. Both are informative: a component can state anything.

use std::collections::BTreeSet;

use wasmparser::{KnownCustom, Name, Parser, Payload};

use crate::capability::truncate;

/// The greatest number of producers that are kept.
const MAX_PRODUCERS: usize = 20;
/// The greatest length of each text of a producer.
const MAX_TEXT_BYTES: usize = 100;

/// The field of a producer that names a language.
const LANGUAGE: &str = "language";

/// Returns the producers of a component and its core modules: at most 20, each with a field, a name and a version,
/// texts of at most 100 bytes. Skips what cannot be read.
///
/// - The languages come first. If the component contains a known interpreter, its language is the only one, because the
///   interpreter itself is written in another.
/// - WASI's adapter, which most tools add to a component, is left out: its language says nothing about the probe.
/// - Without a language, it is that of a known compiler. Compilers state a language only in debug information.
pub fn producers(bytes: &[u8]) -> Vec<[String; 3]> {
    let mut found = Found::default();
    found.read(bytes, 0);
    let Found { mut producers, interpreter } = found;
    if let Some((language, version)) = interpreter {
        producers.retain(|[field, ..]| field != LANGUAGE);
        producers.insert([LANGUAGE.to_owned(), language.to_owned(), version]);
    } else if !producers.iter().any(|[field, ..]| field == LANGUAGE) {
        let language = producers.iter().find_map(|[_, tool, _]| language_of_tool(tool));
        producers.extend(language.map(|language| [LANGUAGE, language, ""].map(str::to_owned)));
    }
    let is_language = |[field, ..]: &[String; 3]| field == LANGUAGE;
    let (languages, others): (Vec<_>, Vec<_>) = producers.into_iter().partition(is_language);
    languages.into_iter().chain(others).take(MAX_PRODUCERS).collect()
}

/// Returns the language that a compiler or a generator of bindings is for, if there is no other.
fn language_of_tool(tool: &str) -> Option<&'static str> {
    Some(match tool {
        "rustc" | "wit-bindgen-rust" => "Rust",
        "TinyGo" | "wit-bindgen-go" => "Go",
        _ => return None,
    })
}

/// The producers of a part of a component.
#[derive(Default)]
struct Found {
    producers: BTreeSet<[String; 3]>,
    /// The language and the version of an interpreter.
    interpreter: Option<(&'static str, String)>,
}

/// A core module or a component that is being read.
#[derive(Default)]
struct Part {
    producers: Vec<[String; 3]>,
    is_adapter: bool,
}

impl Found {
    /// Reads a component or a core module. `depth` is 1 for a component within a custom section, and 0 otherwise.
    fn read(&mut self, bytes: &[u8], depth: usize) {
        let mut open: Vec<Part> = Vec::new();
        for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
            match payload {
                Payload::Version { .. } => open.push(Part::default()),
                Payload::End(_) => self.add(open.pop()),
                Payload::ExportSection(exports) => {
                    for export in exports.into_iter().map_while(Result::ok) {
                        if let Some(part) = open.last_mut().filter(|_| export.name == "cabi_import_realloc") {
                            part.is_adapter = true;
                        }
                        self.find_interpreter(export.name);
                    }
                }
                Payload::CustomSection(section) => match section.as_known() {
                    KnownCustom::Producers(fields) => {
                        let Some(part) = open.last_mut() else { continue };
                        for field in fields.into_iter().map_while(Result::ok) {
                            for value in field.values.into_iter().map_while(Result::ok).take(MAX_PRODUCERS) {
                                let producer = [field.name, value.name, value.version];
                                self.find_interpreter(value.name);
                                part.producers.push(producer.map(|text| truncate(text.to_owned(), MAX_TEXT_BYTES)));
                            }
                            part.producers.truncate(MAX_PRODUCERS);
                        }
                    }
                    KnownCustom::Name(mut names) => {
                        if let Some(Ok(Name::Module { name, .. })) = names.next() {
                            self.find_interpreter(name);
                        }
                    }
                    // wit-bindgen stores the types of a core module as a component, which states the generator.
                    KnownCustom::Unknown if depth == 0 && section.name().starts_with("component-type") => {
                        self.read(section.data(), depth + 1);
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        // The parser cannot go on after an error.
        for part in open {
            self.add(Some(part));
        }
    }

    /// Adds the producers of a part that has been read, unless it is an adapter.
    fn add(&mut self, part: Option<Part>) {
        let part = part.filter(|part| !part.is_adapter).unwrap_or_default();
        let room = MAX_PRODUCERS.saturating_sub(self.producers.len());
        self.producers.extend(part.producers.into_iter().take(room));
    }

    /// Recognises an interpreter by the name of a core module, by that of an export, which begins with the name of a
    /// module if several were linked, or by a producer.
    fn find_interpreter(&mut self, name: &str) {
        if let Some(version) = name.strip_prefix("libpython") {
            let version: String = version.chars().take_while(|c| c.is_ascii_digit() || *c == '.').take(10).collect();
            self.interpreter = Some(("Python", version.trim_end_matches('.').to_owned()));
        } else if self.interpreter.is_none() {
            let is_javascript =
                name.starts_with("componentize_qjs_runtime") || ["ComponentizeJS", "JavaScript"].contains(&name);
            let is_python = ["componentize-py", "Python"].contains(&name);
            let language = is_javascript.then_some("JavaScript").or(is_python.then_some("Python"));
            self.interpreter = language.map(|language| (language, String::new()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a custom section `producers` with one value for each field.
    fn section(fields: &[[&str; 3]]) -> Vec<u8> {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let values =
            fields.iter().flat_map(|[field, name, version]| [text(field), vec![1], text(name), text(version)].concat());
        let body: Vec<u8> = [vec![u8::try_from(fields.len()).unwrap()], values.collect()].concat();
        let content = [text("producers"), body].concat();
        [vec![0, u8::try_from(content.len()).unwrap()], content].concat()
    }

    /// Asserts the producers of a component that consists of core modules in WAT, each with its producers.
    #[track_caller]
    fn check(modules: &[(&str, &[[&str; 3]])], expected: &[[&str; 3]]) {
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        for (module, fields) in modules {
            let mut module = wat::parse_str(module).unwrap();
            module.extend(section(fields));
            // The section of a core module, and its length in LEB128.
            component.push(1);
            component.extend([(module.len() & 127 | 128) as u8, (module.len() >> 7) as u8]);
            component.extend(module);
        }
        assert_eq!(producers(&component), expected);
    }

    const RUST: [&str; 3] = ["language", "Rust", ""];
    const RUSTC: [&str; 3] = ["processed-by", "rustc", "1.96.0"];

    #[test]
    fn the_language_is_that_of_the_probe() {
        const ADAPTER: &str = r#"(module (func (export "cabi_import_realloc")))"#;
        check(&[("(module)", &[RUST, RUSTC])], &[RUST, RUSTC]);
        check(&[("(module)", &[RUSTC])], &[RUST, RUSTC]);
        check(&[("(module)", &[["language", "C11", ""]]), (ADAPTER, &[RUST, RUSTC])], &[["language", "C11", ""]]);
        check(&[(ADAPTER, &[RUST])], &[]);
    }

    #[test]
    fn the_language_of_an_interpreter_is_that_of_its_programs() {
        const PYTHON: &str = "(module $libpython3.14.so)";
        const QUICKJS: &str = r#"(module (memory (export "componentize_qjs_runtime.wasm:memory_base") 1))"#;
        check(&[(PYTHON, &[RUST])], &[["language", "Python", "3.14"]]);
        check(&[(QUICKJS, &[RUST, RUSTC])], &[["language", "JavaScript", ""], RUSTC]);
        let componentizer = ["processed-by", "ComponentizeJS", "0.23.0"];
        check(&[("(module)", &[RUST, componentizer])], &[["language", "JavaScript", ""], componentizer]);
    }

    #[test]
    fn producers_are_bounded() {
        let names: Vec<_> = (0..90).map(|number| format!("{number}{}", "a".repeat(number % 45))).collect();
        let many = names.iter().map(|name| ["sdk", name, ""]);
        let mut component = b"\0asm\x0d\0\x01\0".to_vec();
        for field in many {
            component.extend(section(&[field]));
        }
        assert_eq!(producers(&component).len(), MAX_PRODUCERS);
        assert!(producers(b"\0asm").is_empty() && producers(&component[..12]).is_empty());
    }
}
