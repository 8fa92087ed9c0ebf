//! The contract with components, without its documentation.

use super::expected::compare;

#[test]
fn the_contract_is_unchanged() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("the contract can be read").flatten().collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    let mut contract = String::new();
    for file in files {
        let text = std::fs::read_to_string(file.path()).expect("the contract is text");
        contract += &format!("// {}\n", file.file_name().to_string_lossy());
        // In these files, comments are on lines of their own.
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//") && !line.trim().is_empty());
        lines.for_each(|line| contract += &format!("{line}\n"));
    }
    compare("contract.wit", &contract);
}
