//! Makes of the contract what C and Zig need of it, for the projects that `sentrynet new` writes.

use std::path::Path;
use std::{env, fs};

use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

fn main() {
    const WIT: &str = "../wit";
    println!("cargo::rerun-if-changed={WIT}");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(WIT).expect("the contract can be read");
    let world = resolve.select_world(&[package], Some("probe")).expect("the contract has a world");
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files).expect("C can say it all");
    let folder = env::var_os("OUT_DIR").expect("cargo says where");
    for (name, bytes) in files.iter() {
        fs::write(Path::new(&folder).join(name), bytes).expect("the folder is writable");
    }
}
