//! Third parties' probes, written by hand: what the host must bear.
//!
//! Each is a core module in WAT, made a component with the contract in `wit/`. This is the whole of what a probe must
//! have: memory, an allocator for what the host hands in, and three functions.

use std::path::{Path, PathBuf};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::support::folder;

/// A probe: what it defines beside, and the bodies of its functions. Each returns the address of its result.
#[derive(Clone, Copy)]
pub struct Guest {
    pub imports: &'static str,
    pub define: &'static str,
    pub describe: &'static str,
    pub check: &'static str,
    pub run: &'static str,
}

/// It does nothing, and passes. At 0 lies a result that is ok and empty; at 64 a description; at 128 a failure, at 192
/// a run that is broken.
pub const PASSES: Guest =
    Guest { imports: "", define: "", describe: "i32.const 64", check: "i32.const 0", run: "i32.const 0" };

/// What guests import of the contract.
pub const LOG: &str = r#"(import "sentrynet:probe/log@0.1.0" "write" (func $write (param i32 i32 i32)))"#;
pub const SPAN: &str = r#"(import "sentrynet:probe/span@0.1.0" "[constructor]span" (func $span (param i32 i32 i32 i32) (result i32)))
    (import "sentrynet:probe/span@0.1.0" "[resource-drop]span" (func $drop (param i32)))"#;
pub const HTTP: &str = r#"(import "sentrynet:probe/http@0.1.0" "[static]request.new" (func $request (param i32 i32 i32 i32 i32)))
    (import "sentrynet:probe/http@0.1.0" "[method]request.send" (func $send (param i32 i32)))
    (import "sentrynet:probe/http@0.1.0" "[method]request.body" (func $body (param i32 i32 i32)))
    (import "sentrynet:probe/http@0.1.0" "[resource-drop]request" (func $drop (param i32)))"#;
pub const SSH: &str = r#"(import "sentrynet:probe/ssh@0.1.0" "[static]client.new" (func $client (param i32 i32 i32 i32)))
    (import "sentrynet:probe/ssh@0.1.0" "[method]client.host-key" (func $trust (param i32 i32 i32 i32)))
    (import "sentrynet:probe/ssh@0.1.0" "[method]client.connect" (func $connect (param i32 i32)))"#;

const TEXTS: &str = r#"
  (data (i32.const 256) "third1.0.0a third party's probe{}")
  (data (i32.const 512) "teapotit is a teapotcolourgreenbrown")
  (data (i32.const 768) "the kettle is missing")
  ;; describe: name, version, summary and schema, each an address and a length
  (data (i32.const 64) "\00\01\00\00\05\00\00\00" "\05\01\00\00\05\00\00\00" "\0a\01\00\00\15\00\00\00" "\1f\01\00\00\02\00\00\00")
  ;; run: an error, which is a failure, with its reason, its message and one mismatch
  (data (i32.const 128) "\01\00\00\00" "\00\00\00\00" "\00\02\00\00\06\00\00\00" "\06\02\00\00\0e\00\00\00" "\00\04\00\00\01\00\00\00")
  (data (i32.const 1024) "\14\02\00\00\06\00\00\00" "\1a\02\00\00\05\00\00\00" "\1f\02\00\00\05\00\00\00")
  ;; run: an error, which is that it is broken, and why
  (data (i32.const 192) "\01\00\00\00" "\01\00\00\00" "\00\03\00\00\15\00\00\00")
"#;

impl Guest {
    /// The guest as a core module that carries the contract's types, for the contract in a folder and what WIT there is
    /// besides, with the world `guest`.
    fn module(&self, wit: &Path, besides: Option<&str>) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(wit).expect("the contract can be read");
        let version = resolve.packages[package].name.version.clone().expect("the contract has a version");
        let (package, world) = match besides {
            None => (package, "probe"),
            Some(text) => (resolve.push_str("besides.wit", text).expect("the WIT can be read"), "guest"),
        };
        let world = resolve.select_world(&[package], Some(world)).expect("there is such a world");
        let Self { imports, define, describe, check, run } = self;
        let text = format!(
            r#"(module $third
              {imports}
              (memory (export "memory") 4)
              (global $free (mut i32) (i32.const 2048))
              {TEXTS}
              {define}
              (func $allocate (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                global.get $free i32.const 7 i32.add i32.const -8 i32.and local.tee $at
                local.get 3 i32.add global.set $free
                local.get $at)
              (func $describe (export "sentrynet:probe/prober@VERSION#describe") (result i32) {describe})
              (func $check (export "sentrynet:probe/prober@VERSION#check") (param i32 i32) (result i32) {check})
              (func $run (export "sentrynet:probe/prober@VERSION#run") (param i32 i32) (result i32) {run}))"#
        );
        let mut module = wat::parse_str(text.replace("VERSION", &version.to_string())).expect("the guest is WAT");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .expect("the world can be embedded");
        module
    }

    fn component(&self, wit: &Path, besides: Option<&str>) -> Vec<u8> {
        let encoder = ComponentEncoder::default().validate(true);
        let mut encoder = encoder.module(&self.module(wit, besides)).expect("the guest is a module");
        encoder.encode().expect("the guest fits the contract")
    }

    /// Writes the guest as `NAME.wasm`, into a folder of its own.
    pub fn write(&self, name: &str) -> PathBuf {
        write(name, &self.component(&contract(), None))
    }

    /// The same as a compiler leaves it, which knows nothing of components.
    pub fn write_module(&self, name: &str) -> PathBuf {
        write(name, &self.module(&contract(), None))
    }

    /// The same for a guest that imports WASI, as toolchains of this version of it have it do.
    pub fn write_with_wasi(&self, name: &str, version: &str) -> PathBuf {
        const OURS: &str = "0.2.0";
        let besides = include_str!("guests/wasi.wit").replace(OURS, version);
        let guest = Guest { imports: self.imports.replace(OURS, version).leak(), ..*self };
        write(name, &guest.component(&contract(), Some(&besides)))
    }

    /// The same with imports beside the contract's: of each package a name, the interface, and its text.
    pub fn write_importing(&self, name: &str, packages: &[(&str, &str, &str)]) -> PathBuf {
        write(name, &self.component(&contract_with(name, packages), None))
    }

    /// The same for another version of the contract.
    pub fn write_for_version(&self, name: &str, version: &str) -> PathBuf {
        self.write_for(name, &|text| text.replace("@0.1.0", &format!("@{version}")))
    }

    /// The same for a contract that is made of ours.
    pub fn write_for(&self, name: &str, other: &dyn Fn(String) -> String) -> PathBuf {
        let theirs = folder(&format!("wit-{name}"));
        for file in std::fs::read_dir(contract()).expect("the contract can be read").flatten() {
            let text = std::fs::read_to_string(file.path()).expect("the contract is text");
            std::fs::write(theirs.join(file.file_name()), other(text)).expect("the folder is writable");
        }
        write(name, &self.component(&theirs, None))
    }
}

/// The contract in a folder of its own, in a world that imports more: `interface` of a package, which is `text`.
fn contract_with(name: &str, packages: &[(&str, &str, &str)]) -> PathBuf {
    let theirs = folder(&format!("wit-{name}"));
    for file in std::fs::read_dir(contract()).expect("the contract can be read").flatten() {
        std::fs::copy(file.path(), theirs.join(file.file_name())).expect("the folder is writable");
    }
    let imports: String = packages.iter().map(|(_, interface, _)| format!("  import {interface};\n")).collect();
    let world = std::fs::read_to_string(theirs.join("world.wit")).expect("the contract has a world");
    let world = world.replace("  export prober;", &format!("{imports}  export prober;"));
    std::fs::write(theirs.join("world.wit"), world).expect("the folder is writable");
    for (package, _, text) in packages {
        let folder = theirs.join("deps").join(package);
        std::fs::create_dir_all(&folder).expect("the folder is writable");
        std::fs::write(folder.join("package.wit"), text).expect("the folder is writable");
    }
    theirs
}

fn contract() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")
}

/// Writes bytes as `NAME.wasm`, into a folder of its own.
pub fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder(&format!("guest-{name}")).join(format!("{name}.wasm"));
    std::fs::write(&path, bytes).expect("the folder is writable");
    path
}
