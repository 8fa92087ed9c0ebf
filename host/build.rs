//! Makes what is in the program beside its code: of the contract what C and Zig need of it, for the projects that
//! `sentrynet new` writes; of the built-in probes one compressed stream, since they have most in common.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;
use zstd::zstd_safe::CParameter;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo says where")?);
    contract(&folder)?;
    built_in(&folder)
}

fn contract(folder: &Path) -> Result<(), Box<dyn Error>> {
    const WIT: &str = "../wit";
    println!("cargo::rerun-if-changed={WIT}");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(WIT)?;
    let world = resolve.select_world(&[package], Some("probe"))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files)?;
    for (name, bytes) in files.iter() {
        fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

/// Writes the stream: each probe after its length.
fn built_in(folder: &Path) -> Result<(), Box<dyn Error>> {
    /// In the order in which the host knows them: the one that nearly all need comes first.
    const PROBES: [&str; 3] = ["http", "chain", "ssh"];
    const LEVEL: i32 = 19;
    /// A window of 16 MiB: all of them, so that each is told from the one before it.
    const WINDOW: u32 = 24;
    let mut stream = zstd::Encoder::new(Vec::new(), LEVEL)?;
    stream.set_parameter(CParameter::WindowLog(WINDOW))?;
    for name in PROBES {
        let path = format!("../probes-wasm/built/{name}.wasm");
        println!("cargo::rerun-if-changed={path}");
        let bytes = fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
        stream.write_all(&u32::try_from(bytes.len())?.to_le_bytes())?;
        stream.write_all(&bytes)?;
    }
    fs::write(folder.join("built-in.zst"), stream.finish()?)?;
    Ok(())
}
