//! Bounds on the structure of a component, which are checked before it is compiled. Without them, a small file could
//! cost the compiler much time and memory, since both grow faster than the file. The bounds are far above the values of
//! components that compilers of real languages write; some of them give the value of `CPython`, the largest component
//! that was measured.

use wasmparser::{FunctionBody, Operator, Parser, Payload, Result};

/// The deepest nesting of components: compositions nest one level for each step. `CPython`: 1.
const MAX_COMPONENT_DEPTH: usize = 32;
/// The number of components in a file, the outermost included.
const MAX_COMPONENTS: usize = 256;
/// The number of core modules in a file. `CPython`: 38.
const MAX_CORE_MODULES: usize = 128;
/// The number of functions of all core modules together.
const MAX_FUNCTIONS: usize = 300_000;
/// The size of one function in bytes.
const MAX_FUNCTION_BYTES: usize = 1 << 20;
/// The number of locals of one function, without its parameters.
const MAX_LOCALS: u64 = 10_000;
/// The deepest nesting of blocks, loops and conditions in one function. A `switch` becomes a block for each case.
const MAX_CONTROL_DEPTH: usize = 10_000;
/// The deepest nesting of loops in one function.
const MAX_LOOP_DEPTH: usize = 100;
/// The number of locals times the number of loops, blocks and conditions of one function: the compiler may keep a value
/// for each local at each place where branches meet.
const MAX_LOCALS_AT_JOINS: u64 = 20_000_000;
/// The number of locals of one function times the depth to which its loops are nested. For each change of a local, the
/// compiler adds an entry for each loop around the change to a list, and searches that list each time. Measured: a
/// product of 100,000 takes 0.5 s of CPU time.
const MAX_LOCALS_IN_LOOPS: u64 = 100_000;
/// The number of imports and exports of all components together, whose names the host keeps. A usual probe has 50.
const MAX_INTERFACES: u64 = 10_000;
/// The number of entries in further sections of the file: imports, exports, tables, memories, tags, globals and data
/// segments of core modules, and instances, aliases and canonical functions of components.
const MAX_ITEMS: u64 = 200_000;
/// The size in bytes of all type sections together. Measured: 7 MiB of small types take more than 4 GiB of memory.
const MAX_TYPE_BYTES: usize = 1 << 20;
/// The size in bytes of all element sections together, which fill tables. Measured: 8 MiB take more than 4 GiB of
/// memory.
const MAX_ELEMENT_BYTES: usize = 2 << 20;

/// A bound that a file exceeds.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {found}, and the bound is {max}")]
pub struct Exceeded {
    /// The beginning of the message, such as `the number of its functions is`.
    what: &'static str,
    found: u64,
    max: u64,
}

/// Checks the structure of a component or core module, up to the first part that cannot be parsed: the compiler reports
/// such a part.
///
/// # Errors
/// Returns the first bound that is exceeded.
pub fn check(bytes: &[u8]) -> std::result::Result<(), Exceeded> {
    let mut counts = Counts::default();
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        counts.add(&payload)?;
    }
    Ok(())
}

#[derive(Default)]
struct Counts {
    depth: usize,
    components: usize,
    modules: usize,
    functions: usize,
    interfaces: u64,
    items: u64,
    type_bytes: usize,
    element_bytes: usize,
}

impl Counts {
    fn add(&mut self, payload: &Payload) -> std::result::Result<(), Exceeded> {
        let items = match payload {
            Payload::Version { encoding, .. } => {
                self.depth += 1;
                match encoding {
                    wasmparser::Encoding::Component => self.components += 1,
                    wasmparser::Encoding::Module => self.modules += 1,
                }
                bound("its components are nested to the depth", self.depth, MAX_COMPONENT_DEPTH)?;
                bound("the number of its components is", self.components, MAX_COMPONENTS)?;
                return bound("the number of its core modules is", self.modules, MAX_CORE_MODULES);
            }
            Payload::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                return Ok(());
            }
            Payload::FunctionSection(section) => {
                self.functions = self.functions.saturating_add(section.count() as usize);
                return bound("the number of its functions is", self.functions, MAX_FUNCTIONS);
            }
            Payload::CodeSectionEntry(body) => return check_function(body),
            Payload::TypeSection(section) => return self.add_types(section.range().len()),
            Payload::CoreTypeSection(section) => return self.add_types(section.range().len()),
            Payload::ComponentTypeSection(section) => return self.add_types(section.range().len()),
            Payload::ElementSection(section) => {
                self.element_bytes = self.element_bytes.saturating_add(section.range().len());
                return bound("the size in bytes of its element sections is", self.element_bytes, MAX_ELEMENT_BYTES);
            }
            Payload::ImportSection(section) => section.count(),
            Payload::TableSection(section) => section.count(),
            Payload::MemorySection(section) => section.count(),
            Payload::TagSection(section) => section.count(),
            Payload::GlobalSection(section) => section.count(),
            Payload::ExportSection(section) => section.count(),
            Payload::DataSection(section) => section.count(),
            Payload::InstanceSection(section) => section.count(),
            Payload::ComponentInstanceSection(section) => section.count(),
            Payload::ComponentAliasSection(section) => section.count(),
            Payload::ComponentCanonicalSection(section) => section.count(),
            Payload::ComponentImportSection(section) => return self.add_interfaces(section.count()),
            Payload::ComponentExportSection(section) => return self.add_interfaces(section.count()),
            _ => return Ok(()),
        };
        self.items += u64::from(items);
        bound("the number of its imports, exports, globals, aliases and instances is", self.items, MAX_ITEMS)
    }

    fn add_interfaces(&mut self, interfaces: u32) -> std::result::Result<(), Exceeded> {
        self.interfaces += u64::from(interfaces);
        bound("the number of imports and exports of its components is", self.interfaces, MAX_INTERFACES)
    }

    fn add_types(&mut self, bytes: usize) -> std::result::Result<(), Exceeded> {
        self.type_bytes = self.type_bytes.saturating_add(bytes);
        bound("the size in bytes of its types is", self.type_bytes, MAX_TYPE_BYTES)
    }
}

fn check_function(body: &FunctionBody) -> std::result::Result<(), Exceeded> {
    bound("the size in bytes of a function is", body.range().len(), MAX_FUNCTION_BYTES)?;
    let locals = count_locals(body).unwrap_or_default();
    bound("the number of locals of a function is", locals, MAX_LOCALS)?;
    let Ok(operators) = body.get_operators_reader() else { return Ok(()) };
    // The open blocks, the innermost last: true for a loop.
    let mut open = Vec::new();
    let (mut loops, mut loop_depth, mut joins) = (0_usize, 0_u64, 0_u64);
    for operator in operators.into_iter().map_while(Result::ok) {
        match operator {
            Operator::Loop { .. } => {
                loops += 1;
                open.push(true);
            }
            Operator::Block { .. } | Operator::If { .. } | Operator::TryTable { .. } => open.push(false),
            Operator::End => {
                loops -= usize::from(open.pop().unwrap_or_default());
                continue;
            }
            _ => continue,
        }
        joins += 1;
        bound("its control flow is nested to the depth", open.len(), MAX_CONTROL_DEPTH)?;
        bound("its loops are nested to the depth", loops, MAX_LOOP_DEPTH)?;
        loop_depth = loop_depth.max(loops as u64);
    }
    let locals_in_loops = locals.saturating_mul(loop_depth);
    bound("the locals of a function, times the depth of its loops, are", locals_in_loops, MAX_LOCALS_IN_LOOPS)?;
    bound("the locals of a function, times its blocks, are", locals.saturating_mul(joins), MAX_LOCALS_AT_JOINS)
}

fn count_locals(body: &FunctionBody) -> Result<u64> {
    let mut locals = 0_u64;
    for group in body.get_locals_reader()? {
        locals += u64::from(group?.0);
    }
    Ok(locals)
}

fn bound(what: &'static str, found: impl TryInto<u64>, max: impl TryInto<u64>) -> std::result::Result<(), Exceeded> {
    let (found, max) = (found.try_into().unwrap_or(u64::MAX), max.try_into().unwrap_or(u64::MAX));
    if found > max { Err(Exceeded { what, found, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_text(text: &str, expected: Option<&str>) {
        let checked = check(&wat::parse_str(text).unwrap()).map_err(|exceeded| exceeded.to_string());
        assert_eq!(checked.err().as_deref(), expected);
    }

    fn nested(before: &str, inner: &str, after: &str, depth: usize) -> String {
        before.repeat(depth) + inner + &after.repeat(depth)
    }

    #[test]
    fn nested_components_and_their_number_are_bounded() {
        check_text(&nested("(component ", "", ")", MAX_COMPONENT_DEPTH), None);
        let expected = "its components are nested to the depth 33, and the bound is 32";
        check_text(&nested("(component ", "", ")", MAX_COMPONENT_DEPTH + 1), Some(expected));
        let expected = "the number of its components is 257, and the bound is 256";
        check_text(&format!("(component {})", "(component)".repeat(MAX_COMPONENTS)), Some(expected));
        check_text(&format!("(component {})", "(core module)".repeat(MAX_CORE_MODULES)), None);
        let expected = "the number of its core modules is 129, and the bound is 128";
        check_text(&format!("(component {})", "(core module)".repeat(MAX_CORE_MODULES + 1)), Some(expected));
    }

    #[test]
    fn control_flow_is_bounded() {
        let function = |body: &str| format!("(module (func {body}))");
        check_text(&function(&nested("(loop ", "", ")", MAX_LOOP_DEPTH)), None);
        check_text(&function(&"(loop)".repeat(MAX_LOOP_DEPTH + 1)), None);
        let expected = "its loops are nested to the depth 101, and the bound is 100";
        check_text(&function(&nested("(loop ", "", ")", MAX_LOOP_DEPTH + 1)), Some(expected));
        check_text(&function(&nested("(loop (block ", "", "))", MAX_LOOP_DEPTH)), None);
        check_text(&function(&nested("(loop (block ", "", "))", MAX_LOOP_DEPTH + 1)), Some(expected));
    }

    #[test]
    fn locals_are_bounded() {
        let function = |locals: u64, body: &str| {
            format!("(module (func (local {}) {body}))", "i32 ".repeat(usize::try_from(locals).unwrap()))
        };
        check_text(&function(MAX_LOCALS, ""), None);
        let expected = "the number of locals of a function is 10001, and the bound is 10000";
        check_text(&function(MAX_LOCALS + 1, ""), Some(expected));
        let expected = "the locals of a function, times the depth of its loops, are 110000, and the bound is 100000";
        check_text(&function(MAX_LOCALS, &nested("(loop ", "", ")", 10)), None);
        check_text(&function(MAX_LOCALS, &nested("(loop ", "", ")", 11)), Some(expected));
        let blocks = "(block)".repeat(usize::try_from(MAX_LOCALS_AT_JOINS / MAX_LOCALS).unwrap());
        check_text(&function(MAX_LOCALS, &blocks), None);
        let expected = "the locals of a function, times its blocks, are 20010000, and the bound is 20000000";
        check_text(&function(MAX_LOCALS, &(blocks + "(block)")), Some(expected));
    }

    #[test]
    fn sections_are_bounded() {
        let functions = |count: usize| format!("(module {})", "(func)".repeat(count));
        check_text(&functions(1000), None);
        let expected = "the number of its functions is 300001, and the bound is 300000";
        check_text(&functions(MAX_FUNCTIONS + 1), Some(expected));
        let exports = "(export \"x\" (func 0))".repeat(usize::try_from(MAX_ITEMS).unwrap() + 1);
        let expected =
            "the number of its imports, exports, globals, aliases and instances is 200001, and the bound is 200000";
        check_text(&format!("(module (func) {exports})"), Some(expected));
        let imports =
            |count: u64| (0..count).map(|number| format!("(import \"i{number}\" (func))")).collect::<String>();
        check_text(&format!("(component {})", imports(MAX_INTERFACES)), None);
        let expected = "the number of imports and exports of its components is 10001, and the bound is 10000";
        check_text(&format!("(component {})", imports(MAX_INTERFACES + 1)), Some(expected));
        let expected = "the size in bytes of a function is 1048579, and the bound is 1048576";
        check_text(&format!("(module (func {}))", "nop ".repeat(MAX_FUNCTION_BYTES + 1)), Some(expected));
    }

    #[test]
    fn what_cannot_be_parsed_is_left_to_the_compiler() {
        let whole = wat::parse_str("(component (core module (func (loop))))").unwrap();
        for length in 0..whole.len() {
            assert_eq!(check(&whole[..length]), Ok(()));
        }
    }
}
