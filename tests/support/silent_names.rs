//! A resolver that never answers for some names, in place of the system's.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

/// Resolves names as the C library does, except that those below `silent` are never resolved.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
    static const char silent[] = ".silent";
    size_t length = name ? strlen(name) : 0;
    if (length >= sizeof silent && !strcmp(name + length + 1 - sizeof silent, silent))
        for (;;) pause();
    int (*resolve)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&resolve = dlsym(RTLD_NEXT, "getaddrinfo");
    return resolve(name, service, hints, result);
}
"#;

/// Makes a program wait for ever when it resolves a name below `silent`, such as `a.silent`.
pub fn preload(program: &mut Command) -> &mut Command {
    static LIBRARY: LazyLock<PathBuf> = LazyLock::new(compile);
    program.env("LD_PRELOAD", &*LIBRARY)
}

/// Compiles the resolver. Rust's linker needs a C compiler too, so that there is one.
fn compile() -> PathBuf {
    let folder = super::empty_folder(&format!("silent-names-{}", std::process::id()));
    let (source, library) = (folder.join("silent.c"), folder.join("silent.so"));
    std::fs::write(&source, SOURCE).expect("the folder is writable");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl").status();
    assert!(compiled.expect("there is a C compiler").success());
    library
}
