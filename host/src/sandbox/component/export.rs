//! Compiles components into a directory, for hosts that load their code from it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

use super::blocking::blocking;
use super::compiled_directory::{CompiledDirectory, file_name};
use super::compiled_file::encode_header;
use super::compiler_limits::ATTEMPTS;
use super::compiler_process::Failure;
use super::compiler_processes::CompilerProcesses;
use super::error::ComponentError;
use super::local_compiler::load_error;
use super::precompiled::Precompiled;
use super::read::{Source, hexadecimal};
use crate::config::Module;
use crate::sandbox::engine::Cpu;

/// Compiles components into a directory from which hosts load their code, on this machine or another.
pub struct CodeExporter {
    processes: CompilerProcesses,
    directory: PathBuf,
}

/// A file of compiled code that was written.
#[derive(Debug)]
pub struct ExportedCode {
    /// The path.
    pub file: PathBuf,
    /// The size in bytes.
    pub size_bytes: u64,
    /// The SHA-256 of the file, in lower-case hexadecimal digits.
    pub sha256: String,
}

impl CodeExporter {
    /// Creates the directory, and those above it, if they do not exist. Components will be compiled by processes of
    /// `program`, as with [`Compiler::Program`](crate::sandbox::Compiler::Program), for processors of the kind `cpu`.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be created, or if hosts would refuse it, as [`CompiledDirectory::open`]
    /// does.
    pub fn new(program: PathBuf, cpu: Cpu, directory: &Path) -> io::Result<Self> {
        const DIRECTORY_MODE: u32 = 0o755;
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
        CompiledDirectory::open(directory)?;
        Ok(Self { processes: CompilerProcesses::new(program, cpu), directory: directory.to_owned() })
    }

    /// Compiles a component, and writes its code. Code of the same component that is there is replaced.
    ///
    /// # Errors
    /// - Returns the errors of opening and compiling a component: those about its file, and about limits.
    /// - [`ComponentError::NotWritten`] if the code cannot be written.
    pub async fn export(&self, module: &Module) -> Result<ExportedCode, ComponentError> {
        let opened = module.clone();
        let source = blocking(move || Source::open(&opened)).await?;
        let component = source.digest();
        let compiled = self.compile(source).await;
        let code = compiled.map_err(|failure| load_error(module, failure, self.processes.memory_bytes()))?;
        let directory = self.directory.clone();
        blocking(move || {
            let file = directory.join(file_name(&component));
            write(&directory, &component, &code)
                .map_err(|error| ComponentError::NotWritten { path: file, why: error.to_string() })
        })
        .await
    }

    async fn compile(&self, source: Source) -> Result<Precompiled, Failure> {
        let source = Arc::new(Mutex::new(source));
        let mut attempt = 0;
        loop {
            match self.processes.attempt(attempt, &source).await {
                Err(Failure::CpuTime | Failure::RealTime) if attempt + 1 < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }
}

/// Writes a file of code. Hosts see the old file or the whole new one.
fn write(directory: &Path, component: &[u8; SHA256_OUTPUT_LEN], code: &Precompiled) -> io::Result<ExportedCode> {
    const FILE_MODE: u32 = 0o644;
    let header = encode_header(component, code.facts(), code.code());
    let mut sha256 = Context::new(&SHA256);
    sha256.update(&header);
    sha256.update(code.code());
    let (name, process) = (file_name(component), std::process::id());
    let (file, temporary) = (directory.join(&name), directory.join(format!(".new-{process}-{name}")));
    // A process with the same number may have left a file.
    _ = fs::remove_file(&temporary);
    let write = || {
        let mut new = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&temporary)?;
        new.write_all(&header)?;
        new.write_all(code.code())?;
        new.sync_all()?;
        fs::rename(&temporary, &file)
    };
    write().inspect_err(|_| _ = fs::remove_file(&temporary))?;
    let size_bytes = (header.len() + code.code().len()) as u64;
    Ok(ExportedCode { file, size_bytes, sha256: hexadecimal(sha256.finish().as_ref()) })
}
