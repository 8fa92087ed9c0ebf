//! What the figures were measured on.

use std::fs;
use std::process::Command;

use crate::process::cores;

/// One line: processors, kernel, compiler, and the kernel's limits that rows meet.
pub fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let processor = read("/proc/cpuinfo");
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let processor = processor.map_or("unknown", |(_, name)| name);
    let said = |program: &str| Command::new(program).arg("-V").output().ok();
    let compiler = said("rustc").map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let files = crate::process::file_limit(nix::unistd::Pid::this()).unwrap_or_default();
    format!(
        "{} x {processor}, Linux {}, {}, {files} files, vm.max_map_count {}",
        cores(),
        read("/proc/sys/kernel/osrelease"),
        compiler.unwrap_or_default(),
        read("/proc/sys/vm/max_map_count"),
    )
}
