//! A guest that gives a hostile text for every text that the contract has: in its results, and in the arguments of the
//! functions that it calls. The values are made from the WIT, so that a new field has the text too.

use std::path::{Path, PathBuf};

use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Function, FunctionKind, Int, InterfaceId, Resolve, SizeAlign, Type, TypeDefKind, WorldItem};

use super::HOSTILE;
use crate::guests::Guest;

/// The address of the guest's values, in its third page of memory: texts that the host passes in are before it.
const BASE: usize = 2 << 16;

/// The way in which the guest's run ends.
#[derive(Clone, Copy)]
pub struct Ending {
    /// True if `check` finds problems.
    pub check_fails: bool,
    /// The case of `trouble` that `run` returns. `None` if it traps.
    pub trouble: Option<usize>,
}

/// A guest that fails with a hostile reason and message.
pub const FAILS: Ending = Ending { check_fails: false, trouble: Some(0) };

/// Writes the guest as a component. Returns the path.
pub fn write(name: &str, ending: Ending) -> PathBuf {
    let mut resolve = Resolve::default();
    let (package, _) =
        resolve.push_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")).expect("the contract can be read");
    let world = resolve.select_world(&[package], Some("probe")).expect("there is such a world");
    let world = &resolve.worlds[world];
    let interface = |name: &str| {
        let items = world.imports.iter().chain(&world.exports).map(|(_, item)| item);
        let mut interfaces = items.filter_map(|item| match item {
            WorldItem::Interface { id, .. } => Some(*id),
            _ => None,
        });
        interfaces.find(|id| resolve.interfaces[*id].name.as_deref() == Some(name)).expect("the world has it")
    };
    let mut memory = Memory::new(&resolve);
    let result = |name: &str| resolve.interfaces[interface("prober")].functions[name].result.expect("it has one");
    let describe = memory.store(&result("describe"), Choice::default());
    let check = memory.store(&result("check"), Choice { fails: ending.check_fails, case: 0 });
    let run = memory.store(&result("run"), Choice { fails: true, case: ending.trouble.unwrap_or(0) });
    let (mut imports, mut calls) = (String::new(), String::new());
    for name in ["span", "log"] {
        memory.call_all(interface(name), &mut imports, &mut calls);
    }
    let data: String = memory.bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let function = wat_text(HOSTILE);
    let guest = Guest {
        imports: imports.leak(),
        define: format!(
            "(data (i32.const {BASE}) \"{data}\") (func $traps (@name \"{function}\") unreachable)
             (func $calls (local $handle i32) {calls})"
        )
        .leak(),
        describe: format!("i32.const {describe}").leak(),
        check: format!("i32.const {check}").leak(),
        run: match ending.trouble {
            Some(_) => format!("call $calls i32.const {run}").leak(),
            None => "call $calls call $traps i32.const 0",
        },
    };
    guest.write(name)
}

/// Returns a text as it stands in a string of WAT.
pub fn wat_text(text: &str) -> String {
    text.bytes().map(|byte| format!("\\{byte:02x}")).collect()
}

/// The cases that a value has.
#[derive(Clone, Copy, Default)]
struct Choice {
    /// True for the error of a result.
    fails: bool,
    /// The case of a variant.
    case: usize,
}

/// The memory of the guest from [`BASE`] on.
struct Memory<'r> {
    resolve: &'r Resolve,
    sizes: SizeAlign,
    bytes: Vec<u8>,
}

impl<'r> Memory<'r> {
    fn new(resolve: &'r Resolve) -> Self {
        let mut sizes = SizeAlign::default();
        sizes.fill(resolve);
        Self { resolve, sizes, bytes: Vec::new() }
    }

    /// Adds bytes. Returns their address.
    fn allocate(&mut self, bytes: &[u8]) -> usize {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let address = BASE + self.bytes.len();
        self.bytes.extend(bytes);
        address
    }

    /// Adds a value. Returns its address.
    fn store(&mut self, ty: &Type, choice: Choice) -> usize {
        let address = self.allocate(&vec![0; self.sizes.size(ty).size_wasm32()]);
        self.fill(ty, address, choice);
        address
    }

    fn write(&mut self, address: usize, bytes: &[u8]) {
        self.bytes[address - BASE..][..bytes.len()].copy_from_slice(bytes);
    }

    fn write_pair(&mut self, address: usize, first: usize, second: usize) {
        self.write(address, &(first as u32).to_le_bytes());
        self.write(address + 4, &(second as u32).to_le_bytes());
    }

    /// Writes a value in which every text is hostile.
    fn fill(&mut self, ty: &Type, at: usize, choice: Choice) {
        let id = match ty {
            Type::String => return self.fill_text(at, HOSTILE),
            Type::Bool | Type::U8 | Type::S8 => return self.write(at, &[1]),
            Type::Id(id) => *id,
            other => panic!("the contract has no {other:?} in results: write it here"),
        };
        let kind = &self.resolve.types[id].kind;
        let cases: Vec<Option<Type>> = match kind {
            TypeDefKind::Type(ty) => return self.fill(ty, at, choice),
            TypeDefKind::Record(record) => {
                let offsets = self.sizes.field_offsets(record.fields.iter().map(|field| &field.ty));
                let offsets: Vec<_> = offsets.into_iter().map(|(offset, ty)| (offset.size_wasm32(), *ty)).collect();
                for (field, (offset, ty)) in record.fields.iter().zip(offsets) {
                    match field.name.as_str() {
                        "settings-schema" => self.fill_text(at + offset, &schema()),
                        _ => self.fill(&ty, at + offset, choice),
                    }
                }
                return;
            }
            TypeDefKind::List(item) => {
                let address = self.store(item, choice);
                return self.write_pair(at, address, 1);
            }
            TypeDefKind::Option(some) => vec![None, Some(*some)],
            TypeDefKind::Result(result) => vec![result.ok, result.err],
            TypeDefKind::Variant(variant) => variant.cases.iter().map(|case| case.ty).collect(),
            other => panic!("the contract has no {other:?} in results: write it here"),
        };
        let case = match kind {
            TypeDefKind::Option(_) => 1,
            TypeDefKind::Result(_) => usize::from(choice.fails),
            _ => choice.case,
        };
        let offset = self.sizes.payload_offset(Int::U8, cases.iter().map(Option::as_ref)).size_wasm32();
        self.write(at, &[u8::try_from(case).expect("there are few cases")]);
        if let Some(payload) = cases[case] {
            self.fill(&payload, at + offset, choice);
        }
    }

    fn fill_text(&mut self, at: usize, text: &str) {
        let address = self.allocate(text.as_bytes());
        self.write_pair(at, address, text.len());
    }

    /// Adds imports of all functions of an interface, and calls of them.
    fn call_all(&mut self, interface: InterfaceId, imports: &mut String, calls: &mut String) {
        let module = self.resolve.id_of(interface).expect("the interface has a name");
        for (name, function) in &self.resolve.interfaces[interface].functions {
            let signature = self.resolve.wasm_signature(AbiVariant::GuestImport, function);
            assert!(!signature.indirect_params && !signature.retptr, "{name}: write its call here");
            let types = |types: &[WasmType]| types.iter().map(|ty| format!("{} ", core_type(*ty))).collect::<String>();
            *imports += &format!(
                "(import \"{module}\" \"{name}\" (func $\"{module} {name}\" (param {}) (result {})))\n",
                types(&signature.params),
                types(&signature.results)
            );
            let values = self.arguments(function);
            assert_eq!(values.len(), signature.params.len(), "{name}");
            for (value, ty) in values.into_iter().zip(&signature.params) {
                *calls += &match value {
                    Some(value) => format!("({}.const {value}) ", core_type(*ty)),
                    None => "(local.get $handle) ".to_owned(),
                };
            }
            *calls += &format!("(call $\"{module} {name}\")\n");
            *calls += match (&function.kind, signature.results.is_empty()) {
                (FunctionKind::Constructor(_), _) => "(local.set $handle)\n",
                (_, true) => "",
                (_, false) => "(drop)\n",
            };
        }
    }

    /// Returns the arguments of a call as core values; `None` is the handle.
    fn arguments(&mut self, function: &Function) -> Vec<Option<usize>> {
        function.params.iter().flat_map(|param| self.flat(&param.ty)).collect()
    }

    fn flat(&mut self, ty: &Type) -> Vec<Option<usize>> {
        let Type::Id(id) = ty else {
            return match ty {
                Type::String => vec![Some(self.allocate(HOSTILE.as_bytes())), Some(HOSTILE.len())],
                _ => vec![Some(1)],
            };
        };
        match &self.resolve.types[*id].kind {
            TypeDefKind::Type(ty) => self.flat(ty),
            TypeDefKind::Handle(_) => vec![None],
            // The last case: the level of a line in the log is then an error, which the message of a trap repeats.
            TypeDefKind::Enum(cases) => vec![Some(cases.cases.len() - 1)],
            TypeDefKind::Variant(variant) => {
                let all: Vec<_> =
                    variant.cases.iter().map(|case| case.ty.map_or(Vec::new(), |ty| self.flat(&ty))).collect();
                let text = variant.cases.iter().position(|case| case.ty == Some(Type::String)).unwrap_or(0);
                let longest = all.iter().map(Vec::len).max().unwrap_or(0);
                let mut values = vec![Some(text)];
                values.extend(&all[text]);
                values.resize(1 + longest, Some(0));
                values
            }
            other => panic!("the interfaces have no {other:?} in arguments: write it here"),
        }
    }
}

fn core_type(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
    }
}

/// Returns a schema with hostile texts wherever it may have texts.
fn schema() -> String {
    let text = serde_json::json!(HOSTILE);
    serde_json::json!({
        "title": text, "description": text,
        "properties": {
            HOSTILE: { "description": text, "default": text, "enum": [text] },
            "key": { "type": "string", "description": text, "default": text, "pattern": "^x", "enum": [HOSTILE, "x"] },
        },
    })
    .to_string()
}
