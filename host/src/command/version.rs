//! `sentrynet --version --verbose`: the versions of the program and of what it consists of.

use sentrynet::printable::StyledText;
use sentrynet::sandbox::CONTRACT_VERSION;

use crate::output::print;

/// Prints the version of the program, its commit, and the versions of what it consists of. The build script finds out
/// the commit, wasmtime's version and the target.
pub fn print_details() {
    let features = if cfg!(feature = "compiler") { "compiler" } else { "none" };
    let mut text = StyledText::new();
    text.push_line(concat!("sentrynet ", env!("CARGO_PKG_VERSION")));
    for (name, value) in [
        ("commit", env!("SENTRYNET_COMMIT")),
        ("contract", CONTRACT_VERSION),
        ("wasmtime", env!("SENTRYNET_WASMTIME")),
        ("target", env!("SENTRYNET_TARGET")),
        ("features", features),
    ] {
        text.push_line(&format!("{name}: {value}"));
    }
    print(&text);
}
