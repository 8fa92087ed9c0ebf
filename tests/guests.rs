//! Third-party probes written by hand, to test what the host must withstand.
//!
//! Each is a core module in WAT, which is converted to a component with the contract in `wit/`. It has the minimum of a
//! probe: memory, an allocator for values that the host passes in, and three functions.

// The benchmark includes this file from another folder.
#[path = "guests/hostile.rs"]
pub mod hostile;

use std::path::{Path, PathBuf};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::support::empty_folder;

/// A probe: its imports, further definitions, and the bodies of its functions, each of which returns the address of its
/// result.
#[derive(Clone, Copy)]
pub struct Guest {
    pub imports: &'static str,
    pub define: &'static str,
    pub describe: &'static str,
    pub check: &'static str,
    pub run: &'static str,
}

/// A guest that does nothing and passes. Its memory has an empty `ok` result at 0, a description at 64, a failure at
/// 128, and a broken run at 192.
pub const PASSES: Guest =
    Guest { imports: "", define: "", describe: "i32.const 64", check: "i32.const 0", run: "i32.const 0" };

/// The version of the contract, as its files have it.
pub const CURRENT: &str = "@0.1.1;";

/// Imports of functions of the contract, by interface.
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

/// Returns a guest that derives this title, and passes.
pub fn titled_guest(title: &str) -> Guest {
    let define = format!(
        r#"(data (i32.const 100000) "{title}")
           (data (i32.const 99000) "\00\00\00\00" "\01\00\00\00" "\a0\86\01\00" "\{:02x}\00\00\00")"#,
        title.len()
    );
    Guest { define: define.leak(), check: "i32.const 99000", ..PASSES }
}

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
    /// Compiles the guest to a core module with the types of the contract in the folder `wit`. If `extra_wit` is given,
    /// the module is for its world `guest`.
    fn compile_module(&self, wit: &Path, extra_wit: Option<&str>) -> Vec<u8> {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(wit).expect("the contract can be read");
        let version = resolve.packages[package].name.version.clone().expect("the contract has a version");
        let (package, world) = match extra_wit {
            None => (package, "probe"),
            Some(text) => (resolve.push_str("extra.wit", text).expect("the WIT can be read"), "guest"),
        };
        let world = resolve.select_world(&[package], Some(world)).expect("the WIT has this world");
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
        // Imports are written with the first version, and become those of the contract that the guest is built for.
        let text = text.replace("VERSION", &version.to_string()).replace("@0.1.0\"", &format!("@{version}\""));
        let mut module = wat::parse_str(text).expect("the guest is WAT");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
            .expect("the world can be embedded");
        module
    }

    fn compile_component(&self, wit: &Path, extra_wit: Option<&str>) -> Vec<u8> {
        let encoder = ComponentEncoder::default().validate(true);
        let mut encoder = encoder.module(&self.compile_module(wit, extra_wit)).expect("the guest is a module");
        encoder.encode().expect("the guest fits the contract")
    }

    /// Writes the guest as a component `NAME.wasm` to a folder of its own. Returns the path.
    pub fn write(&self, name: &str) -> PathBuf {
        write_wasm(name, &self.compile_component(&contract_folder(), None))
    }

    /// Writes the guest as a core module, as a compiler without support for components does.
    pub fn write_module(&self, name: &str) -> PathBuf {
        write_wasm(name, &self.compile_module(&contract_folder(), None))
    }

    /// Writes a guest that imports this version of WASI, as toolchains do.
    pub fn write_with_wasi(&self, name: &str, version: &str) -> PathBuf {
        /// The version in `wasi.wit` and in the imports of guests.
        const WRITTEN_VERSION: &str = "0.2.0";
        let extra_wit = include_str!("guests/wasi.wit").replace(WRITTEN_VERSION, version);
        let guest = Guest { imports: self.imports.replace(WRITTEN_VERSION, version).leak(), ..*self };
        write_wasm(name, &guest.compile_component(&contract_folder(), Some(&extra_wit)))
    }

    /// Writes a guest with imports beyond the contract: for each package its name, the interface, and its WIT.
    pub fn write_importing(&self, name: &str, packages: &[(&str, &str, &str)]) -> PathBuf {
        write_wasm(name, &self.compile_component(&copy_contract_with(name, packages), None))
    }

    /// Writes the guest for another version of the contract.
    pub fn write_for_version(&self, name: &str, version: &str) -> PathBuf {
        self.write_for_edited_contract(name, &|text| text.replace(CURRENT, &format!("@{version};")))
    }

    /// Writes the guest for a contract that `edit` derives from the current one.
    pub fn write_for_edited_contract(&self, name: &str, edit: &dyn Fn(String) -> String) -> PathBuf {
        let copy = empty_folder(&format!("wit-{name}"));
        for file in std::fs::read_dir(contract_folder()).expect("the contract can be read").flatten() {
            let text = std::fs::read_to_string(file.path()).expect("the contract is text");
            std::fs::write(copy.join(file.file_name()), edit(text)).expect("the folder is writable");
        }
        write_wasm(name, &self.compile_component(&copy, None))
    }
}

/// Writes a guest that sets data of its run to two random numbers and the time of the monotonic clock, by WASI. Returns
/// the path.
pub fn write_random_and_clock(name: &str) -> PathBuf {
    const PACKAGES: [(&str, &str, &str); 2] = [
        (
            "random",
            "wasi:random/random@0.2.6",
            "package wasi:random@0.2.6; interface random { get-random-u64: func() -> u64;
             get-random-bytes: func(len: u64) -> list<u8>; }",
        ),
        (
            "clocks",
            "wasi:clocks/monotonic-clock@0.2.6",
            "package wasi:clocks@0.2.6; interface monotonic-clock { now: func() -> u64; }",
        ),
    ];
    let imports = r#"
        (import "wasi:random/random@0.2.6" "get-random-u64" (func $random (result i64)))
        (import "wasi:random/random@0.2.6" "get-random-bytes" (func $bytes (param i64 i32)))
        (import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $now (result i64)))
        (import "sentrynet:probe/span@0.1.0" "set-data" (func $data (param i32 i32 i32 i64 i32)))"#;
    let run = "(call $data (i32.const 532) (i32.const 6) (i32.const 1) (call $random) (i32.const 0))
        (call $data (i32.const 538) (i32.const 5) (i32.const 1) (call $now) (i32.const 0))
        (call $bytes (i64.const 8) (i32.const 1800))
        (call $data (i32.const 543) (i32.const 5) (i32.const 1) (i64.load (i32.load (i32.const 1800))) (i32.const 0))
        i32.const 0";
    Guest { imports, run, ..PASSES }.write_importing(name, &PACKAGES)
}

/// Copies the contract to a folder of its own, with a world that imports further interfaces. Returns the folder.
fn copy_contract_with(name: &str, packages: &[(&str, &str, &str)]) -> PathBuf {
    let copy = empty_folder(&format!("wit-{name}"));
    for file in std::fs::read_dir(contract_folder()).expect("the contract can be read").flatten() {
        std::fs::copy(file.path(), copy.join(file.file_name())).expect("the folder is writable");
    }
    let imports: String = packages.iter().map(|(_, interface, _)| format!("  import {interface};\n")).collect();
    let world = std::fs::read_to_string(copy.join("world.wit")).expect("the contract has a world");
    let world = world.replace("  export prober;", &format!("{imports}  export prober;"));
    std::fs::write(copy.join("world.wit"), world).expect("the folder is writable");
    for (package, _, text) in packages {
        let folder = copy.join("deps").join(package);
        std::fs::create_dir_all(&folder).expect("the folder is writable");
        std::fs::write(folder.join("package.wit"), text).expect("the folder is writable");
    }
    copy
}

fn contract_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")
}

/// Writes bytes as `NAME.wasm` to a folder of its own. Returns the path.
pub fn write_wasm(name: &str, bytes: &[u8]) -> PathBuf {
    let path = empty_folder(&format!("guest-{name}")).join(format!("{name}.wasm"));
    std::fs::write(&path, bytes).expect("the folder is writable");
    path
}
