//! Finds out the commit, and generates the files that the program embeds: the contract's bindings for C and Zig, which
//! `sentrynet new` writes into projects, and the built-in probes as one compressed stream, since they have most of
//! their code in common.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;
use zstd::zstd_safe::CParameter;

#[path = "build/zig_bindings.rs"]
mod zig_bindings;

#[path = "build/version.rs"]
mod version;

/// The folder of the contract, below that of the package.
const WIT_FOLDER: &str = "embedded/wit";
/// The folder of the built-in probes, below that of the package.
const PROBES_FOLDER: &str = "embedded/built";

fn main() -> Result<(), Box<dyn Error>> {
    let output = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: let cargo run build.rs")?);
    version::set_variables();
    write_bindings(&output)?;
    write_built_in_probes(&output)
}

/// Writes `probe.c`, `probe.h` and `probe_component_type.o`, and the header in Zig, `probe.zig`.
fn write_bindings(output: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={WIT_FOLDER}");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(WIT_FOLDER)?;
    let world = resolve.select_world(&[package], Some("probe"))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files)?;
    for (name, bytes) in files.iter() {
        fs::write(output.join(name), bytes)?;
        if name == "probe.h" {
            fs::write(output.join("probe.zig"), zig_bindings::translate(str::from_utf8(bytes)?)?)?;
        }
    }
    Ok(())
}

/// Writes `built-in.zst`, which has for each probe its length in bytes, as a little-endian `u32`, and its component;
/// and `built_in.rs`, which has the names of the probes in the same order.
fn write_built_in_probes(output: &Path) -> Result<(), Box<dyn Error>> {
    /// A window of 16 MiB spans all probes, so that each is compressed against the one before it.
    const WINDOW_LOG: u32 = 24;
    // Level 19 compresses better, but takes some seconds: only builds for release use it.
    let level = if env::var("PROFILE")? == "release" { 19 } else { 1 };
    let mut stream = zstd::Encoder::new(Vec::new(), level)?;
    stream.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
    let names = built_in_names()?;
    for name in &names {
        let path = format!("{PROBES_FOLDER}/{name}.wasm");
        println!("cargo::rerun-if-changed={path}");
        let bytes = fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
        stream.write_all(&u32::try_from(bytes.len())?.to_le_bytes())?;
        stream.write_all(&bytes)?;
    }
    fs::write(output.join("built-in.zst"), stream.finish()?)?;
    fs::write(output.join("built_in.rs"), format!("&{names:?}"))?;
    Ok(())
}

/// Returns the names of the built-in probes. `http` is first, because nearly all configurations need it, and a probe is
/// found by decompressing those before it.
fn built_in_names() -> Result<Vec<String>, Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROBES_FOLDER}");
    let mut names = Vec::new();
    for file in fs::read_dir(PROBES_FOLDER).map_err(|error| format!("{PROBES_FOLDER}: {error}"))? {
        names.extend(file?.file_name().to_str().and_then(|name| name.strip_suffix(".wasm")).map(str::to_owned));
    }
    names.sort_by_key(|name| (name != "http", name.clone()));
    Ok(names)
}
