//! A description of the machine, printed with the figures.

use std::fs;
use std::process::Command;

use crate::process::cores;

/// Returns one line with the processors, the kernel, the compiler, and the kernel's limits that affect the results.
pub fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let processor = read("/proc/cpuinfo");
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let processor = processor.map_or("unknown", |(_, name)| name);
    let rustc = Command::new("rustc").arg("-V").output();
    let compiler = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let files = crate::process::file_limit(nix::unistd::Pid::this()).unwrap_or_default();
    format!(
        "{} x {processor}, Linux {}, {}, {files} files, vm.max_map_count {}",
        cores(),
        read("/proc/sys/kernel/osrelease"),
        compiler.unwrap_or_default(),
        read("/proc/sys/vm/max_map_count"),
    )
}
